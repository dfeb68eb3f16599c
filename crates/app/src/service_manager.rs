//! What the service manager hears (`sd_notify`): ready, the status in words, still alive, stopping.
//!
//! Nothing happens where none listens: systemd says so by `NOTIFY_SOCKET` and `WATCHDOG_USEC` in the environment.

use std::future::pending;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::debug;
use zmon_domain::status::ProvisioningStatus;
use zmon_ports::{EventSubscription, ProvisioningService, StatusReport};

/// Says that the service is ready, then what changes, until the service has ended. With a watchdog it says twice in the
/// watchdog's time that it is alive, each time after the service has answered.
pub async fn report<S: ProvisioningService>(service: S) {
    let mut events = service.subscribe();
    let mut beat = sd_notify::watchdog_enabled().map(|time| {
        let mut beat = interval(time / 2);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat
    });
    tell(&[NotifyState::Ready]);
    loop {
        tell(&[NotifyState::Status(&words(&service.get_status().await))]);
        tokio::select! {
            event = events.next() => if event.is_none() { return },
            () = next(beat.as_mut()) => tell(&[NotifyState::Watchdog]),
        }
    }
}

/// Says that the service is stopping.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

async fn next(beat: Option<&mut Interval>) {
    match beat {
        Some(beat) => drop(beat.tick().await),
        None => pending().await,
    }
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(fault) = sd_notify::notify(what) {
        debug!(cause = %fault, "the service manager cannot be told");
    }
}

/// One line for whoever reads `systemctl status`.
fn words(report: &StatusReport) -> String {
    let status = report.status;
    let more = match status {
        ProvisioningStatus::Unprovisioned => "waiting until somebody opens pairing".into(),
        ProvisioningStatus::ReadyToPair => "a QR code is on the screen".into(),
        ProvisioningStatus::PairingReceived => match report.phase {
            Some(phase) => format!("checking a configuration, {phase}"),
            None => "checking a configuration".into(),
        },
        ProvisioningStatus::Provisioned => match &report.installed {
            Some(installed) => format!(
                "{} of {}",
                installed.settings.device_label.as_str(),
                installed.settings.server_url.as_str()
            ),
            None => "by a Central Station".into(),
        },
        ProvisioningStatus::ProvisioningFailed => match &report.failure {
            Some(failure) => failure.to_string(),
            None => "see the log".into(),
        },
        ProvisioningStatus::Deprovisioned => "an administrator removed what was installed".into(),
    };
    let warning = report.storage.map(|warning| format!(" ({})", warning.as_str()));
    format!("{status}: {more}{}", warning.unwrap_or_default())
}
