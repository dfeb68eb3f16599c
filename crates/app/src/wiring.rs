//! Puts the device together, runs it, and takes it apart again.

use std::fmt;
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tracing::{error, info, warn};
use zmon_domain::error::ErrorCode;
use zmon_domain::time::Timestamp;
use zmon_https_inbound::{HttpsInbound, HttpsInboundConfig, Limits};
use zmon_https_outbound::HttpsConnectionTest;
use zmon_local_api::{KioskSettings, PairingDefaults};
use zmon_payload_envelope::{JoseEnvelope, TrustAnchor};
use zmon_ports::{Clock, ProvisioningService, StatusReport};
use zmon_prometheus_metrics::{About, PrometheusMetrics, TimedStore};
use zmon_qr_render::QrImageRenderer;
use zmon_service::{Adapters, CentralStationProvisioningService, DeviceProfile, may_start};
use zmon_sqlcipher_certstore::SqlcipherStore;
use zmon_x509_facts::WebpkiCertificateFacts;

use crate::administrator::PinFile;
use crate::anchor_file::AnchorFile;
use crate::clock::SystemClock;
use crate::configuration::{Configuration, Kiosk};
use crate::control_socket::{self, SocketFile};
use crate::entropy::SystemEntropy;
use crate::provisioned_file::ProvisionedFile;
use crate::text::utc;
use crate::{kiosk_file, release, service_manager};

/// The adapters of the device.
type Device = Adapters<
    TimedStore<Arc<SqlcipherStore>, SystemClock>,
    JoseEnvelope,
    WebpkiCertificateFacts,
    QrImageRenderer,
    Arc<HttpsInbound<SystemClock>>,
    SystemClock,
    SystemEntropy,
    PinFile,
    AnchorFile,
    HttpsConnectionTest,
    Arc<PrometheusMetrics>,
>;

/// Why the device could not be started or had to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServeFault {
    /// What failed, why, and what to do next.
    Cannot(String),
    /// There is no trust anchor to start with: the device has to be commissioned.
    NotCommissioned(String),
}

impl fmt::Display for ServeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Cannot(what) | Self::NotCommissioned(what)) = self;
        f.write_str(what)
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
    if let Err(faults) = &configuration.trust_anchor
        && !configuration.store_path.exists()
    {
        // A store for a device that was never commissioned would say nothing.
        return Err(ServeFault::NotCommissioned(faults.to_string()));
    }
    let store = open_store(&configuration).await.map_err(ServeFault::Cannot)?;
    let store = Arc::new(store);
    let outcome = match commissioned(&configuration, &store).await {
        Ok(anchor) => run(&configuration, anchor, Arc::clone(&store), shutdown).await,
        Err(fault) => Err(fault),
    };
    store.close().await;
    if outcome.is_ok() {
        info!("stopped");
    }
    outcome
}

/// Opens the store of a device, for this process alone.
///
/// # Errors
/// Why it cannot be opened.
pub async fn open_store(configuration: &Configuration) -> Result<SqlcipherStore, String> {
    let keys = configuration.store_key.source();
    let at = SystemClock.wall().now.max(release::date());
    SqlcipherStore::open(&configuration.store_path, &*keys, at)
        .await
        .map_err(|fault| fault.cause)
}

/// The trust anchor of a device that is not retired.
async fn commissioned(configuration: &Configuration, store: &SqlcipherStore) -> Result<TrustAnchor, ServeFault> {
    let at = SystemClock.wall().now.max(release::date());
    match may_start(store, &anchor_file(configuration), at).await {
        Ok(()) => configuration
            .trust_anchor
            .clone()
            .map_err(|faults| ServeFault::NotCommissioned(faults.to_string())),
        Err(error) if matches!(error.code(), ErrorCode::DeviceRetired | ErrorCode::TrustAnchorKept) => {
            let next = error.code().entry().next_action;
            let place = configuration.trust_anchor_file.display();
            Err(ServeFault::NotCommissioned(format!(
                "{error} (trust anchor: {place})\nnext: {next}"
            )))
        }
        Err(error) => Err(ServeFault::Cannot(error.cause().unwrap_or(error.message()).into())),
    }
}

fn anchor_file(configuration: &Configuration) -> AnchorFile {
    AnchorFile::new(
        configuration.trust_anchor_file.clone(),
        configuration.credentials_directory.clone(),
    )
}

async fn run(
    configuration: &Configuration,
    anchor: TrustAnchor,
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
    let device = device(configuration, anchor, store, Arc::clone(&https));
    if let Some(misgivings) = device.administrators.misgivings() {
        warn!("{misgivings}");
    }
    let service = CentralStationProvisioningService::start(device, profile(configuration))
        .await
        .map_err(|error| ServeFault::Cannot(error.cause().unwrap_or(error.message()).into()))?;
    let (listener, _file) = bind("control", &configuration.control_socket, configuration.control_group).await?;
    let application = match configuration.application.group {
        Some(group) => Some(bind("application", &configuration.application.socket, Some(group)).await?),
        None => None,
    };
    let kiosk = match &configuration.kiosk {
        Some(kiosk) => Some(bind_kiosk(kiosk).await?),
        None => None,
    };
    let defaults = PairingDefaults {
        device_id: configuration.device_id.clone(),
        ip_address: configuration.address,
    };
    let mut provisioned = ProvisionedFile::new(&configuration.application.provisioned_file);
    // Subscribed before the first look, so that nothing happens unseen.
    let events = service.subscribe();
    provisioned.update(&service.get_status().await);
    tokio::spawn(provisioned.keep(service.clone(), events));
    let (stop_api, _) = tokio::sync::watch::channel(());
    let stopped = |mut stop: tokio::sync::watch::Receiver<()>| async move { while stop.changed().await.is_ok() {} };
    let mut apis = JoinSet::new();
    apis.spawn(zmon_local_api::serve(
        listener,
        service.clone(),
        defaults.clone(),
        stopped(stop_api.subscribe()),
    ));
    // The file of the socket is there as long as this is.
    let _application = application.map(|(listener, file)| {
        apis.spawn(zmon_local_api::serve_application(
            listener,
            service.clone(),
            defaults.clone(),
            stopped(stop_api.subscribe()),
        ));
        file
    });
    if let Some((listener, settings)) = kiosk {
        let (service, stopped) = (service.clone(), stopped(stop_api.subscribe()));
        apis.spawn(async move {
            if let Err(fault) = zmon_local_api::serve_kiosk(listener, service, defaults, settings, stopped).await {
                error!(cause = %fault, "the kiosk page is not served");
            }
        });
    }
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
            Err(ServeFault::Cannot("the timer ended unasked; start the service again and send its log to the manufacturer".into()))
        }
    };
    service_manager::stopping();
    service.stop().await;
    drop(stop_api);
    // All finish the answers under way, in bounded time.
    apis.join_all().await;
    https.drained().await;
    if outcome.is_ok() {
        drop(timer.await);
    }
    outcome
}

pub(crate) async fn bind(
    whose: &str,
    path: &Path,
    group: Option<u32>,
) -> Result<(UnixListener, SocketFile), ServeFault> {
    control_socket::bind(path, group).await.map_err(|fault| {
        let member = match group {
            Some(group) => format!(", and that this user is a member of the group {group}"),
            None => String::new(),
        };
        ServeFault::Cannot(format!(
            "the {whose} socket {} cannot be bound: {fault}; see that its directory exists and is this user's{member}",
            path.display()
        ))
    })
}

/// Who finds the start file finds somebody listening.
async fn bind_kiosk(kiosk: &Kiosk) -> Result<(TcpListener, KioskSettings), ServeFault> {
    let address = (Ipv4Addr::LOCALHOST, kiosk.port);
    let listener = TcpListener::bind(address).await.map_err(|fault| {
        ServeFault::Cannot(format!(
            "the kiosk page cannot be served on 127.0.0.1:{}: {fault}; set another kiosk.port",
            kiosk.port
        ))
    })?;
    let token = kiosk_file::prepare(kiosk, &SystemEntropy::new()).map_err(|fault| {
        ServeFault::Cannot(format!(
            "the kiosk's start file {} cannot be written: {fault}; see that its directory exists and is this user's, and that \
             this user is a member of the group {}",
            kiosk.start_file.display(),
            kiosk.group
        ))
    })?;
    info!(port = kiosk.port, start_file = %kiosk.start_file.display(), "the kiosk page is there");
    let settings = KioskSettings {
        token,
        language: kiosk.language,
        theme: kiosk.theme,
    };
    Ok((listener, settings))
}

fn device(
    configuration: &Configuration,
    anchor: TrustAnchor,
    store: Arc<SqlcipherStore>,
    listener: Arc<HttpsInbound<SystemClock>>,
) -> Device {
    let metrics = Arc::new(PrometheusMetrics::new(About {
        version: release::NUMBER,
        commit: release::COMMIT,
        started: SystemClock.wall().now,
    }));
    Adapters {
        store: TimedStore::new(store, SystemClock, Arc::clone(&metrics)),
        envelope: JoseEnvelope::new(anchor, &configuration.device_id),
        certificates: WebpkiCertificateFacts,
        renderer: QrImageRenderer,
        listener,
        clock: SystemClock,
        entropy: SystemEntropy::new(),
        administrators: PinFile::new(configuration.pin_hash_file.clone()),
        anchor: anchor_file(configuration),
        connection: HttpsConnectionTest::default(),
        measurements: metrics,
    }
}

fn profile(configuration: &Configuration) -> DeviceProfile {
    DeviceProfile {
        device_id: configuration.device_id.clone(),
        serial_number: configuration.serial_number.clone(),
        pairing_time: configuration.pairing_time,
        demands: configuration.demands,
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
