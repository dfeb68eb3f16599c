//! The station as one value: every act of the protocol, with the list of retired devices in front of it.

use std::path::Path;
use std::time::Duration;

use zmon_domain::identity::DeviceId;
use zmon_domain::qr::QrFields;
use zmon_domain::result::{DestructionClaims, ReceiptClaims};
use zmon_domain::secret::SecretText;
use zmon_domain::time::Timestamp;
use zmon_payload_envelope::seal::SigningKey;

use crate::ca::{CertificateAuthority, Issued};
use crate::destruction;
use crate::fault::Fault;
use crate::home::{AnchorKind, Home};
use crate::payload::{DeviceConfiguration, Payload};
use crate::push::{Answer, Patience, push};
use crate::receipt::{Expected, check, receipt_key};
use crate::retired::{Retired, RetiredDevices};
use crate::scan::{self, Scanned};
use crate::sha256;

/// A Central Station: a folder of keys, and what can be done with them.
#[derive(Clone, Debug)]
pub struct Station {
    home: Home,
    retired: RetiredDevices,
}

/// A monitor whose QR code was read and verified: what pairs it, and what signs for it.
#[derive(Debug)]
pub struct Monitor {
    /// What its screen says.
    pub qr: QrFields,
    key: SigningKey,
}

impl Monitor {
    /// The monitor.
    #[must_use]
    pub const fn device_id(&self) -> &DeviceId {
        &self.qr.device_id
    }

    /// Whether a `mac` proved that the code is the monitor's own. With an Ed25519 anchor there is none: a person has to
    /// make sure that the code is on the monitor's own screen.
    #[must_use]
    pub const fn mac_verified(&self) -> bool {
        matches!(self.key, SigningKey::Hmac { .. })
    }
}

impl Station {
    /// Makes the station's keys and certificate authority in a new folder: whole, or not at all.
    ///
    /// # Errors
    /// As [`Home::create`].
    pub fn create(directory: &Path, ca_name: &str, anchor: AnchorKind) -> Result<Self, Fault> {
        Home::create(directory, ca_name, anchor)?;
        Ok(Self::open(directory))
    }

    /// A station that was created before.
    #[must_use]
    pub fn open(directory: &Path) -> Self {
        let home = Home::open(directory);
        let retired = RetiredDevices::of(home.directory());
        Self { home, retired }
    }

    /// The line that a monitor is commissioned with: its derived key (a secret), or the station's public key.
    ///
    /// # Errors
    /// Where the device is retired, or the key cannot be read.
    pub fn derive(&self, device_id: &DeviceId) -> Result<SecretText, Fault> {
        self.retired.refuse(device_id)?;
        self.home.trust_anchor_line(device_id)
    }

    /// Reads the QR code in a PNG and verifies that it is a monitor's own.
    ///
    /// # Errors
    /// Where there is no such code, its `mac` is wrong, or the monitor is retired.
    pub fn scan(&self, png: &[u8]) -> Result<Monitor, Fault> {
        self.verified(scan::scan(png)?)
    }

    /// The same for the text of a QR code, where something else has read the picture.
    ///
    /// # Errors
    /// As [`Self::scan`].
    pub fn scan_text(&self, content: &str) -> Result<Monitor, Fault> {
        self.verified(scan::parse(content.into())?)
    }

    fn verified(&self, scanned: Scanned) -> Result<Monitor, Fault> {
        let key = self.home.signing_key(scanned.claimed_device())?;
        let qr = scanned.verify(&key)?;
        self.retired.refuse(&qr.device_id)?;
        Ok(Monitor { qr, key })
    }

    /// A client certificate for a monitor, and its key.
    ///
    /// # Errors
    /// Where the device is retired, or the certificate authority cannot be read.
    pub fn issue(&self, device_id: &DeviceId) -> Result<Issued, Fault> {
        self.retired.refuse(device_id)?;
        self.certificate_authority()?.issue_client(device_id)
    }

    /// The certificate authority, for its certificate and for servers' certificates.
    ///
    /// # Errors
    /// Where its files cannot be read.
    pub fn certificate_authority(&self) -> Result<CertificateAuthority, Fault> {
        self.home.certificate_authority()
    }

    /// The body of a push: the configuration and the certificate for this monitor and its session, made at `now`, valid
    /// for `lifetime` (one hour at most), signed and sealed.
    ///
    /// # Errors
    /// Where the result is larger than a device takes.
    pub fn seal(
        &self,
        monitor: &Monitor,
        configuration: &DeviceConfiguration,
        client: &Issued,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<String, Fault> {
        self.retired.refuse(monitor.device_id())?;
        Payload::new(&monitor.qr, configuration, client, now, lifetime).seal(&monitor.key, &monitor.qr)
    }

    /// Pushes a sealed body to the monitor that the pin names.
    ///
    /// # Errors
    /// As [`push`].
    pub async fn push(&self, monitor: &Monitor, body: &[u8], patience: Patience) -> Result<Answer, Fault> {
        push(&monitor.qr, body, patience).await
    }

    /// Verifies a receipt, also of a device that has been retired since. `certificate` is the issued certificate (DER);
    /// an Ed25519 station cannot do without.
    ///
    /// # Errors
    /// Where the receipt is not genuine, or speaks of another device, payload or certificate.
    pub fn verify_receipt(
        &self,
        receipt: &str,
        expected: Expected<'_>,
        certificate: Option<&[u8]>,
    ) -> Result<ReceiptClaims, Fault> {
        let key = self.home.signing_key(expected.device_id)?;
        check(receipt, &receipt_key(&key, expected.device_id, certificate)?, expected)
    }

    /// Verifies the record that a de-provisioned device left behind, also of a device that has been retired since.
    /// `certificate` is the certificate that was issued to it (DER); an Ed25519 station cannot do without.
    ///
    /// # Errors
    /// Where the record is not genuine, or speaks of another device or certificate.
    pub fn verify_destruction(
        &self,
        record: &str,
        device_id: &DeviceId,
        certificate: Option<&[u8]>,
    ) -> Result<DestructionClaims, Fault> {
        let key = receipt_key(&self.home.signing_key(device_id)?, device_id, certificate)?;
        destruction::check(record, &key, device_id, certificate.map(sha256))
    }

    /// Retires a device: from now on nothing is scanned, derived, issued or sealed for it.
    ///
    /// # Errors
    /// Where it is retired already, or the list cannot be written.
    pub fn retire(&self, device_id: &DeviceId, reason: Option<&str>, now: Timestamp) -> Result<(), Fault> {
        // A list in a folder without keys would protect nothing.
        self.home.certificate_authority()?;
        self.retired.add(device_id, reason, now)
    }

    /// The retired devices, oldest entry first.
    ///
    /// # Errors
    /// Where the list cannot be read.
    pub fn retired(&self) -> Result<Vec<Retired>, Fault> {
        self.retired.list()
    }
}
