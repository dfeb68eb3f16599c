//! The port `PairingListener`: there is a socket while a session is open, and none otherwise.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info};
use zmon_domain::pairing::PairingCode;
use zmon_domain::qr::DEFAULT_PORT;
use zmon_ports::{Clock, ListenerFault, ListenerOpened, PairingInbound, PairingListener};

use crate::connection::{self, Stop, stopped};
use crate::identity::TlsIdentity;
use crate::limits::Limits;
use crate::peer::Peer;
use crate::session::Session;
use crate::slots::Slots;

/// How many connections the kernel holds until they are counted.
const BACKLOG: u32 = 1024;
/// The pause after the system refused to hand over a connection (out of file descriptors, out of memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where to listen, and within which limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpsInboundConfig {
    /// TCP port; 0 takes any free one (tests).
    pub port: u16,
    /// Address to bind; none binds the address that the QR code names. The certificate always names the latter.
    pub bind: Option<IpAddr>,
    /// What strangers may cost the device.
    pub limits: Limits,
}

impl Default for HttpsInboundConfig {
    fn default() -> Self {
        Self {
            port: DEFAULT_PORT,
            bind: None,
            limits: Limits::default(),
        }
    }
}

/// The HTTPS listener.
///
/// Needs a Tokio runtime with time and I/O. `clock` runs the rates; the deadlines of sockets run on the runtime's timers.
pub struct HttpsInbound<C> {
    config: HttpsInboundConfig,
    clock: Arc<C>,
    open: Mutex<Option<Open>>,
    /// Connections hold a receiver each.
    connections: watch::Sender<()>,
}

/// Dropping it closes the port soon, too; [`Self::close`] waits for that.
struct Open {
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Open {
    async fn close(self) {
        self.stop.send_replace(true);
        // It ends by itself and holds the socket; where it panicked, the socket is closed as well.
        let _ = self.accepting.await;
    }
}

impl<C: Clock> HttpsInbound<C> {
    /// A closed listener.
    pub fn new(config: HttpsInboundConfig, clock: Arc<C>) -> Self {
        Self {
            config,
            clock,
            open: Mutex::new(None),
            connections: watch::Sender::new(()),
        }
    }

    /// Returns when no connection is left. After [`PairingListener::close`] that is within
    /// [`Limits::closing`]; a process that ends earlier takes answers with it.
    pub async fn drained(&self) {
        self.connections.closed().await;
    }

    fn bind(&self, address: IpAddr) -> Result<TcpListener, ListenerFault> {
        let address = SocketAddr::new(self.config.bind.unwrap_or(address), self.config.port);
        let bind = || {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            // Connections of the session before may still be in TIME_WAIT.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        bind().map_err(|fault: std::io::Error| ListenerFault {
            cause: format!("could not listen on {address}: {fault}"),
        })
    }
}

impl<C: Clock> PairingListener for HttpsInbound<C> {
    async fn open<S: PairingInbound>(
        &self,
        inbound: S,
        address: IpAddr,
        pairing_code: PairingCode,
    ) -> Result<ListenerOpened, ListenerFault> {
        let mut open = self.open.lock().await;
        if let Some(before) = open.take() {
            before.close().await;
        }
        let identity = TlsIdentity::generate(address)?;
        let socket = self.bind(address)?;
        let port = socket
            .local_addr()
            .map_err(|fault| ListenerFault {
                cause: format!("could not learn the port: {fault}"),
            })?
            .port();
        let limits = self.config.limits;
        let stop = watch::Sender::new(false);
        let acceptor = Acceptor {
            tls: TlsAcceptor::from(identity.config),
            session: Session::new(inbound, pairing_code, limits, Arc::clone(&self.clock)),
            slots: Slots::new(&limits),
            stop: stop.subscribe(),
            alive: self.connections.subscribe(),
        };
        let accepting = tokio::spawn(acceptor.run(socket));
        *open = Some(Open { stop, accepting });
        info!(port, "listening for a configuration");
        Ok(ListenerOpened {
            pin: identity.pin,
            port,
        })
    }

    async fn close(&self) {
        if let Some(open) = self.open.lock().await.take() {
            open.close().await;
            info!("no longer listening");
        }
    }

    async fn is_open(&self) -> bool {
        let open = self.open.lock().await;
        open.as_ref().is_some_and(|open| !open.accepting.is_finished())
    }
}

impl<C> fmt::Debug for HttpsInbound<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsInbound")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

struct Acceptor<S, C> {
    tls: TlsAcceptor,
    session: Arc<Session<S, C>>,
    slots: Arc<Slots>,
    stop: Stop,
    alive: watch::Receiver<()>,
}

impl<S: PairingInbound, C: Clock> Acceptor<S, C> {
    async fn run(mut self, socket: TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer.ip().to_canonical()),
                Err(fault) if is_of_one_connection(fault.kind()) => {}
                Err(fault) => {
                    debug!(%fault, "could not take a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: tokio::net::TcpStream, peer: IpAddr) {
        let Some(slot) = self.slots.take(Peer::from(peer)) else {
            debug!(%peer, "too many connections");
            return;
        };
        let (tls, session, stop) = (self.tls.clone(), Arc::clone(&self.session), self.stop.clone());
        let alive = self.alive.clone();
        // A panic in there ends that connection and nothing else.
        tokio::spawn(async move {
            connection::serve(stream, peer, tls, session, slot, stop).await;
            drop(alive);
        });
    }
}

fn is_of_one_connection(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
