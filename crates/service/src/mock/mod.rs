//! `MockProvisioningService` (specification 4.2): the real use cases and the real state machine on parts that are made up.
//!
//! In memory, no network, no trust anchor, no key. What it says and when is what a device says; what is in it is a sample.

mod parts;
mod sample;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;
use zmon_domain::access::Peer;
use zmon_domain::admin::AdministratorRequest;
use zmon_domain::audit::AuditVerdict;
use zmon_domain::checks::Demands;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::pairing::{MAX_PAIRING_TIME, PairingCode};
use zmon_domain::qr::QrCodeData;
use zmon_domain::result::{ActiveConfiguration, ActiveCredentials, ProvisioningResult};
use zmon_ports::{
    AuditAccess, AuditPage, Clock, ConfigurationAccess, Entropy, Examination, Health, HealthAccess, MetricsAccess,
    ProvisioningService, QrRenderer, SelfExamination, StatusReport,
};

use crate::adapters::{Adapters, DeviceProfile};
use crate::events::Subscription;
use crate::provisioning::CentralStationProvisioningService;
use parts::{Invented, MockEnvelope, MockListener, MockStore};
pub use sample::{CANARY_KEY, good_facts, good_members};

/// The administrator's PIN of every mock.
pub const MOCK_PIN: &str = "0000";

/// How a mock behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockOptions {
    /// How long the checks of a payload take, and how long one that comes by itself is on its way.
    pub delay: Duration,
    /// The code with which every payload is refused.
    pub failure: Option<ErrorCode>,
    /// Whether a payload comes by itself once pairing is open.
    pub auto_provision: bool,
    /// Whether a person has to accept the payload.
    pub confirmation: bool,
}

impl Default for MockOptions {
    /// A second's delay, success, no payload of its own accord, nobody to ask.
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(1),
            failure: None,
            auto_provision: false,
            confirmation: false,
        }
    }
}

type Parts<R, C, E> =
    Adapters<MockStore, MockEnvelope, Invented, R, MockListener, Arc<C>, E, Invented, Invented, parts::Delay<C>, ()>;

/// The mock. A handle: clones drive the same device.
///
/// While it checks a payload it is in the phase `TESTING_CONNECTION` for [`MockOptions::delay`]. It keeps no audit.
pub struct MockProvisioningService<R: QrRenderer, C: Clock, E: Entropy> {
    inner: CentralStationProvisioningService<Parts<R, C, E>>,
    clock: Arc<C>,
    options: MockOptions,
}

impl<R: QrRenderer, C: Clock, E: Entropy> Clone for MockProvisioningService<R, C, E> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            clock: Arc::clone(&self.clock),
            options: self.options.clone(),
        }
    }
}

impl<R: QrRenderer, C: Clock, E: Entropy> MockProvisioningService<R, C, E> {
    /// Starts unprovisioned.
    ///
    /// # Errors
    /// None that its parts could bring about.
    pub async fn start(
        device_id: DeviceId,
        serial_number: SerialNumber,
        renderer: R,
        clock: C,
        entropy: E,
        options: MockOptions,
    ) -> Result<Self, ProvisioningError> {
        warn!("MOCK: nothing here is real. No network, no keys, no store; every configuration is a sample.");
        let clock = Arc::new(clock);
        let adapters = Adapters {
            store: MockStore::new(options.failure),
            envelope: MockEnvelope {
                device_id: device_id.clone(),
                failure: options.failure,
            },
            certificates: Invented(device_id.clone()),
            renderer,
            listener: MockListener::default(),
            clock: Arc::clone(&clock),
            entropy,
            administrators: Invented(device_id.clone()),
            anchor: Invented(device_id.clone()),
            connection: parts::Delay {
                clock: Arc::clone(&clock),
                time: options.delay,
                failure: options.failure,
            },
            measurements: (),
        };
        let profile = DeviceProfile {
            device_id,
            serial_number,
            pairing_time: MAX_PAIRING_TIME,
            demands: Demands {
                connection_test: true,
                confirmation: options.confirmation,
            },
            // Whatever the clock says is believable.
            release_date: clock.wall().now,
        };
        Ok(Self {
            inner: CentralStationProvisioningService::start(adapters, profile).await?,
            clock,
            options,
        })
    }

    /// As [`CentralStationProvisioningService::drive`].
    pub async fn drive(&self) {
        self.inner.drive().await;
    }

    /// As [`CentralStationProvisioningService::stop`].
    pub async fn stop(&self) {
        self.inner.stop().await;
    }

    async fn wait(&self) {
        let over = self.clock.monotonic().plus(self.options.delay);
        self.clock.sleep_until(over).await;
    }

    /// Whatever was sent, a sample for the session of this code takes its place.
    async fn sample(&self, code: &PairingCode) -> Vec<u8> {
        let now = self.clock.wall().now;
        match self.inner.current_qr_code().await {
            Some(qr_code) => parts::body(&qr_code.fields().key, code, now),
            None => Vec::new(),
        }
    }
}

impl<R: QrRenderer, C: Clock, E: Entropy> ProvisioningService for MockProvisioningService<R, C, E> {
    type Subscription = Subscription;

    async fn generate_provisioning_qr_code(
        &self,
        device_id: &DeviceId,
        device_ip: IpAddr,
    ) -> Result<QrCodeData, ProvisioningError> {
        let qr_code = self.inner.generate_provisioning_qr_code(device_id, device_ip).await?;
        if self.options.auto_provision {
            let (this, code) = (self.clone(), qr_code.fields().pairing_code.clone());
            // Nobody waits for the outcome: the status tells.
            tokio::spawn(async move {
                this.wait().await;
                this.apply_configuration(Vec::new(), &code, Some(device_ip))
                    .await
                    .map(drop)
            });
        }
        Ok(qr_code)
    }

    async fn apply_configuration(
        &self,
        _payload: Vec<u8>,
        pairing_code: &PairingCode,
        sender: Option<IpAddr>,
    ) -> Result<ProvisioningResult, ProvisioningError> {
        let payload = self.sample(pairing_code).await;
        if self.options.failure.is_some_and(parts::comes_before_the_delay) {
            self.wait().await;
        }
        self.inner.apply_configuration(payload, pairing_code, sender).await
    }

    async fn get_status(&self) -> StatusReport {
        self.inner.get_status().await
    }

    async fn deprovision_device(&self, request: AdministratorRequest) -> Result<(), ProvisioningError> {
        self.inner.deprovision_device(request).await
    }

    async fn retire_device(&self, request: AdministratorRequest) -> Result<(), ProvisioningError> {
        self.inner.retire_device(request).await
    }

    async fn reset_time_floor(&self, request: AdministratorRequest) -> Result<(), ProvisioningError> {
        self.inner.reset_time_floor(request).await
    }

    async fn rotate_database_key(&self) -> Result<(), ProvisioningError> {
        self.inner.rotate_database_key().await
    }

    async fn cancel(&self) -> Result<(), ProvisioningError> {
        self.inner.cancel().await
    }

    async fn answer_confirmation(&self, accept: bool, by: Option<Peer>) -> Result<(), ProvisioningError> {
        self.inner.answer_confirmation(accept, by).await
    }

    async fn acknowledge(&self) -> Result<(), ProvisioningError> {
        self.inner.acknowledge().await
    }

    async fn current_qr_code(&self) -> Option<QrCodeData> {
        self.inner.current_qr_code().await
    }

    fn subscribe(&self) -> Subscription {
        self.inner.subscribe()
    }
}

#[cfg(feature = "simulation")]
impl<R: QrRenderer, C: Clock, E: Entropy> zmon_ports::SimulateProvisioning for MockProvisioningService<R, C, E> {
    /// A mock that was told to refuse does so.
    async fn simulate_provisioning(
        &self,
        mock_payload: zmon_domain::payload::Members,
        by: Peer,
        pause: Duration,
    ) -> Result<ProvisioningResult, ProvisioningError> {
        let shown = self.inner.current_qr_code().await;
        match shown.filter(|_| self.options.failure.is_some_and(parts::comes_before_the_delay)) {
            Some(qr_code) => {
                self.apply_configuration(Vec::new(), &qr_code.fields().pairing_code, None)
                    .await
            }
            None => self.inner.simulate_provisioning(mock_payload, by, pause).await,
        }
    }
}

impl<R: QrRenderer, C: Clock, E: Entropy> ConfigurationAccess for MockProvisioningService<R, C, E> {
    async fn read_configuration(&self, reader: Peer) -> Result<ActiveConfiguration, ProvisioningError> {
        self.inner.read_configuration(reader).await
    }

    async fn read_credentials(&self, reader: Peer) -> Result<ActiveCredentials, ProvisioningError> {
        self.inner.read_credentials(reader).await
    }

    async fn show_configuration(&self) -> Result<ActiveConfiguration, ProvisioningError> {
        self.inner.show_configuration().await
    }
}

impl<R: QrRenderer, C: Clock, E: Entropy> AuditAccess for MockProvisioningService<R, C, E> {
    async fn audit_page(&self, from: u64, limit: u32) -> Result<AuditPage, ProvisioningError> {
        self.inner.audit_page(from, limit).await
    }

    async fn verify_audit(&self) -> Result<AuditVerdict, ProvisioningError> {
        self.inner.verify_audit().await
    }
}

impl<R: QrRenderer, C: Clock, E: Entropy> HealthAccess for MockProvisioningService<R, C, E> {
    async fn health(&self) -> Health {
        self.inner.health().await
    }
}

/// Nothing is counted: the answer is empty.
impl<R: QrRenderer, C: Clock, E: Entropy> MetricsAccess for MockProvisioningService<R, C, E> {
    async fn metrics(&self) -> String {
        self.inner.metrics().await
    }
}

impl<R: QrRenderer, C: Clock, E: Entropy> SelfExamination for MockProvisioningService<R, C, E> {
    async fn examine(&self) -> Result<Examination, ProvisioningError> {
        self.inner.examine().await
    }

    async fn reach_server(&self) -> Result<(), ProvisioningError> {
        self.inner.reach_server().await
    }
}
