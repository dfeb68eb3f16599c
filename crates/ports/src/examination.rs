//! What a device finds out about itself, for whoever looks for the cause of a fault.

use std::future::Future;

use zmon_domain::error::ProvisioningError;
use zmon_domain::time::{Timestamp, WallClock};

use crate::driving::ProvisioningService;

/// What nobody but the running device itself can see.
pub trait SelfExamination: ProvisioningService {
    /// Looks at clock, store and listener. Changes nothing and leaves no record.
    ///
    /// # Errors
    /// `StorageError`.
    fn examine(&self) -> impl Future<Output = Result<Examination, ProvisioningError>> + Send;

    /// Tries the server with the installed credentials, as step 11 does with new ones. Changes nothing and leaves no record.
    ///
    /// # Errors
    /// `NotProvisioned`; `NetworkError`, with the stage that failed; `StorageError`.
    fn reach_server(&self) -> impl Future<Output = Result<(), ProvisioningError>> + Send;
}

/// What was found. Nothing in it is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Examination {
    /// The wall clock.
    pub wall: WallClock,
    /// The time floor: the release date where none was written.
    pub time_floor: Timestamp,
    /// Whether the HTTPS listener is open: during a session, and for a while after its end.
    pub listening: bool,
    /// Whether the installed private key is the installed certificate's; none where nothing is installed.
    pub key_belongs: Option<bool>,
    /// Whether an administrator retired the device: it pairs with nobody.
    pub retired: bool,
}
