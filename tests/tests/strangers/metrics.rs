//! A device's metrics, read from its control socket and parsed by PyPI `prometheus-client`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use zmon_domain::checks::Demands;
use zmon_domain::identity::DeviceId;
use zmon_domain::status::{Phase, ProvisioningStatus};
use zmon_local_api::PairingDefaults;
use zmon_ports::ProvisioningService as _;
use zmon_testkit::fakes::ManualClock;
use zmon_testkit::pki::NOW;
use zmon_testkit::skip::skip;
use zmon_tests::device::{Blueprint, LOOPBACK, ScriptedEntropy};
use zmon_tests::kit::{Lines, Python};
use zmon_tests::programs::{DEVICE, PIN, Programs, run, said};
use zmon_tests::qr;
use zmon_tests::station::Station;

use crate::interfaces::sealed;

/// What `Programs::provision` configures.
const CONFIGURED: [&str; 2] = ["central.example.org", "CANARY LABEL"];

/// What the parser read at one moment.
struct Metrics(Value);

impl Metrics {
    fn read(lines: &mut Lines, socket: &Path) -> Self {
        let metrics = lines.ask(&json!(socket));
        assert_eq!(metrics["twice"], json!([]), "each series stands there once");
        Self(metrics)
    }

    #[track_caller]
    fn of(&self, sample: &str) -> f64 {
        let value = &self.0["samples"][sample];
        value
            .as_f64()
            .unwrap_or_else(|| panic!("no {sample} in {}", self.text()))
    }

    fn text(&self) -> &str {
        self.0["text"].as_str().unwrap()
    }

    #[track_caller]
    fn sessions(&self, opened: u32, ended: [(&str, u32); 4]) {
        assert_eq!(self.of("zmon_pairing_sessions_opened_total"), f64::from(opened));
        for (outcome, count) in ended {
            let sample = format!("zmon_pairing_sessions_ended_total{{outcome=\"{outcome}\"}}");
            assert_eq!(self.of(&sample), f64::from(count), "{outcome}");
        }
    }

    fn refusals(&self, code: &str) -> f64 {
        self.of(&format!("zmon_refusals_total{{code=\"{code}\"}}"))
    }

    fn phase(&self, what: &str, phase: Phase) -> Option<f64> {
        let sample = format!("zmon_phase_duration_seconds_{what}{{phase=\"{phase}\"}}");
        self.0["samples"][sample].as_f64()
    }

    fn status(&self, status: ProvisioningStatus) -> f64 {
        self.of(&format!("zmon_status{{status=\"{status}\"}}"))
    }

    /// They are those of the document, with its kinds and meanings.
    fn are_documented(&self) {
        let document = include_str!("../../../docs/metrics.md");
        let rows = document.lines().filter(|line| line.starts_with("| `zmon_"));
        let mut documented = 0;
        for row in rows {
            let mut cells = row.split('|').map(str::trim).skip(1);
            let mut cell = || cells.next().unwrap();
            let (name, kind, _, meaning) = (cell().trim_matches('`'), cell(), cell(), cell());
            // The parser leaves out the end of a counter's name.
            let name = name.strip_suffix("_total").unwrap_or(name);
            assert_eq!(self.0["kinds"][name], kind, "{name}");
            assert_eq!(self.0["meanings"][name], format!("{meaning}."), "{name}");
            documented += 1;
        }
        assert_eq!(
            documented,
            self.0["kinds"].as_object().unwrap().len(),
            "{}",
            self.text()
        );
    }
}

/// None where the test called `title` is skipped.
fn python(title: &str) -> Option<Python> {
    Python::find().inspect_err(|reason| skip(title, reason)).ok()
}

#[test]
fn it_counts_the_life_of_a_device_for_a_parser_of_other_hands() {
    let Some(python) = python("metrics of a device, parsed by prometheus-client") else {
        return;
    };
    let mut lines = Lines::start(python.script("tests/strangers/metrics.py"));
    let mut requests = Lines::start(python.script("tests/strangers/conform.py"));
    let programs = Programs::commissioned();
    let _service = programs.serve();
    let socket = programs.at("run/control.sock");
    let mut read = || Metrics::read(&mut lines, &socket);
    let mut push = |qr: &str, mut request: Value| {
        request["interface"] = "push".into();
        request["qr"] = serde_json::from_str(qr).unwrap();
        requests.ask(&request)["code"].clone()
    };
    let jose = |body: &str| {
        json!({ "method": "POST", "path": "/provisioning/configure", "body": body,
                "headers": { "Content-Type": "application/jose" } })
    };
    let pair = || {
        let png = programs.at("qr.png");
        run(programs.device().args(["pair", "--no-wait", "--png"]).arg(&png));
        qr::text_in(&png)
    };
    let mut qr_codes = Vec::new();

    let fresh = read();
    assert_eq!(fresh.0["mediaType"], "text/plain; version=0.0.4; charset=utf-8");
    fresh.sessions(0, [("provisioned", 0), ("expired", 0), ("cancelled", 0), ("failed", 0)]);
    assert_eq!(fresh.status(ProvisioningStatus::Unprovisioned), 1.0);
    assert!(fresh.of("zmon_process_start_time_seconds") > 1.7e9);

    // Two sessions without a payload: the second takes the first one's place, and is cancelled.
    qr_codes.extend([pair(), pair()]);
    assert_eq!(read().status(ProvisioningStatus::ReadyToPair), 1.0);
    run(programs.device().arg("cancel"));
    read().sessions(2, [("provisioned", 0), ("expired", 0), ("cancelled", 2), ("failed", 0)]);

    // Refused by the listener, refused before the session is used up, and refused for good.
    let qr = pair();
    let elsewhere = json!({ "method": "GET", "path": "/nowhere" });
    assert_eq!(push(&qr, elsewhere), "NotFound");
    assert_eq!(push(&qr, jose("no envelope")), "EnvelopeInvalid");
    assert_eq!(
        push(&qr, jose(&sealed(&qr, &master_key(&programs), DEVICE))),
        "PayloadInvalid"
    );
    qr_codes.push(qr);
    let refused = read();
    refused.sessions(3, [("provisioned", 0), ("expired", 0), ("cancelled", 2), ("failed", 1)]);
    for code in ["NotFound", "EnvelopeInvalid", "PayloadInvalid"] {
        assert_eq!(refused.refusals(code), 1.0, "{code}");
    }
    assert_eq!(refused.refusals("SignatureInvalid"), 0.0);
    assert_eq!(refused.phase("count", Phase::CheckingPayload), Some(1.0));
    assert_eq!(refused.phase("count", Phase::CheckingCertificates), None);
    assert_eq!(refused.status(ProvisioningStatus::ProvisioningFailed), 1.0);

    programs.provision("receipt");
    let provisioned = read();
    provisioned.are_documented();
    provisioned.sessions(4, [("provisioned", 1), ("expired", 0), ("cancelled", 2), ("failed", 1)]);
    let phases = [
        Phase::VerifyingSignature,
        Phase::CheckingPayload,
        Phase::CheckingCertificates,
        Phase::Applying,
    ];
    for phase in phases {
        assert!(
            provisioned.phase("sum", phase).is_some_and(|sum| sum > 0.0),
            "{phase} takes its time"
        );
    }
    assert_eq!(provisioned.phase("count", Phase::Applying), Some(1.0));
    assert_eq!(provisioned.phase("count", Phase::TestingConnection), None);
    let whole = provisioned.of("zmon_provisioning_duration_seconds_sum");
    assert_eq!(provisioned.of("zmon_provisioning_duration_seconds_count"), 1.0);
    assert!(
        provisioned.phase("sum", Phase::Applying).unwrap() < whole && whole < 5.0,
        "{whole}"
    );
    let stored = "zmon_store_operation_duration_seconds_count{operation=\"install\"}";
    assert_eq!(provisioned.of(stored), 1.0);
    assert_eq!(provisioned.of("zmon_store_failures_total{operation=\"install\"}"), 0.0);
    let status: Value = serde_json::from_str(&said(programs.device().args(["status", "--json"]))).unwrap();
    let ends = status["installed"]["certificates"]["client"][0]["notAfter"]
        .as_u64()
        .unwrap();
    let expiry = provisioned.of("zmon_certificate_expiry_timestamp_seconds{certificate=\"client\"}");
    assert_eq!(expiry, (ends / 1000) as f64);

    let wrong = programs.at("wrong-pin");
    fs::write(&wrong, "not-the-pin-1").unwrap();
    let mut unauthorised = programs.device();
    unauthorised.args(["deprovision", "--pin-file"]).arg(&wrong);
    assert!(!unauthorised.output().unwrap().status.success());
    programs.deprovision();
    let last = read();
    assert_eq!(
        last.of("zmon_administrator_refusals_total{code=\"AdminRequired\"}"),
        1.0
    );
    assert_eq!(last.status(ProvisioningStatus::Deprovisioned), 1.0);
    assert!(!last.text().contains("{certificate="), "nothing is installed");
    says_nothing_of_the_device([&fresh, &refused, &provisioned, &last], &qr_codes);
}

/// The station's, from which the device's key is derived.
fn master_key(programs: &Programs) -> [u8; 32] {
    let text = fs::read_to_string(programs.at("station/provisioning-master.key")).unwrap();
    Base64UrlUnpadded::decode_vec(text.trim()).unwrap().try_into().unwrap()
}

/// What would tell one device, bed, sender or session from another, and what is secret.
fn says_nothing_of_the_device(all: [&Metrics; 4], qr_codes: &[String]) {
    let mut never: Vec<String> = [DEVICE, PIN, "127.0.0.1", "PRIVATE KEY"].map(Into::into).into();
    never.extend(CONFIGURED.map(Into::into));
    for qr in qr_codes {
        let qr: Value = serde_json::from_str(qr).unwrap();
        never.extend(["pairingCode", "key", "pin", "mac"].map(|name| qr[name].as_str().unwrap().to_owned()));
    }
    for metrics in all {
        for what in &never {
            assert!(!metrics.text().contains(what), "{what} in {}", metrics.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_counts_a_session_that_nobody_used() {
    let Some(python) = python("metrics of an expired session, parsed by prometheus-client") else {
        return;
    };
    let mut lines = Lines::start(python.script("tests/strangers/metrics.py"));
    let device_id = DeviceId::parse(DEVICE).unwrap();
    let clock = Arc::new(ManualClock::new(NOW, true));
    let blueprint = Blueprint {
        device_id: device_id.clone(),
        anchor: Station::hmac(&device_id).key.trust_anchor(),
        clock: Arc::clone(&clock),
        entropy: ScriptedEntropy::default(),
        demands: Demands::default(),
        anchor_place: Default::default(),
    };
    let directory = tempfile::tempdir().unwrap();
    let store = blueprint.store(directory.path()).await.unwrap();
    let device = blueprint.start(store).await.unwrap();
    let socket = directory.path().join("control.sock");
    let defaults = PairingDefaults {
        device_id: device_id.clone(),
        ip_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let listener = UnixListener::bind(&socket).unwrap();
    let server = zmon_local_api::serve(listener, device.clone(), defaults, std::future::pending());
    let server = tokio::spawn(server);
    let open = device.generate_provisioning_qr_code(&device_id, LOOPBACK).await;
    assert!(open.is_ok());
    clock.advance(Duration::from_secs(599));
    let none = [("provisioned", 0), ("expired", 0), ("cancelled", 0), ("failed", 0)];
    Metrics::read(&mut lines, &socket).sessions(1, none);
    clock.advance(Duration::from_secs(1));
    let expired = [("provisioned", 0), ("expired", 1), ("cancelled", 0), ("failed", 0)];
    Metrics::read(&mut lines, &socket).sessions(1, expired);
    server.abort();
}
