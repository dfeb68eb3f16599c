//! The interface as an OpenAPI document, from its routes and its types.

use zmon_domain::error::ErrorCode;
use zmon_domain::status::ProvisioningStatus;
use zmon_openapi::{Interface, Refusal, schema_of};

use crate::answer::Problem;
use crate::http_status::http_status;
use crate::table::Route;

const DESCRIPTION: &str = "\
What a Central Station sends to a monitor that shows a QR code (provisioning protocol, version 1). The listener exists while pairing
is open and for a grace period afterwards: HTTP/1.1 over TLS 1.2 or 1.3, with a self-signed certificate whose public key the
QR code pins. Compare the pin before the first byte of HTTP; follow no redirect.

Every refusal is an `application/problem+json` (RFC 9457) with `code` and `nextAction`; the codes are those of the error catalogue.
They come in the order of the validation: state of the session, rate, then path, method and media type, then the payload. A
path that does not exist is answered with `NotFound` and a path that does not take the method with `MethodNotAllowed`, unless
state or rate come first. What is not HTTP/1.1 gets 400 or 431 without a document.";

/// The push interface as an OpenAPI 3.1 document, in JSON.
#[must_use]
pub fn openapi() -> serde_json::Value {
    let elsewhere = [
        ErrorCode::NotPairing,
        ErrorCode::SessionExpired,
        ErrorCode::PairingInProgress,
        ErrorCode::AlreadyProvisioned,
        ErrorCode::ShuttingDown,
        ErrorCode::RateLimited,
        ErrorCode::NotFound,
        ErrorCode::MethodNotAllowed,
        ErrorCode::RequestTimeout,
    ];
    Interface {
        title: "Z Monitor provisioning: push interface",
        description: DESCRIPTION,
        version: "1",
        server: (
            "https://{ipAddress}:{port}",
            "Address and port as the QR code tells them.",
        ),
        variables: &[("ipAddress", "127.0.0.1"), ("port", "8443")],
        operations: Route::ALL.into_iter().map(Route::operation).collect(),
        problem: schema_of::<Problem<'static>>,
        elsewhere: elsewhere.map(refusal).into(),
    }
    .document()
}

pub(crate) fn refusal(code: ErrorCode) -> Refusal {
    Refusal {
        status: http_status(code).as_u16(),
        code: code.as_str(),
        title: code.entry().title,
        header: match code {
            ErrorCode::RateLimited => Some(("Retry-After", "Whole seconds until this address may try again.")),
            ErrorCode::MethodNotAllowed => Some(("Allow", "The method that the path takes.")),
            _ => None,
        },
    }
}

/// The spelling of every status.
pub(crate) fn statuses() -> [&'static str; 6] {
    ProvisioningStatus::ALL.map(ProvisioningStatus::as_str)
}
