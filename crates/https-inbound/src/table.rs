//! The routes: the one place that says which paths and methods there are, and what each of them takes, answers and
//! refuses. `docs/openapi-push.json` is made from it.

use hyper::Method;
#[cfg(feature = "openapi")]
use zmon_domain::error::ErrorCode;
#[cfg(feature = "openapi")]
use zmon_openapi::{Body, Jose, Json, Nothing, Operation};

/// What is behind a path; every path takes one method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Takes a payload.
    Configure,
    /// Tells the status.
    Status,
}

impl Route {
    /// Every one.
    pub(crate) const ALL: [Self; 2] = [Self::Configure, Self::Status];

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Configure => "/provisioning/configure",
            Self::Status => "/provisioning/status",
        }
    }

    pub(crate) const fn method(self) -> Method {
        match self {
            Self::Configure => Method::POST,
            Self::Status => Method::GET,
        }
    }

    /// The one at this path.
    pub(crate) fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.path() == path)
    }

    /// What it says about itself. The codes stand in the order of the validation.
    #[cfg(feature = "openapi")]
    pub(crate) fn operation(self) -> Operation {
        let (name, about, takes, answers, refuses): (_, &'static [&'static str], _, _, &[ErrorCode]) = match self {
            Self::Configure => (
                "Configure",
                &[
                    "Checks a sealed payload and installs what is in it, all or nothing.",
                    "",
                    "The body is one JWE in compact serialisation, at most 64 KiB, sealed to the session key of the QR code; in it is a",
                    "JWS, and in that the JSON payload (protocol version 1, \"Push\"). The byte-identical body pushed again within the",
                    "grace period gets the same answer.",
                ],
                Jose::content(),
                Json::<crate::answer::Provisioned<'static>>::content(),
                &[
                    ErrorCode::NotPairing,
                    ErrorCode::SessionExpired,
                    ErrorCode::PairingInProgress,
                    ErrorCode::AlreadyProvisioned,
                    ErrorCode::RateLimited,
                    ErrorCode::UnsupportedMediaType,
                    ErrorCode::PayloadTooLarge,
                    ErrorCode::RequestTimeout,
                    ErrorCode::EnvelopeInvalid,
                    ErrorCode::SignatureInvalid,
                    ErrorCode::PayloadInvalid,
                    ErrorCode::DeviceIdMismatch,
                    ErrorCode::SessionMismatch,
                    ErrorCode::PayloadExpired,
                    ErrorCode::InvalidPairingCode,
                    ErrorCode::InvalidCertificate,
                    ErrorCode::NetworkError,
                    ErrorCode::ConfirmationRefused,
                    ErrorCode::ConfirmationTimeout,
                    ErrorCode::StorageError,
                    ErrorCode::Cancelled,
                    ErrorCode::ShuttingDown,
                    ErrorCode::UnknownError,
                ],
            ),
            Self::Status => (
                "Status",
                &["Tells where the monitor stands, and how long it still waits for a payload."],
                Nothing::content(),
                Json::<crate::answer::Status<'static>>::content(),
                &[ErrorCode::RateLimited],
            ),
        };
        Operation {
            method: self.method().to_string(),
            path: self.path(),
            name,
            about,
            takes,
            query: None,
            status: 200,
            other_status: None,
            answers,
            refusals: refuses.iter().copied().map(crate::openapi::refusal).collect(),
        }
    }
}
