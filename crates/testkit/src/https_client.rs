//! An HTTPS client for tests of a listener: it trusts a pin, can speak from a chosen address, and can misbehave.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion, version,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};
use zmon_domain::pairing::TlsPin;

/// The client. The pin replaces chain and name checks, never the handshake signature.
#[derive(Clone, Debug)]
pub struct HttpsClient {
    config: ClientConfig,
    pin: Arc<PinVerifier>,
    from: Option<IpAddr>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's text; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// An answer that was read as bytes from a connection.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let name: hyper::header::HeaderName = name.parse().ok()?;
            headers.append(name, value.trim().parse().ok()?);
        }
        Some(Self {
            status,
            headers,
            body: bytes[end + 4..].to_vec(),
        })
    }
}

impl HttpsClient {
    /// Trusts this pin; TLS 1.2 and 1.3, ALPN `http/1.1`.
    #[must_use]
    pub fn new(pin: TlsPin) -> Self {
        Self::with_versions(pin, &[&version::TLS13, &version::TLS12])
    }

    /// Speaks these versions of TLS only.
    #[must_use]
    pub fn with_versions(pin: TlsPin, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let provider = Arc::new(default_provider());
        let pin = Arc::new(PinVerifier {
            pin,
            provider: Arc::clone(&provider),
            seen: Mutex::default(),
        });
        let verifier: Arc<dyn ServerCertVerifier> = pin.clone();
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("ring knows these versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.enable_early_data = true;
        Self {
            config,
            pin,
            from: None,
        }
    }

    /// Offers these application protocols.
    #[must_use]
    pub fn with_alpn(mut self, protocols: &[&[u8]]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        self
    }

    /// Speaks from this address (on Linux all of 127.0.0.0/8 is there).
    #[must_use]
    pub fn from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// The certificate that was seen last, DER.
    #[must_use]
    pub fn certificate(&self) -> Vec<u8> {
        self.pin.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A TCP connection.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn tcp(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = if to.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        // Otherwise the request waits 40 ms for the acknowledgement of the handshake's end.
        socket.set_nodelay(true)?;
        socket.connect(to).await
    }

    /// A TLS connection.
    ///
    /// # Errors
    /// Those of the socket and of the handshake, a wrong pin among them.
    pub async fn tls(&self, to: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.tcp(to).await?;
        TlsConnector::from(Arc::new(self.config.clone()))
            .connect(ServerName::from(to.ip()), stream)
            .await
    }

    /// One request on a connection of its own.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn send(&self, to: SocketAddr, request: Request<Full<Bytes>>) -> io::Result<HttpAnswer> {
        let stream = TokioIo::new(self.tls(to).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .map_err(io::Error::other)?;
        let driver = tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(io::Error::other);
        let answer = match answer {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                let body = body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec();
                Ok(HttpAnswer {
                    status: head.status.as_u16(),
                    headers: head.headers,
                    body,
                })
            }
            Err(fault) => Err(fault),
        };
        driver.abort();
        answer
    }

    /// A push as the protocol wants it.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn push(&self, to: SocketAddr, body: impl Into<Bytes>) -> io::Result<HttpAnswer> {
        self.send(to, push_request(to, body)).await
    }

    /// `GET` of a path.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn get(&self, to: SocketAddr, path: &str) -> io::Result<HttpAnswer> {
        self.send(to, request(to, Method::GET, path)).await
    }

    /// Writes these bytes, all of them before it reads anything, and reads until the other side ends. Neither a failing
    /// write nor a reset ends it early: what was read is the answer.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn raw(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = self.tls(to).await?;
        let _ = stream.write_all(bytes).await;
        let _ = stream.flush().await;
        Ok(read_to_end(&mut stream).await)
    }
}

/// What can be read until the other side ends or breaks off.
pub async fn read_to_end(stream: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let mut answer = Vec::new();
    // A reset keeps what came before it.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// A request without a body.
///
/// # Panics
/// Where `path` is none.
#[must_use]
pub fn request(to: SocketAddr, method: Method, path: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path).header(HOST, to.to_string());
    request.body(Full::default()).expect("a path")
}

/// A push as the protocol wants it.
#[must_use]
pub fn push_request(to: SocketAddr, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = request(to, Method::POST, "/provisioning/configure");
    request.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/jose"),
    );
    *request.body_mut() = Full::new(body.into());
    request
}

#[derive(Debug)]
struct PinVerifier {
    pin: TlsPin,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = end_entity.to_vec();
        let (_, certificate) = X509Certificate::from_der(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        if digest(&SHA256, certificate.public_key().raw).as_ref() == self.pin.as_bytes() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
