//! The second half of a retirement: the trust anchor. It comes after everything else is durable, and a start finishes
//! what a power cut interrupted.

use tracing::{error, info, warn};
use zmon_domain::audit::{AuditEntry, AuditEvent};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::status::Retirement;
use zmon_domain::time::Timestamp;
use zmon_ports::{AnchorKeeper, ProvisioningStore};

/// Whether a device may start. To be asked before anything is made of its trust anchor.
///
/// A device whose retirement was interrupted loses its trust anchor now. A retired device that finds a trust anchor
/// again was commissioned anew.
///
/// # Errors
/// `DeviceRetired`; `TrustAnchorKept` where the anchor of a retired device still stands and cannot be erased;
/// `StorageError`.
pub async fn may_start(
    store: &impl ProvisioningStore,
    anchor: &impl AnchorKeeper,
    at: Timestamp,
) -> Result<(), ProvisioningError> {
    match store.load().await?.retirement {
        None => Ok(()),
        Some(Retirement::Begun) => {
            warn!("the retirement of this device was not finished; its trust anchor is erased now");
            finish(store, anchor, at).await?;
            Err(retired())
        }
        Some(Retirement::Done) if anchor.is_there().await => {
            let entry = AuditEntry::new(AuditEvent::DeviceCommissioned)
                .with_detail("a trust anchor was put in place after the retirement");
            store.set_retirement(at, None, &[entry]).await?;
            info!("commissioned again after its retirement");
            Ok(())
        }
        Some(Retirement::Done) => Err(retired()),
    }
}

/// Erases the trust anchor and says so in the store. May be repeated after any interruption.
pub(crate) async fn finish(
    store: &impl ProvisioningStore,
    anchor: &impl AnchorKeeper,
    at: Timestamp,
) -> Result<(), ProvisioningError> {
    if let Err(fault) = anchor.erase().await {
        let entry = AuditEntry::new(AuditEvent::TrustAnchorKept)
            .with_code(ErrorCode::TrustAnchorKept)
            .with_detail(fault.remedy.clone());
        if let Err(unrecorded) = store.record(at, &[entry], None).await {
            error!(
                cause = unrecorded.cause,
                "that the trust anchor is kept could not be recorded"
            );
        }
        return Err(ProvisioningError::new(ErrorCode::TrustAnchorKept, fault.remedy));
    }
    let entry = AuditEntry::new(AuditEvent::TrustAnchorErased);
    store.set_retirement(at, Some(Retirement::Done), &[entry]).await?;
    info!("the trust anchor is erased");
    Ok(())
}

fn retired() -> ProvisioningError {
    ProvisioningError::new(
        ErrorCode::DeviceRetired,
        "An administrator retired this device: its trust anchor is erased, and it pairs with nobody.",
    )
}
