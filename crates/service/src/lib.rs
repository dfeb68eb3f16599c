//! The provisioning use cases, generic over the ports.
//!
//! The state machine of `zmon-domain` decides; this crate feeds it events, carries out its effects in order, and
//! sees to it that each use case runs to its end once it has begun.

mod adapters;
mod administration;
mod apply;
mod effects;
mod events;
mod examination;
pub mod mock;
mod pairing;
mod phases;
mod provisioning;
mod reading;
mod retirement;
#[cfg(feature = "simulation")]
mod simulate;
mod storage;

pub use adapters::{Adapters, AdaptersOf, DeviceProfile, Ports};
pub use events::Subscription;
pub use mock::{MockOptions, MockProvisioningService};
pub use provisioning::CentralStationProvisioningService;
pub use retirement::may_start;
