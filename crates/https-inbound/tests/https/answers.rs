//! Steps 1 to 4 from outside: which request gets which answer, and what the service hears of it.

use std::time::Duration;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::machine::Admission;
use zmon_domain::status::ProvisioningStatus;
use zmon_testkit::fake_service::{Apply, installed, report};
use zmon_testkit::https_client::{push_request, request};

use crate::harness::{Rig, assert_common_headers, assert_problem, code};

#[tokio::test]
async fn hands_the_body_and_the_sessions_code_to_the_service_and_the_receipt_to_the_sender() {
    let rig = Rig::open().await;
    rig.service.apply_with(Apply::install());
    let answer = rig.push("sealed").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_common_headers(&answer);
    let expected = format!(
        r#"{{"status":"PROVISIONED","message":"The configuration is installed.","receipt":"{}"}}"#,
        installed().receipt
    );
    assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
    assert_eq!(rig.service.applied(), [(b"sealed".to_vec(), code())]);
    assert_eq!(rig.service.refusals(), []);
}

/// `protocol.md`, "Validation order": from step 4 on, the service's word decides.
#[tokio::test]
async fn answers_every_refusal_of_the_service_with_its_status_and_never_its_cause() {
    let rig = Rig::open().await;
    for (code, status) in [
        (ErrorCode::SignatureInvalid, 401),
        (ErrorCode::PayloadInvalid, 422),
        (ErrorCode::DeviceIdMismatch, 403),
        (ErrorCode::SessionMismatch, 403),
        (ErrorCode::PayloadExpired, 410),
        (ErrorCode::InvalidPairingCode, 403),
        (ErrorCode::InvalidCertificate, 422),
        (ErrorCode::NetworkError, 502),
        (ErrorCode::ConfirmationRefused, 403),
        (ErrorCode::ConfirmationTimeout, 408),
        (ErrorCode::StorageError, 500),
        (ErrorCode::AlreadyProvisioned, 409),
        (ErrorCode::PairingInProgress, 409),
        (ErrorCode::SessionExpired, 410),
        (ErrorCode::NotPairing, 409),
        (ErrorCode::Cancelled, 409),
        (ErrorCode::ShuttingDown, 503),
        (ErrorCode::UnknownError, 500),
        (ErrorCode::EnvelopeInvalid, 400),
    ] {
        let error = ProvisioningError::from(code).with_cause("CANARY-CAUSE");
        rig.service.apply_next(Apply::Answer(Err(error)));
        assert_problem(&rig.push("sealed").await, status, code);
    }
    assert_eq!(rig.service.refusals(), [], "the service counts these itself");
}

#[tokio::test]
async fn says_what_exactly_is_wrong_in_the_detail() {
    let rig = Rig::open().await;
    let error = ProvisioningError::new(ErrorCode::PayloadInvalid, "syncInterval must be 1 to 3600 seconds.");
    rig.service.apply_with(Apply::Answer(Err(error)));
    let answer = rig.push("sealed").await.json();
    assert_eq!(answer["detail"], "syncInterval must be 1 to 3600 seconds.");
    assert_eq!(answer["title"], ErrorCode::PayloadInvalid.entry().title);
}

#[tokio::test]
async fn refuses_in_step_1_before_it_looks_at_anything_else() {
    let rig = Rig::open().await;
    for (code, status) in [
        (ErrorCode::NotPairing, 409),
        (ErrorCode::SessionExpired, 410),
        (ErrorCode::PairingInProgress, 409),
        (ErrorCode::AlreadyProvisioned, 409),
        (ErrorCode::ShuttingDown, 503),
    ] {
        rig.service.admit_with(Err(code));
        assert_problem(&rig.push("sealed").await, status, code);
        let nowhere = rig.client().get(rig.at, "/nowhere").await.unwrap();
        assert_problem(&nowhere, status, code);
        let wrong_method = request(rig.at, Method::DELETE, "/provisioning/configure");
        assert_problem(&rig.client().send(rig.at, wrong_method).await.unwrap(), status, code);
    }
    assert_eq!(rig.service.applied(), []);
    assert_eq!(rig.service.refusals(), [], "the service counts these itself");
}

#[tokio::test]
async fn reads_pushes_during_grace() {
    let rig = Rig::open().await;
    rig.service.admit_with(Ok(Admission::Grace));
    rig.service.apply_next(Apply::install());
    assert_eq!(rig.push("the same").await.status, 200);
}

#[tokio::test]
async fn has_two_paths_and_one_method_for_each() {
    let rig = Rig::open().await;
    for path in [
        "/",
        "/provisioning",
        "/provisioning/configure/",
        "/provisioning/Configure",
        "/provisioning//configure",
        "/provisioning/%63onfigure",
        "/provisioning/status/..",
    ] {
        for method in [Method::GET, Method::POST] {
            let answer = rig.client().send(rig.at, request(rig.at, method, path)).await.unwrap();
            assert_problem(&answer, 404, ErrorCode::NotFound);
        }
    }
    for (path, allowed) in [("/provisioning/configure", "POST"), ("/provisioning/status", "GET")] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if method == allowed {
                continue;
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = rig.client().send(rig.at, request(rig.at, method, path)).await.unwrap();
            assert_problem(&answer, 405, ErrorCode::MethodNotAllowed);
            assert_eq!(answer.header("allow"), allowed);
        }
        let head = rig
            .client()
            .send(rig.at, request(rig.at, Method::HEAD, path))
            .await
            .unwrap();
        assert_eq!((head.status, head.header("allow"), head.body.len()), (405, allowed, 0));
    }
    assert_eq!(rig.service.applied(), []);
}

#[tokio::test]
async fn takes_one_media_type_in_any_spelling() {
    let rig = Rig::open().await;
    rig.service.apply_with(Apply::install());
    for accepted in [
        "application/jose",
        "Application/JOSE",
        "application/jose; charset=utf-8",
        "application/jose ;a=b",
    ] {
        let mut request = push_request(rig.at, "sealed");
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(accepted));
        assert_eq!(
            rig.client().send(rig.at, request).await.unwrap().status,
            200,
            "{accepted}"
        );
    }
}

#[tokio::test]
async fn refuses_any_other_media_type_and_any_encoding() {
    let rig = Rig::open().await;
    let with = |change: &dyn Fn(&mut Request<_>)| {
        let mut request = push_request(rig.at, "sealed");
        change(&mut request);
        request
    };
    let typed = |value: &'static str| {
        with(&|request| {
            request
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(value));
        })
    };
    let encoded = |value: &'static str| {
        with(&|request| {
            request
                .headers_mut()
                .append(CONTENT_ENCODING, HeaderValue::from_static(value));
        })
    };
    let missing = with(&|request| drop(request.headers_mut().remove(CONTENT_TYPE)));
    let twice = with(&|request| {
        request
            .headers_mut()
            .append(CONTENT_TYPE, HeaderValue::from_static("application/jose"));
    });
    let mut requests = vec![missing, twice, encoded("gzip"), encoded("identity, gzip"), encoded("")];
    requests.extend(
        [
            "",
            "application/json",
            "application/jose+json",
            "text/plain",
            "*/*",
            "jose",
        ]
        .map(typed),
    );
    let count = requests.len();
    for request in requests {
        let answer = rig.client().send(rig.at, request).await.unwrap();
        assert_problem(&answer, 415, ErrorCode::UnsupportedMediaType);
    }
    assert_eq!(rig.service.refusals(), vec![ErrorCode::UnsupportedMediaType; count]);
    assert_eq!(rig.service.applied(), []);
    rig.service.apply_with(Apply::install());
    assert_eq!(
        rig.client().send(rig.at, encoded("identity")).await.unwrap().status,
        200
    );
}

#[tokio::test]
async fn makes_an_address_wait_after_three_envelopes_that_do_not_open_and_no_other() {
    let rig = Rig::open().await;
    for _ in 0..3 {
        assert_problem(&rig.push("junk").await, 400, ErrorCode::EnvelopeInvalid);
    }
    let limited = rig.push("junk").await;
    assert_problem(&limited, 429, ErrorCode::RateLimited);
    assert_eq!(limited.header("retry-after"), "5");
    // Before step 3, and before anything was read.
    assert_problem(
        &rig.client().get(rig.at, "/nowhere").await.unwrap(),
        429,
        ErrorCode::RateLimited,
    );
    assert_eq!(rig.service.applied().len(), 3);
    assert_eq!(rig.service.refusals(), [ErrorCode::RateLimited; 2]);

    rig.service.apply_next(Apply::install());
    rig.honest_push().await;

    rig.clock.advance(Duration::from_millis(4_100));
    assert_eq!(rig.push("junk").await.header("retry-after"), "1");
    rig.clock.advance(Duration::from_millis(900));
    assert_problem(&rig.push("junk").await, 400, ErrorCode::EnvelopeInvalid);
    assert_problem(&rig.push("junk").await, 429, ErrorCode::RateLimited);
}

#[tokio::test]
async fn never_makes_an_address_wait_whose_envelopes_open() {
    let rig = Rig::open().await;
    rig.service.apply_with(Apply::refuse(ErrorCode::PairingInProgress));
    for _ in 0..12 {
        assert_problem(&rig.push("sealed").await, 409, ErrorCode::PairingInProgress);
    }
}

#[tokio::test]
async fn lets_no_parallel_attempt_slip_through() {
    let rig = Rig::open().await;
    rig.service
        .apply_with(Apply::Hold(Err(ErrorCode::EnvelopeInvalid.into())));
    let client = rig.client();
    let attempts: Vec<_> = (0..3)
        .map(|_| {
            let (client, at) = (client.clone(), rig.at);
            tokio::spawn(async move { client.push(at, "junk").await.unwrap() })
        })
        .collect();
    rig.service.begun(3).await;
    // Were it let through, it would be held like the others.
    let one_more = tokio::time::timeout(Duration::from_secs(5), rig.push("junk")).await;
    assert_problem(&one_more.unwrap(), 429, ErrorCode::RateLimited);
    attempts.iter().for_each(|_| rig.service.release());
    for attempt in attempts {
        assert_eq!(attempt.await.unwrap().status, 400);
    }
    assert_eq!(rig.service.applied().len(), 3);
}

#[tokio::test]
async fn tells_status_and_remaining_time_and_nothing_else() {
    let rig = Rig::open().await;
    let status = async || {
        let answer = rig.client().get(rig.at, "/provisioning/status").await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_common_headers(&answer);
        String::from_utf8(answer.body).unwrap()
    };
    assert_eq!(status().await, r#"{"status":"READY_TO_PAIR","expiresInSeconds":600}"#);
    // Not subject to step 1: this is how a station learns why.
    rig.service.admit_with(Err(ErrorCode::AlreadyProvisioned));
    for state in ProvisioningStatus::ALL {
        if state != ProvisioningStatus::ReadyToPair {
            let mut report = report(state);
            report.expires_in_seconds = Some(1);
            rig.service.report_with(report);
            assert_eq!(
                status().await,
                format!(r#"{{"status":"{state}","expiresInSeconds":null}}"#)
            );
        }
    }
}

#[tokio::test]
async fn gives_each_address_a_budget_of_status_requests() {
    let rig = Rig::open().await;
    let status = async |last| rig.client_from(last).get(rig.at, "/provisioning/status").await.unwrap();
    for _ in 0..10 {
        assert_eq!(status(1).await.status, 200);
    }
    let limited = status(1).await;
    assert_problem(&limited, 429, ErrorCode::RateLimited);
    assert_eq!(limited.header("retry-after"), "1");
    assert_eq!(rig.service.refusals(), [ErrorCode::RateLimited]);
    assert_eq!(status(2).await.status, 200);
    rig.clock.advance(Duration::from_millis(200));
    assert_eq!(status(1).await.status, 200);
    // A budget of its own: pushes are not affected.
    rig.service.apply_with(Apply::install());
    assert_eq!(rig.push("sealed").await.status, 200);
}
