//! `docs/metrics.md`: the table of the metrics, and how they are collected.

use zmon_prometheus_metrics::reference;

const BEFORE: &str = "\
# Metrics

<!-- Generated from the code by `cargo xtask docs --write`; edits here are lost. -->

For whoever watches many monitors. `GET /v1/metrics` on the control socket gives what the service has counted and timed since it
started, and where the monitor stands, in the text format of Prometheus, version 0.0.4:

```sh
curl --unix-socket /run/zmon-provision/control.sock http://localhost/v1/metrics
```

Nothing in it says which monitor, bed, server or sender it is about, and nothing is secret: every label has a closed set of values.
Counters begin at zero with each start of the service. Times are seconds.

";

const AFTER: &str = "\
Counters are there with the value zero from the start, so that the first refusal is seen as one; so are the statuses. A histogram has,
as usual, `_bucket` (label `le`, the upper bound), `_sum` and `_count`, and its series begin with the first measurement.

`zmon_refusals_total` counts more than payloads: a stranger who knocks at the open listener is there, too, with the code that they
were refused with. Worth an alert are a certificate that ends soon, a storage warning, failures of the store, and wrong PINs:

```promql
zmon_certificate_expiry_timestamp_seconds - time() < 30 * 86400
zmon_storage_warning > 0
increase(zmon_store_failures_total[1h]) > 0
increase(zmon_administrator_refusals_total{code=\"AdminRequired\"}[1h]) > 3
```

## How to collect them

The service opens no port for this. On the monitor, whoever may use the control socket (the group that `control.group` names) can
read them; from there they go the way that the hospital's other numbers go. With node_exporter and its textfile collector, a timer
runs, for example every minute:

```sh
curl --silent --fail --output /var/lib/node_exporter/zmon.prom.new \\
    --unix-socket /run/zmon-provision/control.sock http://localhost/v1/metrics &&
    mv /var/lib/node_exporter/zmon.prom.new /var/lib/node_exporter/zmon.prom
```

Where Prometheus reaches the monitor itself, a reverse proxy that passes on this one path and nothing else does it. Never pass on the
whole control socket: whoever reaches it can open pairing.
";

pub(crate) fn document() -> String {
    format!("{BEFORE}{}\n{AFTER}", reference())
}
