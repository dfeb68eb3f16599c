//! A central server that demands client certificates, and servers that only look like one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ALL_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::pki::{Identity, NOW};

/// What the server does with a client whose certificate it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Answers every request with this HTTP status.
    Answers(u16),
    /// Accepts connections, and says nothing, not even in TLS.
    SilentInTcp,
    /// Shakes hands, and says nothing after that.
    SilentInHttp,
    /// Shakes hands, and hangs up.
    HangsUp,
    /// Speaks something else than TLS.
    SpeaksHttp,
}

/// A request that came through, and the certificate it came with, in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The request's head.
    pub head: String,
    /// The client's leaf.
    pub certificate: Vec<u8>,
}

/// The server; ends when dropped.
#[derive(Debug)]
pub struct MtlsServer {
    /// Where it listens, on loopback.
    pub address: SocketAddr,
    visits: Arc<Mutex<Vec<Visit>>>,
    task: JoinHandle<()>,
}

impl Drop for MtlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The moment of the fixtures.
#[derive(Debug)]
struct FixtureTime;

impl TimeProvider for FixtureTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(NOW.as_millis())))
    }
}

impl MtlsServer {
    /// Shows `server`'s certificate, and takes clients of `client_ca` alone, at the moment of the fixtures.
    ///
    /// # Panics
    /// Where loopback cannot be bound, or an identity is none that TLS can use.
    pub async fn start(
        server: &Identity,
        client_ca: &Identity,
        versions: &[&'static SupportedProtocolVersion],
        manner: Manner,
    ) -> Self {
        let (certificate, key) = (server.pem(), server.key.pkcs8_pem());
        let config = config(&certificate, &key, &client_ca.pem(), versions, Arc::new(FixtureTime));
        Self::with(config, manner).await
    }

    /// The same with what a station has issued, at the time that it is.
    ///
    /// # Panics
    /// Where loopback cannot be bound, or a text is none that TLS can use.
    pub async fn of_pem(certificate: &str, key: &str, client_ca: &str, manner: Manner) -> Self {
        let config = config(certificate, key, client_ca, ALL_VERSIONS, Arc::new(DefaultTimeProvider));
        Self::with(config, manner).await
    }

    async fn with(config: ServerConfig, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("a bound socket");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let visits = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&visits);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
                // A client that goes away, or is refused, is none of the server's concern.
                tokio::spawn(async move { drop(receive(stream, acceptor, manner, &noted).await) });
            }
        });
        Self { address, visits, task }
    }

    /// What came through, in order.
    #[must_use]
    pub fn visits(&self) -> Vec<Visit> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn config(
    certificate: &str,
    key: &str,
    client_ca: &str,
    versions: &[&'static SupportedProtocolVersion],
    time: Arc<dyn TimeProvider>,
) -> ServerConfig {
    let one = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(one(client_ca)).expect("a CA");
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
        .build()
        .expect("a verifier");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(versions)
        .expect("these versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![one(certificate)], key)
        .expect("key and certificate belong together")
}

async fn receive(
    mut stream: TcpStream,
    acceptor: TlsAcceptor,
    manner: Manner,
    visits: &Mutex<Vec<Visit>>,
) -> std::io::Result<()> {
    match manner {
        Manner::SilentInTcp => std::future::pending().await,
        Manner::SpeaksHttp => return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await,
        Manner::Answers(_) | Manner::SilentInHttp | Manner::HangsUp => {}
    }
    let mut stream = acceptor.accept(stream).await?;
    let status = match manner {
        Manner::SilentInHttp => std::future::pending().await,
        Manner::Answers(status) => status,
        Manner::HangsUp | Manner::SilentInTcp | Manner::SpeaksHttp => return Ok(()),
    };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let visit = Visit {
        head: String::from_utf8_lossy(&head).into_owned(),
        certificate: certificates.first().map(|leaf| leaf.to_vec()).unwrap_or_default(),
    };
    visits.lock().unwrap_or_else(PoisonError::into_inner).push(visit);
    let answer = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
