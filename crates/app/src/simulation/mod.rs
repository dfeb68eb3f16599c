//! Simulated monitors for whoever builds or tests a Central Station: the device's real parts, many times in one process,
//! with faults where somebody asked for them. Compiled with the feature `simulation` alone; never in a release.

mod cutter;
mod device;
mod fault;
mod ports;

use std::fs::DirBuilder;
use std::future::Future;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tracing::info;
use zmon_domain::error::ErrorCode;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::secret::SecretBytes;
use zmon_domain::status::{Phase, ProvisioningStatus};
use zmon_payload_envelope::TrustAnchor;
use zmon_payload_envelope::keys::derive_device_key;

use device::{Blueprint, SimulatedDevice, write_new};
pub use fault::{Fault, Faults};

/// The file that names every picture, device id and label.
pub const FLEET: &str = "fleet.csv";
/// Changes that wait to be printed.
const WAITING: usize = 1024;

/// What every simulated monitor trusts.
#[derive(Debug)]
pub enum Trust {
    /// The provisioning master key; each monitor has the key derived for it.
    Master(SecretBytes<32>),
    /// One Ed25519 public key.
    Ed25519([u8; 32]),
}

impl Trust {
    fn anchor(&self, device_id: &DeviceId) -> TrustAnchor {
        match self {
            Self::Master(master) => TrustAnchor::Hmac {
                device_key: derive_device_key(master, device_id),
            },
            Self::Ed25519(public_key) => TrustAnchor::Ed25519 {
                public_key: *public_key,
            },
        }
    }
}

/// What is to be simulated.
#[derive(Debug)]
pub struct Plan {
    /// Where pictures and [`FLEET`] go; made where it is not there.
    pub out: PathBuf,
    /// How many monitors.
    pub count: usize,
    /// The id of the one monitor; of several, what their ids begin with.
    pub device_id: DeviceId,
    /// Where they listen.
    pub address: IpAddr,
    /// The first one's port, the others' follow; 0 takes any free ones.
    pub first_port: u16,
    /// How long each session stays open.
    pub pairing_time: Duration,
    /// What they trust.
    pub trust: Trust,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Every so many monitors one has one of the faults, in turn; without, every monitor has all of them.
    pub faulty_every: Option<usize>,
    /// Ends when every session has ended.
    pub until_done: bool,
}

/// Something that happened to one monitor.
#[derive(Debug)]
pub struct Event {
    /// Which one.
    pub device_id: DeviceId,
    /// What.
    pub change: Change,
}

/// What happened to it.
#[derive(Debug)]
pub enum Change {
    /// It shows its QR code.
    Opened {
        /// The picture's file name.
        picture: String,
        /// Where it listens.
        port: u16,
        /// What will go wrong.
        faults: Faults,
    },
    /// Its status changed.
    Status {
        /// The new one.
        status: ProvisioningStatus,
        /// Set while the status is `PAIRING_RECEIVED`.
        phase: Option<Phase>,
        /// Set while the status is `PROVISIONING_FAILED`.
        failure: Option<ErrorCode>,
    },
    /// The session has ended, and nobody waits for its answer.
    Ended,
}

/// Tells what happens.
pub trait Reporter {
    /// Something happened to one monitor.
    fn event(&mut self, event: &Event);
    /// Every monitor shows its QR code, and this file names them.
    fn ready(&mut self, fleet: &std::path::Path);
}

/// Runs the monitors until `shutdown` is there, or all is done. Their stores are removed at the end.
///
/// # Errors
/// Where the folder cannot be written or a monitor cannot be opened.
pub async fn run(
    plan: &Plan,
    reporter: &mut impl Reporter,
    shutdown: impl Future<Output = &'static str>,
) -> Result<(), String> {
    allow_many_files();
    let unusable = |fault: std::io::Error| format!("{} cannot be used: {fault}", plan.out.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&plan.out)
        .map_err(unusable)?;
    let stores = tempfile::Builder::new()
        .prefix("stores-")
        .tempdir_in(&plan.out)
        .map_err(unusable)?;
    let (send, events) = mpsc::channel(WAITING);
    let mut fleet = Vec::new();
    let outcome = tokio::select! {
        outcome = live(plan, stores.path(), &mut fleet, send, events, reporter) => outcome,
        reason = shutdown => {
            info!(reason, "stopping");
            Ok(())
        }
    };
    for device in fleet {
        device.stop().await;
    }
    stores
        .close()
        .map_err(|fault| format!("the stores in {} cannot be removed: {fault}", plan.out.display()))?;
    outcome
}

async fn live(
    plan: &Plan,
    stores: &std::path::Path,
    fleet: &mut Vec<SimulatedDevice>,
    send: Sender<Event>,
    mut events: Receiver<Event>,
    reporter: &mut impl Reporter,
) -> Result<(), String> {
    let mut list = String::from("picture,device_id,label\n");
    for number in 1..=plan.count {
        let blueprint = plan.blueprint(number)?;
        let (device_id, faults) = (blueprint.device_id.clone(), blueprint.faults.clone());
        let picture = format!("{device_id}.png");
        let path = plan.out.join(&picture);
        let (device, port) = SimulatedDevice::start(blueprint, stores, &path, send.clone())
            .await
            .map_err(|cause| format!("{device_id} cannot be simulated: {cause}"))?;
        fleet.push(device);
        list.push_str(&format!("{picture},{device_id},Simulated {number}\n"));
        let change = Change::Opened { picture, port, faults };
        reporter.event(&Event { device_id, change });
    }
    let file = plan.out.join(FLEET);
    write_new(&file, list.as_bytes())?;
    reporter.ready(&file);
    let mut open = plan.count;
    while let Some(event) = events.recv().await {
        reporter.event(&event);
        if matches!(event.change, Change::Ended) {
            open -= 1;
        }
        if plan.until_done && open == 0 {
            return Ok(());
        }
    }
    // `send` lives as long as this does.
    Ok(())
}

impl Plan {
    fn blueprint(&self, number: usize) -> Result<Blueprint, String> {
        let device_id = if self.count == 1 {
            self.device_id.clone()
        } else {
            let digits = self.count.to_string().len().max(3);
            let text = format!("{}-{number:0digits$}", self.device_id);
            DeviceId::parse(&text).map_err(|fault| format!("the device id {fault}; choose a shorter --device-id"))?
        };
        let port = match self.first_port {
            0 => Some(0),
            first => u16::try_from(number - 1)
                .ok()
                .and_then(|offset| first.checked_add(offset)),
        };
        Ok(Blueprint {
            serial_number: SerialNumber::parse(&format!("SIM-{number}"))
                .map_err(|fault| format!("the serial number {fault}"))?,
            anchor: self.trust.anchor(&device_id),
            address: self.address,
            port: port.ok_or("there are not enough ports after --first-port")?,
            pairing_time: self.pairing_time,
            faults: self.faults_of(number)?,
            device_id,
        })
    }

    fn faults_of(&self, number: usize) -> Result<Faults, String> {
        match self.faulty_every {
            None => Faults::together(&self.faults),
            Some(every) if number.is_multiple_of(every) && !self.faults.is_empty() => {
                Ok(self.faults[(number / every - 1) % self.faults.len()].into())
            }
            Some(_) => Ok(Faults::default()),
        }
    }
}

/// Each monitor has some files and sockets open; the usual soft limit of 1024 is for one.
fn allow_many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum;
    // Where the kernel refuses, a fleet of many says so itself.
    let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(count: usize, faulty_every: Option<usize>) -> Plan {
        Plan {
            out: PathBuf::new(),
            count,
            device_id: DeviceId::parse("SIM").unwrap(),
            address: IpAddr::from([127, 0, 0, 1]),
            first_port: 65_534,
            pairing_time: Duration::from_secs(600),
            trust: Trust::Ed25519([0; 32]),
            faults: vec![Fault::FullDisk, Fault::WrongPin],
            faulty_every,
            until_done: false,
        }
    }

    #[test]
    fn gives_every_tenth_monitor_one_of_the_faults_in_turn() {
        let plan = plan(40, Some(10));
        let faulty: Vec<_> = (1..=40)
            .filter(|number| plan.faults_of(*number).unwrap() != Faults::default())
            .collect();
        assert_eq!(faulty, [10, 20, 30, 40]);
        assert_eq!(plan.faults_of(10).unwrap(), Fault::FullDisk.into());
        assert_eq!(plan.faults_of(20).unwrap(), Fault::WrongPin.into());
        assert_eq!(plan.faults_of(30).unwrap(), Fault::FullDisk.into());
    }

    #[test]
    fn numbers_ids_and_ports_and_says_where_ports_end() {
        let plan = plan(3, None);
        let second = plan.blueprint(2).unwrap();
        assert_eq!((second.device_id.as_str(), second.port), ("SIM-002", 65_535));
        assert!(plan.blueprint(3).is_err());
    }
}
