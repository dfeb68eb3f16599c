//! The six states of the specification as a value, and the phases of `PAIRING_RECEIVED`.

use core::fmt;

/// Device provisioning status (specification 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProvisioningStatus {
    /// Device not yet provisioned (initial state).
    Unprovisioned,
    /// QR code displayed, waiting for scan.
    ReadyToPair,
    /// Configuration received, validating.
    PairingReceived,
    /// Successfully provisioned.
    Provisioned,
    /// Provisioning failed (error state).
    ProvisioningFailed,
    /// Device de-provisioned (administrator act).
    Deprovisioned,
}

impl ProvisioningStatus {
    /// All of them, in the specification's order.
    pub const ALL: [Self; 6] = [
        Self::Unprovisioned,
        Self::ReadyToPair,
        Self::PairingReceived,
        Self::Provisioned,
        Self::ProvisioningFailed,
        Self::Deprovisioned,
    ];

    /// The specification's spelling, as it stands in answers, events and the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unprovisioned => "UNPROVISIONED",
            Self::ReadyToPair => "READY_TO_PAIR",
            Self::PairingReceived => "PAIRING_RECEIVED",
            Self::Provisioned => "PROVISIONED",
            Self::ProvisioningFailed => "PROVISIONING_FAILED",
            Self::Deprovisioned => "DEPROVISIONED",
        }
    }

    /// The status of that spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl fmt::Display for ProvisioningStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The states that survive a restart; from any other the device returns to the last of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PersistedStatus {
    /// See [`ProvisioningStatus::Unprovisioned`].
    #[default]
    Unprovisioned,
    /// See [`ProvisioningStatus::Provisioned`].
    Provisioned,
    /// See [`ProvisioningStatus::Deprovisioned`].
    Deprovisioned,
}

impl From<PersistedStatus> for ProvisioningStatus {
    fn from(status: PersistedStatus) -> Self {
        match status {
            PersistedStatus::Unprovisioned => Self::Unprovisioned,
            PersistedStatus::Provisioned => Self::Provisioned,
            PersistedStatus::Deprovisioned => Self::Deprovisioned,
        }
    }
}

impl PersistedStatus {
    /// The persisted status of that spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Unprovisioned, Self::Provisioned, Self::Deprovisioned]
            .into_iter()
            .find(|status| ProvisioningStatus::from(*status).as_str() == name)
    }
}

/// How far the retirement of a device has come. It survives restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retirement {
    /// An administrator retired the device; its trust anchor is to be erased.
    Begun,
    /// The trust anchor is gone. One that is there later was put there to commission the device again.
    Done,
}

impl Retirement {
    /// The name that stands in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "BEGUN",
            Self::Done => "DONE",
        }
    }

    /// The retirement of that spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Begun, Self::Done]
            .into_iter()
            .find(|retirement| retirement.as_str() == name)
    }
}

/// What the device does while it is `PAIRING_RECEIVED`, in order (steps 5 to 12 of the validation order).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Step 5.
    VerifyingSignature,
    /// Steps 6 to 9: fields, addressee, time, pairing code.
    CheckingPayload,
    /// Step 10.
    CheckingCertificates,
    /// Step 11: the server is tried with the new credentials, where that is configured.
    TestingConnection,
    /// Step 11: a person at the device is asked, where that is configured.
    AwaitingConfirmation,
    /// Step 12: one transaction.
    Applying,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::VerifyingSignature,
        Self::CheckingPayload,
        Self::CheckingCertificates,
        Self::TestingConnection,
        Self::AwaitingConfirmation,
        Self::Applying,
    ];

    /// The name that events and logs use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VerifyingSignature => "VERIFYING_SIGNATURE",
            Self::CheckingPayload => "CHECKING_PAYLOAD",
            Self::CheckingCertificates => "CHECKING_CERTIFICATES",
            Self::TestingConnection => "TESTING_CONNECTION",
            Self::AwaitingConfirmation => "AWAITING_CONFIRMATION",
            Self::Applying => "APPLYING",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
