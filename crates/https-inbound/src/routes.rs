//! Steps 1 to 3 of the validation order, in that order, and what follows them (`protocol.md`).

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use hyper::http::request::Parts;
use tracing::{debug, error, info, warn};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::result::ProvisioningResult;
use zmon_ports::{Clock, PairingInbound};

use crate::answer::{self, Answer, Hint};
use crate::connection::Budget;
use crate::session::{Attempt, Session};
use crate::slots::Slot;
use crate::table::Route;

/// What a request needs to know of its connection.
pub(crate) struct Exchange<S, C> {
    pub(crate) session: Arc<Session<S, C>>,
    pub(crate) peer: IpAddr,
    pub(crate) slot: Slot,
    pub(crate) budget: Budget,
}

/// Why a request is refused.
struct Refusal {
    error: ProvisioningError,
    hint: Hint,
    /// Whether the request was read to its end, so that another may follow.
    read: bool,
}

impl Refusal {
    const fn of(error: ProvisioningError, hint: Hint, read: bool) -> Self {
        Self { error, hint, read }
    }
}

type Outcome = Result<ProvisioningResult, ProvisioningError>;

/// Answers one request.
pub(crate) async fn respond<S, C>(exchange: &Exchange<S, C>, request: Request<Incoming>) -> Answer
where
    S: PairingInbound,
    C: Clock,
{
    let (head, body) = request.into_parts();
    let empty = body.is_end_stream();
    let outcome = if is_status_request(&head) {
        status(exchange, empty).await
    } else {
        push(exchange, &head, body).await
    };
    outcome.unwrap_or_else(|refusal| {
        let answer = answer::problem(&refusal.error, refusal.hint);
        debug!(peer = %exchange.peer, code = %refusal.error.code(), status = answer.status().as_u16(), "refused");
        if refusal.read { answer } else { answer::closing(answer) }
    })
}

fn is_status_request(head: &Parts) -> bool {
    Route::at(head.uri.path()) == Some(Route::Status) && head.method == Route::Status.method()
}

async fn status<S: PairingInbound, C: Clock>(exchange: &Exchange<S, C>, empty: bool) -> Result<Answer, Refusal> {
    if let Err(wait) = exchange.session.take_status(exchange.peer) {
        return Err(exchange.refuse(ErrorCode::RateLimited, Hint::RetryAfter(wait), empty));
    }
    let answer = answer::status(&exchange.session.inbound.get_status().await);
    Ok(if empty { answer } else { answer::closing(answer) })
}

async fn push<S, C>(exchange: &Exchange<S, C>, head: &Parts, body: Incoming) -> Result<Answer, Refusal>
where
    S: PairingInbound,
    C: Clock,
{
    let (session, empty) = (&exchange.session, body.is_end_stream());
    // Step 1.
    let admitted = session.inbound.admit().await;
    admitted.map_err(|error| Refusal::of(error, Hint::Nothing, empty))?;
    // Step 2.
    if let Some(wait) = session.envelope_wait(exchange.peer) {
        return Err(exchange.refuse(ErrorCode::RateLimited, Hint::RetryAfter(wait), empty));
    }
    // Step 3.
    check_head(head, &body, session.limits.max_body).map_err(|(code, hint)| exchange.refuse(code, hint, empty))?;
    let reading = tokio::time::timeout(session.limits.body, read(body, session.limits.max_body));
    let body = reading
        .await
        .unwrap_or(Err(ErrorCode::RequestTimeout))
        .map_err(|code| exchange.refuse(code, Hint::Nothing, false))?;
    // Another request of this address may have used up step 2 while this one was being read.
    let attempt = session
        .attempt(exchange.peer)
        .map_err(|wait| exchange.refuse(ErrorCode::RateLimited, Hint::RetryAfter(wait), true))?;
    // Step 4 and on.
    match exchange.apply(body, attempt).await {
        Ok(result) => Ok(answer::provisioned(&result)),
        Err(error) => Err(Refusal::of(error, Hint::Nothing, true)),
    }
}

fn check_head(head: &Parts, body: &Incoming, max_body: usize) -> Result<(), (ErrorCode, Hint)> {
    let route = Route::at(head.uri.path()).ok_or((ErrorCode::NotFound, Hint::Nothing))?;
    // A status request that is in order was answered before step 1.
    if route != Route::Configure || head.method != route.method() {
        return Err((ErrorCode::MethodNotAllowed, Hint::Allow(route.method())));
    }
    if !is_jose(&head.headers) {
        return Err((ErrorCode::UnsupportedMediaType, Hint::Nothing));
    }
    if body.size_hint().lower() > max_body as u64 {
        return Err((ErrorCode::PayloadTooLarge, Hint::Nothing));
    }
    Ok(())
}

/// One `Content-Type`, `application/jose` in any case and with any parameters (it defines none), and no encoding of
/// the content.
fn is_jose(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let plain = |encoding: &[u8]| encoding.trim_ascii().eq_ignore_ascii_case(b"identity");
    essence.trim_ascii().eq_ignore_ascii_case(b"application/jose")
        && headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .all(|value| plain(value.as_bytes()))
}

/// The whole body, however it is framed.
async fn read(mut body: Incoming, max_body: usize) -> Result<Vec<u8>, ErrorCode> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        // The sender went away in the middle of it, or framed it wrongly.
        let frame = frame.map_err(|_| ErrorCode::RequestTimeout)?;
        // Trailers mean nothing here.
        let Some(data) = frame.data_ref() else { continue };
        if data.len() > max_body - bytes.len() {
            return Err(ErrorCode::PayloadTooLarge);
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

impl<S: PairingInbound, C: Clock> Exchange<S, C> {
    /// A refusal of step 2 or 3: the service hears of it.
    pub(crate) fn count(&self, code: ErrorCode) {
        self.session.inbound.count_refusal(code);
    }

    fn refuse(&self, code: ErrorCode, hint: Hint, read: bool) -> Refusal {
        self.count(code);
        Refusal::of(code.into(), hint, read)
    }

    /// Hands the body to the service, in a task of its own: neither a client that goes away nor a panic takes anything
    /// else with it. The connection's time stands still meanwhile.
    async fn apply(&self, body: Vec<u8>, attempt: Attempt<S, C>) -> Outcome {
        let _paused = self.budget.pause();
        self.slot.set_busy(true);
        let applied = tokio::spawn(apply(Arc::clone(&self.session), self.peer, body, attempt)).await;
        let outcome = applied.unwrap_or_else(|fault| {
            error!(peer = %self.peer, panicked = fault.is_panic(), "processing a payload broke down");
            Err(ErrorCode::UnknownError.into())
        });
        // What follows is the answer; only whoever has seen the screen is protected while it is sent.
        self.slot.set_busy(!failed_step_4(&outcome));
        outcome
    }
}

async fn apply<S, C>(session: Arc<Session<S, C>>, peer: IpAddr, body: Vec<u8>, attempt: Attempt<S, C>) -> Outcome
where
    S: PairingInbound,
    C: Clock,
{
    let (service, code) = (&session.inbound, &session.pairing_code);
    let outcome = service.apply_configuration(body, code, Some(peer)).await;
    if !failed_step_4(&outcome) {
        attempt.give_back();
    }
    match &outcome {
        Ok(_) => info!(%peer, "configuration applied"),
        Err(error) => warn!(%peer, code = %error.code(), cause = ?error.cause(), "configuration refused"),
    }
    outcome
}

fn failed_step_4(outcome: &Outcome) -> bool {
    matches!(outcome, Err(error) if error.code() == ErrorCode::EnvelopeInvalid)
}
