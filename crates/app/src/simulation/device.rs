//! One simulated monitor, from its store to its QR code.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;
use zmon_domain::checks::Demands;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::status::ProvisioningStatus as Status;
use zmon_https_inbound::{HttpsInbound, HttpsInboundConfig, Limits};
use zmon_https_outbound::HttpsConnectionTest;
use zmon_payload_envelope::{JoseEnvelope, TrustAnchor};
use zmon_ports::{Clock, EventSubscription, ProvisioningService, SubscriptionEvent};
use zmon_qr_render::QrImageRenderer;
use zmon_service::{Adapters, CentralStationProvisioningService, DeviceProfile, Subscription};
use zmon_sqlcipher_certstore::{FileKeySource, SqlcipherStore};
use zmon_x509_facts::WebpkiCertificateFacts;

use super::cutter::{AnswerCutter, BEHIND};
use super::fault::{Fault, Faults};
use super::ports::{SimulatedClock, SimulatedEnvelope, SimulatedListener, SimulatedStore};
use super::{Change, Event};
use crate::administrator::PinFile;
use crate::anchor_file::AnchorFile;
use crate::entropy::SystemEntropy;
use crate::release;

/// The adapters of a simulated monitor.
type Parts = Adapters<
    SimulatedStore,
    SimulatedEnvelope,
    WebpkiCertificateFacts,
    QrImageRenderer,
    Arc<SimulatedListener>,
    SimulatedClock,
    SystemEntropy,
    PinFile,
    AnchorFile,
    HttpsConnectionTest,
    (),
>;

/// What one monitor is made of.
pub(super) struct Blueprint {
    pub(super) device_id: DeviceId,
    pub(super) serial_number: SerialNumber,
    pub(super) anchor: TrustAnchor,
    pub(super) address: std::net::IpAddr,
    /// 0 takes any free port.
    pub(super) port: u16,
    pub(super) pairing_time: Duration,
    pub(super) faults: Faults,
}

/// A running monitor that shows its QR code.
pub(super) struct SimulatedDevice {
    service: CentralStationProvisioningService<Parts>,
    listener: Arc<SimulatedListener>,
    store: Arc<SqlcipherStore>,
    tasks: [JoinHandle<()>; 2],
}

impl SimulatedDevice {
    /// Opens pairing and writes the QR code to `picture`; changes go to `events` from then on. The port is returned
    /// beside the monitor.
    pub(super) async fn start(
        plan: Blueprint,
        stores: &Path,
        picture: &Path,
        events: Sender<Event>,
    ) -> Result<(Self, u16), String> {
        let clock = SimulatedClock::new(plan.faults.clock());
        let store = open_store(&stores.join(plan.device_id.as_str()), clock).await?;
        let cutter = plan
            .faults
            .has(Fault::DropAnswer)
            .then(|| Arc::new(AnswerCutter::new()));
        let listener = Arc::new(listener(&plan, clock, cutter.clone()));
        let parts = Adapters {
            store: SimulatedStore {
                inner: Arc::clone(&store),
                delay: plan.faults.delay(),
                full: plan.faults.has(Fault::FullDisk),
            },
            envelope: SimulatedEnvelope {
                inner: JoseEnvelope::new(plan.anchor, &plan.device_id),
                refuse: plan.faults.refusal(),
            },
            certificates: WebpkiCertificateFacts,
            renderer: QrImageRenderer,
            listener: Arc::clone(&listener),
            clock,
            entropy: SystemEntropy::new(),
            administrators: PinFile::new(None),
            // It is in memory alone.
            anchor: AnchorFile::new(stores.join("no-trust-anchor"), None),
            connection: HttpsConnectionTest::default(),
            measurements: (),
        };
        let profile = DeviceProfile {
            device_id: plan.device_id.clone(),
            serial_number: plan.serial_number,
            pairing_time: plan.pairing_time,
            demands: Demands::default(),
            release_date: release::date(),
        };
        let failed = |error: zmon_domain::error::ProvisioningError| error.cause().unwrap_or(error.message()).to_owned();
        let service = CentralStationProvisioningService::start(parts, profile)
            .await
            .map_err(failed)?;
        let signals = service.subscribe();
        let qr_code = service
            .generate_provisioning_qr_code(&plan.device_id, plan.address)
            .await
            .map_err(failed)?;
        write_new(picture, &qr_code.images().png)?;
        let drive = tokio::spawn({
            let service = service.clone();
            async move { service.drive().await }
        });
        let watch = tokio::spawn(watch(service.clone(), signals, plan.device_id, cutter, events));
        let device = Self {
            service,
            listener,
            store,
            tasks: [drive, watch],
        };
        Ok((device, qr_code.fields().port))
    }

    /// Lets an installation finish, ends the session, closes listener and store.
    pub(super) async fn stop(self) {
        self.service.stop().await;
        self.listener.drained().await;
        for task in self.tasks {
            task.abort();
        }
        self.store.close().await;
    }
}

async fn open_store(directory: &Path, clock: SimulatedClock) -> Result<Arc<SqlcipherStore>, String> {
    DirBuilder::new()
        .mode(0o700)
        .create(directory)
        .map_err(|fault| format!("{} cannot be made: {fault}", directory.display()))?;
    let keys = FileKeySource::new(directory.join("store.key"));
    let at = clock.wall().now.max(release::date());
    let store = SqlcipherStore::open(&directory.join("store.db"), &keys, at).await;
    store.map(Arc::new).map_err(|fault| fault.cause)
}

fn listener(plan: &Blueprint, clock: SimulatedClock, cutter: Option<Arc<AnswerCutter>>) -> SimulatedListener {
    let config = HttpsInboundConfig {
        port: if cutter.is_some() { 0 } else { plan.port },
        bind: cutter.is_some().then_some(BEHIND),
        limits: Limits::default(),
    };
    SimulatedListener {
        inner: HttpsInbound::new(config, Arc::new(clock)),
        cutter: cutter.map(|cutter| (cutter, plan.port)),
        wrong_pin: plan.faults.has(Fault::WrongPin),
        refuse: plan.faults.refusal(),
    }
}

/// Reports each change of status, and at last that the session has ended and nobody waits for its answer.
async fn watch(
    service: CentralStationProvisioningService<Parts>,
    mut signals: Subscription,
    device_id: DeviceId,
    cutter: Option<Arc<AnswerCutter>>,
    events: Sender<Event>,
) {
    let report = async |change| {
        let device_id = device_id.clone();
        // Nobody reads it where the fleet is being stopped.
        let _ = events.send(Event { device_id, change }).await;
    };
    loop {
        let (status, phase) = match signals.next().await {
            None => return,
            Some(SubscriptionEvent::Signal(ProvisioningSignal::StatusChanged { status, phase })) => (status, phase),
            Some(SubscriptionEvent::Signal(_)) => continue,
            Some(SubscriptionEvent::Missed(_)) => {
                let now = service.get_status().await;
                (now.status, now.phase)
            }
        };
        match status {
            // Said when it was opened.
            Status::ReadyToPair => continue,
            Status::PairingReceived => {
                report(Change::Status {
                    status,
                    phase,
                    failure: None,
                })
                .await;
            }
            Status::Provisioned | Status::ProvisioningFailed | Status::Unprovisioned | Status::Deprovisioned => {
                let failure = service.get_status().await.failure.map(|failure| failure.code());
                report(Change::Status { status, phase, failure }).await;
                break;
            }
        }
    }
    let provisioned = service.get_status().await.status == Status::Provisioned;
    if let Some(cutter) = cutter.filter(|_| provisioned) {
        cutter.settled().await;
    }
    report(Change::Ended).await;
}

/// A new file for its owner alone; nothing is overwritten.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), String> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|fault| format!("{} cannot be written: {fault}; choose another folder", path.display()))
}
