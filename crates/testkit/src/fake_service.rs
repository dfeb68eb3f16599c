//! A provisioning service that says what a test tells it to say, and remembers what it was told.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast, watch};
use zmon_domain::access::Peer;
use zmon_domain::admin::{AdministratorAct, AdministratorRequest, Requester};
use zmon_domain::audit::AuditVerdict;
use zmon_domain::certificate::{CertificateSummary, CertifiedBundle};
use zmon_domain::checks::Credentials;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::machine::Admission;
use zmon_domain::pairing::{PairingCode, Sha256Digest};
use zmon_domain::payload::Members;
use zmon_domain::qr::QrCodeData;
use zmon_domain::result::{
    ActiveConfiguration, ActiveCredentials, CertificateTexts, InstalledConfiguration, ProvisioningResult, Receipt,
};
use zmon_domain::secret::SecretText;
use zmon_domain::settings::{RecordedSettings, SettingChange, Settings};
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::status::ProvisioningStatus;
use zmon_domain::time::{Timestamp, WallClock};
use zmon_ports::{
    AuditAccess, AuditPage, AuditStore, ConfigurationAccess, EventSubscription, Examination, Health, HealthAccess,
    ListenerHealth, MetricsAccess, PairingInbound, ProvisioningService, SelfExamination, SimulateProvisioning,
    StatusReport, SubscriptionEvent,
};

use crate::fake_store::FakeStore;
use crate::installation::{CA_CERTIFICATE, CLIENT_CERTIFICATE};
use crate::payload::CANARY_KEY;
use crate::pki::NOW;

/// What the fake does with a payload.
#[derive(Clone, Debug)]
pub enum Apply {
    /// Answers at once.
    Answer(Result<ProvisioningResult, ProvisioningError>),
    /// Answers after [`FakeService::release`] was called for it.
    Hold(Result<ProvisioningResult, ProvisioningError>),
    /// Panics.
    Panic,
}

impl Apply {
    /// Refuses with the catalogue's title as the message.
    #[must_use]
    pub fn refuse(code: ErrorCode) -> Self {
        Self::Answer(Err(code.into()))
    }

    /// Installs what [`installed`] describes.
    #[must_use]
    pub fn install() -> Self {
        Self::Answer(Ok(result()))
    }
}

/// What the fake was asked beside payloads. An administrator's act holds the PIN in the clear: it is a test's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `generate_provisioning_qr_code`.
    Generate(DeviceId, IpAddr),
    /// `rotate_database_key`.
    RotateKey,
    /// `deprovision_device`, `retire_device`, `reset_time_floor`: with the PIN and where it came from.
    Administer(AdministratorAct, String, Requester),
    /// `cancel`.
    Cancel,
    /// `answer_confirmation`: whether it was accepted, and by whom.
    AnswerConfirmation(bool, Option<Peer>),
    /// `acknowledge`.
    Acknowledge,
    /// `read_configuration`.
    ReadConfiguration(Peer),
    /// `read_credentials`.
    ReadCredentials(Peer),
    /// `simulate_provisioning`: the names of the members, by whom, and how long each phase is held up.
    Simulate(Vec<String>, Peer, Duration),
}

#[derive(Debug)]
struct Script {
    admission: Result<Admission, ProvisioningError>,
    apply: Apply,
    apply_next: VecDeque<Apply>,
    report: StatusReport,
    qr_code: Option<QrCodeData>,
    generate: Result<QrCodeData, ProvisioningError>,
    administer: Result<(), ProvisioningError>,
    rotate_key: Result<(), ProvisioningError>,
    cancel: Result<(), ProvisioningError>,
    answer_confirmation: Result<(), ProvisioningError>,
    acknowledge: Result<(), ProvisioningError>,
    read: Result<(), ProvisioningError>,
    health: Option<Health>,
    reach: Result<(), ProvisioningError>,
    applied: Vec<(Vec<u8>, PairingCode)>,
    refusals: Vec<ErrorCode>,
    calls: Vec<Call>,
    audit: FakeStore,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    begun: watch::Sender<usize>,
    completed: watch::Sender<usize>,
    gate: Semaphore,
    signals: broadcast::Sender<ProvisioningSignal>,
}

/// The fake. Clones share one script.
///
/// Fresh, it is `READY_TO_PAIR` with 600 s left, admits everybody, opens no envelope, has no QR code and lets a person
/// do everything else.
#[derive(Clone, Debug)]
pub struct FakeService(Arc<Shared>);

impl Default for FakeService {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeService {
    /// A fresh one.
    #[must_use]
    pub fn new() -> Self {
        let script = Script {
            admission: Ok(Admission::Pairing),
            apply: Apply::refuse(ErrorCode::EnvelopeInvalid),
            apply_next: VecDeque::new(),
            report: report(ProvisioningStatus::ReadyToPair),
            qr_code: None,
            generate: Err(ErrorCode::NetworkError.into()),
            administer: Ok(()),
            rotate_key: Ok(()),
            cancel: Ok(()),
            answer_confirmation: Ok(()),
            acknowledge: Ok(()),
            read: Ok(()),
            health: Some(Health {
                store_open: true,
                listener: ListenerHealth::Open,
                time_synchronised: true,
            }),
            reach: Ok(()),
            applied: Vec::new(),
            refusals: Vec::new(),
            calls: Vec::new(),
            audit: FakeStore::default(),
        };
        Self(Arc::new(Shared {
            script: Mutex::new(script),
            begun: watch::Sender::new(0),
            completed: watch::Sender::new(0),
            gate: Semaphore::new(0),
            signals: broadcast::Sender::new(16),
        }))
    }

    /// What step 1 says from now on.
    pub fn admit_with(&self, admission: Result<Admission, ErrorCode>) {
        self.script().admission = admission.map_err(ProvisioningError::from);
    }

    /// What happens to payloads from now on.
    pub fn apply_with(&self, apply: Apply) {
        self.script().apply = apply;
    }

    /// What happens to the next payload for which nothing was said yet; after that [`Self::apply_with`] counts again.
    pub fn apply_next(&self, apply: Apply) {
        self.script().apply_next.push_back(apply);
    }

    /// Lets one payload that is, or will be, held go on.
    pub fn release(&self) {
        self.0.gate.add_permits(1);
    }

    /// What `get_status` says from now on.
    pub fn report_with(&self, report: StatusReport) {
        self.script().report = report;
    }

    /// What is on the screen from now on.
    pub fn show(&self, qr_code: Option<QrCodeData>) {
        self.script().qr_code = qr_code;
    }

    /// What generating a QR code gives from now on.
    pub fn generate_with(&self, generate: Result<QrCodeData, ProvisioningError>) {
        self.script().generate = generate;
    }

    /// What administrator's acts give from now on.
    pub fn administer_with(&self, outcome: Result<(), ProvisioningError>) {
        self.script().administer = outcome;
    }

    /// What de-provisioning gives from now on.
    pub fn rotate_key_with(&self, outcome: Result<(), ProvisioningError>) {
        self.script().rotate_key = outcome;
    }

    /// What cancelling gives from now on.
    pub fn cancel_with(&self, outcome: Result<(), ProvisioningError>) {
        self.script().cancel = outcome;
    }

    /// What answering a confirmation gives from now on.
    pub fn answer_confirmation_with(&self, outcome: Result<(), ProvisioningError>) {
        self.script().answer_confirmation = outcome;
    }

    /// What acknowledging gives from now on.
    pub fn acknowledge_with(&self, outcome: Result<(), ProvisioningError>) {
        self.script().acknowledge = outcome;
    }

    /// What it says about its health from now on; with none it never says anything.
    pub fn health_with(&self, health: Option<Health>) {
        self.script().health = health;
    }

    /// What reading configuration and credentials gives from now on; where it is good, what is installed.
    pub fn read_with(&self, outcome: Result<(), ProvisioningError>) {
        self.script().read = outcome;
    }

    /// What trying the server gives from now on.
    pub fn reach_with(&self, outcome: Result<(), ProvisioningError>) {
        self.script().reach = outcome;
    }

    /// Sends a signal to every subscriber.
    pub fn announce(&self, signal: ProvisioningSignal) {
        // Nobody may be listening.
        let _ = self.0.signals.send(signal);
    }

    /// The payloads it got, with the pairing codes they came with, in order.
    #[must_use]
    pub fn applied(&self) -> Vec<(Vec<u8>, PairingCode)> {
        self.script().applied.clone()
    }

    /// Returns when this many payloads have arrived.
    pub async fn begun(&self, count: usize) {
        let _ = self.0.begun.subscribe().wait_for(|begun| *begun >= count).await;
    }

    /// Returns when this many payloads have been answered.
    pub async fn completed(&self, count: usize) {
        let _ = self
            .0
            .completed
            .subscribe()
            .wait_for(|completed| *completed >= count)
            .await;
    }

    /// The refusals that it was told to count, in order.
    #[must_use]
    pub fn refusals(&self) -> Vec<ErrorCode> {
        self.script().refusals.clone()
    }

    /// The store whose audit it shows.
    #[must_use]
    pub fn audit(&self) -> FakeStore {
        self.script().audit.clone()
    }

    /// What it was asked, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.script().calls.clone()
    }

    fn administer(&self, act: AdministratorAct, request: &AdministratorRequest) -> Result<(), ProvisioningError> {
        let mut script = self.script();
        let call = Call::Administer(act, request.pin.expose().into(), request.by);
        script.calls.push(call);
        script.administer.clone()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProvisioningService for FakeService {
    type Subscription = FakeSubscription;

    async fn generate_provisioning_qr_code(
        &self,
        device_id: &DeviceId,
        device_ip: IpAddr,
    ) -> Result<QrCodeData, ProvisioningError> {
        let mut script = self.script();
        script.calls.push(Call::Generate(device_id.clone(), device_ip));
        let generated = script.generate.clone();
        if let Ok(qr_code) = &generated {
            script.qr_code = Some(qr_code.clone());
        }
        generated
    }

    async fn apply_configuration(
        &self,
        payload: Vec<u8>,
        pairing_code: &PairingCode,
        _sender: Option<IpAddr>,
    ) -> Result<ProvisioningResult, ProvisioningError> {
        let apply = {
            let mut script = self.script();
            script.applied.push((payload, pairing_code.clone()));
            let next = script.apply_next.pop_front();
            next.unwrap_or_else(|| script.apply.clone())
        };
        self.0.begun.send_modify(|begun| *begun += 1);
        let outcome = match apply {
            Apply::Answer(outcome) => outcome,
            Apply::Hold(outcome) => {
                if let Ok(permit) = self.0.gate.acquire().await {
                    permit.forget();
                }
                outcome
            }
            Apply::Panic => panic!("a test wanted this panic"),
        };
        self.0.completed.send_modify(|completed| *completed += 1);
        outcome
    }

    async fn get_status(&self) -> StatusReport {
        self.script().report.clone()
    }

    async fn deprovision_device(&self, request: AdministratorRequest) -> Result<(), ProvisioningError> {
        self.administer(AdministratorAct::Deprovision, &request)
    }

    async fn retire_device(&self, request: AdministratorRequest) -> Result<(), ProvisioningError> {
        self.administer(AdministratorAct::Retire, &request)
    }

    async fn reset_time_floor(&self, request: AdministratorRequest) -> Result<(), ProvisioningError> {
        self.administer(AdministratorAct::ResetTimeFloor, &request)
    }

    async fn rotate_database_key(&self) -> Result<(), ProvisioningError> {
        let mut script = self.script();
        script.calls.push(Call::RotateKey);
        script.rotate_key.clone()
    }

    async fn cancel(&self) -> Result<(), ProvisioningError> {
        let mut script = self.script();
        script.calls.push(Call::Cancel);
        script.cancel.clone()
    }

    async fn answer_confirmation(&self, accept: bool, by: Option<Peer>) -> Result<(), ProvisioningError> {
        let mut script = self.script();
        script.calls.push(Call::AnswerConfirmation(accept, by));
        script.answer_confirmation.clone()
    }

    async fn acknowledge(&self) -> Result<(), ProvisioningError> {
        let mut script = self.script();
        script.calls.push(Call::Acknowledge);
        script.acknowledge.clone()
    }

    async fn current_qr_code(&self) -> Option<QrCodeData> {
        self.script().qr_code.clone()
    }

    fn subscribe(&self) -> FakeSubscription {
        FakeSubscription(self.0.signals.subscribe())
    }
}

impl ConfigurationAccess for FakeService {
    async fn read_configuration(&self, reader: Peer) -> Result<ActiveConfiguration, ProvisioningError> {
        self.script().calls.push(Call::ReadConfiguration(reader));
        self.show_configuration().await
    }

    async fn read_credentials(&self, reader: Peer) -> Result<ActiveCredentials, ProvisioningError> {
        let mut script = self.script();
        script.calls.push(Call::ReadCredentials(reader));
        script.read.clone()?;
        let installed = script.report.installed.as_ref().ok_or(ErrorCode::NotProvisioned)?;
        Ok(ActiveCredentials {
            credentials: credentials(),
            completed_at: installed.completed_at,
        })
    }

    async fn show_configuration(&self) -> Result<ActiveConfiguration, ProvisioningError> {
        let script = self.script();
        script.read.clone()?;
        let installed = script.report.installed.as_ref().ok_or(ErrorCode::NotProvisioned)?;
        let change = SettingChange {
            at: installed.completed_at,
            by: "Central Station, session 0101010101010101".into(),
        };
        let credentials = credentials();
        Ok(ActiveConfiguration {
            settings: RecordedSettings::changed_together(installed.settings.clone(), &change),
            certificates: installed.certificates.clone(),
            texts: CertificateTexts {
                client: credentials.client_certificate,
                ca: credentials.ca_certificate,
                server: credentials.server_certificate,
            },
            completed_at: installed.completed_at,
        })
    }
}

impl SimulateProvisioning for FakeService {
    async fn simulate_provisioning(
        &self,
        mock_payload: Members,
        by: Peer,
        pause: Duration,
    ) -> Result<ProvisioningResult, ProvisioningError> {
        let mut script = self.script();
        let names = mock_payload.0.into_iter().map(|(name, _)| name).collect();
        script.calls.push(Call::Simulate(names, by, pause));
        match &script.apply {
            Apply::Answer(outcome) => outcome.clone(),
            Apply::Hold(_) | Apply::Panic => Err(ErrorCode::UnknownError.into()),
        }
    }
}

impl HealthAccess for FakeService {
    async fn health(&self) -> Health {
        let health = self.script().health;
        match health {
            Some(health) => health,
            None => std::future::pending().await,
        }
    }
}

impl MetricsAccess for FakeService {
    async fn metrics(&self) -> String {
        "# TYPE fake_total counter\nfake_total 1\n".into()
    }
}

impl AuditAccess for FakeService {
    async fn audit_page(&self, from: u64, limit: u32) -> Result<AuditPage, ProvisioningError> {
        let store = self.script().audit.clone();
        Ok(AuditPage {
            head: store.audit_head().await?,
            records: store.audit_records(from, limit).await?,
        })
    }

    async fn verify_audit(&self) -> Result<AuditVerdict, ProvisioningError> {
        let store = self.script().audit.clone();
        Ok(store.verify_audit().await?)
    }
}

impl SelfExamination for FakeService {
    async fn examine(&self) -> Result<Examination, ProvisioningError> {
        let script = self.script();
        script.read.clone()?;
        Ok(Examination {
            wall: WallClock {
                now: NOW,
                synchronised: true,
            },
            time_floor: NOW,
            listening: script.report.status == ProvisioningStatus::ReadyToPair,
            key_belongs: script.report.installed.as_ref().map(|_| true),
            retired: false,
        })
    }

    async fn reach_server(&self) -> Result<(), ProvisioningError> {
        self.script().reach.clone()
    }
}

impl PairingInbound for FakeService {
    async fn admit(&self) -> Result<Admission, ProvisioningError> {
        self.script().admission.clone()
    }

    fn count_refusal(&self, code: ErrorCode) {
        self.script().refusals.push(code);
    }
}

/// What [`FakeService::announce`] sends; holds sixteen signals.
#[derive(Debug)]
pub struct FakeSubscription(broadcast::Receiver<ProvisioningSignal>);

impl EventSubscription for FakeSubscription {
    async fn next(&mut self) -> Option<SubscriptionEvent> {
        match self.0.recv().await {
            Ok(signal) => Some(SubscriptionEvent::Signal(signal)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(SubscriptionEvent::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// A report of this status, with what belongs to it.
#[must_use]
pub fn report(status: ProvisioningStatus) -> StatusReport {
    StatusReport {
        status,
        phase: None,
        expires_in_seconds: (status == ProvisioningStatus::ReadyToPair).then_some(600),
        confirmation: None,
        installed: (status == ProvisioningStatus::Provisioned).then(installed),
        failure: (status == ProvisioningStatus::ProvisioningFailed).then(|| ErrorCode::SignatureInvalid.into()),
        destruction: None,
        storage: None,
    }
}

/// The result of a successful provisioning.
#[must_use]
pub fn result() -> ProvisioningResult {
    ProvisioningResult { installed: installed() }
}

/// Credentials of which nothing is real; the key is [`CANARY_KEY`].
#[must_use]
pub fn credentials() -> Credentials {
    Credentials {
        client_certificate: CLIENT_CERTIFICATE.into(),
        client_private_key: SecretText::new(CANARY_KEY.into()),
        ca_certificate: CA_CERTIFICATE.into(),
        server_certificate: None,
    }
}

/// A configuration that could be installed.
#[must_use]
pub fn installed() -> InstalledConfiguration {
    let certificate = |name: &str| CertificateSummary {
        serial: "2a".into(),
        subject: format!("CN={name}"),
        issuer: "CN=Test CA".into(),
        not_before: Timestamp::from_millis(1_700_000_000_000),
        not_after: Timestamp::from_millis(1_900_000_000_000),
        sha256: Sha256Digest::new([7; 32]),
    };
    let settings = Settings::from_pairs(|key| match key {
        "deviceId" => Some("ZM-ICU-MON-04"),
        "deviceLabel" => Some("ICU-MON-04"),
        "serverUrl" => Some("https://central.example.org:8443/api"),
        "syncInterval" => Some("10"),
        "measurementUnit" => Some("METRIC"),
        "language" => Some("EN"),
        _ => None,
    });
    let certificates = CertifiedBundle::from_stored(
        vec![certificate("ZM-ICU-MON-04")],
        vec![certificate("Test CA")],
        Vec::new(),
    );
    InstalledConfiguration {
        settings: settings.expect("these settings follow their rules"),
        certificates: certificates.expect("neither list is empty"),
        completed_at: Timestamp::from_millis(1_764_000_000_000),
        body_sha256: Sha256Digest::new([8; 32]),
        receipt: Receipt("eyJhbGciOiJIUzI1NiIsInR5cCI6InptLXJlY2VpcHQifQ.e30.c2lnbmF0dXJl".into()),
    }
}
