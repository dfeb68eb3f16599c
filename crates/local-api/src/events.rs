//! The specification's signals as server-sent events.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::status::Phase;
use zmon_ports::SubscriptionEvent;

use crate::view::{FailureView, InstalledView};

/// One event: its name and its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(
    tag = "event",
    content = "data",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(crate) enum EventView {
    /// A QR code is on the screen.
    QrCodeGenerated {
        /// Tells sessions apart; lower-case hexadecimal.
        session: String,
        /// For display, in ms since 1970; the monotonic clock decides.
        expires_at: u64,
    },
    /// The pairing time is over.
    QrCodeExpired {},
    /// The signature of a payload was verified.
    ConfigurationReceived {
        /// The session.
        session: String,
    },
    /// The configuration is installed.
    ProvisioningCompleted {
        /// `PROVISIONED`.
        #[cfg_attr(feature = "openapi", schemars(extend("enum" = crate::openapi::statuses())))]
        status: String,
        /// What is installed.
        installed: InstalledView,
    },
    /// Provisioning failed; nothing was changed.
    ProvisioningFailed(FailureView),
    /// The status or its phase changed.
    StatusChanged {
        /// The new status.
        #[cfg_attr(feature = "openapi", schemars(extend("enum" = crate::openapi::statuses())))]
        status: String,
        /// The phase, while the status is `PAIRING_RECEIVED`, otherwise null.
        phase: Option<String>,
    },
    /// The subscriber was too slow.
    Missed {
        /// How many events are gone.
        count: u64,
    },
}

impl From<&SubscriptionEvent> for EventView {
    fn from(event: &SubscriptionEvent) -> Self {
        let signal = match event {
            SubscriptionEvent::Signal(signal) => signal,
            SubscriptionEvent::Missed(count) => return Self::Missed { count: *count },
        };
        match signal {
            ProvisioningSignal::QrCodeGenerated { session, expires_at } => Self::QrCodeGenerated {
                session: session.to_string(),
                expires_at: expires_at.as_millis(),
            },
            ProvisioningSignal::QrCodeExpired => Self::QrCodeExpired {},
            ProvisioningSignal::ConfigurationReceived { session } => Self::ConfigurationReceived {
                session: session.to_string(),
            },
            ProvisioningSignal::ProvisioningCompleted(result) => Self::ProvisioningCompleted {
                status: result.status().as_str().into(),
                installed: InstalledView::from(&result.installed),
            },
            ProvisioningSignal::ProvisioningFailed(error) => Self::ProvisioningFailed(error.into()),
            ProvisioningSignal::StatusChanged { status, phase } => Self::StatusChanged {
                status: status.as_str().into(),
                phase: phase.map(|phase| Phase::as_str(phase).into()),
            },
        }
    }
}

/// One server-sent event: the signal's name, and its data as one line of JSON.
pub(crate) fn encode(event: &SubscriptionEvent) -> Bytes {
    // Strings, numbers and maps with text keys: JSON can say all of it.
    let view = serde_json::to_value(EventView::from(event)).unwrap_or(Value::Null);
    // JSON text holds no line break, so that one `data:` line carries it whole.
    format!(
        "event: {}\ndata: {}\n\n",
        view["event"].as_str().unwrap_or_default(),
        view["data"]
    )
    .into()
}

#[cfg(test)]
mod tests {
    use zmon_domain::error::{ErrorCode, ProvisioningError};
    use zmon_domain::pairing::SessionId;
    use zmon_domain::status::ProvisioningStatus;
    use zmon_domain::time::Timestamp;

    use serde_json::json;

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
            assert_eq!(signal.name(), name);
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
