//! `watch`: what happens on the device, line by line, also across restarts of its service.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use zmon_domain::status::ProvisioningStatus;
use zmon_ports::Clock;

use super::output::Voice;
use super::{Exit, Failure, ServiceArgs};
use crate::clock::SystemClock;
use crate::control_client::{ClientFault, ControlClient};
use crate::text::{shown, utc};

/// Between two looks whether the service is there again.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    #[command(flatten)]
    pub(super) service: ServiceArgs,
    /// End with 0 as soon as the device is in this status, for example provisioned; as often as needed
    #[arg(long, value_name = "STATUS", value_parser = status)]
    until: Vec<ProvisioningStatus>,
    /// End with 75 after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// End with 69 where the service is not there or goes away, instead of waiting for it
    #[arg(long)]
    once: bool,
}

pub(super) async fn watch(client: &ControlClient, arguments: &WatchArgs, voice: Voice) -> Result<Exit, Failure> {
    let follow = follow(client, arguments, voice);
    match arguments.timeout {
        None => follow.await,
        Some(seconds) => tokio::time::timeout(Duration::from_secs(seconds), follow)
            .await
            .unwrap_or_else(|_| {
                Err(Failure::NotInTime(format!(
                    "{seconds} s are over\nnext: see `zmon-provision status`, or allow more time with --timeout"
                )))
            }),
    }?;
    Ok(Exit::Done)
}

async fn follow(client: &ControlClient, arguments: &WatchArgs, voice: Voice) -> Result<(), Failure> {
    let teller = Teller { voice };
    let mut told_absent = false;
    loop {
        // A socket that is another's is no reason to wait.
        if client.is_served().await? {
            told_absent = false;
            match session(client, arguments, &teller).await {
                Ok(true) => return Ok(()),
                Err(fault @ ClientFault::Refused(_)) => return Err(fault.into()),
                Ok(false) | Err(_) if arguments.once => return Err(ClientFault::Ended.into()),
                Ok(false) | Err(_) => {}
            }
        } else if arguments.once {
            // The error of whoever really asks.
            client.status().await?;
        }
        if !std::mem::replace(&mut told_absent, true) && !teller.tell("disconnected", &json!({})) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One connection. Whether watching is over: what was waited for is there, or nobody reads any more; otherwise the service
/// went away.
async fn session(client: &ControlClient, arguments: &WatchArgs, teller: &Teller) -> Result<bool, ClientFault> {
    let wanted = |status: &str| arguments.until.iter().any(|wanted| wanted.as_str() == status);
    // Subscribed before the first look, so that nothing happens unseen.
    let mut events = client.events().await?;
    let mut view = client.status().await?;
    let mut name = "connected";
    loop {
        if !teller.tell(name, &view) {
            return Ok(true);
        }
        if wanted(&view.status) {
            return Ok(true);
        }
        loop {
            let Some(event) = events.next().await else {
                return Ok(false);
            };
            if !teller.tell(&event.name, &event.data) {
                return Ok(true);
            }
            match event.data["status"].as_str() {
                Some(status) if wanted(status) => return Ok(true),
                _ if event.name == "missed" => break,
                _ => {}
            }
        }
        // What was missed shows in where the device stands now.
        view = client.status().await?;
        name = "status";
    }
}

struct Teller {
    voice: Voice,
}

impl Teller {
    /// Whether anybody still reads.
    fn tell(&self, name: &str, data: &impl Serialize) -> bool {
        let at = SystemClock.wall().now.as_millis();
        let data = serde_json::to_value(data).unwrap_or_default();
        let line = if self.voice.json {
            json!({ "at": at, "event": name, "data": data }).to_string()
        } else {
            format!("{}  {}", utc(at), words(name, &data))
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
    }
}

fn words(name: &str, data: &Value) -> String {
    let text = |member: &str| shown(data[member].as_str().unwrap_or_default());
    let status = || match data["phase"].as_str() {
        Some(phase) => format!("{}, {}", text("status"), shown(phase)),
        None => text("status"),
    };
    match name {
        "connected" => format!("the service runs; the status is {}", status()),
        "disconnected" => "the service is not there; waiting for it".into(),
        "status" => format!("the status is {}", status()),
        "statusChanged" => format!("status: {}", status()),
        "qrCodeGenerated" => format!(
            "a QR code is on the screen, until {} (session {})",
            utc(data["expiresAt"].as_u64().unwrap_or_default()),
            text("session")
        ),
        "qrCodeExpired" => "the pairing time is over".into(),
        "configurationReceived" => format!("a signed configuration was received (session {})", text("session")),
        "provisioningCompleted" => {
            let settings = &data["installed"]["settings"];
            let setting = |member: &str| shown(settings[member].as_str().unwrap_or_default());
            format!("provisioned: {}, for {}", setting("deviceLabel"), setting("serverUrl"))
        }
        "provisioningFailed" => format!(
            "failed: {}: {} Next: {}",
            text("code"),
            text("message"),
            text("nextAction")
        ),
        "missed" => format!("{} events were missed: this command was too slow", data["count"]),
        other => format!("{}: {}", shown(other), shown(&data.to_string())),
    }
}

fn status(text: &str) -> Result<ProvisioningStatus, String> {
    ProvisioningStatus::from_name(&text.to_ascii_uppercase().replace('-', "_")).ok_or_else(|| {
        let names = ProvisioningStatus::ALL.map(ProvisioningStatus::as_str);
        format!("expected one of: {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_words_for_every_event_and_obeys_none() {
        let missed = words("missed", &json!({ "count": 7 }));
        assert_eq!(missed, "7 events were missed: this command was too slow");
        let status = words(
            "statusChanged",
            &json!({ "status": "PAIRING_RECEIVED", "phase": "APPLYING" }),
        );
        assert_eq!(status, "status: PAIRING_RECEIVED, APPLYING");
        let label = json!({ "installed": { "settings": { "deviceLabel": "a\u{1b}[2J", "serverUrl": "https://x" } } });
        assert_eq!(
            words("provisioningCompleted", &label),
            "provisioned: a\u{fffd}[2J, for https://x"
        );
        assert_eq!(words("somethingNew", &json!({ "a": 1 })), "somethingNew: {\"a\":1}");
    }

    #[test]
    fn takes_a_status_in_any_spelling() {
        for text in ["PROVISIONED", "provisioned", "Ready-To-Pair", "ready_to_pair"] {
            assert!(super::status(text).is_ok(), "{text}");
        }
        assert!(super::status("done").unwrap_err().contains("READY_TO_PAIR"));
    }
}
