//! The routes: the one place that says which paths and methods there are, and what each of them takes, answers and
//! refuses. `docs/openapi-control.json`, `docs/openapi-application.json` and `docs/openapi-kiosk.json` are made from it.

use hyper::{Method, StatusCode};
#[cfg(feature = "openapi")]
use zmon_openapi::{EventStream, Jose, Json, Nothing, Operation, OptionalJson, Png, PrometheusText, Query, Svg, Text};

#[cfg(feature = "openapi")]
use crate::events::EventView;
#[cfg(feature = "openapi")]
use crate::examination::ExaminationView;
#[cfg(feature = "openapi")]
use crate::reading::{AuditPageView, AuditQuery, AuditVerdictView, ConfigurationView, CredentialsView};
#[cfg(feature = "openapi")]
use crate::view::{
    AdministratorPin, ConfirmationAnswer, DestructionView, HealthView, PairingCodeView, PairingRequest, PairingView,
    ReceiptView, StatusView,
};

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    /// People and programs that control the device.
    Control,
    /// The monitor application.
    Application,
    /// The page on the monitor's own display, over loopback.
    Kiosk,
}

/// A row: documentation (its first line is the summary), name, method and path; what the body holds; status and contents
/// of success, with another status that the same contents may have; every code of the catalogue that the use case can refuse with. How a body that is too long, too late or not
/// understood is refused goes without saying.
///
/// `on` says on which sockets it is; without it, on the control socket alone.
macro_rules! routes {
    (@other) => { None };
    (@other $other:ident) => { Some(StatusCode::$other) };
    (@sockets) => { &[Socket::Control] };
    (@sockets $($socket:ident),+) => { &[$(Socket::$socket),+] };
    ($(
        $(#[doc = $about:literal])+
        $route:ident: $method:ident $path:literal,
        $(on [$($socket:ident),+],)?
        takes $takes:ty,
        answers $status:ident $(| $other:ident)? $answers:ty,
        refuses [$($code:ident),* $(,)?];
    )*) => {
        /// What is behind a path and a method.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Route { $($(#[doc = $about])+ $route,)* }

        impl Route {
            /// Every one.
            pub(crate) const ALL: &[Self] = &[$(Self::$route,)*];

            pub(crate) const fn method(self) -> Method {
                match self { $(Self::$route => Method::$method,)* }
            }

            pub(crate) const fn path(self) -> &'static str {
                match self { $(Self::$route => $path,)* }
            }

            /// Whether it is on this socket.
            pub(crate) fn is_on(self, socket: Socket) -> bool {
                let sockets: &[Socket] = match self { $(Self::$route => routes!(@sockets $($($socket),+)?),)* };
                sockets.contains(&socket)
            }

            /// The status of success.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$route => StatusCode::$status,)* }
            }

            /// The status that the same answer may have instead.
            pub(crate) const fn other_status(self) -> Option<StatusCode> {
                match self { $(Self::$route => routes!(@other $($other)?),)* }
            }

            /// What it says about itself.
            #[cfg(feature = "openapi")]
            pub(crate) fn operation(self) -> Operation {
                match self { $(Self::$route => crate::openapi::operation::<$takes, $answers>(
                    self,
                    stringify!($route),
                    &[$($about),+],
                    &[$(zmon_domain::error::ErrorCode::$code),*],
                ),)* }
            }
        }
    };
}

routes! {
    /// Where the device stands.
    Status: GET "/v1/status",
        on [Control, Kiosk],
        takes Nothing,
        answers OK Json<StatusView>,
        refuses [];

    /// How the service is, for a watchdog; on the kiosk page's listener without a token. 503 where something is at fault.
    Health: GET "/v1/health",
        on [Control, Kiosk],
        takes Nothing,
        answers OK | SERVICE_UNAVAILABLE Json<HealthView>,
        refuses [];

    /// Counts and timings since the service started, and where it stands, in the text format of Prometheus, version 0.0.4.
    Metrics: GET "/v1/metrics",
        takes Nothing,
        answers OK PrometheusText,
        refuses [];

    /// The receipt that the sender of the installed configuration got.
    Receipt: GET "/v1/receipt",
        takes Nothing,
        answers OK Json<ReceiptView>,
        refuses [NotProvisioned];

    /// Opens pairing and shows its QR code; a session that is open is cancelled first.
    OpenPairing: POST "/v1/pairing",
        on [Control, Kiosk],
        takes OptionalJson<PairingRequest>,
        answers CREATED Json<PairingView>,
        refuses [
            DeviceIdMismatch, PairingInProgress, AlreadyProvisioned, QrContentTooLong, NetworkError, DeviceRetired,
            StorageError, ShuttingDown, UnknownError,
        ];

    /// Ends the open session, or stops the checks of a payload until its installation begins.
    CancelPairing: DELETE "/v1/pairing",
        on [Control, Kiosk],
        takes Nothing,
        answers OK Json<StatusView>,
        refuses [NotPairing, AlreadyProvisioned, PairingInProgress, StorageError, UnknownError];

    /// Accepts or refuses the configuration that waits for a person (phase `AWAITING_CONFIRMATION`). Once for a session; a minute
    /// without an answer refuses.
    AnswerConfirmation: POST "/v1/pairing/confirmation",
        on [Control, Kiosk],
        takes Json<ConfirmationAnswer>,
        answers OK Json<StatusView>,
        refuses [
            NotPairing, AlreadyProvisioned, PairingInProgress, ConfirmationTimeout, StorageError, UnknownError,
        ];

    /// Installs a sealed payload that was carried by hand: what would be the body of a push, for the session that is open.
    /// Every check of a push is made, and the receipt is the answer; the same body again gets the same receipt for a while.
    ApplyPayload: POST "/v1/pairing/payload",
        takes Jose,
        answers OK Json<ReceiptView>,
        refuses [
            NotPairing, SessionExpired, PairingInProgress, AlreadyProvisioned, EnvelopeInvalid, SignatureInvalid,
            PayloadInvalid, DeviceIdMismatch, SessionMismatch, PayloadExpired, InvalidPairingCode, InvalidCertificate,
            NetworkError, ConfirmationRefused, ConfirmationTimeout, Cancelled, StorageError, ShuttingDown, UnknownError,
        ];

    /// The QR code on the screen, 300x300 pixels.
    QrPng: GET "/v1/pairing/qr.png",
        takes Nothing,
        answers OK Png,
        refuses [NotPairing];

    /// The QR code on the screen, for any size.
    QrSvg: GET "/v1/pairing/qr.svg",
        on [Control, Kiosk],
        takes Nothing,
        answers OK Svg,
        refuses [NotPairing];

    /// The QR code on the screen, for a terminal, with the pairing code below the symbol.
    QrText: GET "/v1/pairing/qr.txt",
        takes Nothing,
        answers OK Text,
        refuses [NotPairing];

    /// The pairing code on the screen, for a person who reads it out.
    PairingCode: GET "/v1/pairing/code",
        on [Control, Kiosk],
        takes Nothing,
        answers OK Json<PairingCodeView<'static>>,
        refuses [NotPairing];

    /// Takes note of a failure or of a de-provisioning: the status becomes `UNPROVISIONED`.
    Acknowledge: POST "/v1/acknowledge",
        on [Control, Kiosk],
        takes Nothing,
        answers OK Json<StatusView>,
        refuses [AlreadyProvisioned, PairingInProgress, StorageError, UnknownError];

    /// The signed record of the last de-provisioning: which certificate was destroyed, when, and who ordered it.
    Destruction: GET "/v1/destruction",
        takes Nothing,
        answers OK Json<DestructionView>,
        refuses [NotFound];

    /// Removes what is installed and leaves a signed record of the destruction; needs the administrator's PIN.
    Deprovision: POST "/v1/deprovision",
        on [Control, Kiosk],
        takes Json<AdministratorPin>,
        answers OK Json<StatusView>,
        refuses [AdminRequired, AdminLocked, NotProvisioned, PairingInProgress, StorageError, UnknownError];

    /// Removes what is installed, if anything is, and erases the trust anchor; needs the administrator's PIN. From then on the
    /// device pairs with nobody until it is commissioned again.
    Retire: POST "/v1/retire",
        takes Json<AdministratorPin>,
        answers OK Json<StatusView>,
        refuses [AdminRequired, AdminLocked, PairingInProgress, TrustAnchorKept, StorageError, UnknownError];

    /// Returns the time floor to the release date; needs the administrator's PIN.
    ResetTimeFloor: POST "/v1/time/reset",
        takes Json<AdministratorPin>,
        answers OK Json<StatusView>,
        refuses [AdminRequired, AdminLocked, StorageError, UnknownError];

    /// Encrypts the store with a new key and destroys the former one; what is stored stays as it is.
    RotateKey: POST "/v1/store/rotate-key",
        takes Nothing,
        answers OK Json<StatusView>,
        refuses [StorageError, ShuttingDown, UnknownError];

    /// The specification's six signals, and `missed` for a subscriber that was too slow, from now on and until the service stops.
    Events: GET "/v1/events",
        on [Control, Application, Kiosk],
        takes Nothing,
        answers OK EventStream<EventView>,
        refuses [];

    /// What is installed, with who changed each setting and when; certificates as facts.
    Configuration: GET "/v1/configuration",
        takes Nothing,
        answers OK Json<ConfigurationView>,
        refuses [NotProvisioned, StorageError];

    /// What is installed, with who changed each setting and when, and the certificates themselves.
    /// A record of the audit, with the reader's user, group and process: the first of a user within an hour at once, the
    /// number of further ones when the hour is over.
    ApplicationConfiguration: GET "/v1/configuration",
        on [Application],
        takes Nothing,
        answers OK Json<ConfigurationView>,
        refuses [NotProvisioned, StorageError, UnknownError];

    /// Certificates and private key for mTLS. A record of the audit as for the configuration.
    Credentials: GET "/v1/credentials",
        on [Application],
        takes Nothing,
        answers OK Json<CredentialsView>,
        refuses [NotProvisioned, StorageError, UnknownError];

    /// What nobody but the running service can see: clock and time floor, whether the listener is open, whether the private
    /// key belongs to the certificate. Leaves no record.
    Examination: GET "/v1/examination",
        takes Nothing,
        answers OK Json<ExaminationView>,
        refuses [StorageError, UnknownError];

    /// Tries the server with the installed credentials: one mTLS request, three seconds at most. Leaves no record.
    TestConnection: POST "/v1/connection-test",
        takes Nothing,
        answers OK Json<StatusView>,
        refuses [NotProvisioned, NetworkError, StorageError, UnknownError];

    /// A piece of the audit, in the order of the records.
    Audit: GET "/v1/audit",
        takes Query<AuditQuery>,
        answers OK Json<AuditPageView>,
        refuses [StorageError];

    /// Walks the audit's whole chain and says whether every record is as it was written.
    AuditVerdict: GET "/v1/audit/verdict",
        takes Nothing,
        answers OK Json<AuditVerdictView>,
        refuses [StorageError];
}
