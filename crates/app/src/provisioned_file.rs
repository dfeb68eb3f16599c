//! A file that is there exactly while the device is provisioned, for whoever waits for that: a systemd path unit, a
//! shell script, the monitor application.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tracing::{error, info};
use zmon_ports::{EventSubscription, ProvisioningService, StatusReport};

use crate::files;

/// Anybody who reaches the directory may read it; it holds nothing secret.
const MODE: u32 = 0o644;

/// One line of JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    status: &'a str,
    device_id: &'a str,
    completed_at: u64,
}

/// Keeps the file in step with the status.
#[derive(Debug)]
pub struct ProvisionedFile {
    path: PathBuf,
    /// What stands there, as far as this process knows.
    known: Option<Option<String>>,
}

impl ProvisionedFile {
    /// At `path`, whatever may be there from before.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            known: None,
        }
    }

    /// Writes or removes the file, where that is not done already. A fault is told in the log, and the next call tries
    /// again: the device works without the file.
    pub fn update(&mut self, report: &StatusReport) {
        let wanted = report.installed.as_ref().map(|installed| {
            let content = Content {
                status: report.status.as_str(),
                device_id: installed.settings.device_id.as_str(),
                completed_at: installed.completed_at.as_millis(),
            };
            serde_json::to_string(&content).unwrap_or_default() + "\n"
        });
        if self.known.as_ref() == Some(&wanted) {
            return;
        }
        let done = match &wanted {
            Some(content) => files::replace(&self.path, MODE, content.as_bytes()),
            None => files::remove(&self.path),
        };
        let path = self.path.display();
        match done {
            Ok(()) => {
                info!(%path, provisioned = wanted.is_some(), "the file that tells whether the device is provisioned is right");
                self.known = Some(wanted);
            }
            Err(fault) => error!(
                %path,
                cause = %fault,
                "the file that tells whether the device is provisioned cannot be changed; see that its directory exists and \
                 is this user's, or set application.provisioned_file"
            ),
        }
    }

    /// Keeps the file right until the service has ended. Once it has, the file stays as it is: the device is still
    /// provisioned, or still not.
    pub async fn keep(mut self, service: impl ProvisioningService, mut events: impl EventSubscription) {
        // What the event says does not matter: the status knows everything, even where events were missed.
        while events.next().await.is_some() {
            self.update(&service.get_status().await);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use zmon_domain::status::ProvisioningStatus as Status;
    use zmon_testkit::fake_service::{FakeService, report};

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("provisioned");
        (directory, path)
    }

    #[test]
    fn is_there_exactly_while_the_device_is_provisioned() {
        let (directory, path) = place();
        let mut file = ProvisionedFile::new(&path);
        for status in Status::ALL {
            file.update(&report(status));
            assert_eq!(path.exists(), status == Status::Provisioned, "{status}");
        }
        file.update(&report(Status::Provisioned));
        let text = fs::read_to_string(&path).unwrap();
        let expected = "{\"status\":\"PROVISIONED\",\"deviceId\":\"ZM-ICU-MON-04\",\"completedAt\":1764000000000}\n";
        assert_eq!(text, expected);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "nothing else is left"
        );
    }

    #[test]
    fn is_right_after_a_start_whatever_was_there() {
        let (_directory, path) = place();
        fs::write(&path, "from before a crash").unwrap();
        ProvisionedFile::new(&path).update(&report(Status::Unprovisioned));
        assert!(!path.exists());
        fs::write(path.with_added_extension("new"), "torn").unwrap();
        ProvisionedFile::new(&path).update(&report(Status::Provisioned));
        assert!(fs::read_to_string(&path).unwrap().contains("PROVISIONED"));
    }

    #[test]
    fn writes_through_no_link() {
        let (directory, path) = place();
        let target = directory.path().join("other");
        fs::write(&target, "kept").unwrap();
        symlink(&target, &path).unwrap();
        symlink(&target, path.with_added_extension("new")).unwrap();
        ProvisionedFile::new(&path).update(&report(Status::Provisioned));
        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn is_tried_again_where_it_could_not_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("later/provisioned");
        let mut file = ProvisionedFile::new(&path);
        file.update(&report(Status::Provisioned));
        assert!(!path.exists());
        fs::create_dir(directory.path().join("later")).unwrap();
        file.update(&report(Status::Provisioned));
        assert!(path.exists());
    }

    #[tokio::test]
    async fn follows_the_events() {
        let (_directory, path) = place();
        let service = FakeService::new();
        let kept = tokio::spawn(ProvisionedFile::new(&path).keep(service.clone(), service.subscribe()));
        for (status, there) in [(Status::Provisioned, true), (Status::Deprovisioned, false)] {
            service.report_with(report(status));
            service.announce(zmon_domain::signal::ProvisioningSignal::StatusChanged { status, phase: None });
            let right = async || {
                while path.exists() != there {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(20), right())
                .await
                .unwrap();
        }
        kept.abort();
    }
}
