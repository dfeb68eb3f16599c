//! What a store holds, and whether that is exactly the old state or exactly the new one.

use std::path::Path;

use zmon_domain::audit::AuditEvent;
use zmon_domain::certificate::Possession;
use zmon_domain::checks::Credentials;
use zmon_domain::machine::Persisted;
use zmon_domain::pairing::Sha256Digest;
use zmon_domain::status::ProvisioningStatus as Status;
use zmon_domain::time::Timestamp;
use zmon_ports::ProvisioningStore as _;
use zmon_sqlcipher_certstore::{AuditRecord, AuditVerdict, FileKeySource, SqlcipherStore};
use zmon_x509_facts::{BundleTexts, examine_texts};

use crate::site::Site;

const MOST_RECORDS: u32 = 10_000;

/// What an act was to bring about.
#[derive(Clone, Debug)]
pub(crate) enum Goal {
    Installed {
        body_sha256: Sha256Digest,
        client_certificate: String,
        client_private_key: String,
        ca_certificate: String,
    },
    Erased,
    /// The database has another key, and holds what it held.
    Rotated,
}

/// What is right after a cut.
pub(crate) struct Expected<'a> {
    /// What was there before; none where there was nothing.
    pub(crate) old: Option<&'a Snapshot>,
    /// What was on its way; none where the cut came before it was asked for.
    pub(crate) goal: Option<Goal>,
    /// Whether somebody was told that it is done.
    pub(crate) acknowledged: bool,
}

/// Which of the two a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Old,
    New,
}

/// Everything in a store.
pub(crate) struct Snapshot {
    pub(crate) persisted: Persisted,
    credentials: Option<Credentials>,
    records: Vec<AuditRecord>,
}

impl Snapshot {
    /// Opens the store in a folder, as the device does at its start.
    pub(crate) fn read(state: &Path, site: &Site) -> Result<Self, String> {
        site.block_on(async {
            let keys = FileKeySource::new(state.join("store.key"));
            let store = SqlcipherStore::open(&state.join("store.db"), &keys, Timestamp::default())
                .await
                .map_err(|fault| fault.cause)?;
            let read = async {
                let loaded = store.load().await?;
                let verdict = store.verify_audit().await?;
                let credentials = store.credentials().await?;
                let records = store.audit_records(1, MOST_RECORDS).await?;
                Ok::<_, zmon_ports::StoreFault>((loaded, verdict, credentials, records))
            };
            let outcome = read.await.map_err(|fault| fault.cause);
            store.close().await;
            let (loaded, verdict, credentials, records) = outcome?;
            if verdict != AuditVerdict::Intact(loaded.audit) {
                return Err(format!("the audit is {verdict:?}, and should be {:?}", loaded.audit));
            }
            Ok(Self {
                persisted: loaded.persisted,
                credentials,
                records,
            })
        })
    }

    pub(crate) fn status(&self) -> Status {
        match self.persisted {
            Persisted::Unprovisioned => Status::Unprovisioned,
            Persisted::Provisioned(_) => Status::Provisioned,
            Persisted::Deprovisioned => Status::Deprovisioned,
        }
    }

    /// The details of all records of an event.
    pub(crate) fn details(&self, event: AuditEvent) -> Vec<&str> {
        let records = self.records.iter().filter(|record| record.event == event.as_str());
        records.filter_map(|record| record.detail.as_deref()).collect()
    }

    fn says_after(&self, old: &[AuditRecord], event: AuditEvent) -> bool {
        self.records[old.len()..]
            .iter()
            .any(|record| record.event == event.as_str())
    }

    /// Which side this is; an error says in what way it is neither.
    pub(crate) fn judge(&self, expected: &Expected<'_>) -> Result<Side, String> {
        self.holds_together()?;
        let before: &[AuditRecord] = match expected.old {
            Some(old) => &old.records,
            None => &[],
        };
        if !self.records.starts_with(before) {
            return Err("audit records that were there are gone".into());
        }
        let side = self.side(expected, before)?;
        let completed = match &expected.goal {
            Some(Goal::Installed { .. }) => Some(AuditEvent::ProvisioningCompleted),
            Some(Goal::Erased) => Some(AuditEvent::Deprovisioned),
            // Its record is what tells the sides apart.
            Some(Goal::Rotated) | None => None,
        };
        if let Some(event) = completed
            && self.says_after(before, event) != (side == Side::New)
        {
            return Err(format!("the state is {side:?}, but the audit says otherwise"));
        }
        if expected.acknowledged && expected.goal.is_some() && side == Side::Old {
            return Err("what was acknowledged is lost".into());
        }
        Ok(side)
    }

    fn side(&self, expected: &Expected<'_>, before: &[AuditRecord]) -> Result<Side, String> {
        if let Some(goal) = &expected.goal
            && self.reached(goal)
        {
            return Ok(Side::New);
        }
        let same = match expected.old {
            Some(old) => {
                format!("{:?}", self.persisted) == format!("{:?}", old.persisted)
                    && texts(self.credentials.as_ref()) == texts(old.credentials.as_ref())
            }
            None => self.status() == Status::Unprovisioned,
        };
        if same
            && matches!(expected.goal, Some(Goal::Rotated))
            && self.says_after(before, AuditEvent::DatabaseKeyRotated)
        {
            Ok(Side::New)
        } else if same {
            Ok(Side::Old)
        } else {
            Err(format!("neither old nor new: {:?}", self.persisted))
        }
    }

    fn reached(&self, goal: &Goal) -> bool {
        match (goal, &self.persisted) {
            (
                Goal::Installed {
                    body_sha256,
                    client_certificate,
                    client_private_key,
                    ca_certificate,
                },
                Persisted::Provisioned(installed),
            ) => {
                let wanted = [client_certificate, client_private_key, ca_certificate].map(String::as_str);
                installed.body_sha256 == *body_sha256 && texts(self.credentials.as_ref()) == Some(wanted)
            }
            (Goal::Erased, Persisted::Deprovisioned) => self.credentials.is_none(),
            _ => false,
        }
    }

    /// Key, certificates and what is tracked about them belong together.
    fn holds_together(&self) -> Result<(), String> {
        let (Persisted::Provisioned(installed), Some(credentials)) = (&self.persisted, &self.credentials) else {
            return match self.credentials {
                Some(_) => Err("there are credentials, but no configuration".into()),
                None if self.status() == Status::Provisioned => {
                    Err("there is a configuration without credentials".into())
                }
                None => Ok(()),
            };
        };
        let facts = examine_texts(&BundleTexts {
            client_certificate: &credentials.client_certificate,
            client_private_key: credentials.client_private_key.expose(),
            ca_certificate: &credentials.ca_certificate,
            server_certificate: credentials.server_certificate.as_deref(),
            at: installed.completed_at,
            synchronised: false,
        });
        let proven = facts.key.read().next().map(|key| key.possession) == Some(Possession::Proven);
        let leaf = facts.client.certificates.read().next().map(|leaf| leaf.summary.sha256);
        if !proven {
            Err("the key is not the certificate's".into())
        } else if leaf != Some(installed.certificates.leaf().sha256) {
            Err("what is tracked is about another certificate".into())
        } else {
            Ok(())
        }
    }
}

fn texts(credentials: Option<&Credentials>) -> Option<[&str; 3]> {
    credentials.map(|credentials| {
        [
            credentials.client_certificate.as_str(),
            credentials.client_private_key.expose(),
            credentials.ca_certificate.as_str(),
        ]
    })
}
