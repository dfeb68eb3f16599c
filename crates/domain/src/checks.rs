//! Verification leaves evidence: steps 6 to 11 as a chain of values, each built only from the one before it.
//!
//! The chain starts from a [`Claim`], which the state machine hands out once per session, and from a
//! [`SignedText`]; it ends in an [`Approved`], the only thing that can be installed. What step 11 demands stands in the
//! claim, so that no use case can forget it.

mod step_11;

use alloc::format;

use crate::certificate::{BundleFacts, CertifiedBundle, Expectation, judge};
use crate::error::{ErrorCode, ProvisioningError};
use crate::identity::DeviceId;
use crate::pairing::{PairingCode, SessionId, SessionPublicKey, Sha256Digest};
use crate::payload::{Members, ProvisioningPayload, SignedText};
use crate::secret::SecretText;
use crate::settings::{SettingChange, Settings};
use crate::time::{TimeFault, TimeView, Timestamp};

pub use step_11::{Certified, ConnectionTarget, Demands, ServerReached, Tested, Unconfirmed, Untested};

/// The right to have one payload checked: the outcome of step 4, at most one per session.
#[derive(Debug)]
pub struct Claim {
    pub(crate) session: SessionId,
    pub(crate) pairing_code: PairingCode,
    pub(crate) session_key: SessionPublicKey,
    pub(crate) demands: Demands,
}

impl Claim {
    /// The session that was claimed.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Step 5 has succeeded for the payload that made this claim.
    #[must_use]
    pub fn signed(self, text: SignedText) -> Signed {
        Signed { claim: self, text }
    }
}

/// After step 5.
#[derive(Debug)]
pub struct Signed {
    claim: Claim,
    text: SignedText,
}

impl Signed {
    /// The signed text, to be split into members.
    #[must_use]
    pub const fn text(&self) -> &SignedText {
        &self.text
    }

    /// Step 6.
    ///
    /// # Errors
    /// `PayloadInvalid`.
    pub fn parsed(self, members: Members) -> Result<Parsed, ProvisioningError> {
        Ok(Parsed {
            payload: ProvisioningPayload::parse(members)?,
            claim: self.claim,
        })
    }
}

/// After step 6.
#[derive(Debug)]
pub struct Parsed {
    claim: Claim,
    payload: ProvisioningPayload,
}

impl Parsed {
    /// Step 7: this device, this session.
    ///
    /// # Errors
    /// `DeviceIdMismatch`, `SessionMismatch`.
    pub fn addressed_to(self, device_id: &DeviceId) -> Result<Addressed, ProvisioningError> {
        if self.payload.device_id != device_id.as_str() {
            return Err(ProvisioningError::new(
                ErrorCode::DeviceIdMismatch,
                format!("The payload's deviceId is not {device_id}, the id of this device."),
            ));
        }
        if self.payload.session_key != self.claim.session_key.to_base64url() {
            return Err(ProvisioningError::new(
                ErrorCode::SessionMismatch,
                "The payload's sessionKey is not the key of the QR code on the screen.",
            ));
        }
        Ok(Addressed(self, device_id.clone()))
    }
}

/// After step 7.
#[derive(Debug)]
pub struct Addressed(Parsed, DeviceId);

impl Addressed {
    /// Step 8.
    ///
    /// # Errors
    /// `PayloadExpired`.
    pub fn in_time(self, time: TimeView) -> Result<InTime, ProvisioningError> {
        let payload = &self.0.payload;
        time.check(payload.timestamp, payload.expires_at).map_err(|fault| {
            ProvisioningError::new(
                ErrorCode::PayloadExpired,
                match fault {
                    TimeFault::Lifetime => "The payload's expiresAt must lie after its timestamp, by one hour at most.",
                    TimeFault::Unbelievable => {
                        "The payload's timestamp is later than this device's software can be in use."
                    }
                    TimeFault::Expired => "The payload's expiresAt has passed.",
                    TimeFault::Ahead => {
                        "The payload's timestamp is more than five minutes ahead of this device's synchronised clock."
                    }
                },
            )
        })?;
        let time = time.with_verified(payload.timestamp);
        Ok(InTime {
            parsed: self.0,
            device_id: self.1,
            time,
        })
    }
}

/// After step 8.
#[derive(Debug)]
pub struct InTime {
    parsed: Parsed,
    device_id: DeviceId,
    time: TimeView,
}

impl InTime {
    /// Step 9, in constant time.
    ///
    /// # Errors
    /// `InvalidPairingCode`, the same for every wrong code.
    pub fn paired(self) -> Result<Paired, ProvisioningError> {
        if self
            .parsed
            .claim
            .pairing_code
            .matches(self.parsed.payload.pairing_code.expose())
        {
            Ok(Paired(self))
        } else {
            Err(ErrorCode::InvalidPairingCode.into())
        }
    }
}

/// After step 9.
#[derive(Debug)]
pub struct Paired(InTime);

impl Paired {
    /// What is to be examined for step 10.
    #[must_use]
    pub const fn payload(&self) -> &ProvisioningPayload {
        &self.0.parsed.payload
    }

    /// What step 10 judges against.
    #[must_use]
    pub fn expectation(&self) -> Expectation<'_> {
        Expectation {
            device_id: &self.0.device_id,
            server_host: self.payload().server_url().host(),
            now: self.0.time.now(),
            synchronised: self.0.time.synchronised(),
        }
    }

    /// Step 10.
    ///
    /// # Errors
    /// `InvalidCertificate`.
    pub fn certified(self, facts: &BundleFacts) -> Result<Certified, ProvisioningError> {
        let certificates = judge(facts, &self.expectation())?;
        let InTime {
            parsed,
            device_id,
            time,
        } = self.0;
        let payload = parsed.payload;
        let demands = parsed.claim.demands;
        let approved = Approved {
            session: parsed.claim.session,
            time_floor: time.floor().max(payload.timestamp),
            settings: Settings {
                device_id,
                device_label: payload.device_label,
                server_url: payload.server_url,
                sync_interval: payload.sync_interval,
                measurement_unit: payload.measurement_unit,
                language: payload.language,
            },
            credentials: Credentials {
                client_certificate: payload.client_certificate,
                client_private_key: payload.client_private_key,
                ca_certificate: payload.ca_certificate,
                server_certificate: payload.server_certificate,
            },
            certificates,
            tested: false,
        };
        Ok(Certified::demanded(approved, demands, time))
    }
}

/// What the monitor needs to talk mTLS to its server, as PEM.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Leaf first.
    pub client_certificate: alloc::string::String,
    /// One key.
    pub client_private_key: SecretText,
    /// The trust roots.
    pub ca_certificate: alloc::string::String,
    /// The pinned server certificate, leaf first.
    pub server_certificate: Option<alloc::string::String>,
}

/// A payload that passed every check: the only thing that can be installed.
#[derive(Debug)]
pub struct Approved {
    pub(crate) session: SessionId,
    settings: Settings,
    credentials: Credentials,
    certificates: CertifiedBundle,
    time_floor: Timestamp,
    /// The server was reached with these credentials.
    pub(crate) tested: bool,
}

impl Approved {
    /// What is to be installed, made final by the moment and the POST body it came in.
    #[must_use]
    pub(crate) fn into_installation(self, wall: Timestamp, body_sha256: Sha256Digest) -> Installation {
        let Self {
            session,
            settings,
            credentials,
            certificates,
            time_floor,
            tested: _,
        } = self;
        let completed_at = wall.max(time_floor);
        Installation {
            session,
            settings,
            credentials,
            certificates,
            time_floor,
            completed_at,
            body_sha256,
        }
    }
}

/// What step 12 writes in one transaction. Only the state machine makes one, from an [`Approved`].
#[derive(Debug)]
pub struct Installation {
    session: SessionId,
    settings: Settings,
    credentials: Credentials,
    certificates: CertifiedBundle,
    time_floor: Timestamp,
    completed_at: Timestamp,
    body_sha256: Sha256Digest,
}

impl Installation {
    /// The session that brought it.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Who changes the settings with it, and when.
    #[must_use]
    pub fn change(&self) -> SettingChange {
        SettingChange {
            at: self.completed_at,
            by: format!("Central Station, session {}", self.session),
        }
    }

    /// The six settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Certificates and key as PEM.
    #[must_use]
    pub const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What is tracked about the certificates.
    #[must_use]
    pub const fn certificates(&self) -> &CertifiedBundle {
        &self.certificates
    }

    /// The new time floor.
    #[must_use]
    pub const fn time_floor(&self) -> Timestamp {
        self.time_floor
    }

    /// When it was installed.
    #[must_use]
    pub const fn completed_at(&self) -> Timestamp {
        self.completed_at
    }

    /// SHA-256 of the POST body that brought it.
    #[must_use]
    pub const fn body_sha256(&self) -> Sha256Digest {
        self.body_sha256
    }
}
