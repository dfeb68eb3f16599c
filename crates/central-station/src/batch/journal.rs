//! What has happened to each device, in a file of JSON lines that survives everything: the batch goes on from it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::home::at;

/// How far a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Its body is kept; it may have been sent.
    Sealed,
    /// Its receipt is verified and kept.
    Provisioned,
    /// It was refused or could not be reached.
    Failed,
}

/// One line of the journal: what is known about a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The device.
    pub device_id: String,
    /// How far it is.
    pub state: State,
    /// The key of the session that the kept body is sealed for, or that brought the device to its end; none where the body
    /// is worth nothing any more.
    pub session_key: Option<String>,
    /// What happened, in one word.
    pub code: String,
    /// What happened.
    pub detail: String,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// The journal, locked against a second batch in the same folder.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Length of the whole lines, in bytes.
    length: u64,
    entries: HashMap<String, Entry>,
}

impl Journal {
    /// Opens or begins the journal. A line that a crash cut short is removed: it was never acted upon.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(at("open", path))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                let path = path.display();
                Fault::local(format!(
                    "{path} is in use: another batch runs in this folder. Wait for its end; nothing was sent."
                ))
            }
            TryLockError::Error(error) => at("lock", path)(error),
        })?;
        let mut entries = HashMap::new();
        let mut whole = 0_u64;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(at("read", path))?;
            if read == 0 || line.last() != Some(&b'\n') {
                break;
            }
            let entry: Entry = serde_json::from_slice(&line).map_err(|_| {
                let path = path.display();
                Fault::local(format!(
                    "{path} is damaged at byte {whole}. Begin in a new folder with --out."
                ))
            })?;
            whole += read as u64;
            entries.insert(entry.device_id.clone(), entry);
        }
        drop(reader);
        file.set_len(whole).map_err(at("repair", path))?;
        let mut file = file;
        file.seek(SeekFrom::End(0)).map_err(at("read", path))?;
        Ok(Self {
            file,
            length: whole,
            entries,
        })
    }

    pub(super) fn entry(&self, device_id: &str) -> Option<&Entry> {
        self.entries.get(device_id)
    }

    /// Writes an entry, durably, before anything that relies on it happens.
    pub(super) fn write(&mut self, entry: Entry) -> Result<(), Fault> {
        let failed = |error: &dyn std::fmt::Display| Fault::local(format!("Cannot write the journal: {error}."));
        let line = serde_json::to_string(&entry).map_err(|error| failed(&error))?;
        let line = format!("{line}\n");
        let written = self
            .file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line would damage the one that comes after it.
            let _ = self.file.set_len(self.length);
            return Err(failed(&error));
        }
        self.length += line.len() as u64;
        self.entries.insert(entry.device_id.clone(), entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zmon_testkit::mutation::{any_bytes, cases, changed};

    use super::*;

    const LINES: &str = concat!(
        r#"{"deviceId":"ZM-1","state":"SEALED","sessionKey":"a2V5","code":"Sealed","detail":"","at":1}"#,
        "\n",
        r#"{"deviceId":"ZM-2","state":"FAILED","sessionKey":null,"code":"NoConnection","detail":"\"no\"","at":2}"#,
        "\n",
        r#"{"deviceId":"ZM-1","state":"PROVISIONED","sessionKey":"a2V5","code":"Provisioned","detail":"","at":3}"#,
        "\n",
    );

    fn entry(device_id: &str) -> Entry {
        Entry {
            device_id: device_id.into(),
            state: State::Sealed,
            session_key: None,
            code: "Sealed".into(),
            detail: String::new(),
            at: 4,
        }
    }

    proptest! {
        #![proptest_config(cases(300))]

        /// What is opened can be written to, and the next run reads all of it.
        #[test]
        fn reads_a_damaged_journal_to_the_end_or_says_where_it_is_damaged(
            damaged in changed(LINES), noise in any_bytes(200), random in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal.jsonl");
            std::fs::write(&path, if random { &noise } else { &damaged }).unwrap();
            match Journal::open(&path) {
                Err(fault) => prop_assert!(fault.detail().contains("damaged at byte"), "{}", fault),
                Ok(mut journal) => {
                    let before = journal.entries.clone();
                    journal.write(entry("ZM-3")).unwrap();
                    drop(journal);
                    let again = Journal::open(&path).unwrap();
                    prop_assert_eq!(again.entry("ZM-3"), Some(&entry("ZM-3")));
                    prop_assert!(before.iter().filter(|(id, _)| *id != "ZM-3").all(|(id, entry)| again.entry(id) == Some(entry)));
                }
            }
        }
    }

    #[test]
    fn is_one_runs_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let first = Journal::open(&path).unwrap();
        let refusal = Journal::open(&path).unwrap_err();
        assert!(refusal.detail().contains("another batch"), "{refusal}");
        drop(first);
        Journal::open(&path).unwrap();
    }
}
