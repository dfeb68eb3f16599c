//! From requests to use cases.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::info;
use zeroize::Zeroizing;
use zmon_domain::access::Peer;
use zmon_domain::admin::{AdministratorRequest, Requester};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::DeviceId;
use zmon_domain::pairing::PairingCode;
use zmon_domain::qr::QrCodeData;
use zmon_ports::EventSubscription;

use crate::events;
use crate::examination::ExaminationView;
use crate::kiosk::Kiosk;
use crate::problem::Problem;
use crate::reading::{AuditPageView, AuditQuery, AuditVerdictView, ConfigurationView, CredentialsView};
use crate::server::Served;
#[cfg(feature = "simulation")]
use crate::simulation;
use crate::table::{Route, Socket};
use crate::view::{
    AdministratorPin, ConfirmationAnswer, DestructionView, HealthView, PairingCodeView, PairingRequest, PairingView,
    ReceiptView, StatusView,
};

/// What metrics are written in.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Largest JSON object in a request.
const JSON: Most = Most {
    bytes: 16 * 1024,
    detail: "The body is larger than 16 KiB.",
    next_action: "Send the JSON object that this path takes and nothing else.",
};
/// Largest sealed payload, as over the network.
const PAYLOAD: Most = Most {
    bytes: 64 * 1024,
    detail: "The payload is larger than 64 KiB.",
    next_action: "Send the sealed payload and nothing else; fewer or smaller certificates make it smaller.",
};
/// How many audit records an answer has where the request leaves it open.
const AUDIT_PAGE: u32 = 256;
/// And at most.
const MAX_AUDIT_PAGE: u32 = 1000;
/// How many bytes the document with the pairing code takes, at most.
const CODE_ROOM: usize = 64;
/// How long the service may take to say how it is.
const HEALTH_TIME: Duration = Duration::from_secs(2);
/// How long a request body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What a QR code shows where the request leaves it open: the device's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairingDefaults {
    /// The device id.
    pub device_id: DeviceId,
    /// The address that Central Stations reach the device at.
    pub ip_address: IpAddr,
}

/// How long a request body may be, and what is said where it is longer.
pub(crate) struct Most {
    pub(crate) bytes: usize,
    pub(crate) detail: &'static str,
    pub(crate) next_action: &'static str,
}

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The service behind the socket.
#[derive(Clone)]
pub(crate) struct Api<S> {
    pub(crate) service: S,
    pub(crate) defaults: PairingDefaults,
    pub(crate) socket: Socket,
    /// What guards the kiosk's.
    pub(crate) kiosk: Option<Arc<Kiosk>>,
    /// The program at the other end.
    pub(crate) peer: Option<Peer>,
    /// True once the server is stopping: ends event streams.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl<S: Served> Api<S> {
    /// Answers one request.
    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Unpin + Send,
    {
        #[cfg(feature = "simulation")]
        let request = match simulation::answer(self, request).await {
            Ok(answer) => return answer,
            Err(request) => request,
        };
        let path = request.uri().path();
        let on_this = |route: &Route| route.is_on(self.socket) && route.path() == path;
        let here = || Route::ALL.iter().copied().filter(on_this);
        let query = request.uri().query().unwrap_or_default().to_owned();
        let mut answer = match here().find(|route| route.method() == request.method()) {
            Some(route) => match self.carry_out(route, &query, request.into_body()).await {
                Ok(mut answer) => {
                    if Some(answer.status()) != route.other_status() {
                        *answer.status_mut() = route.status();
                    }
                    answer
                }
                Err(problem) => refusal(&problem),
            },
            None if here().next().is_none() => refusal(&Problem::with_next_action(
                ErrorCode::NotFound,
                "The local API has nothing at this path.",
                "Use one of the paths below /v1 that the local API documents.",
            )),
            None => {
                let methods: Vec<_> = here().map(|route| route.method().to_string()).collect();
                let mut answer = refusal(&Problem::from(&ProvisioningError::from(ErrorCode::MethodNotAllowed)));
                if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
                    answer.headers_mut().insert(ALLOW, methods);
                }
                answer
            }
        };
        answer
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    /// Who acts is in the log; who only looks is not.
    fn note(&self, route: Route) {
        if route.method() != Method::GET {
            let (uid, gid) = (self.peer.map(|peer| peer.uid), self.peer.map(|peer| peer.gid));
            let pid = self.peer.and_then(|peer| peer.pid);
            info!(?route, socket = ?self.socket, uid, gid, pid, "somebody acts");
        }
    }

    async fn carry_out<B>(&self, route: Route, query: &str, body: B) -> Result<Answer, Box<Problem>>
    where
        B: Body<Data = Bytes> + Unpin + Send,
    {
        self.note(route);
        match route {
            Route::Status => Ok(self.status().await),
            Route::Health => Ok(self.health().await),
            Route::Metrics => Ok(answer(PROMETHEUS_TEXT, self.service.metrics().await.into())),
            Route::Receipt => self.receipt().await,
            Route::OpenPairing => self.open_pairing(body).await,
            Route::CancelPairing => {
                self.service.cancel().await.map_err(refused)?;
                Ok(self.status().await)
            }
            Route::AnswerConfirmation => {
                let ConfirmationAnswer { accept } = json_body(body).await?;
                let answered = self.service.answer_confirmation(accept, self.peer).await;
                answered.map_err(reworded(&NOTHING_TO_CONFIRM))?;
                Ok(self.status().await)
            }
            Route::ApplyPayload => self.apply(body).await,
            Route::QrPng => self.picture("image/png", |qr| qr.images().png.clone().into()).await,
            Route::QrSvg => self.picture("image/svg+xml", |qr| qr.images().svg.clone().into()).await,
            Route::QrText => {
                self.picture("text/plain; charset=utf-8", |qr| screen_text(qr).into())
                    .await
            }
            Route::PairingCode => {
                let shown = self.shown().await?;
                let pairing_code = shown.fields().pairing_code.expose();
                Ok(secret_answer(&PairingCodeView { pairing_code }, CODE_ROOM))
            }
            Route::Acknowledge => {
                self.service.acknowledge().await.map_err(refused)?;
                Ok(self.status().await)
            }
            Route::Deprovision => {
                let request = self.administrator(body).await?;
                self.service.deprovision_device(request).await.map_err(refused)?;
                Ok(self.status().await)
            }
            Route::RotateKey => {
                self.service.rotate_database_key().await.map_err(refused)?;
                Ok(self.status().await)
            }
            Route::Retire => {
                let request = self.administrator(body).await?;
                self.service.retire_device(request).await.map_err(refused)?;
                Ok(self.status().await)
            }
            Route::ResetTimeFloor => {
                let request = self.administrator(body).await?;
                self.service.reset_time_floor(request).await.map_err(refused)?;
                Ok(self.status().await)
            }
            Route::Destruction => self.destruction().await,
            Route::Events => Ok(self.events()),
            Route::Configuration => {
                let configuration = self.service.show_configuration().await;
                let configuration = configuration.map_err(reworded(&NOTHING_TO_READ))?;
                Ok(json_answer(&ConfigurationView::redacted(&configuration)))
            }
            Route::ApplicationConfiguration => {
                let configuration = self.service.read_configuration(self.reader()?).await;
                let configuration = configuration.map_err(reworded(&NOTHING_TO_READ))?;
                Ok(json_answer(&ConfigurationView::whole(&configuration)))
            }
            Route::Credentials => {
                let credentials = self.service.read_credentials(self.reader()?).await;
                let credentials = CredentialsView::from(credentials.map_err(reworded(&NOTHING_TO_READ))?);
                Ok(secret_answer(&credentials, room_for(&credentials)))
            }
            Route::Examination => {
                let examination = self.service.examine().await.map_err(refused)?;
                Ok(json_answer(&ExaminationView::from(&examination)))
            }
            Route::TestConnection => {
                self.service.reach_server().await.map_err(reworded(&NO_SERVER))?;
                Ok(self.status().await)
            }
            Route::Audit => self.audit(query).await,
            Route::AuditVerdict => {
                let verdict = self.service.verify_audit().await.map_err(refused)?;
                Ok(json_answer(&AuditVerdictView::from(&verdict)))
            }
        }
    }

    async fn status(&self) -> Answer {
        json_answer(&StatusView::from(&self.service.get_status().await))
    }

    /// A service that is held up is not healthy.
    async fn health(&self) -> Answer {
        let health = tokio::time::timeout(HEALTH_TIME, self.service.health()).await;
        let health = health.map_or_else(|_| HealthView::default(), HealthView::from);
        let mut answer = json_answer(&health);
        if !health.healthy {
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        answer
    }

    async fn receipt(&self) -> Result<Answer, Box<Problem>> {
        let installed = self.service.get_status().await.installed.ok_or_else(|| {
            Problem::with_next_action(
                ErrorCode::NotProvisioned,
                "There is no receipt: the device is not provisioned.",
                "Provision the monitor; its receipt is here as long as it stays provisioned.",
            )
        })?;
        let receipt = installed.receipt.0;
        Ok(json_answer(&ReceiptView { receipt }))
    }

    async fn destruction(&self) -> Result<Answer, Box<Problem>> {
        let record = self.service.get_status().await.destruction.ok_or_else(|| {
            Problem::with_next_action(
                ErrorCode::NotFound,
                "There is no record of destruction: nothing has been de-provisioned.",
                "De-provision the monitor; the record is here from then on.",
            )
        })?;
        let destruction = record.0;
        Ok(json_answer(&DestructionView { destruction }))
    }

    /// A request for an administrator's act, with the process that makes it.
    async fn administrator<B>(&self, body: B) -> Result<AdministratorRequest, Box<Problem>>
    where
        B: Body<Data = Bytes> + Unpin + Send,
    {
        let AdministratorPin { pin } = json_body(body).await?;
        let by = match self.socket {
            Socket::Kiosk => Requester::Screen,
            // Nobody acts without a name.
            Socket::Control | Socket::Application => Requester::Process(self.reader()?),
        };
        Ok(AdministratorRequest { pin, by })
    }

    async fn open_pairing<B>(&self, body: B) -> Result<Answer, Box<Problem>>
    where
        B: Body<Data = Bytes> + Unpin + Send,
    {
        let request: PairingRequest = json_body(body).await?;
        let device_id = request.device_id.map_or_else(
            || Ok(self.defaults.device_id.clone()),
            |text| DeviceId::parse(&text).map_err(|rule| Problem::invalid_request(format!("deviceId {rule}."))),
        )?;
        let ip_address = request.ip_address.map_or(Ok(self.defaults.ip_address), |text| {
            text.parse()
                .map_err(|_| Problem::invalid_request("ipAddress must be an IPv4 or IPv6 address."))
        })?;
        let qr_code = self
            .service
            .generate_provisioning_qr_code(&device_id, ip_address)
            .await
            .map_err(refused)?;
        let left = self.service.get_status().await.expires_in_seconds;
        let view = PairingView {
            expires_at: qr_code.expires_at().as_millis(),
            expires_in_seconds: left.unwrap_or(0),
        };
        Ok(json_answer(&view))
    }

    /// A sealed payload that was carried by hand.
    async fn apply<B>(&self, body: B) -> Result<Answer, Box<Problem>>
    where
        B: Body<Data = Bytes> + Unpin + Send,
    {
        let payload = whole_body(body, &PAYLOAD).await?.to_vec();
        let code = match self.service.current_qr_code().await {
            Some(qr_code) => qr_code.fields().pairing_code.clone(),
            // Where no session is open, nobody looks at the code.
            None => PairingCode::from_random(&mut [0; 6]),
        };
        let applied = self.service.apply_configuration(payload, &code, None).await;
        let receipt = applied.map_err(refused)?.installed.receipt.0;
        Ok(json_answer(&ReceiptView { receipt }))
    }

    async fn picture(
        &self,
        media_type: &'static str,
        draw: impl FnOnce(&QrCodeData) -> Bytes + Send,
    ) -> Result<Answer, Box<Problem>> {
        Ok(answer(media_type, draw(&self.shown().await?)))
    }

    /// The QR code on the screen.
    async fn shown(&self) -> Result<QrCodeData, Box<Problem>> {
        self.service.current_qr_code().await.ok_or_else(|| {
            Problem::with_next_action(
                ErrorCode::NotPairing,
                "There is no QR code on the screen.",
                "Open pairing with POST /v1/pairing, then ask again.",
            )
        })
    }

    /// Nobody reads without a name.
    pub(crate) fn reader(&self) -> Result<Peer, Box<Problem>> {
        let why = || ProvisioningError::from(ErrorCode::UnknownError).with_cause("the kernel does not say who asks");
        self.peer.ok_or_else(|| refused(why()))
    }

    async fn audit(&self, query: &str) -> Result<Answer, Box<Problem>> {
        let AuditQuery { from, limit } = audit_query(query).ok_or_else(|| {
            Problem::invalid_request(format!(
                "The query may have from and limit, once each: whole numbers, limit from 1 to {MAX_AUDIT_PAGE}."
            ))
        })?;
        let (from, limit) = (from.unwrap_or(1), limit.unwrap_or(AUDIT_PAGE));
        let page = self.service.audit_page(from, limit).await.map_err(refused)?;
        Ok(json_answer(&AuditPageView::new(
            self.defaults.device_id.as_str(),
            &page,
        )))
    }

    fn events(&self) -> Answer {
        let subscription = self.service.subscribe();
        let mut stopping = self.stopping.clone();
        let frames = stream::unfold(subscription, |mut subscription| async move {
            let event = subscription.next().await?;
            Some((Ok(Frame::data(events::encode(&event))), subscription))
        })
        .take_until(async move {
            // Where the sender is gone, the server is too.
            drop(stopping.wait_for(|stopping| *stopping).await);
        });
        let mut answer = Response::new(StreamBody::new(Box::pin(frames)).boxed_unsync());
        answer
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        answer
    }
}

/// What the screen shows: the symbol, and the code in letters for a person who reads it out.
fn screen_text(qr_code: &QrCodeData) -> String {
    format!(
        "{}\nPairing code: {}\n",
        qr_code.images().text.trim_end_matches('\n'),
        qr_code.fields().pairing_code.expose()
    )
}

/// The body as JSON; no body counts as an empty object. Erased afterwards, since it may hold a PIN.
async fn json_body<T: DeserializeOwned>(body: impl Body<Data = Bytes> + Unpin) -> Result<T, Box<Problem>> {
    read_json(body, &JSON).await
}

pub(crate) async fn read_json<T: DeserializeOwned>(
    body: impl Body<Data = Bytes> + Unpin,
    most: &Most,
) -> Result<T, Box<Problem>> {
    let bytes = whole_body(body, most).await?;
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    serde_json::from_slice(text).map_err(|fault| {
        // The parser's own words can quote the body.
        Problem::invalid_request(format!(
            "The body is not the JSON object that this path takes (line {}, column {}).",
            fault.line(),
            fault.column()
        ))
    })
}

async fn whole_body(body: impl Body<Data = Bytes> + Unpin, most: &Most) -> Result<Zeroizing<Vec<u8>>, Box<Problem>> {
    tokio::time::timeout(BODY_TIME, collect(body, most))
        .await
        .unwrap_or_else(|_| {
            Err(Problem::with_next_action(
                ErrorCode::RequestTimeout,
                "The body did not arrive within ten seconds.",
                "Send the whole request without pausing.",
            ))
        })
}

async fn collect(mut body: impl Body<Data = Bytes> + Unpin, most: &Most) -> Result<Zeroizing<Vec<u8>>, Box<Problem>> {
    let mut collected = Zeroizing::new(Vec::with_capacity(most.bytes));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::invalid_request("The body broke off."))?;
        let Ok(data) = frame.into_data() else { continue };
        if collected.len() + data.len() > most.bytes {
            return Err(Problem::with_next_action(
                ErrorCode::PayloadTooLarge,
                most.detail,
                most.next_action,
            ));
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected)
}

/// `from=1&limit=256`: numbers only, so that nothing has to be decoded.
fn audit_query(query: &str) -> Option<AuditQuery> {
    let mut found = AuditQuery::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        // No sign.
        value.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
        let before = match name {
            "from" => found.from.replace(value.parse().ok()?),
            "limit" => found.limit.replace(value.parse().ok()?).map(u64::from),
            _ => return None,
        };
        before.is_none().then_some(())?;
    }
    found
        .limit
        .is_none_or(|limit| (1..=MAX_AUDIT_PAGE).contains(&limit))
        .then_some(found)
}

/// For whoever reads, where nothing is there to be read.
const NOTHING_TO_READ: Rewording = Rewording {
    codes: &[ErrorCode::NotProvisioned],
    detail: "There is nothing to read: the device is not provisioned.",
    next_action: "Wait until it is: GET /v1/events tells, and the file that application.provisioned_file names.",
};
/// For whoever answers where nothing was asked.
const NOTHING_TO_CONFIRM: Rewording = Rewording {
    codes: &[
        ErrorCode::NotPairing,
        ErrorCode::PairingInProgress,
        ErrorCode::AlreadyProvisioned,
    ],
    detail: "No configuration waits for a person's answer.",
    next_action: "Look at GET /v1/status: there is something to answer in the phase AWAITING_CONFIRMATION alone.",
};
/// For whoever wants the server to be tried, where none is installed.
const NO_SERVER: Rewording = Rewording {
    codes: &[ErrorCode::NotProvisioned],
    detail: "There is no server to try: the device is not provisioned.",
    next_action: "Provision the monitor first.",
};

/// What fits a route better than what the catalogue says about these codes.
struct Rewording {
    codes: &'static [ErrorCode],
    detail: &'static str,
    next_action: &'static str,
}

fn reworded(rewording: &'static Rewording) -> impl Fn(ProvisioningError) -> Box<Problem> {
    move |error| {
        if rewording.codes.contains(&error.code()) {
            Problem::with_next_action(error.code(), rewording.detail, rewording.next_action)
        } else {
            refused(error)
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn refused(error: ProvisioningError) -> Box<Problem> {
    Box::new(Problem::from(&error))
}

pub(crate) fn refusal(problem: &Problem) -> Answer {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut answer = answer("application/problem+json", body.into());
    if let Some(seconds) = problem.retry_after {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    *answer.status_mut() = status;
    answer
}

pub(crate) fn json_answer(document: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(document).unwrap_or_default();
    answer("application/json", body.into())
}

/// How many bytes credentials take as JSON, at most.
fn room_for(credentials: &CredentialsView) -> usize {
    let key = credentials.client_private_key.expose();
    let texts = [&credentials.client_certificate, &credentials.ca_certificate];
    let server = credentials.server_certificate.as_deref().unwrap_or_default();
    let length = key.len() + server.len() + texts.map(String::len).iter().sum::<usize>();
    // A line end becomes two characters.
    2 * length + 1024
}

/// Of something that holds a secret: in memory once, and erased when it was sent. With enough room nothing is ever copied
/// to a larger place.
fn secret_answer(document: &impl Serialize, room: usize) -> Answer {
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    let written = serde_json::to_writer(&mut *body, document);
    debug_assert!(written.is_ok(), "strings and numbers are JSON");
    answer("application/json", Bytes::from_owner(body))
}

pub(crate) fn answer(media_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body).boxed_unsync());
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}
