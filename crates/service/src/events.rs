//! The event stream.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use zmon_domain::signal::ProvisioningSignal;
use zmon_ports::{EventSubscription, SubscriptionEvent};

/// How many signals a subscriber may lag behind before it misses the oldest.
pub(crate) const BACKLOG: usize = 64;

/// A subscriber's end of the event stream.
pub struct Subscription(pub(crate) broadcast::Receiver<ProvisioningSignal>);

impl EventSubscription for Subscription {
    async fn next(&mut self) -> Option<SubscriptionEvent> {
        match self.0.recv().await {
            Ok(signal) => Some(SubscriptionEvent::Signal(signal)),
            Err(RecvError::Lagged(missed)) => Some(SubscriptionEvent::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}
