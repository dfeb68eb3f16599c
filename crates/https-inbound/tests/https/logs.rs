//! What the log may know.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_ports::PairingListener;
use zmon_testkit::fake_service::{Apply, installed};
use zmon_testkit::https_client::{HttpAnswer, push_request};

use crate::harness::Rig;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// One thread, so that the subscriber hears every task.
#[tokio::test]
async fn holds_peer_and_code_and_nothing_that_was_received_or_is_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let rig = Rig::open().await;
    let error = ProvisioningError::from(ErrorCode::SignatureInvalid).with_cause("planted\nCAUSE");
    rig.service.apply_next(Apply::Answer(Err(error)));
    rig.service.apply_next(Apply::install());
    let mut request = push_request(rig.at, "RECEIVED-BODY");
    *request.uri_mut() = "/RECEIVED-PATH?RECEIVED-QUERY".parse().unwrap();
    request
        .headers_mut()
        .insert("user-agent", "RECEIVED-HEADER".parse().unwrap());
    rig.client().send(rig.at, request).await.unwrap();
    rig.push("RECEIVED-BODY").await;
    rig.push("RECEIVED-BODY").await;
    let malformed = rig
        .client()
        .raw(rig.at, b"RECEIVED\x07 NONSENSE\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(HttpAnswer::parse(&malformed).unwrap().status, 400);
    rig.listener.close().await;

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // The control: it was written, cause and all, each event on one line.
    for expected in [
        "127.0.0.1",
        "SignatureInvalid",
        "NotFound",
        r"planted\nCAUSE",
        "configuration applied",
    ] {
        assert!(log.contains(expected), "{expected} in {log}");
    }
    for forbidden in ["RECEIVED", "X7Y9Z2", "planted\nCAUSE", &installed().receipt.0] {
        assert!(!log.contains(forbidden), "{forbidden:?} in {log}");
    }
}
