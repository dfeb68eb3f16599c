//! The socket's accept loop.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};
use zmon_domain::access::Peer;
use zmon_ports::{AuditAccess, ConfigurationAccess, HealthAccess, MetricsAccess, ProvisioningService, SelfExamination};

use crate::kiosk::{Kiosk, KioskSettings};
use crate::routes::{Api, PairingDefaults};
use crate::table::Socket;

/// How many connections are served at a time; others wait in the socket's backlog.
const MAX_CONNECTIONS: usize = 32;
/// How long the head of a request may take to arrive, and an idle connection is kept.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long answers under way get when the server stops.
const STOP_TIME: Duration = Duration::from_secs(2);
/// Pause after a connection could not be accepted (no file descriptor is left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the local API on `listener` until `shutdown` is there, then finishes answers under way in bounded time.
/// The socket's file is the caller's to remove.
pub async fn serve<S: Served>(
    listener: UnixListener,
    service: S,
    defaults: PairingDefaults,
    shutdown: impl Future<Output = ()>,
) {
    serve_at(Socket::Control, None, listener, service, defaults, shutdown).await;
}

/// The same for what the monitor application gets. That nobody else may open the listener's socket is the caller's to
/// see to: owner, group and mode of its file decide.
pub async fn serve_application<S: Served>(
    listener: UnixListener,
    service: S,
    defaults: PairingDefaults,
    shutdown: impl Future<Output = ()>,
) {
    serve_at(Socket::Application, None, listener, service, defaults, shutdown).await;
}

/// The same for the page on the monitor's own display, on a loopback address: the page, and of the API what it needs, for
/// whoever presents the token.
///
/// # Errors
/// Where the listener does not say which port it has.
pub async fn serve_kiosk<S: Served>(
    listener: TcpListener,
    service: S,
    defaults: PairingDefaults,
    settings: KioskSettings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    let kiosk = Arc::new(Kiosk::new(settings, &defaults.device_id, port));
    serve_at(Socket::Kiosk, Some(kiosk), listener, service, defaults, shutdown).await;
    Ok(())
}

/// What is behind the API.
pub trait Served:
    ProvisioningService + ConfigurationAccess + AuditAccess + HealthAccess + MetricsAccess + SelfExamination + Development
{
}

impl<S> Served for S where
    S: ProvisioningService
        + ConfigurationAccess
        + AuditAccess
        + HealthAccess
        + MetricsAccess
        + SelfExamination
        + Development
{
}

/// What is behind it in a program for development: nothing more, in all others.
#[cfg(feature = "simulation")]
pub(crate) use zmon_ports::SimulateProvisioning as Development;

/// What is behind it in a program for development: nothing more, in all others.
#[cfg(not(feature = "simulation"))]
pub trait Development {}

#[cfg(not(feature = "simulation"))]
impl<S> Development for S {}

/// Where connections come in.
trait Door: Send {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, and who is at the other end, as far as the kernel says.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<Peer>)>> + Send;
}

impl Door for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<(UnixStream, Option<Peer>)> {
        let (stream, _) = self.accept().await?;
        let peer = peer_of(&stream);
        Ok((stream, peer))
    }
}

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Option<Peer>)> {
        let (stream, _) = self.accept().await?;
        // Events are small, and are to be on the screen at once.
        stream.set_nodelay(true)?;
        Ok((stream, None))
    }
}

async fn serve_at<S: Served, D: Door>(
    socket: Socket,
    kiosk: Option<Arc<Kiosk>>,
    listener: D,
    service: S,
    defaults: PairingDefaults,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = watch::channel(false);
    let api = Api {
        service,
        defaults,
        socket,
        kiosk,
        peer: None,
        stopping,
    };
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.next().await, place)
        };
        tokio::select! {
            () = &mut shutdown => break,
            (accepted, place) = accepted => match accepted {
                Ok((stream, peer)) => {
                    let api = Api { peer, ..api.clone() };
                    let connection = connection(stream, api);
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(fault) => {
                    warn!(cause = %fault, "a local connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => if let Err(panicked) = ended {
                warn!(cause = %panicked, "a local connection ended abnormally");
            },
        }
    }
    drop(listener);
    let _ = stop.send(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIME, drained).await.is_err() {
        debug!("local connections were cut at the stop");
    }
}

/// Who is at the other end, as the kernel says.
fn peer_of(stream: &UnixStream) -> Option<Peer> {
    let credentials = stream.peer_cred().ok()?;
    Some(Peer {
        uid: credentials.uid(),
        gid: credentials.gid(),
        pid: credentials.pid().and_then(|pid| u32::try_from(pid).ok()),
    })
}

async fn connection<S: Served>(stream: impl AsyncRead + AsyncWrite + Unpin + Send, api: Api<S>) {
    let mut stopping = api.stopping.clone();
    let answer = service_fn(move |request| {
        let api = api.clone();
        async move {
            let answer = match &api.kiosk {
                Some(kiosk) => kiosk.answer(&api, request).await,
                None => api.answer(request).await,
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(TokioIo::new(stream), answer)
    );
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        () = async { drop(stopping.wait_for(|stopping| *stopping).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(fault) = outcome {
        debug!(cause = %fault, "a local connection ended early");
    }
}
