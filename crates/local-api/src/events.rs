//! The specification's signals as server-sent events.

use bytes::Bytes;
use serde_json::{Value, json};
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::status::Phase;
use zmon_ports::SubscriptionEvent;

use crate::view::{FailureView, InstalledView};

/// One server-sent event: the signal's name, and its data as one line of JSON.
pub(crate) fn encode(event: &SubscriptionEvent) -> Bytes {
    let (name, data) = match event {
        SubscriptionEvent::Signal(signal) => (signal.name(), data_of(signal)),
        SubscriptionEvent::Missed(count) => ("missed", json!({ "count": count })),
    };
    // JSON text holds no line break, so that one `data:` line carries it whole.
    format!("event: {name}\ndata: {data}\n\n").into()
}

fn data_of(signal: &ProvisioningSignal) -> Value {
    match signal {
        ProvisioningSignal::QrCodeGenerated { session, expires_at } => {
            json!({ "session": session.to_string(), "expiresAt": expires_at.as_millis() })
        }
        ProvisioningSignal::QrCodeExpired => json!({}),
        ProvisioningSignal::ConfigurationReceived { session } => json!({ "session": session.to_string() }),
        ProvisioningSignal::ProvisioningCompleted(result) => json!({
            "status": result.status().as_str(),
            "installed": InstalledView::from(&result.installed),
        }),
        ProvisioningSignal::ProvisioningFailed(error) => json!(FailureView::from(error)),
        ProvisioningSignal::StatusChanged { status, phase } => {
            json!({ "status": status.as_str(), "phase": phase.map(Phase::as_str) })
        }
    }
}

#[cfg(test)]
mod tests {
    use zmon_domain::error::{ErrorCode, ProvisioningError};
    use zmon_domain::pairing::SessionId;
    use zmon_domain::status::ProvisioningStatus;
    use zmon_domain::time::Timestamp;

    use super::*;

    fn encoded(event: &SubscriptionEvent) -> String {
        String::from_utf8(encode(event).to_vec()).unwrap()
    }

    #[test]
    fn writes_each_signal_under_the_name_of_the_specification() {
        let session = SessionId::from_random([7; 8]);
        let cases = [
            (
                ProvisioningSignal::QrCodeGenerated {
                    session,
                    expires_at: Timestamp::from_millis(12),
                },
                "qrCodeGenerated",
                json!({ "session": "0707070707070707", "expiresAt": 12 }),
            ),
            (ProvisioningSignal::QrCodeExpired, "qrCodeExpired", json!({})),
            (
                ProvisioningSignal::ConfigurationReceived { session },
                "configurationReceived",
                json!({ "session": "0707070707070707" }),
            ),
            (
                ProvisioningSignal::StatusChanged {
                    status: ProvisioningStatus::PairingReceived,
                    phase: Some(Phase::Applying),
                },
                "statusChanged",
                json!({ "status": "PAIRING_RECEIVED", "phase": "APPLYING" }),
            ),
        ];
        for (signal, name, data) in cases {
            let text = encoded(&SubscriptionEvent::Signal(signal));
            let sent = text.strip_prefix(&format!("event: {name}\ndata: ")).unwrap();
            let sent: Value = serde_json::from_str(sent.strip_suffix("\n\n").unwrap()).unwrap();
            assert_eq!(sent, data);
        }
    }

    #[test]
    fn tells_a_slow_subscriber_how_much_it_missed() {
        assert_eq!(
            encoded(&SubscriptionEvent::Missed(3)),
            "event: missed\ndata: {\"count\":3}\n\n"
        );
    }

    #[test]
    fn keeps_a_message_with_line_breaks_within_its_event() {
        let error = ProvisioningError::new(ErrorCode::StorageError, "one\n\nevent: forged").with_cause("inner");
        let text = encoded(&SubscriptionEvent::Signal(ProvisioningSignal::ProvisioningFailed(
            error,
        )));
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains("inner"), "{text}");
    }
}
