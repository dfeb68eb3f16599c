//! Being asked to stop.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// From now on SIGTERM and SIGINT no longer kill the process; the future ends with the name of the first that arrives.
///
/// # Errors
/// Where the kernel refuses.
pub fn asked() -> io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
