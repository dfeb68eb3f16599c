//! Traits through which the provisioning use cases are driven, and through which they reach the world.
//!
//! Signatures name domain types and the standard library only. Each trait's documentation is its contract; the
//! suites in `zmon-testkit` hold fakes and real adapters to it alike.

mod driven;
mod driving;
mod examination;
mod measurements;
mod shared;
mod store;

pub use driven::{
    AdministratorCheck, AnchorFault, AnchorKeeper, CertificateBundle, CertificateFacts, Clock, ConnectionFault,
    ConnectionStage, ConnectionTest, Entropy, EntropyUnavailable, EnvelopeFault, ListenerFault, ListenerOpened, Opened,
    PairingListener, PayloadEnvelope, QrRenderer, ReceiptFault, RenderFault, SignatureFault,
};
#[cfg(feature = "simulation")]
pub use driving::SimulateProvisioning;
pub use driving::{
    AuditAccess, AuditPage, ConfigurationAccess, EventSubscription, Health, HealthAccess, ListenerHealth,
    MetricsAccess, PairingInbound, PendingConfirmation, ProvisioningService, StatusReport, StorageWarning,
    SubscriptionEvent,
};
pub use examination::{Examination, SelfExamination};
pub use measurements::{Measurement, Measurements, SessionEnd};
pub use store::{
    AuditStore, ConfigurationStore, KeySource, KeySourceFault, ProvisioningStore, SealDestruction, SealReceipt,
    StoreFault, StoredState, WrappingKey,
};
