//! `simulate-device`: many monitors that are none.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tracing::{Level, warn};
use zmon_domain::error::ErrorCode;
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::MAX_PAIRING_TIME;
use zmon_domain::secret::SecretBytes;
use zmon_domain::status::Phase;

use super::output::{Voice, print, print_json};
use super::{Exit, Failure, lasting_runtime, no_runtime};
use crate::configuration::{Log, LogFormat, read_key};
use crate::simulation::{self, Change, Event, Fault, Faults, Plan, Reporter, Trust};
use crate::{shutdown, telemetry};

const BANNER: &str = "\
*********************************************************************
*  SIMULATION. These monitors are not real, and watch no patient.   *
*  This program is for development and must never be on a monitor.  *
*********************************************************************
";

#[derive(Debug, Args)]
pub(super) struct SimulateDeviceArgs {
    /// Folder for the QR pictures (DEVICE_ID.png) and the list of them (fleet.csv)
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many monitors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
    /// Where they listen
    #[arg(long, value_name = "ADDRESS", default_value_t = Ipv4Addr::LOCALHOST.into())]
    address: IpAddr,
    /// The first monitor's port, the others' follow; 0 takes any free ones
    #[arg(long, value_name = "P", default_value_t = 0)]
    first_port: u16,
    /// The monitor's device id; with several, what theirs begin with
    #[arg(long, value_name = "ID", default_value = "SIM", value_parser = device_id)]
    device_id: DeviceId,
    #[command(flatten)]
    trust: TrustArgs,
    /// How long the pairing sessions stay open
    #[arg(long, value_name = "SECONDS", default_value_t = MAX_PAIRING_TIME.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=MAX_PAIRING_TIME.as_secs()))]
    pairing_time: u64,
    /// What goes wrong, as often as needed: slow:MILLIS, drop-answer, wrong-pin, full-disk, clock:1970, clock:MILLIS
    /// (both also with :synchronised), refuse:CODE
    #[arg(long, value_name = "KIND")]
    fault: Vec<Fault>,
    /// Give each K-th monitor one of the faults in turn, instead of all faults to every monitor
    #[arg(long, value_name = "K", requires = "fault", value_parser = clap::value_parser!(u16).range(1..))]
    faulty_every: Option<u16>,
    /// End when every session has ended
    #[arg(long)]
    until_done: bool,
}

/// What the monitors trust: exactly one.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TrustArgs {
    /// The station's provisioning-master.key; each monitor gets the key derived for it
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,
    /// The public key of an Ed25519 station, as `zmon-station derive` writes it
    #[arg(long, value_name = "FILE")]
    trust_anchor: Option<PathBuf>,
}

pub(super) fn simulate(arguments: SimulateDeviceArgs, voice: Voice) -> Result<Exit, Failure> {
    let format = if voice.json { LogFormat::Json } else { LogFormat::Text };
    telemetry::start(Log {
        level: Level::WARN,
        format,
        journal_stream: None,
    });
    super::output::shout(BANNER);
    warn!("SIMULATION: these monitors are not real; never put a program that can do this on a monitor");
    let mut reporter = Lines { json: voice.json };
    let plan = plan(arguments)?;
    lasting_runtime()?.block_on(async {
        let asked = shutdown::asked().map_err(no_runtime)?;
        simulation::run(&plan, &mut reporter, asked)
            .await
            .map_err(Failure::Other)
    })?;
    Ok(Exit::Done)
}

fn plan(arguments: SimulateDeviceArgs) -> Result<Plan, Failure> {
    if arguments.faulty_every.is_none() {
        Faults::together(&arguments.fault).map_err(Failure::Other)?;
    }
    Ok(Plan {
        trust: arguments.trust.read().map_err(Failure::Other)?,
        out: arguments.out,
        count: arguments.count.into(),
        device_id: arguments.device_id,
        address: arguments.address,
        first_port: arguments.first_port,
        pairing_time: Duration::from_secs(arguments.pairing_time),
        faults: arguments.fault,
        faulty_every: arguments.faulty_every.map(Into::into),
        until_done: arguments.until_done,
    })
}

impl TrustArgs {
    fn read(&self) -> Result<Trust, String> {
        match (&self.master_key_file, &self.trust_anchor) {
            (Some(master), _) => read_key(master, true).map(|mut key| Trust::Master(SecretBytes::take(&mut key))),
            (None, Some(public)) => read_key(public, false).map(|key| Trust::Ed25519(*key)),
            (None, None) => Err("give --master-key-file or --trust-anchor".into()),
        }
    }
}

fn device_id(text: &str) -> Result<DeviceId, String> {
    DeviceId::parse(text).map_err(|fault| fault.to_string())
}

/// One line for each event.
struct Lines {
    json: bool,
}

impl Reporter for Lines {
    fn event(&mut self, Event { device_id, change }: &Event) {
        let (text, document) = match change {
            Change::Opened { picture, port, faults } => {
                let faults: Vec<_> = faults.names().collect();
                let wrong = if faults.is_empty() {
                    String::new()
                } else {
                    format!(", with {}", faults.join(" and "))
                };
                (
                    format!("READY_TO_PAIR on port {port}, shows {picture}{wrong}"),
                    json!({ "event": "opened", "deviceId": device_id.as_str(), "status": "READY_TO_PAIR",
                            "picture": picture, "port": port, "faults": faults }),
                )
            }
            Change::Status { status, phase, failure } => {
                let [phase, code] = [phase.map(Phase::as_str), failure.map(ErrorCode::as_str)];
                let why = phase.or(code).map(|why| format!(": {why}")).unwrap_or_default();
                (
                    format!("{status}{why}"),
                    json!({ "event": "status", "deviceId": device_id.as_str(), "status": status.as_str(),
                            "phase": phase, "code": code }),
                )
            }
            Change::Ended => (
                "its session has ended".into(),
                json!({ "event": "ended", "deviceId": device_id.as_str() }),
            ),
        };
        if self.json {
            print_json(&document);
        } else {
            print(&format!("{device_id}: {text}\n"));
        }
    }

    fn ready(&mut self, fleet: &Path) {
        if self.json {
            print_json(&json!({ "event": "ready", "fleet": fleet }));
        } else {
            print(&format!("All of them stand in {}.\n", fleet.display()));
        }
    }
}
