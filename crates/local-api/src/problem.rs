//! Refusals as RFC 9457 problem documents. The one place of this crate that names a status code of a refusal.

use std::borrow::Cow;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use zmon_domain::error::{ErrorCode, ProvisioningError};

/// A refusal of this API's own, which is in no catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) code: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    pub(crate) next_action: &'static str,
}

/// What was sent is not what the path takes.
pub(crate) const REQUEST_INVALID: Own = Own {
    code: "RequestInvalid",
    status: StatusCode::BAD_REQUEST,
    title: "The request does not follow the local API",
    next_action: "Correct the request and send it again.",
};
/// The kiosk page's: a name that leads here, but is not the page's own.
pub(crate) const HOST_FOREIGN: Own = Own {
    code: "HostForeign",
    status: StatusCode::MISDIRECTED_REQUEST,
    title: "The page has another address",
    next_action: "Use http://127.0.0.1 or http://localhost with the page's port.",
};
/// The kiosk page's: a request that another site set off.
pub(crate) const ORIGIN_FOREIGN: Own = Own {
    code: "OriginForeign",
    status: StatusCode::FORBIDDEN,
    title: "Only the page itself may ask",
    next_action: "Open the page in the kiosk's browser and act there.",
};
/// The kiosk page's: who cannot read the kiosk's start file is nobody.
pub(crate) const TOKEN_REQUIRED: Own = Own {
    code: "TokenRequired",
    status: StatusCode::UNAUTHORIZED,
    title: "The kiosk's token is missing or wrong",
    next_action: "Start the browser with the file that kiosk.start_file names, as a member of kiosk.group.",
};

/// An `application/problem+json` document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Names the kind of problem: a URN that ends in `code`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short, the same for every occurrence.
    pub title: Cow<'static, str>,
    /// The HTTP status code.
    pub status: u16,
    /// What exactly failed and why.
    pub detail: String,
    /// The code of the error catalogue, or one of this API's own.
    pub code: Cow<'static, str>,
    /// What to do next.
    pub next_action: Cow<'static, str>,
    /// Whether the same request can succeed later without anything being changed.
    pub retryable: bool,
    /// How many seconds to wait before the same request can succeed, where that is known; also in `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// A request that does not follow this API; `detail` says which rule it breaks and echoes nothing.
    pub(crate) fn invalid_request(detail: impl Into<String>) -> Box<Self> {
        Box::new(Self::own(REQUEST_INVALID, detail))
    }

    /// A refusal of this API's own.
    pub(crate) fn own(own: Own, detail: impl Into<String>) -> Self {
        Self {
            kind: urn(own.code),
            title: own.title.into(),
            status: own.status.as_u16(),
            detail: detail.into(),
            code: own.code.into(),
            next_action: own.next_action.into(),
            retryable: false,
            retry_after: None,
        }
    }

    /// A row of the catalogue, with a next action that fits this API better than the one for Central Stations.
    pub(crate) fn with_next_action(code: ErrorCode, detail: &'static str, next_action: &'static str) -> Box<Self> {
        Box::new(Self {
            next_action: next_action.into(),
            ..Self::from(&ProvisioningError::new(code, detail))
        })
    }
}

impl From<&ProvisioningError> for Problem {
    fn from(error: &ProvisioningError) -> Self {
        let entry = error.code().entry();
        Self {
            kind: urn(entry.name),
            title: entry.title.into(),
            status: http_status(error.code()).as_u16(),
            detail: error.message().into(),
            code: entry.name.into(),
            next_action: entry.next_action.into(),
            retryable: entry.retryable,
            // Never a moment too early.
            retry_after: error
                .retry_after()
                .map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
        }
    }
}

fn urn(code: &str) -> String {
    format!("urn:z-monitor:provisioning:{code}")
}

/// The status code of each row of the catalogue.
pub(crate) const fn http_status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::EnvelopeInvalid => StatusCode::BAD_REQUEST,
        ErrorCode::SignatureInvalid => StatusCode::UNAUTHORIZED,
        ErrorCode::DeviceIdMismatch
        | ErrorCode::SessionMismatch
        | ErrorCode::InvalidPairingCode
        | ErrorCode::ConfirmationRefused
        | ErrorCode::AdminRequired => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::RequestTimeout | ErrorCode::ConfirmationTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::NotPairing
        | ErrorCode::PairingInProgress
        | ErrorCode::AlreadyProvisioned
        | ErrorCode::NotProvisioned
        | ErrorCode::DeviceRetired
        | ErrorCode::Cancelled => StatusCode::CONFLICT,
        ErrorCode::SessionExpired | ErrorCode::PayloadExpired => StatusCode::GONE,
        ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::PayloadInvalid | ErrorCode::InvalidCertificate | ErrorCode::QrContentTooLong => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ErrorCode::RateLimited | ErrorCode::AdminLocked => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::StorageError | ErrorCode::TrustAnchorKept | ErrorCode::UnknownError => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        ErrorCode::NetworkError => StatusCode::BAD_GATEWAY,
        ErrorCode::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_every_row_of_the_catalogue_an_error_status_and_its_own_type() {
        let kinds: std::collections::BTreeSet<_> = ErrorCode::ALL
            .iter()
            .map(|code| {
                let problem = Problem::from(&ProvisioningError::from(*code));
                assert!(
                    (400..600).contains(&problem.status),
                    "{code} has status {}",
                    problem.status
                );
                assert_eq!(problem.code, code.as_str());
                assert_eq!(problem.next_action, code.entry().next_action);
                problem.kind
            })
            .collect();
        assert_eq!(kinds.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn says_nothing_of_the_inner_cause() {
        let error = ProvisioningError::from(ErrorCode::StorageError).with_cause("/var/lib/secret-place");
        let text = serde_json::to_string(&Problem::from(&error)).unwrap();
        assert!(!text.contains("secret-place"), "{text}");
        assert!(
            text.contains(r#""nextAction":"Look at the status: nothing is half-done."#),
            "{text}"
        );
    }
}
