//! The mock service on this device's own clock, chance and QR pictures: for whoever builds a screen or a program that talks to the
//! service, without a Central Station, a store or a key.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use std::time::Duration;
//! use zmon_domain::ProvisioningStatus;
//! use zmon_ports::ProvisioningService;
//! use zmon_service::MockOptions;
//!
//! let options = MockOptions { delay: Duration::from_millis(10), auto_provision: true, ..MockOptions::default() };
//! let service = zmon_app::mock::start(options).await?;
//! let qr_code = service.generate_provisioning_qr_code(&zmon_app::mock::device_id(), [127, 0, 0, 1].into()).await?;
//! assert!(qr_code.images().svg.starts_with("<svg"));
//! while service.get_status().await.status != ProvisioningStatus::Provisioned {
//!     tokio::time::sleep(Duration::from_millis(1)).await;
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(()) })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use std::future::Future;
use std::path::Path;

use tracing::{info, warn};
use zmon_domain::error::ProvisioningError;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_local_api::PairingDefaults;
use zmon_qr_render::QrImageRenderer;
use zmon_service::{MockOptions, MockProvisioningService};

use crate::clock::SystemClock;
use crate::entropy::SystemEntropy;
use crate::wiring::{ServeFault, bind};

/// The mock as this program runs it.
pub type Mock = MockProvisioningService<QrImageRenderer, SystemClock, SystemEntropy>;

/// The id of the device that it plays.
///
/// # Panics
/// Never: the id follows its rule.
#[must_use]
pub fn device_id() -> DeviceId {
    DeviceId::parse("ZM-MOCK-0001").unwrap_or_else(|rule| unreachable!("{rule}"))
}

/// Starts a mock and its timer.
///
/// # Errors
/// None that its parts could bring about.
pub async fn start(options: MockOptions) -> Result<Mock, ProvisioningError> {
    let serial_number = SerialNumber::parse("MOCK-0001").unwrap_or_else(|rule| unreachable!("{rule}"));
    let entropy = SystemEntropy::new();
    let mock = Mock::start(
        device_id(),
        serial_number,
        QrImageRenderer,
        SystemClock,
        entropy,
        options,
    )
    .await?;
    let timer = mock.clone();
    tokio::spawn(async move { timer.drive().await });
    Ok(mock)
}

/// Serves a mock on a control socket until `shutdown` is there.
///
/// # Errors
/// Where the socket cannot be bound.
pub async fn serve(
    socket: &Path,
    options: MockOptions,
    shutdown: impl Future<Output = &'static str>,
) -> Result<(), ServeFault> {
    let mock = start(options.clone())
        .await
        .map_err(|error| ServeFault::Cannot(error.to_string()))?;
    let (listener, _file) = bind("control", socket, None).await?;
    let defaults = PairingDefaults {
        device_id: device_id(),
        ip_address: [127, 0, 0, 1].into(),
    };
    warn!(?options, control_socket = %socket.display(), pin = zmon_service::mock::MOCK_PIN, "MOCK: ready");
    zmon_local_api::serve(listener, mock.clone(), defaults, async {
        info!(reason = shutdown.await, "stopping");
    })
    .await;
    mock.stop().await;
    Ok(())
}
