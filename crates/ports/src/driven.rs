//! What the use cases need from the world, apart from the store.

use core::fmt;
use std::future::Future;
use std::net::IpAddr;

use zmon_domain::admin::AdministratorAuthorised;
use zmon_domain::certificate::BundleFacts;
use zmon_domain::checks::{ConnectionTarget, ServerReached};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::pairing::{PairingCode, SessionPrivateKey, SessionPublicKey, Sha256Digest, TlsPin};
use zmon_domain::payload::{Members, ProvisioningPayload, SignedText};
use zmon_domain::qr::QrImages;
use zmon_domain::result::{DestructionClaims, DestructionRecord, Receipt, ReceiptClaims};
use zmon_domain::secret::SecretText;
use zmon_domain::time::{Monotonic, Timestamp, WallClock};

use crate::driving::PairingInbound;

macro_rules! fault {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            /// What failed and why, for the device's log; holds no secret and no received value.
            pub cause: String,
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.cause)
            }
        }

        impl std::error::Error for $name {}
    };
}

fault!(
    /// An envelope that does not open (step 4).
    EnvelopeFault
);
fault!(
    /// A signature that is not the trust anchor's (step 5).
    SignatureFault
);
fault!(
    /// A receipt or a record of destruction that could not be signed.
    ReceiptFault
);
fault!(
    /// A QR symbol that could not be drawn.
    RenderFault
);
fault!(
    /// A listener that could not be opened.
    ListenerFault
);
fault!(
    /// The operating system gives no random bytes.
    EntropyUnavailable
);

/// What was inside an envelope; nothing about it is verified yet.
#[derive(Debug)]
pub struct Opened(pub SecretText);

/// JWS in JWE, receipts, and the keys derived for both.
///
/// # Contract
/// - The trust anchor it was made with fixes the one signature algorithm; nothing in a message chooses it.
/// - Exactly the combination of `protocol.md` opens; the protected header is checked before any key is used.
/// - Pure: the same input gives the same answer, no clock, no network.
pub trait PayloadEnvelope: Send + Sync + 'static {
    /// The public half of a session key.
    fn session_public_key(&self, private: &SessionPrivateKey) -> SessionPublicKey;

    /// `mac` for this QR text; none with an Ed25519 trust anchor.
    fn qr_mac(&self, text: &str) -> Option<[u8; 16]>;

    /// SHA-256 of a POST body.
    fn digest(&self, body: &[u8]) -> Sha256Digest;

    /// Step 4.
    ///
    /// # Errors
    /// The envelope does not open with this key.
    fn open(&self, body: &[u8], key: &SessionPrivateKey) -> Result<Opened, EnvelopeFault>;

    /// Step 5.
    ///
    /// # Errors
    /// The signature is missing, of another kind, or not the trust anchor's.
    fn verify(&self, opened: Opened) -> Result<SignedText, SignatureFault>;

    /// The first half of step 6: JSON object to members.
    ///
    /// # Errors
    /// `PayloadInvalid` where the text is not one JSON object.
    fn members(&self, text: &SignedText) -> Result<Members, ProvisioningError>;

    /// Signs a receipt: with the receipt key, or with the new client key where the anchor is Ed25519.
    ///
    /// # Errors
    /// Where the client key cannot sign.
    fn sign_receipt(&self, claims: &ReceiptClaims, client_private_key: &SecretText) -> Result<Receipt, ReceiptFault>;

    /// Signs a record of destruction: with the receipt key, or with the client key that is being destroyed where the
    /// anchor is Ed25519.
    ///
    /// # Errors
    /// Where the client key cannot sign.
    fn sign_destruction(
        &self,
        claims: &DestructionClaims,
        client_private_key: &SecretText,
    ) -> Result<DestructionRecord, ReceiptFault>;
}

/// The PEM texts of one payload, and what they are examined for.
#[derive(Clone, Copy, Debug)]
pub struct CertificateBundle<'a> {
    /// The payload that holds the texts.
    pub payload: &'a ProvisioningPayload,
    /// The moment for which certificate paths are built; given, not read from a clock.
    pub at: Timestamp,
    /// Where false, paths may also be built for a later moment at which the certificates have become valid.
    pub synchronised: bool,
}

/// PEM and DER in, facts out.
///
/// # Contract
/// Accepts and rejects nothing: whatever it finds, it says; unparsable input is a fact like any other. Sizes and
/// counts are looked at before anything is decoded.
pub trait CertificateFacts: Send + Sync + 'static {
    /// Examines the certificates and the key of a payload.
    fn examine(&self, bundle: CertificateBundle<'_>) -> BundleFacts;

    /// Whether the private key is that of the first certificate; both are PEM texts.
    fn key_belongs(&self, client_certificate: &str, client_private_key: &SecretText) -> bool;
}

/// Draws the symbol: error correction level H, dark on light, four-module quiet zone.
pub trait QrRenderer: Send + Sync + 'static {
    /// The pictures of this content.
    ///
    /// # Errors
    /// Where the content does not fit a symbol, or the symbol does not fit 300 px at 3 px per module.
    fn render(&self, content: &str) -> Result<QrImages, RenderFault>;
}

/// What an open listener tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerOpened {
    /// The pin of its certificate.
    pub pin: TlsPin,
    /// The TCP port it listens on.
    pub port: u16,
}

/// The HTTPS listener: there is no socket unless it is open.
///
/// # Contract
/// - `open` makes a fresh TLS key; when it returns, connections are taken. An open listener is replaced.
/// - Requests reach `inbound` with the pairing code of the session that `open` was called for.
/// - After `close` returned, the port refuses connections; answers that are being sent are finished in bounded time.
pub trait PairingListener: Send + Sync + 'static {
    /// Opens the listener for one session.
    ///
    /// # Errors
    /// Where the address cannot be bound or no key can be made.
    fn open<S: PairingInbound>(
        &self,
        inbound: S,
        address: IpAddr,
        pairing_code: PairingCode,
    ) -> impl Future<Output = Result<ListenerOpened, ListenerFault>> + Send;

    /// Ends it. Does nothing where it is closed.
    fn close(&self) -> impl Future<Output = ()> + Send;

    /// Whether connections are taken now.
    fn is_open(&self) -> impl Future<Output = bool> + Send;
}

/// Time.
pub trait Clock: Send + Sync + 'static {
    /// A clock that never goes back and counts suspend.
    fn monotonic(&self) -> Monotonic;

    /// The wall clock.
    fn wall(&self) -> WallClock;

    /// Returns when [`Self::monotonic`] has reached `deadline`.
    fn sleep_until(&self, deadline: Monotonic) -> impl Future<Output = ()> + Send;
}

/// Chance, fit for keys.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// Where the operating system has none to give.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable>;
}

/// Who may de-provision.
///
/// # Contract
/// Compares and nothing else: how often a PIN may be wrong, and for how long none is looked at afterwards, is counted by
/// the use cases, which ask one PIN at a time.
pub trait AdministratorCheck: Send + Sync + 'static {
    /// Checks a PIN.
    ///
    /// # Errors
    /// `AdminRequired`, the same for every wrong PIN.
    fn authorise(
        &self,
        pin: &SecretText,
    ) -> impl Future<Output = Result<AdministratorAuthorised, ProvisioningError>> + Send;
}

/// How far a connection test came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionStage {
    /// From the server's name to an address.
    NameResolution,
    /// To a TCP connection.
    Connect,
    /// Certificates, both sides'.
    Handshake,
    /// A request and its answer.
    Request,
}

impl fmt::Display for ConnectionStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NameResolution => "name resolution",
            Self::Connect => "connecting",
            Self::Handshake => "the TLS handshake",
            Self::Request => "the HTTP request",
        })
    }
}

/// Why the server was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionFault {
    /// What failed.
    pub stage: ConnectionStage,
    /// Why, and what to do next, as sentences that begin in lower case. May be said to anyone.
    pub reason: String,
    /// The inner cause, for the device's log alone.
    pub cause: String,
}

impl fmt::Display for ConnectionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The connection test failed at {}: {}", self.stage, self.reason)
    }
}

impl std::error::Error for ConnectionFault {}

impl From<ConnectionFault> for ProvisioningError {
    fn from(fault: ConnectionFault) -> Self {
        Self::new(ErrorCode::NetworkError, fault.to_string()).with_cause(fault.cause)
    }
}

/// Tries new credentials on the server (step 11).
///
/// # Contract
/// - Trusts nothing but the target: its CA, its pin where there is one, its time.
/// - Gives up in bounded time, well below five seconds.
/// - Keeps nothing, and sends nothing of the payload but the client certificate.
pub trait ConnectionTest: Send + Sync + 'static {
    /// Reaches the server with the credentials.
    ///
    /// # Errors
    /// Which stage failed, and why.
    fn reach(
        &self,
        target: ConnectionTarget<'_>,
    ) -> impl Future<Output = Result<ServerReached, ConnectionFault>> + Send;
}

/// Why a trust anchor could not be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorFault {
    /// What a person has to remove, and why the device could not. May be said to anyone.
    pub remedy: String,
}

impl fmt::Display for AnchorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.remedy)
    }
}

impl std::error::Error for AnchorFault {}

/// The trust anchor as it is kept on the device, for its retirement.
///
/// # Contract
/// After `erase` returned `Ok` the place holds no anchor, durably, and what stood there was overwritten. A crash at any
/// point leaves it whole, overwritten or gone; calling again finishes the work.
pub trait AnchorKeeper: Send + Sync + 'static {
    /// Whether anything stands in its place.
    fn is_there(&self) -> impl Future<Output = bool> + Send;

    /// Erases it. Does nothing where there is none.
    ///
    /// # Errors
    /// Where it cannot be erased from here.
    fn erase(&self) -> impl Future<Output = Result<(), AnchorFault>> + Send;
}
