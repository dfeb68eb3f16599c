//! The socket's accept loop.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};
use zmon_domain::access::Peer;
use zmon_ports::{AuditAccess, ConfigurationAccess, ProvisioningService};

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
    serve_at(Socket::Control, listener, service, defaults, shutdown).await;
}

/// The same for what the monitor application gets. That nobody else may open the listener's socket is the caller's to
/// see to: owner, group and mode of its file decide.
pub async fn serve_application<S: Served>(
    listener: UnixListener,
    service: S,
    defaults: PairingDefaults,
    shutdown: impl Future<Output = ()>,
) {
    serve_at(Socket::Application, listener, service, defaults, shutdown).await;
}

/// What is behind the API.
pub trait Served: ProvisioningService + ConfigurationAccess + AuditAccess {}

impl<S: ProvisioningService + ConfigurationAccess + AuditAccess> Served for S {}

async fn serve_at<S: Served>(
    socket: Socket,
    listener: UnixListener,
    service: S,
    defaults: PairingDefaults,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = watch::channel(false);
    let api = Api {
        service,
        defaults,
        socket,
        peer: None,
        stopping,
    };
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        tokio::select! {
            () = &mut shutdown => break,
            (accepted, place) = accepted => match accepted {
                Ok((stream, _)) => {
                    let api = Api { peer: peer_of(&stream), ..api.clone() };
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

async fn connection<S: Served>(stream: UnixStream, api: Api<S>) {
    let mut stopping = api.stopping.clone();
    let answer = service_fn(move |request| {
        let api = api.clone();
        async move { Ok::<_, Infallible>(api.answer(request).await) }
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
