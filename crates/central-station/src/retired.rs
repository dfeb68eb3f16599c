//! Devices that the station no longer serves: lost, broken, sold. A file of JSON lines in the station's folder.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zmon_domain::identity::DeviceId;
use zmon_domain::time::Timestamp;

use crate::fault::{Fault, FaultCode};
use crate::home::at;

const FILE: &str = "retired";

/// A retired device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retired {
    /// The device.
    pub device_id: String,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Why, where somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The list of retired devices.
#[derive(Clone, Debug)]
pub(crate) struct RetiredDevices {
    file: PathBuf,
}

impl RetiredDevices {
    pub(crate) fn of(home: &Path) -> Self {
        Self { file: home.join(FILE) }
    }

    /// The whole list. A line that cannot be read is a fault: a device on it might be served.
    pub(crate) fn list(&self) -> Result<Vec<Retired>, Fault> {
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(at("read", &self.file)(error)),
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(index, line)| {
                serde_json::from_str(line).map_err(|_| {
                    let (file, number) = (self.file.display(), index + 1);
                    Fault::local(format!(
                        "Line {number} of {file} is not an entry of the list of retired devices."
                    ))
                })
            })
            .collect()
    }

    /// Refuses a device that is on the list.
    pub(crate) fn refuse(&self, device_id: &DeviceId) -> Result<(), Fault> {
        let list = self.list()?;
        let Some(entry) = list.iter().find(|entry| entry.device_id == device_id.as_str()) else {
            return Ok(());
        };
        let reason = entry
            .reason
            .as_ref()
            .map(|reason| format!(" ({reason})"))
            .unwrap_or_default();
        let file = self.file.display();
        Err(Fault::new(
            FaultCode::DeviceRetired,
            format!("{device_id} is retired{reason}: nothing is made for it. The list is {file}."),
        ))
    }

    /// Puts a device on the list, durably.
    pub(crate) fn add(&self, device_id: &DeviceId, reason: Option<&str>, at_time: Timestamp) -> Result<(), Fault> {
        self.refuse(device_id)?;
        let entry = Retired {
            device_id: device_id.as_str().into(),
            at: at_time.as_millis(),
            reason: reason.map(Into::into),
        };
        let line = serde_json::to_string(&entry).map_err(|error| Fault::local(format!("The entry: {error}.")))?;
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.file)
            .map_err(at("open", &self.file))?;
        file.write_all(format!("{line}\n").as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(at("write", &self.file))
    }
}
