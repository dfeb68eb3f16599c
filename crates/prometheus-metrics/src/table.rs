//! The metrics: the one place that says which there are.

use std::fmt::Write as _;
use std::time::Duration;

use zmon_domain::error::ErrorCode;
use zmon_domain::status::{Phase, ProvisioningStatus};
use zmon_ports::{SessionEnd, StorageWarning};

use crate::standing::{self, Read};
use crate::timed_store::Operation;

/// What kind of number it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Grows, from zero at the start of the service.
    Counter,
    /// How long something took, in seconds: how often, how long altogether, and how many within each bound.
    Histogram,
    /// May be anything at any time, and is looked up when somebody asks.
    Gauge(Read),
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Gauge(_) => "gauge",
        }
    }
}

/// What tells the series of a metric apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) name: &'static str,
    /// Every value that it can have.
    pub(crate) values: fn() -> Vec<&'static str>,
}

impl Label {
    /// With this value, as it is read.
    pub(crate) fn with(&self, value: &str) -> String {
        standing::label(self.name, value)
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    /// Without the `_total` of a counter.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) label: Option<Label>,
    /// Without a full stop at the end.
    pub(crate) help: &'static str,
}

/// Upper bounds of the histograms, as they are written and as they are. The aims are 50 ms and 500 ms for the installation of a
/// payload, and never more than five seconds; a person has a minute.
pub(crate) const BOUNDS: [(&str, Duration); 13] = [
    ("0.001", Duration::from_millis(1)),
    ("0.002", Duration::from_millis(2)),
    ("0.005", Duration::from_millis(5)),
    ("0.02", Duration::from_millis(20)),
    ("0.05", Duration::from_millis(50)),
    ("0.1", Duration::from_millis(100)),
    ("0.2", Duration::from_millis(200)),
    ("0.5", Duration::from_millis(500)),
    ("1", Duration::from_secs(1)),
    ("2", Duration::from_secs(2)),
    ("5", Duration::from_secs(5)),
    ("15", Duration::from_secs(15)),
    ("60", Duration::from_secs(60)),
];

const OUTCOME: Label = Label {
    name: "outcome",
    values: || SessionEnd::ALL.map(SessionEnd::as_str).into(),
};
const CODE: Label = Label {
    name: "code",
    values: || ErrorCode::ALL.iter().map(|code| code.as_str()).collect(),
};
const PHASE: Label = Label {
    name: "phase",
    values: || Phase::ALL.map(Phase::as_str).into(),
};
const OPERATION: Label = Label {
    name: "operation",
    values: || Operation::ALL.iter().map(|operation| operation.as_str()).collect(),
};
pub(crate) const STATUS: Label = Label {
    name: "status",
    values: || ProvisioningStatus::ALL.map(ProvisioningStatus::as_str).into(),
};
pub(crate) const WARNING: Label = Label {
    name: "warning",
    values: || StorageWarning::ALL.map(StorageWarning::as_str).into(),
};
pub(crate) const CERTIFICATE: Label = Label {
    name: "certificate",
    values: || vec!["client", "ca", "server"],
};

macro_rules! metrics {
    ($($constant:ident = $kind:ident $(($read:path))? $name:literal $([$label:ident])?, $help:literal;)*) => {
        $(pub(crate) const $constant: Metric = Metric {
            name: $name,
            kind: Kind::$kind $(($read))?,
            label: metrics!(@label $($label)?),
            help: $help,
        };)*

        /// Every one, in the order of the document.
        pub(crate) const ALL: &[Metric] = &[$($constant,)*];
    };
    (@label) => { None };
    (@label $label:ident) => { Some($label) };
}

metrics! {
    SESSIONS_OPENED = Counter "zmon_pairing_sessions_opened",
        "Pairing sessions that were opened: QR codes that came onto the screen";
    SESSIONS_ENDED = Counter "zmon_pairing_sessions_ended" [OUTCOME],
        "Pairing sessions that ended: with an installed configuration, unused after their time, cancelled (by a person, by another \
         session, by the stop of the service), or with a configuration that was refused";
    REFUSALS = Counter "zmon_refusals" [CODE],
        "Pushes that were refused, by error code, from the first look at a request to the installation";
    ADMINISTRATOR_REFUSALS = Counter "zmon_administrator_refusals" [CODE],
        "Refused acts that need the administrator's PIN, by error code; AdminRequired is a wrong PIN";
    PHASES = Histogram "zmon_phase_duration_seconds" [PHASE],
        "How long each phase of the checks and of the installation took, whether it ended well or not";
    PROVISIONING = Histogram "zmon_provisioning_duration_seconds",
        "From the arrival of a whole configuration to its commit in the store, without the time in which a person decided; \
         installed ones alone";
    STORE_OPERATIONS = Histogram "zmon_store_operation_duration_seconds" [OPERATION],
        "How long accesses to the encrypted store took, whether they ended well or not; an operation is there from its first use on";
    STORE_FAILURES = Counter "zmon_store_failures" [OPERATION],
        "Accesses to the encrypted store that failed";
    STATUS_NOW = Gauge(standing::status) "zmon_status" [STATUS],
        "Where the device stands: 1 for the status that it has, 0 for the others";
    STORAGE_WARNINGS = Gauge(standing::storage_warning) "zmon_storage_warning" [WARNING],
        "What is wrong with the storage while the device goes on: 1 where it is so, 0 where not";
    CERTIFICATE_EXPIRY = Gauge(standing::certificate_expiry) "zmon_certificate_expiry_timestamp_seconds" [CERTIFICATE],
        "When the first of these installed certificates ends, in seconds since 1970; not there where none is installed";
    START = Gauge(standing::start) "zmon_process_start_time_seconds",
        "When the service started, in seconds since 1970, by the device's clock at that moment";
    BUILD = Gauge(standing::build) "zmon_build_info",
        "Always 1; the labels version and commit say which software this is";
}

impl Metric {
    /// As it is read.
    pub(crate) fn full_name(&self) -> String {
        let total = if matches!(self.kind, Kind::Counter) {
            "_total"
        } else {
            ""
        };
        format!("{}{total}", self.name)
    }

    /// Every value of its label; an empty one where it has none.
    pub(crate) fn values(&self) -> Vec<&'static str> {
        self.label.map_or_else(|| vec![""], |label| (label.values)())
    }

    /// Its label with this value, as it is read; nothing where it has none.
    pub(crate) fn labelled(&self, value: &str) -> String {
        self.label.map_or_else(String::new, |label| label.with(value))
    }

    /// Name and values of its label, for the document.
    fn label_for_people(&self) -> String {
        match &self.label {
            None => String::new(),
            Some(label) if label.name == CODE.name => "`code`: one of the [error catalogue](error-catalogue.md)".into(),
            Some(label) => {
                let values: Vec<_> = (label.values)().iter().map(|value| format!("`{value}`")).collect();
                format!("`{}`: {}", label.name, values.join(", "))
            }
        }
    }
}

/// The table of `docs/metrics.md`.
#[must_use]
pub fn reference() -> String {
    let mut text =
        String::from("| metric | kind | label and its values | what it means |\n| --- | --- | --- | --- |\n");
    for metric in ALL {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            metric.full_name(),
            metric.kind.as_str(),
            metric.label_for_people(),
            metric.help
        );
    }
    text
}
