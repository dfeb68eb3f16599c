//! The specification's six signals. None carries a secret.

use alloc::boxed::Box;

use crate::error::ProvisioningError;
use crate::pairing::SessionId;
use crate::result::ProvisioningResult;
use crate::status::{Phase, ProvisioningStatus};
use crate::time::Timestamp;

/// What subscribers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProvisioningSignal {
    /// `qrCodeGenerated`: a QR code is on the screen. Code and keys are not in the signal.
    QrCodeGenerated {
        /// The session.
        session: SessionId,
        /// For display.
        expires_at: Timestamp,
    },
    /// `qrCodeExpired`.
    QrCodeExpired,
    /// `configurationReceived`: sent after the signature was verified; says nothing of the payload.
    ConfigurationReceived {
        /// The session.
        session: SessionId,
    },
    /// `provisioningCompleted`.
    ProvisioningCompleted(Box<ProvisioningResult>),
    /// `provisioningFailed`.
    ProvisioningFailed(ProvisioningError),
    /// `statusChanged`.
    StatusChanged {
        /// The new status.
        status: ProvisioningStatus,
        /// Set while the status is `PAIRING_RECEIVED`.
        phase: Option<Phase>,
    },
}

impl ProvisioningSignal {
    /// The specification's name of the signal.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::QrCodeGenerated { .. } => "qrCodeGenerated",
            Self::QrCodeExpired => "qrCodeExpired",
            Self::ConfigurationReceived { .. } => "configurationReceived",
            Self::ProvisioningCompleted(_) => "provisioningCompleted",
            Self::ProvisioningFailed(_) => "provisioningFailed",
            Self::StatusChanged { .. } => "statusChanged",
        }
    }
}
