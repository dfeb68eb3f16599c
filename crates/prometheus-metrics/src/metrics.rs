//! How metrics are kept and written.
//!
//! By hand: the format is a few lines, and what a library for it adds to the device's program is a tenth of a megabyte of the eight
//! that there are. The gate reads it with a parser of another hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zmon_domain::time::Timestamp;
use zmon_ports::{Measurement, Measurements, StatusReport};

use crate::table::{self, BOUNDS, Kind, Metric};

/// What does not change while the service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The software's version.
    pub version: &'static str,
    /// The commit that it was built from.
    pub commit: &'static str,
    /// When the service started.
    pub started: Timestamp,
}

/// Every metric of one device.
#[derive(Debug)]
pub struct PrometheusMetrics {
    about: About,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    counts: BTreeMap<Series, u64>,
    timings: BTreeMap<Series, Timing>,
}

/// The name of a metric, and the value of its label where it has one.
type Series = (&'static str, &'static str);

#[derive(Clone, Copy, Debug, Default)]
struct Timing {
    count: u64,
    sum: Duration,
    /// How many within each bound.
    within: [u64; BOUNDS.len()],
}

impl PrometheusMetrics {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(about: About) -> Self {
        Self {
            about,
            kept: Mutex::default(),
        }
    }

    pub(crate) fn note_store(&self, operation: &'static str, took: Duration, failed: bool) {
        let mut kept = self.kept();
        kept.time(&table::STORE_OPERATIONS, operation, took);
        if failed {
            kept.count(&table::STORE_FAILURES, operation);
        }
    }

    /// Every statement leaves it sound.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn count(&mut self, metric: &Metric, value: &'static str) {
        *self.counts.entry((metric.name, value)).or_default() += 1;
    }

    fn time(&mut self, metric: &Metric, value: &'static str, took: Duration) {
        let timing = self.timings.entry((metric.name, value)).or_default();
        timing.count += 1;
        timing.sum += took;
        for (within, (_, bound)) in timing.within.iter_mut().zip(BOUNDS) {
            *within += u64::from(took <= bound);
        }
    }
}

impl Measurements for PrometheusMetrics {
    fn note(&self, measurement: Measurement) {
        let mut kept = self.kept();
        match measurement {
            Measurement::SessionOpened => kept.count(&table::SESSIONS_OPENED, ""),
            Measurement::SessionEnded(end) => kept.count(&table::SESSIONS_ENDED, end.as_str()),
            Measurement::Refused(code) => kept.count(&table::REFUSALS, code.as_str()),
            Measurement::AdministratorRefused(code) => kept.count(&table::ADMINISTRATOR_REFUSALS, code.as_str()),
            Measurement::PhaseFinished(phase, took) => kept.time(&table::PHASES, phase.as_str(), took),
            Measurement::Provisioned(took) => kept.time(&table::PROVISIONING, "", took),
        }
    }

    fn exposition(&self, report: &StatusReport) -> String {
        let mut page = Page::default();
        let kept = self.kept();
        for metric in table::ALL {
            let name = metric.full_name();
            page.line(format_args!("# HELP {name} {}.", metric.help));
            page.line(format_args!("# TYPE {name} {}", metric.kind.as_str()));
            match metric.kind {
                // All of them, with zero too: whoever watches sees the first one happen.
                Kind::Counter => {
                    for value in metric.values() {
                        let count = kept.counts.get(&(metric.name, value)).unwrap_or(&0);
                        page.sample(&name, &metric.labelled(value), count);
                    }
                }
                Kind::Histogram => {
                    for value in metric.values() {
                        if let Some(timing) = kept.timings.get(&(metric.name, value)) {
                            page.timing(&name, &metric.labelled(value), timing);
                        }
                    }
                }
                Kind::Gauge(read) => {
                    for (labels, number) in read(&self.about, report) {
                        page.sample(&name, &labels, &number);
                    }
                }
            }
        }
        page.0
    }
}

/// The text. Writing to a string cannot fail.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }

    /// `labels` without their braces.
    fn sample(&mut self, name: &str, labels: &str, number: &u64) {
        if labels.is_empty() {
            self.line(format_args!("{name} {number}"));
        } else {
            self.line(format_args!("{name}{{{labels}}} {number}"));
        }
    }

    fn timing(&mut self, name: &str, labels: &str, timing: &Timing) {
        let comma = if labels.is_empty() { "" } else { "," };
        let bounds = BOUNDS.map(|(bound, _)| bound).into_iter().chain(["+Inf"]);
        for (bound, within) in bounds.zip(timing.within.iter().chain([&timing.count])) {
            self.line(format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {within}"));
        }
        let braced = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{labels}}}")
        };
        let (seconds, nanos) = (timing.sum.as_secs(), timing.sum.subsec_nanos());
        self.line(format_args!("{name}_sum{braced} {seconds}.{nanos:09}"));
        self.line(format_args!("{name}_count{braced} {}", timing.count));
    }
}
