//! The other end of the local API: HTTP/1.1 over the Unix socket of a running service.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use zeroize::Zeroizing;
use zmon_domain::secret::SecretText;
use zmon_local_api::{
    AuditPageView, AuditVerdictView, ConfigurationView, ConfirmationAnswer, CredentialsView, DestructionView,
    ExaminationView, PairingRequest, PairingView, Problem, ReceiptView, StatusView,
};

use crate::event_lines::{Event, EventLines};

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// Why a command got no answer that it could use.
#[derive(Debug)]
pub enum ClientFault {
    /// Nobody answers on the socket.
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why.
        cause: String,
    },
    /// The service refused, and said why.
    Refused(Box<Problem>),
    /// The service went away while the command waited for it.
    Ended,
}

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { socket, cause } => write!(
                f,
                "the service is not reachable at {}: {cause}\nnext: start it (`zmon-provision serve`), or name its \
                 socket with --socket; the socket is for its owner and group",
                socket.display()
            ),
            Self::Refused(problem) => write!(f, "{}: {}\nnext: {}", problem.code, problem.detail, problem.next_action),
            Self::Ended => {
                f.write_str("the service ended while this command waited\nnext: see its log, and start it again")
            }
        }
    }
}

impl std::error::Error for ClientFault {}

/// Talks to the service at one socket; each request has a connection of its own.
#[derive(Clone, Debug)]
pub struct ControlClient {
    socket: PathBuf,
}

impl ControlClient {
    /// For the service that listens at `socket`.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Where the device stands.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn status(&self) -> Result<StatusView, ClientFault> {
        self.json(Method::GET, "/v1/status", Bytes::new()).await
    }

    /// The receipt of what is installed.
    ///
    /// # Errors
    /// `Unreachable`, or `Refused` where nothing is installed.
    pub async fn receipt(&self) -> Result<String, ClientFault> {
        let view: ReceiptView = self.json(Method::GET, "/v1/receipt", Bytes::new()).await?;
        Ok(view.receipt)
    }

    /// Opens pairing for the configured device and address.
    ///
    /// # Errors
    /// `Unreachable`, `Refused`.
    pub async fn open_pairing(&self) -> Result<PairingView, ClientFault> {
        let body = self.encode(&PairingRequest::default())?;
        self.json(Method::POST, "/v1/pairing", body).await
    }

    /// Has a sealed payload installed that was carried by hand; gives the receipt.
    ///
    /// # Errors
    /// `Unreachable`, or `Refused` for any reason for which a push can be refused.
    pub async fn apply(&self, payload: Vec<u8>) -> Result<String, ClientFault> {
        let view: ReceiptView = self.json(Method::POST, "/v1/pairing/payload", payload.into()).await?;
        Ok(view.receipt)
    }

    /// Has a payload installed that was neither sealed nor signed; gives the receipt.
    ///
    /// # Errors
    /// `Unreachable`, or `Refused`: also by a service of a program that cannot simulate.
    #[cfg(feature = "simulation")]
    pub async fn simulate(&self, request: Bytes) -> Result<String, ClientFault> {
        let view: ReceiptView = self.json(Method::POST, "/v1/pairing/simulated", request).await?;
        Ok(view.receipt)
    }

    /// What the service finds out about itself.
    ///
    /// # Errors
    /// `Unreachable`, `Refused`.
    pub async fn examination(&self) -> Result<ExaminationView, ClientFault> {
        self.json(Method::GET, "/v1/examination", Bytes::new()).await
    }

    /// Has the service try the server with the installed credentials.
    ///
    /// # Errors
    /// `Unreachable`, or `Refused` where the server is not reached or nothing is installed.
    pub async fn test_connection(&self) -> Result<StatusView, ClientFault> {
        self.json(Method::POST, "/v1/connection-test", Bytes::new()).await
    }

    /// One picture of the QR code on the screen; `kind` is `png`, `svg` or `txt`.
    ///
    /// # Errors
    /// `Unreachable`, or `Refused` where pairing is not open.
    pub async fn qr_code(&self, kind: &str) -> Result<Bytes, ClientFault> {
        self.bytes(Method::GET, &format!("/v1/pairing/qr.{kind}"), Bytes::new())
            .await
    }

    /// Ends the open session.
    ///
    /// # Errors
    /// `Unreachable`, `Refused`.
    pub async fn cancel(&self) -> Result<StatusView, ClientFault> {
        self.json(Method::DELETE, "/v1/pairing", Bytes::new()).await
    }

    /// Accepts or refuses the configuration that waits for a person.
    ///
    /// # Errors
    /// `Unreachable`, or `Refused` where nothing waits.
    pub async fn answer_confirmation(&self, accept: bool) -> Result<StatusView, ClientFault> {
        let body = self.encode(&ConfirmationAnswer { accept })?;
        self.json(Method::POST, "/v1/pairing/confirmation", body).await
    }

    /// Takes note of a failure or of a de-provisioning.
    ///
    /// # Errors
    /// `Unreachable`, `Refused`.
    pub async fn acknowledge(&self) -> Result<StatusView, ClientFault> {
        self.json(Method::POST, "/v1/acknowledge", Bytes::new()).await
    }

    /// Removes what is installed.
    ///
    /// # Errors
    /// `Unreachable`, or `Refused`: where the PIN is not the administrator's, among other reasons.
    pub async fn deprovision(&self, pin: &SecretText) -> Result<StatusView, ClientFault> {
        self.administer("/v1/deprovision", pin).await
    }

    /// Removes what is installed, if anything is, and erases the trust anchor.
    ///
    /// # Errors
    /// As for [`Self::deprovision`].
    pub async fn retire(&self, pin: &SecretText) -> Result<StatusView, ClientFault> {
        self.administer("/v1/retire", pin).await
    }

    /// Returns the time floor to the release date.
    ///
    /// # Errors
    /// As for [`Self::deprovision`].
    pub async fn reset_time_floor(&self, pin: &SecretText) -> Result<StatusView, ClientFault> {
        self.administer("/v1/time/reset", pin).await
    }

    /// The signed record of the last destruction.
    ///
    /// # Errors
    /// `Unreachable`, or `Refused` where nothing has been de-provisioned.
    pub async fn destruction(&self) -> Result<String, ClientFault> {
        let view: DestructionView = self.json(Method::GET, "/v1/destruction", Bytes::new()).await?;
        Ok(view.destruction)
    }

    async fn administer(&self, path: &str, pin: &SecretText) -> Result<StatusView, ClientFault> {
        #[derive(Serialize)]
        struct Body<'a> {
            pin: &'a str,
        }
        let body = self.encode(&Body { pin: pin.expose() })?;
        self.json(Method::POST, path, body).await
    }

    /// Whether somebody listens on the socket at all.
    ///
    /// # Errors
    /// `Unreachable`, where that cannot be told: the socket is another's.
    pub async fn is_served(&self) -> Result<bool, ClientFault> {
        match UnixStream::connect(&self.socket).await {
            Ok(_) => Ok(true),
            Err(fault) if matches!(fault.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(false),
            Err(fault) => Err(self.unreachable(&fault)),
        }
    }

    /// Up to `limit` records of the audit, the first of them number `from`.
    ///
    /// # Errors
    /// `Unreachable`, `Refused`.
    pub async fn audit_page(&self, from: u64, limit: u32) -> Result<AuditPageView, ClientFault> {
        self.json(
            Method::GET,
            &format!("/v1/audit?from={from}&limit={limit}"),
            Bytes::new(),
        )
        .await
    }

    /// Has the service walk the audit's whole chain.
    ///
    /// # Errors
    /// `Unreachable`, `Refused`.
    pub async fn verify_audit(&self) -> Result<AuditVerdictView, ClientFault> {
        self.json(Method::GET, "/v1/audit/verdict", Bytes::new()).await
    }

    /// What is installed; with the certificates themselves on the application's socket.
    ///
    /// # Errors
    /// `Unreachable`, or `Refused` where nothing is installed.
    pub async fn configuration(&self) -> Result<ConfigurationView, ClientFault> {
        self.json(Method::GET, "/v1/configuration", Bytes::new()).await
    }

    /// Certificates and private key, on the application's socket alone.
    ///
    /// # Errors
    /// `Unreachable`, or `Refused` where nothing is installed.
    pub async fn credentials(&self) -> Result<CredentialsView, ClientFault> {
        self.json(Method::GET, "/v1/credentials", Bytes::new()).await
    }

    /// Encrypts the store with a new key.
    ///
    /// # Errors
    /// `Unreachable`, `Refused`.
    pub async fn rotate_key(&self) -> Result<StatusView, ClientFault> {
        self.json(Method::POST, "/v1/store/rotate-key", Bytes::new()).await
    }

    /// The event stream, from now on.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn events(&self) -> Result<Events, ClientFault> {
        let answer = self.request(Method::GET, "/v1/events", Bytes::new()).await?;
        Ok(Events {
            body: answer.into_body(),
            lines: EventLines::default(),
        })
    }

    async fn json<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, ClientFault> {
        let bytes = self.bytes(method, path, body).await?;
        serde_json::from_slice(&bytes).map_err(|_| self.unreachable("the answer is not that of this version's service"))
    }

    async fn bytes(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientFault> {
        let answer = self.request(method, path, body).await?;
        self.collect(answer).await
    }

    /// An answer of success; a refusal is an error.
    async fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, ClientFault> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|fault| self.unreachable(&fault))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|fault| self.unreachable(&fault))?;
        // Ends with the sender and the answer's body.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|fault| self.unreachable(&fault))?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(|fault| self.unreachable(&fault))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let bytes = self.collect(answer).await?;
        Err(serde_json::from_slice(&bytes).map_or_else(
            |_| self.unreachable("the refusal is not that of this version's service"),
            |problem| ClientFault::Refused(Box::new(problem)),
        ))
    }

    async fn collect(&self, answer: Response<Incoming>) -> Result<Bytes, ClientFault> {
        Limited::new(answer.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .map_err(|fault| self.unreachable(&fault))
    }

    /// JSON that is erased when it was sent.
    fn encode(&self, document: &impl Serialize) -> Result<Bytes, ClientFault> {
        let json = serde_json::to_vec(document).map_err(|fault| self.unreachable(&fault))?;
        Ok(Bytes::from_owner(Zeroizing::new(json)))
    }

    fn unreachable(&self, cause: &(impl ToString + ?Sized)) -> ClientFault {
        ClientFault::Unreachable {
            socket: self.socket.clone(),
            cause: cause.to_string(),
        }
    }
}

/// A stream of events.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    lines: EventLines,
}

impl Events {
    /// Waits until something has happened; false once the stream has ended.
    ///
    /// What has happened is for [`ControlClient::status`] to tell: it knows everything at once, even where events were
    /// missed.
    pub async fn changed(&mut self) -> bool {
        matches!(self.body.frame().await, Some(Ok(_)))
    }

    /// Waits for the next event; none once the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.lines.next_event() {
                return Some(event);
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.lines.feed(&data);
            }
        }
    }
}
