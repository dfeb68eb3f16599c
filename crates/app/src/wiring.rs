//! Puts the device together, runs it, and takes it apart again.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tracing::{error, info};
use zmon_domain::time::Timestamp;
use zmon_https_inbound::{HttpsInbound, HttpsInboundConfig, Limits};
use zmon_local_api::PairingDefaults;
use zmon_payload_envelope::JoseEnvelope;
use zmon_ports::{Clock, ProvisioningService, StatusReport};
use zmon_qr_render::QrImageRenderer;
use zmon_service::{Adapters, CentralStationProvisioningService, DeviceProfile};
use zmon_sqlcipher_certstore::{FileKeySource, SqlcipherStore};
use zmon_x509_facts::WebpkiCertificateFacts;

use crate::administrator::PinFile;
use crate::clock::SystemClock;
use crate::configuration::Configuration;
use crate::control_socket;
use crate::entropy::SystemEntropy;
use crate::text::utc;
use crate::{release, service_manager};

/// The adapters of the device.
type Device = Adapters<
    Arc<SqlcipherStore>,
    JoseEnvelope,
    WebpkiCertificateFacts,
    QrImageRenderer,
    Arc<HttpsInbound<SystemClock>>,
    SystemClock,
    SystemEntropy,
    PinFile,
>;

/// Why the device could not be started or had to end: what failed, why, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeFault(pub String);

impl fmt::Display for ServeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServeFault {}

/// Runs the device until `shutdown` is there.
///
/// # Errors
/// Where the store cannot be opened or the control socket cannot be bound, and where the timer ends unasked.
pub async fn serve(
    configuration: Configuration,
    shutdown: impl Future<Output = &'static str>,
) -> Result<(), ServeFault> {
    let clock = SystemClock;
    let keys = FileKeySource::new(&configuration.store_key_file);
    let store = SqlcipherStore::open(&configuration.store_path, &keys, clock.wall().now.max(release::date()))
        .await
        .map_err(|fault| ServeFault(fault.cause))?;
    let store = Arc::new(store);
    let outcome = run(&configuration, Arc::clone(&store), shutdown).await;
    store.close().await;
    if outcome.is_ok() {
        info!("stopped");
    }
    outcome
}

async fn run(
    configuration: &Configuration,
    store: Arc<SqlcipherStore>,
    shutdown: impl Future<Output = &'static str>,
) -> Result<(), ServeFault> {
    let https = Arc::new(HttpsInbound::new(
        HttpsInboundConfig {
            port: configuration.port,
            bind: configuration.bind,
            limits: Limits::default(),
        },
        Arc::new(SystemClock),
    ));
    let device = device(configuration, store, Arc::clone(&https));
    let service = CentralStationProvisioningService::start(device, profile(configuration))
        .await
        .map_err(|error| ServeFault(error.cause().unwrap_or(error.message()).into()))?;
    let socket = &configuration.control_socket;
    let (listener, _file) = control_socket::bind(socket).await.map_err(|fault| {
        ServeFault(format!(
            "the control socket {} cannot be bound: {fault}; see that its directory exists and is this user's",
            socket.display()
        ))
    })?;
    let defaults = PairingDefaults {
        device_id: configuration.device_id.clone(),
        ip_address: configuration.address,
    };
    let (stop_api, stopped) = tokio::sync::oneshot::channel::<()>();
    let api = tokio::spawn(zmon_local_api::serve(listener, service.clone(), defaults, async {
        drop(stopped.await);
    }));
    let mut timer = tokio::spawn({
        let service = service.clone();
        async move { service.drive().await }
    });

    announce(configuration, &service.get_status().await);
    tokio::spawn(service_manager::report(service.clone()));
    let outcome = tokio::select! {
        reason = shutdown => {
            info!(reason, "stopping");
            Ok(())
        }
        ended = &mut timer => {
            error!(cause = ?ended.err(), "the timer ended unasked");
            Err(ServeFault("the timer ended unasked; start the service again and send its log to the manufacturer".into()))
        }
    };
    service_manager::stopping();
    service.stop().await;
    drop(stop_api);
    // Both finish the answers under way, in bounded time.
    drop(api.await);
    https.drained().await;
    if outcome.is_ok() {
        drop(timer.await);
    }
    outcome
}

fn device(
    configuration: &Configuration,
    store: Arc<SqlcipherStore>,
    listener: Arc<HttpsInbound<SystemClock>>,
) -> Device {
    Adapters {
        store,
        envelope: JoseEnvelope::new(configuration.trust_anchor.clone(), &configuration.device_id),
        certificates: WebpkiCertificateFacts,
        renderer: QrImageRenderer,
        listener,
        clock: SystemClock,
        entropy: SystemEntropy::new(),
        administrators: PinFile::new(configuration.pin_hash_file.clone()),
    }
}

fn profile(configuration: &Configuration) -> DeviceProfile {
    DeviceProfile {
        device_id: configuration.device_id.clone(),
        serial_number: configuration.serial_number.clone(),
        pairing_time: configuration.pairing_time,
        release_date: release::date(),
    }
}

/// One line that says that the device is up, and what it is provisioned with.
fn announce(configuration: &Configuration, report: &StatusReport) {
    if let Some(installed) = &report.installed {
        let ends: Timestamp = installed.certificates.leaf().not_after;
        info!(
            server_url = installed.settings.server_url.as_str(),
            device_label = installed.settings.device_label.as_str(),
            certificate_ends = utc(ends.as_millis()),
            "provisioned",
        );
    }
    info!(
        status = report.status.as_str(),
        device_id = configuration.device_id.as_str(),
        control_socket = %configuration.control_socket.display(),
        "ready",
    );
}
