//! Storage that fails in the middle of an act: what is known then is told, and what is not is read again.

use std::time::Duration;

use tracing::{info, warn};
use zmon_domain::audit::{AuditEntry, AuditEvent};
use zmon_domain::machine::{Persisted, State};
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::time::Monotonic;
use zmon_ports::{Clock, PairingListener, ProvisioningStore, StorageWarning, StoredState};

use crate::adapters::Ports;
use crate::effects::{Core, Held};

/// How long the storage is left alone where nobody asks for anything.
const PAUSE: Duration = Duration::from_secs(60);

impl<P: Ports> Core<P> {
    /// Tries again what the storage did not let happen.
    pub(crate) async fn tend_storage(&self, held: &mut Held) {
        match held.storage {
            None => {}
            Some(StorageWarning::FormerKeyKept) => self.look_for_former_key(held).await,
            // A session began after the store could be written again, and is let come to its end, with its payload.
            Some(StorageWarning::StatusUncertain) if held.state.session().is_some() || held.state.phase().is_some() => {
            }
            Some(StorageWarning::StatusUncertain) => {
                if let Ok(stored) = self.adapters().store.load().await {
                    held.storage = None;
                    self.believe(held, stored).await;
                    self.look_for_former_key(held).await;
                }
            }
        }
    }

    /// When to try again where nothing else happens.
    pub(crate) fn storage_deadline(&self, held: &Held) -> Option<Monotonic> {
        let waits = held.storage.is_some() || self.repeats().has_unrecorded();
        waits.then(|| self.adapters().clock.monotonic().plus(PAUSE))
    }

    /// Whether a former database key lies beside the database: that is said and recorded when it begins, and recorded
    /// when it is over.
    pub(crate) async fn look_for_former_key(&self, held: &mut Held) {
        let store = &self.adapters().store;
        let known = held.storage == Some(StorageWarning::FormerKeyKept);
        let event = match store.destroy_former_key().await {
            Ok(late) => {
                if known {
                    held.storage = None;
                }
                if !late {
                    return;
                }
                info!("a former database key is destroyed");
                AuditEvent::FormerKeyDestroyed
            }
            Err(_) if known => return,
            Err(fault) => {
                warn!(cause = fault.cause, "a former database key is not destroyed");
                // An uncertain status is the graver warning; this is looked for again once the status is known.
                held.storage.get_or_insert(StorageWarning::FormerKeyKept);
                AuditEvent::FormerKeyKept
            }
        };
        let at = self.time_view(held).now();
        self.record_or_keep(at, vec![AuditEntry::new(event)]).await;
    }

    /// What the store says counts, where it says something else than was believed.
    async fn believe(&self, held: &mut Held, stored: StoredState) {
        held.time_floor = stored.time_floor;
        held.destruction = stored.destruction;
        held.retired = stored.retirement.is_some();
        let is_installed = matches!(stored.persisted, Persisted::Provisioned(_));
        if is_installed == held.state.installed().is_some() {
            return;
        }
        held.state = State::from(stored.persisted);
        self.adapters().listener.close().await;
        let (status, phase) = (held.state.status(), held.state.phase());
        warn!(%status, "the store was read again after its storage had failed: the status is another");
        // Nobody listening is no fault.
        let _ = self.signals.send(ProvisioningSignal::StatusChanged { status, phase });
    }
}
