//! What the service is put together from.

use core::time::Duration;

use zmon_domain::checks::Demands;
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::time::Timestamp;
use zmon_ports::{
    AdministratorCheck, AnchorKeeper, AuditStore, CertificateFacts, Clock, ConfigurationStore, ConnectionTest, Entropy,
    Measurements, PairingListener, PayloadEnvelope, ProvisioningStore, QrRenderer,
};

/// Which device this is, and the rules it was commissioned with.
#[derive(Clone, Debug)]
pub struct DeviceProfile {
    /// Device unique identifier.
    pub device_id: DeviceId,
    /// Device serial number.
    pub serial_number: SerialNumber,
    /// How long a pairing session stays open: at most [`zmon_domain::pairing::MAX_PAIRING_TIME`], longer is cut.
    pub pairing_time: Duration,
    /// What step 11 demands.
    pub demands: Demands,
    /// When this software was released: the first time floor.
    pub release_date: Timestamp,
}

/// One adapter for each driven port.
pub trait Ports: Send + Sync + 'static {
    /// The encrypted store.
    type Store: ProvisioningStore + ConfigurationStore + AuditStore;
    /// JWS in JWE.
    type Envelope: PayloadEnvelope;
    /// PEM and DER to facts.
    type Certificates: CertificateFacts;
    /// QR pictures.
    type Renderer: QrRenderer;
    /// HTTPS.
    type Listener: PairingListener;
    /// Time.
    type Clock: Clock;
    /// Chance.
    type Entropy: Entropy;
    /// Who may de-provision.
    type Administrators: AdministratorCheck;
    /// The trust anchor's place.
    type Anchor: AnchorKeeper;
    /// The way to the server.
    type Connection: ConnectionTest;
    /// Counts and timings.
    type Measurements: Measurements;

    /// All of them.
    fn adapters(&self) -> &AdaptersOf<Self>;
}

/// The adapters of one choice of ports.
pub type AdaptersOf<P> = Adapters<
    <P as Ports>::Store,
    <P as Ports>::Envelope,
    <P as Ports>::Certificates,
    <P as Ports>::Renderer,
    <P as Ports>::Listener,
    <P as Ports>::Clock,
    <P as Ports>::Entropy,
    <P as Ports>::Administrators,
    <P as Ports>::Anchor,
    <P as Ports>::Connection,
    <P as Ports>::Measurements,
>;

/// The adapters by name; any combination of implementations is a [`Ports`].
#[expect(missing_docs, reason = "each field is named after its port")]
pub struct Adapters<
    Store,
    Envelope,
    Certificates,
    Renderer,
    Listener,
    Clock,
    Entropy,
    Administrators,
    Anchor,
    Connection,
    Measurements,
> {
    pub store: Store,
    pub envelope: Envelope,
    pub certificates: Certificates,
    pub renderer: Renderer,
    pub listener: Listener,
    pub clock: Clock,
    pub entropy: Entropy,
    pub administrators: Administrators,
    pub anchor: Anchor,
    pub connection: Connection,
    pub measurements: Measurements,
}

impl<St, En, Ce, Qr, Li, Cl, Rn, Ad, An, Co, Me> Ports for Adapters<St, En, Ce, Qr, Li, Cl, Rn, Ad, An, Co, Me>
where
    St: ProvisioningStore + ConfigurationStore + AuditStore,
    En: PayloadEnvelope,
    Ce: CertificateFacts,
    Qr: QrRenderer,
    Li: PairingListener,
    Cl: Clock,
    Rn: Entropy,
    Ad: AdministratorCheck,
    An: AnchorKeeper,
    Co: ConnectionTest,
    Me: Measurements,
{
    type Store = St;
    type Envelope = En;
    type Certificates = Ce;
    type Renderer = Qr;
    type Listener = Li;
    type Clock = Cl;
    type Entropy = Rn;
    type Administrators = Ad;
    type Anchor = An;
    type Connection = Co;
    type Measurements = Me;

    fn adapters(&self) -> &Self {
        self
    }
}
