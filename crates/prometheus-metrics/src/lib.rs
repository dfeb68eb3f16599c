//! Counts and timings in the text format of Prometheus.
//!
//! [`PrometheusMetrics`] implements the port [`Measurements`](zmon_ports::Measurements): it keeps what the use cases note, and
//! writes it out when it is asked. [`TimedStore`] stands in front of a store and times every access.
//!
//! | file | what it alone knows |
//! | --- | --- |
//! | `table.rs` | which metrics there are, their labels, and what they mean; `docs/metrics.md` is made from it |
//! | `metrics.rs` | how they are kept and written |
//! | `standing.rs` | what is looked up when somebody asks |
//! | `timed_store.rs` | what is timed of a store |
//!
//! Every label has a closed set of values. Nothing here knows a name, an address or anything received.

mod metrics;
mod standing;
mod table;
mod timed_store;

pub use metrics::{About, PrometheusMetrics};
pub use table::reference;
pub use timed_store::TimedStore;
