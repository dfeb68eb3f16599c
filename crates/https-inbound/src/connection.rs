//! One connection from its handshake to its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;
use zmon_domain::error::ErrorCode;
use zmon_ports::{Clock, PairingInbound};

use crate::answer::{self, Answer, Hint};
use crate::limits::Limits;
use crate::routes::{self, Exchange};
use crate::session::Session;
use crate::slots::Slot;

/// Largest request head in bytes, and how much is read at once.
const MAX_HEAD: usize = 16 * 1024;

/// Tells connections that the listener was closed.
pub(crate) type Stop = watch::Receiver<bool>;

/// Serves one accepted connection until it ends, its time is over, it is displaced or the listener is closed.
pub(crate) async fn serve<S, C>(
    stream: TcpStream,
    peer: IpAddr,
    tls: TlsAcceptor,
    session: Arc<Session<S, C>>,
    slot: Slot,
    stop: Stop,
) where
    S: PairingInbound,
    C: Clock,
{
    let budget = Budget::new(session.limits.connection);
    let exchange = Arc::new(Exchange {
        session,
        peer,
        slot,
        budget,
    });
    tokio::select! {
        () = converse(stream, &tls, &exchange, stop) => {}
        () = exchange.budget.spent() => debug!(%peer, "connection ended: its time is over"),
        () = exchange.slot.displaced() => debug!(%peer, "connection ended: displaced"),
    }
}

async fn converse<S, C>(stream: TcpStream, tls: &TlsAcceptor, exchange: &Arc<Exchange<S, C>>, mut stop: Stop)
where
    S: PairingInbound,
    C: Clock,
{
    let limits = exchange.session.limits;
    // Answers are small; nothing is gained by holding them back. Failing to say so costs time alone.
    let _ = stream.set_nodelay(true);
    let handshake = tokio::select! {
        handshake = timeout(limits.handshake, tls.accept(stream)) => handshake,
        () = stopped(&mut stop) => return,
    };
    let Ok(Ok(stream)) = handshake else {
        debug!(peer = %exchange.peer, "TLS handshake failed");
        return;
    };

    let shared = Arc::clone(exchange);
    let service = service_fn(move |request| respond(Arc::clone(&shared), request));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD)
        // Date needs a clock that is right (RFC 9110, 6.6.1); this device may have none.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|context| connection.poll_without_shutdown(context)) => break ended,
            () = stopped(&mut stop), if !stopping => {
                stopping = true;
                exchange.budget.end_within(limits.closing);
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };

    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner();
    if ended.is_err_and(|fault| fault.is_timeout()) && !parts.read_buf.is_empty() {
        exchange.count(ErrorCode::RequestTimeout);
        let answer = answer::closing(answer::problem(&ErrorCode::RequestTimeout.into(), Hint::Nothing));
        let _ = timeout(limits.linger, stream.write_all(&answer::in_full(answer).await)).await;
    }
    linger(stream, &limits).await;
}

type Responding = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

/// Boxed, so that the connection can be taken apart at its end.
fn respond<S, C>(exchange: Arc<Exchange<S, C>>, request: Request<Incoming>) -> Responding
where
    S: PairingInbound,
    C: Clock,
{
    Box::pin(async move { Ok(routes::respond(&exchange, request).await) })
}

/// Returns when the listener was closed or is gone.
pub(crate) async fn stopped(stop: &mut Stop) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Ends the sending half and reads on for a while: closing a socket with unread data in it resets the connection, and a
/// reset takes the answer away from a client that is still sending.
async fn linger(mut stream: TlsStream<TcpStream>, limits: &Limits) {
    let reading_on = async {
        stream.shutdown().await?;
        let (mut stream, _) = stream.into_inner();
        let mut left = limits.linger_bytes;
        let mut sink = [0; 4096];
        while left > 0 {
            match stream.read(&mut sink).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        std::io::Result::Ok(())
    };
    // Neither a slow client nor one that is gone is worth more than its time.
    let _ = timeout(limits.linger, reading_on).await;
}

/// The time that a connection has. It stands still while a payload is being processed.
#[derive(Debug)]
pub(crate) struct Budget(watch::Sender<Allowance>);

#[derive(Clone, Copy, Debug)]
struct Allowance {
    until: Instant,
    paused_at: Option<Instant>,
    /// Not even a pause moves this.
    last: Option<Instant>,
}

/// The budget stands still until this is dropped.
pub(crate) struct Paused<'a>(&'a Budget);

impl Budget {
    fn new(time: Duration) -> Self {
        Self(watch::Sender::new(Allowance {
            until: Instant::now() + time,
            paused_at: None,
            last: None,
        }))
    }

    pub(crate) fn pause(&self) -> Paused<'_> {
        self.0
            .send_modify(|allowance| allowance.paused_at = Some(Instant::now()));
        Paused(self)
    }

    fn end_within(&self, time: Duration) {
        self.0
            .send_modify(|allowance| allowance.last = Some(Instant::now() + time));
    }

    /// Returns when nothing is left.
    async fn spent(&self) {
        let mut changes = self.0.subscribe();
        loop {
            let allowance = *changes.borrow_and_update();
            let until = allowance.paused_at.is_none().then_some(allowance.until);
            let due = until.into_iter().chain(allowance.last).min();
            tokio::select! {
                () = sleep_until(due.unwrap_or(allowance.until)), if due.is_some() => return,
                // `self` holds the sender: this cannot fail.
                _ = changes.changed() => {}
            }
        }
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|allowance| {
            if let Some(paused_at) = allowance.paused_at.take() {
                allowance.until += paused_at.elapsed();
            }
        });
    }
}
