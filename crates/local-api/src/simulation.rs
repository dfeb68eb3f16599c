//! `simulateProvisioning` over the control socket, for development: a path that no release has, and that is in no table and no
//! document of the interface for that reason.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Body;
use hyper::{Method, Request};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::payload::{MemberValue, Members};
use zmon_domain::secret::SecretText;

use crate::problem::Problem;
use crate::routes::{Answer, Api, Most, json_answer, read_json, refusal, refused};
use crate::server::Served;
use crate::table::Socket;
use crate::view::{ReceiptView, secret_text};

/// Where it is.
const PATH: &str = "/v1/pairing/simulated";
/// Members of a payload, with room for what is around them.
const SIMULATION: Most = Most {
    bytes: 80 * 1024,
    detail: "The body is larger than 80 KiB.",
    next_action: "Send the members of one payload and nothing else; fewer or smaller certificates make it smaller.",
};
/// No phase is held up for longer.
const MAX_PAUSE_MILLIS: u32 = 10_000;

/// What is to be simulated.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SimulationRequest {
    /// As in the payload of a push.
    payload: Payload,
    /// How long each phase stays on the screen.
    #[serde(default)]
    pause_millis: u32,
}

/// Answers a request for this path on the control socket; none where it is for another.
pub(crate) async fn answer<S: Served, B>(api: &Api<S>, request: Request<B>) -> Result<Answer, Request<B>>
where
    B: Body<Data = Bytes> + Unpin + Send,
{
    let here = request.uri().path() == PATH && request.method() == Method::POST;
    if !here || api.socket != Socket::Control {
        return Err(request);
    }
    Ok(simulate(api, request.into_body())
        .await
        .unwrap_or_else(|problem| refusal(&problem)))
}

async fn simulate<S: Served>(
    api: &Api<S>,
    body: impl Body<Data = Bytes> + Unpin + Send,
) -> Result<Answer, Box<Problem>> {
    let SimulationRequest { payload, pause_millis } = read_json(body, &SIMULATION).await?;
    if pause_millis > MAX_PAUSE_MILLIS {
        let rule = format!("pauseMillis must be at most {MAX_PAUSE_MILLIS}.");
        return Err(Problem::invalid_request(rule));
    }
    let pause = Duration::from_millis(pause_millis.into());
    let simulated = api.service.simulate_provisioning(payload.0, api.reader()?, pause).await;
    let receipt = simulated.map_err(reworded)?.installed.receipt.0;
    Ok(json_answer(&ReceiptView { receipt }))
}

/// What the catalogue says about a push fits everything but an empty screen.
fn reworded(error: ProvisioningError) -> Box<Problem> {
    if error.code() == ErrorCode::NotPairing {
        return Problem::with_next_action(
            ErrorCode::NotPairing,
            "There is no session for the simulated payload: no QR code is on the screen.",
            "Open pairing, then simulate.",
        );
    }
    refused(error)
}

/// The members of a payload in their order, duplicates included.
struct Payload(Members);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PayloadVisitor)
    }
}

struct PayloadVisitor;

impl<'de> Visitor<'de> for PayloadVisitor {
    type Value = Payload;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Payload, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry()? {
            let value = match value {
                Value::Text(text) => MemberValue::Text(text),
                Value::Natural(number) => MemberValue::Integer(number.into()),
                Value::Integer(number) => MemberValue::Integer(number.into()),
                Value::Other(IgnoredAny) => MemberValue::Other,
            };
            members.push((name, value));
        }
        Ok(Payload(Members(members)))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    #[serde(deserialize_with = "secret_text")]
    Text(SecretText),
    Natural(u64),
    Integer(i64),
    Other(IgnoredAny),
}
