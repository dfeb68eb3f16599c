//! The connection test of step 11: one mTLS HTTPS request to the payload's server with the payload's own credentials.
//!
//! What counts as reached: the name resolves, the port answers, the server's certificate chains to a CA of the payload, names
//! the URL's host and is the pinned one where there is one, the server takes the client certificate, and it answers a `HEAD`
//! request for the URL's path in HTTP. Which status it answers with does not matter, since what is behind the path is the
//! monitor application's business; but for 400, 495 and 496, with which a widespread web server says, after a handshake that
//! went well, that it does not take the client certificate.
//!
//! Everything together has three seconds. Nothing is trusted but the payload: no CA of the system, no session of before, no
//! redirect. The time for which certificates are judged is an argument, since the device may have no clock.

mod http;
mod network;
mod tls;
mod words;

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use zmon_domain::checks::{ConnectionTarget, ServerReached};
use zmon_ports::{ConnectionFault, ConnectionStage, ConnectionTest};

/// The adapter for the port `ConnectionTest`.
#[derive(Clone, Copy, Debug)]
pub struct HttpsConnectionTest {
    /// How long everything together may take.
    pub time: Duration,
}

impl Default for HttpsConnectionTest {
    /// Three seconds, so that what is left of the five suffices for the rest of a provisioning.
    fn default() -> Self {
        Self {
            time: Duration::from_secs(3),
        }
    }
}

impl ConnectionTest for HttpsConnectionTest {
    async fn reach(&self, target: ConnectionTarget<'_>) -> Result<ServerReached, ConnectionFault> {
        let url = target.server_url;
        let watch = Watch {
            deadline: Instant::now() + self.time,
            time: self.time,
        };
        let addresses = watch
            .over(ConnectionStage::NameResolution, network::resolve(url))
            .await?;
        let stream = watch
            .over(ConnectionStage::Connect, network::connect(&addresses, watch.deadline))
            .await?;
        let stream = watch
            .over(ConnectionStage::Handshake, tls::handshake(target, stream))
            .await?;
        watch.over(ConnectionStage::Request, http::ask(url, stream)).await?;
        Ok(ServerReached::after_test())
    }
}

/// The time that all stages share.
struct Watch {
    deadline: Instant,
    time: Duration,
}

impl Watch {
    async fn over<T>(
        &self,
        stage: ConnectionStage,
        work: impl Future<Output = Result<T, ConnectionFault>>,
    ) -> Result<T, ConnectionFault> {
        let ended = timeout_at(self.deadline, work).await;
        ended.unwrap_or_else(|_| Err(words::silent(stage, self.time)))
    }
}
