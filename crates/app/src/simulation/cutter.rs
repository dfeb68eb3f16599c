//! A TCP relay in front of the listener that closes the connections before an answer gets through.
//!
//! The listener itself always answers, as it should; what fails between the two is the network, so that is what is
//! simulated. The listener sees all its peers at the loopback address.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How long a client may keep its half of a connection open after the listener has ended.
const LINGER: Duration = Duration::from_secs(5);

/// Cuts the connections through it once, at the first installation.
#[derive(Debug)]
pub(super) struct AnswerCutter {
    /// Connections hold a receiver each, and end when it is told something.
    connections: std::sync::Arc<Mutex<watch::Sender<()>>>,
    accepting: Mutex<Option<AbortHandle>>,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing was installed yet.
    Waiting,
    /// Installed, and nobody was told.
    Owed,
    /// The same body came again and was answered, or nobody can ask any more.
    Settled,
}

impl AnswerCutter {
    pub(super) fn new() -> Self {
        Self {
            connections: std::sync::Arc::default(),
            accepting: Mutex::default(),
            progress: watch::Sender::new(Progress::Waiting),
        }
    }

    /// Takes connections at `address` and relays them to the listener at `to`. Gives the port.
    pub(super) async fn open(&self, address: SocketAddr, to: u16) -> io::Result<u16> {
        self.close();
        let socket = TcpListener::bind(address).await?;
        let port = socket.local_addr()?.port();
        let connections = std::sync::Arc::clone(&self.connections);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                tokio::spawn(relay(stream, to, lock(&connections).subscribe()));
            }
        });
        *lock(&self.accepting) = Some(accepting.abort_handle());
        Ok(port)
    }

    /// Takes no more connections.
    pub(super) fn close(&self) {
        if let Some(accepting) = lock(&self.accepting).take() {
            accepting.abort();
            self.progress.send_replace(Progress::Settled);
        }
    }

    /// A payload was installed, and its answer is about to be sent: closes every connection, the first time. When it
    /// returns they are closed.
    pub(super) async fn installed(&self) {
        if *self.progress.borrow() != Progress::Waiting {
            self.progress.send_replace(Progress::Settled);
            return;
        }
        self.progress.send_replace(Progress::Owed);
        let cut = mem::take(&mut *lock(&self.connections));
        cut.send_replace(());
        cut.closed().await;
    }

    /// Returns when nobody waits for an answer any more.
    pub(super) async fn settled(&self) {
        let mut progress = self.progress.subscribe();
        let _ = progress.wait_for(|progress| *progress == Progress::Settled).await;
    }

    /// Returns when no connection is left, after a short while at the latest.
    pub(super) async fn drained(&self) {
        let connections = mem::take(&mut *lock(&self.connections));
        let _ = tokio::time::timeout(LINGER, connections.closed()).await;
    }
}

async fn relay(mut client: TcpStream, port: u16, mut cut: watch::Receiver<()>) {
    let relaying = async {
        let mut listener = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        copy_bidirectional(&mut client, &mut listener).await
    };
    tokio::select! {
        biased;
        // Told, or nobody is left who could tell.
        _ = cut.changed() => {}
        // A connection that breaks by itself is the client's matter or the listener's.
        _ = relaying => {}
    }
}

/// Where the listener behind a cutter is bound.
pub(super) const BEHIND: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What is inside is sound after every statement.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
