//! The error catalogue: every code of the specification and of the protocol, with what a person does next.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

/// Who has to act for the operation to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The Central Station, or whoever sent the request.
    Sender,
    /// The person at the device: technician or administrator.
    Operator,
    /// The device, its storage or its network.
    Device,
}

/// One row of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// The code as it stands in answers.
    pub name: &'static str,
    /// Short, the same for every occurrence.
    pub title: &'static str,
    /// What is behind it most of the time; the message of an occurrence says what it was.
    pub usual_cause: &'static str,
    /// What to do next, for the person or program that `fault` names.
    pub next_action: &'static str,
    /// Whether the same request can succeed later without anything being changed.
    pub retryable: bool,
    /// Who has to act.
    pub fault: Fault,
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $code:ident, $fault:ident, $retryable:literal, $title:literal, $cause:literal, $next:literal;)*) => {
        /// What went wrong, in one word (`docs/decisions.md`, `protocol.md`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode { $($(#[$doc])* $code,)* }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// Its row of the catalogue.
            #[must_use]
            pub const fn entry(self) -> &'static CatalogueEntry {
                match self {
                    $(Self::$code => &CatalogueEntry {
                        name: stringify!($code),
                        title: $title,
                        usual_cause: $cause,
                        next_action: $next,
                        retryable: $retryable,
                        fault: Fault::$fault,
                    },)*
                }
            }
        }
    };
}

catalogue! {
    /// Step 1: nobody opened pairing.
    NotPairing, Operator, false, "No pairing session is open",
        "Nobody has opened pairing, it was cancelled, or the session failed and its QR code is used up.",
        "Open pairing at the monitor, scan the new QR code and push again.";
    /// Step 1: the ten minutes are over.
    SessionExpired, Operator, false, "The pairing session has expired",
        "More than the pairing time (ten minutes at most) passed between the QR code and the push.",
        "Show a new QR code at the monitor, scan it and push a payload made for it.";
    /// Step 1: another payload is being checked.
    PairingInProgress, Sender, true, "Another payload is being processed",
        "Two stations, or one that pushes twice, reached the monitor at the same moment; or the installation has already begun.",
        "Wait for the outcome shown on the monitor before you push again.";
    /// Step 1: the device is provisioned.
    AlreadyProvisioned, Operator, false, "The device is already provisioned",
        "The monitor has a configuration: an earlier push succeeded, perhaps with its answer lost.",
        "Let an administrator de-provision the monitor first if it is to be provisioned anew.";
    /// Step 2.
    RateLimited, Sender, true, "Too many requests from this address",
        "More than three envelopes from this address did not open, or it asks for the status too often.",
        "Wait for the number of seconds in Retry-After, then send a payload sealed to the QR code on the screen.";
    /// Step 3.
    NotFound, Sender, false, "There is nothing at this path",
        "A mistyped path, a proxy that rewrites paths, or a client for another version.",
        "Send POST /provisioning/configure or GET /provisioning/status.";
    /// Step 3.
    MethodNotAllowed, Sender, false, "This path does not take that method",
        "A browser or a health check asks with GET where POST is expected.",
        "Use the method named in the Allow header.";
    /// Step 3.
    UnsupportedMediaType, Sender, false, "The body has the wrong media type",
        "An HTTP library that sets a Content-Type of its own, or compresses the body.",
        "Send the payload with Content-Type: application/jose.";
    /// Step 3.
    PayloadTooLarge, Sender, false, "The body is larger than 64 KiB",
        "Long certificate chains, or a whole bundle of CA certificates.",
        "Send fewer or smaller certificates.";
    /// Step 3.
    RequestTimeout, Sender, true, "The request did not arrive in time",
        "A slow or broken network, or a client that waits in the middle of a request.",
        "Check the network between station and monitor, then send the whole request without pausing.";
    /// Step 4.
    EnvelopeInvalid, Sender, false, "The envelope does not open",
        "The payload is for an earlier QR code of this monitor or for another monitor, or its header has a member that the protocol does not know.",
        "Scan the QR code on the monitor's screen and seal the payload to its key, as protocol version 1 says.";
    /// Step 5.
    SignatureInvalid, Sender, false, "The signature is not from this device's Central Station",
        "The device key was derived from another master key or for another device id, or station and monitor have different kinds of trust anchor.",
        "Check that station and monitor were commissioned with the same trust anchor, then show a new QR code and push again.";
    /// Step 6.
    PayloadInvalid, Sender, false, "The payload breaks a rule of the protocol",
        "A member is missing, unknown, of the wrong type or outside its range.",
        "Correct the named field at the Central Station, then show a new QR code and push again.";
    /// Step 7, and generating a QR code for another device.
    DeviceIdMismatch, Sender, false, "The payload is for another device",
        "The station chose another device than the one scanned; device ids are compared byte for byte.",
        "Compare the device id on the monitor with the one at the Central Station, then show a new QR code and push again.";
    /// Step 7.
    SessionMismatch, Sender, false, "The payload was signed for another pairing session",
        "A payload made for an earlier QR code was sealed again for this one.",
        "Show a new QR code at the monitor, scan it and push a payload made for it.";
    /// Step 8.
    PayloadExpired, Sender, false, "The payload's times are not acceptable",
        "The station's clock is wrong, the payload is more than an hour old, or the monitor's clock is far ahead.",
        "Check the clocks of station and monitor, make a new payload, then show a new QR code and push again.";
    /// Step 9.
    InvalidPairingCode, Sender, false, "The pairing code is not the one on the screen",
        "A code typed by hand with a mistake, or that of an earlier QR code.",
        "Show a new QR code at the monitor, scan it and push again.";
    /// Step 10.
    InvalidCertificate, Sender, false, "A certificate or key is not acceptable",
        "A CA template without clientAuth or with the wrong name, an expired certificate, or a key that belongs to another certificate.",
        "Correct the named certificate or key at the Central Station, then show a new QR code and push again.";
    /// Step 11, and a listener that cannot be opened.
    NetworkError, Device, true, "The network connection failed",
        "A cable, an address or a firewall between monitor and server; or the monitor's configured address is not its own.",
        "Check cable, address and firewall, then try again.";
    /// Step 11.
    ConfirmationRefused, Operator, false, "The person at the monitor refused",
        "The person at the monitor saw a label or a number that was not the expected one.",
        "Compare device and label with the person at the monitor before you push again.";
    /// Step 11.
    ConfirmationTimeout, Operator, true, "Nobody confirmed at the monitor",
        "Nobody stood at the monitor.",
        "Show a new QR code, push again and confirm on the screen within a minute.";
    /// Step 12, and any other fault of the store.
    StorageError, Device, true, "The device could not store the change",
        "The storage card is full, worn out or was removed.",
        "Look at the status: nothing is half-done. Check free space and health of the storage card, then try again.";
    /// The person at the device cancelled.
    Cancelled, Operator, false, "Cancelled at the monitor",
        "Somebody pressed cancel while the payload was being checked.",
        "Show a new QR code when you are ready to pair.";
    /// The service is stopping.
    ShuttingDown, Device, true, "The device is shutting down",
        "The monitor is being switched off, restarted or updated.",
        "Wait until the monitor has restarted, show a new QR code and push again.";
    /// An administrator's act without an administrator.
    AdminRequired, Operator, false, "Only an administrator may do this",
        "The PIN was mistyped, or no administrator's PIN is set on this monitor.",
        "Repeat the act with the administrator's PIN.";
    /// An administrator's act after too many wrong PINs.
    AdminLocked, Operator, true, "Too many wrong administrator PINs",
        "Five or more wrong PINs in a row; each further one doubles the wait, and a restart begins it anew.",
        "Wait for the number of seconds that is named, then repeat the act with the administrator's PIN.";
    /// Pairing a device that an administrator retired.
    DeviceRetired, Operator, false, "The device is retired",
        "An administrator took the monitor out of use, for sale or disposal; its trust anchor is erased.",
        "Commission the monitor again: put a new trust anchor from `zmon-station derive` in place, then restart the service.";
    /// A retired device whose trust anchor could not be erased.
    TrustAnchorKept, Operator, false, "The trust anchor could not be erased",
        "The anchor is a systemd credential, belongs to another user than the service's, or stands on a read-only file system.",
        "Remove the file or credential that is named, then start the service once: it then says that the device is retired.";
    /// De-provisioning a device that is not provisioned.
    NotProvisioned, Operator, false, "The device is not provisioned",
        "Nothing was installed yet, or it was removed before.",
        "Nothing has to be removed.";
    /// The QR content is longer than 310 bytes.
    QrContentTooLong, Device, false, "The QR code would be too dense to scan",
        "Device id and serial number have their greatest lengths, together with an IPv6 address.",
        "Configure a shorter device id, serial number or address.";
    /// A defect of the device's software.
    UnknownError, Device, true, "The device met an internal error",
        "A defect of the monitor's software, or no source of randomness.",
        "Show a new QR code and try again; if it happens again, send the device's log to the manufacturer.";
}

impl ErrorCode {
    /// The code as it stands in answers, events and the audit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.entry().name
    }

    /// The code of that spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why provisioning failed or an act was refused: code, message for people, details for the log.
///
/// `message` may be said to anyone who asks; `cause` may be said to the device's own log alone. Neither holds a
/// secret or echoes a received value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisioningError {
    code: ErrorCode,
    message: Cow<'static, str>,
    cause: Option<String>,
    retry_after: Option<Duration>,
}

impl ProvisioningError {
    /// With a message that says what exactly failed and why.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            cause: None,
            retry_after: None,
        }
    }

    /// Adds what only the device's log may say.
    #[must_use]
    pub fn with_cause(self, cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..self
        }
    }

    /// Adds how long to wait before the same request can succeed.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }

    /// How long to wait before the same request can succeed, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// What failed and why, for anyone.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The inner cause, for the device's log alone.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}

impl From<ErrorCode> for ProvisioningError {
    /// With the catalogue's title as the message.
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.entry().title)
    }
}

impl fmt::Display for ProvisioningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl core::error::Error for ProvisioningError {}
