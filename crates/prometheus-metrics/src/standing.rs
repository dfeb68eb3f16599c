//! What is not counted but looked up when somebody asks: labels and number of each series.

use zmon_domain::certificate::CertificateSummary;
use zmon_domain::status::ProvisioningStatus;
use zmon_domain::time::Timestamp;
use zmon_ports::{StatusReport, StorageWarning};

use crate::metrics::About;
use crate::table;

/// How a gauge is read.
pub(crate) type Read = fn(&About, &StatusReport) -> Vec<(String, u64)>;

pub(crate) fn status(_: &About, report: &StatusReport) -> Vec<(String, u64)> {
    let series = |status: ProvisioningStatus| (table::STATUS.with(status.as_str()), (status == report.status).into());
    ProvisioningStatus::ALL.map(series).into()
}

pub(crate) fn storage_warning(_: &About, report: &StatusReport) -> Vec<(String, u64)> {
    let series = |warning: StorageWarning| {
        let is_so = report.storage == Some(warning);
        (table::WARNING.with(warning.as_str()), is_so.into())
    };
    StorageWarning::ALL.map(series).into()
}

/// Of each kind of certificate that is installed, the end that comes first.
pub(crate) fn certificate_expiry(_: &About, report: &StatusReport) -> Vec<(String, u64)> {
    let Some(installed) = &report.installed else {
        return Vec::new();
    };
    let lists = [
        ("client", installed.certificates.client()),
        ("ca", installed.certificates.ca()),
        ("server", installed.certificates.server()),
    ];
    let first_end = |list: &[CertificateSummary]| list.iter().map(|certificate| certificate.not_after).min();
    lists
        .into_iter()
        .filter_map(|(which, list)| Some((table::CERTIFICATE.with(which), seconds(first_end(list)?))))
        .collect()
}

pub(crate) fn start(about: &About, _: &StatusReport) -> Vec<(String, u64)> {
    vec![(String::new(), seconds(about.started))]
}

pub(crate) fn build(about: &About, _: &StatusReport) -> Vec<(String, u64)> {
    let labels = [label("version", about.version), label("commit", about.commit)];
    vec![(labels.join(","), 1)]
}

/// Values have neither quotes nor backslashes nor line ends in them: all are names of this program's own.
pub(crate) fn label(name: &str, value: &str) -> String {
    format!("{name}=\"{value}\"")
}

/// Since 1970.
const fn seconds(time: Timestamp) -> u64 {
    time.as_millis() / 1000
}
