//! The JSON document of what the device finds out about itself.

use serde::{Deserialize, Serialize};
use zmon_ports::Examination;

/// What nobody but the running service can see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ExaminationView {
    /// What the wall clock says.
    pub now: u64,
    /// Whether the kernel calls it synchronised.
    pub clock_synchronised: bool,
    /// The time floor: no time before it is believed.
    pub time_floor: u64,
    /// Whether the HTTPS listener is open: while pairing is, and for a while after its end.
    pub listening: bool,
    /// Whether the installed private key is the installed certificate's; null where nothing is installed.
    pub key_belongs: Option<bool>,
    /// Whether an administrator retired the device: it pairs with nobody.
    pub retired: bool,
}

impl From<&Examination> for ExaminationView {
    fn from(examination: &Examination) -> Self {
        Self {
            now: examination.wall.now.as_millis(),
            clock_synchronised: examination.wall.synchronised,
            time_floor: examination.time_floor.as_millis(),
            listening: examination.listening,
            key_belongs: examination.key_belongs,
            retired: examination.retired,
        }
    }
}
