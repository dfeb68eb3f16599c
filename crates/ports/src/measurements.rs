//! What is counted and timed, for whoever watches many devices.

use core::time::Duration;
use std::sync::Arc;

use zmon_domain::error::ErrorCode;
use zmon_domain::status::Phase;

use crate::driving::StatusReport;

/// Something that happened. Every value is of a closed set: none names a person, a place or anything received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measurement {
    /// A pairing session was opened.
    SessionOpened,
    /// A pairing session ended, and how.
    SessionEnded(SessionEnd),
    /// A request or a payload was refused, in any step of the validation order.
    Refused(ErrorCode),
    /// An act that needs the administrator's PIN was refused.
    AdministratorRefused(ErrorCode),
    /// A phase ended, well or not, after this time.
    PhaseFinished(Phase, Duration),
    /// A payload was installed: the time from its arrival to the commit, without the time in which a person decided.
    Provisioned(Duration),
}

/// How a pairing session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// With an installed configuration.
    Provisioned,
    /// Nobody used it in its time.
    Expired,
    /// A person cancelled it or opened another, or the service stopped.
    Cancelled,
    /// With a payload that was refused.
    Failed,
}

impl SessionEnd {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Provisioned, Self::Expired, Self::Cancelled, Self::Failed];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "provisioned",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// Counts, and times.
///
/// # Contract
/// Neither waits nor fails: a device that cannot be watched works all the same.
pub trait Measurements: Send + Sync + 'static {
    /// Takes note.
    fn note(&self, measurement: Measurement);

    /// All that was noted since the start, and where the device stands now, as a text for those who collect such.
    fn exposition(&self, report: &StatusReport) -> String;
}

/// Nobody counts.
impl Measurements for () {
    fn note(&self, _: Measurement) {}

    fn exposition(&self, _: &StatusReport) -> String {
        String::new()
    }
}

impl<T: Measurements> Measurements for Arc<T> {
    fn note(&self, measurement: Measurement) {
        T::note(self, measurement);
    }

    fn exposition(&self, report: &StatusReport) -> String {
        T::exposition(self, report)
    }
}
