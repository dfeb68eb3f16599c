//! Sends a sealed payload to the device that the pin names.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring as provider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};
use zmon_domain::confirmation::ComparisonValue;
use zmon_domain::pairing::TlsPin;
use zmon_domain::qr::QrFields;

use crate::fault::{Fault, FaultCode};
use crate::sha256;

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// A device is done within five seconds (specification 8), but for the time in which a person decides.
const OWN_TIME: Duration = Duration::from_secs(5);

/// How long a push may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until the connection stands, TLS handshake included.
    pub connect: Duration,
    /// From the request's first byte to the answer's last: the device takes seconds to test and install, and up to a
    /// minute where a person has to confirm on its screen.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(90),
        }
    }
}

/// What the device said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is provisioned; the receipt is not verified yet.
    Provisioned {
        /// JWS in compact serialisation.
        receipt: String,
    },
    /// It refused.
    Refused(Refusal),
}

/// The device's refusal (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// HTTP status.
    #[serde(rename(serialize = "httpStatus"))]
    pub status: u16,
    /// The code of the error catalogue.
    pub code: String,
    /// What the code means.
    pub title: String,
    /// What failed and why.
    pub detail: String,
    /// What to do next.
    pub next_action: String,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// For how long the device wants to hear nothing (`Retry-After`), in seconds.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

#[derive(Deserialize)]
struct Accepted {
    status: String,
    receipt: String,
}

/// Pushes a sealed body to the device of a QR code. The pin is checked before the first byte of HTTP; redirects are
/// not followed.
///
/// # Errors
/// Where there is no connection, another certificate than the pinned one, no answer in time, or none that the
/// protocol knows. The device may have installed the payload all the same: push the same body again.
pub async fn push(qr: &QrFields, body: &[u8], patience: Patience) -> Result<Answer, Fault> {
    let address = SocketAddr::new(qr.ip_address, qr.port);
    let connection = tokio::time::timeout(patience.connect, connect(address, qr.pin)).await;
    let stream =
        connection.map_err(|_| unanswered(FaultCode::NoConnection, address, "the connection", patience.connect))??;
    let exchange = tokio::time::timeout(patience.answer, exchange(stream, address, body)).await;
    exchange.map_err(|_| unanswered(FaultCode::AnswerLost, address, "the request", patience.answer))?
}

fn unanswered(code: FaultCode, address: SocketAddr, what: &str, patience: Duration) -> Fault {
    let seconds = patience.as_secs_f32();
    Fault::new(
        code,
        format!(
            "{address} did not answer {what} within {seconds} s. Check network and firewall, then push the same body again."
        ),
    )
}

/// The outcome of a push; `waits` is called where it takes longer than a device does by itself: then a person is asked.
pub async fn watched<T>(push: impl Future<Output = T>, waits: impl FnOnce()) -> T {
    let mut push = pin!(push);
    tokio::select! {
        outcome = &mut push => return outcome,
        () = tokio::time::sleep(OWN_TIME) => waits(),
    }
    push.await
}

/// What the monitor shows, too, where a person there has to confirm this body.
#[must_use]
pub fn comparison_value(body: &[u8]) -> ComparisonValue {
    ComparisonValue::of(&sha256(body))
}

type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

async fn connect(address: SocketAddr, pin: TlsPin) -> Result<TlsStream, Fault> {
    let stream = TcpStream::connect(address).await.map_err(|error| {
        Fault::new(
            FaultCode::NoConnection,
            format!(
                "Cannot connect to {address}: {error}. The monitor listens only while its QR code is on the screen."
            ),
        )
    })?;
    // Head and body are two writes: without this the second waits for the peer's delayed acknowledgement.
    stream.set_nodelay(true).map_err(|error| {
        Fault::new(
            FaultCode::NoConnection,
            format!("Cannot set up the connection: {error}."),
        )
    })?;
    let config = client_config(pin)
        .map_err(|error| Fault::new(FaultCode::TlsFailed, format!("TLS cannot be set up: {error}.")))?;
    let name = ServerName::IpAddress(address.ip().into());
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| {
            Fault::new(FaultCode::TlsFailed, format!(
                "The TLS handshake with {address} failed: {error}. Nothing was sent. If the pin differs, somebody else \
             answers at this address, or the monitor shows a newer QR code."
            ))
        })
}

async fn exchange(stream: TlsStream, address: SocketAddr, body: &[u8]) -> Result<Answer, Fault> {
    let broken = |error: &dyn std::fmt::Display| {
        Fault::new(
            FaultCode::AnswerLost,
            format!("The connection to {address} broke: {error}. Push the same body again."),
        )
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri("/provisioning/configure")
        .header(HOST, address.to_string())
        .header(CONTENT_TYPE, "application/jose")
        .header(CONTENT_LENGTH, body.len())
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::copy_from_slice(body)))
        .map_err(|error| broken(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| broken(&error));
    let outcome = match answer {
        Ok(answer) => read(answer).await,
        Err(fault) => Err(fault),
    };
    connection.abort();
    outcome
}

async fn read<B>(answer: Response<B>) -> Result<Answer, Fault>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let status = answer.status();
    let retry_after = answer
        .headers()
        .get(RETRY_AFTER)
        .and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    let unknown = || {
        Fault::new(
            FaultCode::AnswerUnknown,
            format!("The answer (HTTP {status}) is not one that protocol version 1 knows. Redirects are not followed."),
        )
    };
    // A body that ends too early is a lost answer: the device may have installed the payload all the same.
    let collected = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    let body = collected.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return unknown();
        }
        Fault::new(
            FaultCode::AnswerLost,
            format!("The answer broke off: {error}. Push the same body again."),
        )
    })?;
    interpret(status, retry_after, &body.to_bytes()).ok_or_else(unknown)
}

/// What an answer's status and body say; none where the protocol knows no such answer.
fn interpret(status: StatusCode, retry_after: Option<u64>, body: &[u8]) -> Option<Answer> {
    if status == StatusCode::OK {
        let accepted: Accepted = serde_json::from_slice(body).ok()?;
        return (accepted.status == "PROVISIONED").then_some(Answer::Provisioned {
            receipt: accepted.receipt,
        });
    }
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    let refused = (status.is_client_error() || status.is_server_error()) && refusal.status == status.as_u16();
    refused.then_some(Answer::Refused(Refusal { retry_after, ..refusal }))
}

fn client_config(pin: TlsPin) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(provider::default_provider());
    let verifier = PinVerifier {
        pin,
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// The pin replaces chain and name checks, never the handshake signature: that proves possession of the pinned key.
#[derive(Debug)]
struct PinVerifier {
    pin: TlsPin,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let (_, certificate) = X509Certificate::from_der(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        if sha256(certificate.public_key().raw).as_bytes() == self.pin.as_bytes() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(TlsError::General(
                "the certificate's key is not the one that the QR code pins".into(),
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REFUSAL: &str =
        r#"{"type":"t","title":"T","status":429,"detail":"d","code":"RateLimited","nextAction":"n","retryable":true}"#;

    #[test]
    fn it_passes_on_how_long_to_wait() {
        let answer = interpret(StatusCode::TOO_MANY_REQUESTS, Some(5), REFUSAL.as_bytes());
        assert!(
            matches!(&answer, Some(Answer::Refused(refusal)) if refusal.retry_after == Some(5) && refusal.code == "RateLimited"),
            "{answer:?}"
        );
    }

    #[test]
    fn it_believes_no_answer_whose_parts_contradict_each_other() {
        let provisioned = br#"{"status":"PROVISIONED","receipt":"r"}"#;
        assert!(interpret(StatusCode::OK, None, provisioned).is_some());
        for (status, body) in [
            (StatusCode::ACCEPTED, provisioned.as_slice()),
            (StatusCode::FOUND, provisioned),
            (StatusCode::CONFLICT, REFUSAL.as_bytes()),
            (StatusCode::OK, REFUSAL.as_bytes()),
            (StatusCode::OK, br#"{"status":"READY_TO_PAIR","receipt":"r"}"#),
            (StatusCode::OK, br#"{"status":"PROVISIONED"}"#),
        ] {
            assert_eq!(interpret(status, None, body), None, "{status}");
        }
    }

    proptest! {
        #[test]
        fn it_survives_any_answer(
            status in 100_u16..1000,
            at in 0..REFUSAL.len(),
            noise in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let status = StatusCode::from_u16(status).unwrap();
            let spliced = [&REFUSAL.as_bytes()[..at], &noise, &REFUSAL.as_bytes()[at..]].concat();
            for body in [noise.as_slice(), &spliced] {
                let answer = interpret(status, None, body);
                let provisioned = matches!(answer, Some(Answer::Provisioned { .. }));
                prop_assert!(!provisioned || status == StatusCode::OK);
            }
        }
    }
}
