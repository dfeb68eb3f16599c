//! The API as an OpenAPI document, from its table and its types.

use zmon_domain::error::ErrorCode;
use zmon_domain::status::ProvisioningStatus;
use zmon_openapi::{Body, Interface, Operation, Refusal, schema_of};
use zmon_ports::ListenerHealth;

use crate::problem::{HOST_FOREIGN, ORIGIN_FOREIGN, Own, Problem, REQUEST_INVALID, TOKEN_REQUIRED, http_status};
use crate::table::{Route, Socket};

const DESCRIPTION: &str = "\
What a screen, a command line or another program on the monitor does with the provisioning service, as HTTP/1.1 over a Unix
socket. Whoever may open the socket may use it: its file is for its owner and group.

Times are milliseconds since 1970. Every refusal is an `application/problem+json` (RFC 9457) with `code` and `nextAction`; the
codes are those of the error catalogue. A path that does not exist is answered with `NotFound`, a path that does not take the
method with `MethodNotAllowed`. No answer holds a private key, a session key or a PIN; the pairing code is in the three
pictures of the QR code and at its own path alone.";

const APPLICATION_DESCRIPTION: &str = "\
What the monitor application gets from the provisioning service, as HTTP/1.1 over a Unix socket of its own. The kernel lets
nobody open it but the members of the group that `application.group` of the device's configuration names, and root.

Wait for `application.provisioned_file`, or read `/v1/events`; then get configuration and credentials, and compare their
`completedAt`: where they differ, the device was provisioned anew in between. Times are milliseconds since 1970. Every refusal
is an `application/problem+json` (RFC 9457) with `code` and `nextAction`. The answer with the credentials is the one place
where a private key leaves the service.";

const KIOSK_DESCRIPTION: &str = "\
What the page on the monitor's own display uses, as HTTP/1.1 on loopback. Served where `kiosk.group` of the device's
configuration is set; the page itself and its files are below `/`.

Every request has to name the page's own address in `Host`, and must not come from another site (`Origin`, `Sec-Fetch-Site`); one that
changes something has to have an `Origin`. Every path but `/v1/health` needs the token from the file that `kiosk.start_file` names, as
`Authorization: Bearer`. Every refusal is an `application/problem+json` (RFC 9457) with `code` and `nextAction`.";

/// The control API as an OpenAPI 3.1 document, in JSON.
#[must_use]
pub fn openapi() -> serde_json::Value {
    let server = "The Unix socket that `control.socket` of the device's configuration names; the host in a request does not matter.";
    document(
        Socket::Control,
        "Z Monitor provisioning: control API",
        DESCRIPTION,
        server,
    )
}

/// What is on the monitor application's socket, in the same form.
#[must_use]
pub fn openapi_application() -> serde_json::Value {
    let server = "The Unix socket that `application.socket` of the device's configuration names; the host in a request does not matter.";
    let title = "Z Monitor provisioning: for the monitor application";
    document(Socket::Application, title, APPLICATION_DESCRIPTION, server)
}

/// What the kiosk page uses, in the same form.
#[must_use]
pub fn openapi_kiosk() -> serde_json::Value {
    let server = "The address of the page; `kiosk.port` of the device's configuration names the port.";
    let title = "Z Monitor provisioning: for the kiosk page";
    document(Socket::Kiosk, title, KIOSK_DESCRIPTION, server)
}

fn document(socket: Socket, title: &'static str, description: &'static str, server: &'static str) -> serde_json::Value {
    let here = Route::ALL.iter().filter(|route| route.is_on(socket));
    let mut elsewhere = vec![refusal(ErrorCode::NotFound), refusal(ErrorCode::MethodNotAllowed)];
    let mut url = "http://localhost";
    if socket == Socket::Kiosk {
        elsewhere.extend([HOST_FOREIGN, ORIGIN_FOREIGN, TOKEN_REQUIRED].map(own_refusal));
        url = "http://127.0.0.1:8480";
    }
    Interface {
        title,
        description,
        version: "1",
        server: (url, server),
        variables: &[],
        operations: here.map(|route| route.operation()).collect(),
        problem: schema_of::<Problem>,
        elsewhere,
    }
    .document()
}

/// What a row of the table says.
pub(crate) fn operation<Takes: Body, Answers: Body>(
    route: Route,
    name: &'static str,
    about: &'static [&'static str],
    refuses: &[ErrorCode],
) -> Operation {
    let takes = Takes::content();
    let mut refusals: Vec<_> = refuses.iter().copied().map(refusal).collect();
    if takes.is_some() || Takes::query().is_some() {
        refusals.push(own_refusal(REQUEST_INVALID));
    }
    if takes.is_some() {
        refusals.extend([ErrorCode::RequestTimeout, ErrorCode::PayloadTooLarge].map(refusal));
    }
    Operation {
        method: route.method().to_string(),
        path: route.path(),
        name,
        about,
        takes,
        query: Takes::query(),
        status: route.status().as_u16(),
        other_status: route.other_status().map(|status| status.as_u16()),
        answers: Answers::content(),
        refusals,
    }
}

fn refusal(code: ErrorCode) -> Refusal {
    let header = match code {
        ErrorCode::MethodNotAllowed => Some(("Allow", "The methods that the path takes.")),
        ErrorCode::AdminLocked => Some(("Retry-After", "How many seconds no PIN is looked at.")),
        _ => None,
    };
    Refusal {
        status: http_status(code).as_u16(),
        code: code.as_str(),
        title: code.entry().title,
        header,
    }
}

fn own_refusal(own: Own) -> Refusal {
    Refusal {
        status: own.status.as_u16(),
        code: own.code,
        title: own.title,
        header: (own == TOKEN_REQUIRED).then_some(("WWW-Authenticate", "`Bearer`.")),
    }
}

/// The spelling of what the listener may be; null where nobody says.
pub(crate) fn listener_healths() -> Vec<Option<&'static str>> {
    let known = ListenerHealth::ALL.map(|health| Some(health.as_str()));
    known.into_iter().chain([None]).collect()
}

/// The spelling of every status.
pub(crate) fn statuses() -> [&'static str; 6] {
    ProvisioningStatus::ALL.map(ProvisioningStatus::as_str)
}
