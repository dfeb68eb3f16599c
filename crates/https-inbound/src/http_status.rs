//! The one place that knows which HTTP status an error code has (`protocol.md`, "Validation order").

use hyper::StatusCode;
use zmon_domain::error::ErrorCode;

/// The status of an answer with this code.
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
        // Cancelled: like the others here, the request was in order and the state of the device is against it.
        ErrorCode::NotPairing
        | ErrorCode::PairingInProgress
        | ErrorCode::AlreadyProvisioned
        | ErrorCode::NotProvisioned
        | ErrorCode::DeviceRetired
        | ErrorCode::Cancelled => StatusCode::CONFLICT,
        ErrorCode::SessionExpired | ErrorCode::PayloadExpired => StatusCode::GONE,
        ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::PayloadInvalid | ErrorCode::InvalidCertificate => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::RateLimited | ErrorCode::AdminLocked => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::StorageError
        | ErrorCode::QrContentTooLong
        | ErrorCode::TrustAnchorKept
        | ErrorCode::UnknownError => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::NetworkError => StatusCode::BAD_GATEWAY,
        ErrorCode::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `protocol.md`, row by row; below the line what stands in its text, and the codes that no push can meet.
    const TABLE: &[(&str, u16)] = &[
        ("NotPairing", 409),
        ("SessionExpired", 410),
        ("PairingInProgress", 409),
        ("AlreadyProvisioned", 409),
        ("RateLimited", 429),
        ("NotFound", 404),
        ("MethodNotAllowed", 405),
        ("UnsupportedMediaType", 415),
        ("PayloadTooLarge", 413),
        ("RequestTimeout", 408),
        ("EnvelopeInvalid", 400),
        ("SignatureInvalid", 401),
        ("PayloadInvalid", 422),
        ("DeviceIdMismatch", 403),
        ("SessionMismatch", 403),
        ("PayloadExpired", 410),
        ("InvalidPairingCode", 403),
        ("InvalidCertificate", 422),
        ("NetworkError", 502),
        ("ConfirmationRefused", 403),
        ("ConfirmationTimeout", 408),
        ("StorageError", 500),
        // --
        ("Cancelled", 409),
        ("UnknownError", 500),
        ("ShuttingDown", 503),
        ("AdminRequired", 403),
        ("AdminLocked", 429),
        ("DeviceRetired", 409),
        ("TrustAnchorKept", 500),
        ("NotProvisioned", 409),
        ("QrContentTooLong", 500),
    ];

    #[test]
    fn agrees_with_the_table_of_the_protocol() {
        for (name, status) in TABLE {
            let code = ErrorCode::from_name(name).unwrap();
            assert_eq!(http_status(code).as_u16(), *status, "{name}");
        }
    }

    #[test]
    fn is_held_to_the_table_for_every_code() {
        for code in ErrorCode::ALL {
            assert_eq!(
                TABLE.iter().filter(|(name, _)| *name == code.as_str()).count(),
                1,
                "{code}"
            );
        }
    }
}
