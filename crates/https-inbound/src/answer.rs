//! What answers look like (`protocol.md`, "Answers"; RFC 9457).

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Full};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};
use serde::Serialize;
use zmon_domain::error::ProvisioningError;
use zmon_domain::result::ProvisioningResult;
use zmon_domain::status::ProvisioningStatus;
use zmon_ports::StatusReport;

use crate::http_status::http_status;

pub(crate) type Answer = Response<Full<Bytes>>;

/// What a refusal tells beside its error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    Nothing,
    /// When to come again.
    RetryAfter(Duration),
    /// Which method the path takes.
    Allow(Method),
}

/// An `application/problem+json` document.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem<'a> {
    /// Names the kind of problem: a URN that ends in `code`.
    r#type: String,
    /// Short, the same for every occurrence.
    title: &'a str,
    /// The HTTP status code.
    status: u16,
    /// What exactly failed and why; it echoes nothing.
    detail: &'a str,
    /// The code of the error catalogue.
    code: &'a str,
    /// What to do next.
    next_action: &'a str,
    /// Whether the same request can succeed later without anything being changed.
    retryable: bool,
}

/// The configuration is installed.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub(crate) struct Provisioned<'a> {
    /// `PROVISIONED`.
    #[cfg_attr(feature = "openapi", schemars(extend("const" = ProvisioningStatus::Provisioned.as_str())))]
    status: &'a str,
    /// For a person.
    message: &'a str,
    /// The receipt, a JWS in compact serialisation.
    receipt: &'a str,
}

/// Where the monitor stands.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status<'a> {
    /// The specification's spelling.
    #[cfg_attr(feature = "openapi", schemars(extend("enum" = crate::openapi::statuses())))]
    status: &'a str,
    /// Whole seconds left, while the status is `READY_TO_PAIR`, otherwise null.
    expires_in_seconds: Option<u64>,
}

/// The answer to a push that was installed, or whose body is the one that was.
pub(crate) fn provisioned(result: &ProvisioningResult) -> Answer {
    let body = Provisioned {
        status: result.status().as_str(),
        message: "The configuration is installed.",
        receipt: &result.installed.receipt.0,
    };
    answer(StatusCode::OK, "application/json", &body)
}

/// The answer to a status request: the status, the time left while the device waits for a scan, and nothing else.
pub(crate) fn status(report: &StatusReport) -> Answer {
    let waits = report.status == ProvisioningStatus::ReadyToPair;
    let body = Status {
        status: report.status.as_str(),
        expires_in_seconds: report.expires_in_seconds.filter(|_| waits),
    };
    answer(StatusCode::OK, "application/json", &body)
}

/// The answer to a request that is refused. The error's cause stays inside.
pub(crate) fn problem(error: &ProvisioningError, hint: Hint) -> Answer {
    let entry = error.code().entry();
    let status = http_status(error.code());
    let body = Problem {
        r#type: format!("urn:z-monitor:provisioning:{}", entry.name),
        title: entry.title,
        status: status.as_u16(),
        detail: error.message(),
        code: entry.name,
        next_action: entry.next_action,
        retryable: entry.retryable,
    };
    let mut answer = answer(status, "application/problem+json", &body);
    match hint {
        Hint::Nothing => {}
        Hint::RetryAfter(wait) => {
            // Whole seconds, never too few.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            answer
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        Hint::Allow(method) => {
            if let Ok(method) = HeaderValue::from_str(method.as_str()) {
                answer.headers_mut().insert(ALLOW, method);
            }
        }
    }
    answer
}

/// Says that this is the connection's last answer.
pub(crate) fn closing(mut answer: Answer) -> Answer {
    set(&mut answer, CONNECTION, "close");
    answer
}

/// An answer as it goes over the wire, for a request that never became one.
pub(crate) async fn in_full(answer: Answer) -> Vec<u8> {
    let (head, body) = answer.into_parts();
    let Ok(body) = body.collect().await.map(Collected::to_bytes);
    let mut bytes = format!("HTTP/1.1 {}\r\ncontent-length: {}\r\n", head.status, body.len()).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes
}

fn answer(status: StatusCode, media_type: &'static str, body: &impl Serialize) -> Answer {
    // Strings, numbers and booleans: there is nothing in these bodies that JSON cannot say.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    set(&mut answer, CONTENT_TYPE, media_type);
    set(&mut answer, CACHE_CONTROL, "no-store");
    set(&mut answer, X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

fn set(answer: &mut Answer, name: HeaderName, value: &'static str) {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
}
