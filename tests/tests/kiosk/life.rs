//! The device's own program with the real station, seen through the page.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use zmon_domain::identity::DeviceId;
use zmon_domain::secret::{SecretBytes, SecretText};
use zmon_payload_envelope::keys::derive_device_key;
use zmon_payload_envelope::seal::{SigningKey, sign_and_seal};
use zmon_testkit::https_client::HttpsClient;
use zmon_tests::programs::{DEVICE, PIN, Programs, Service, free_port, run, said};
use zmon_tests::qr;

use crate::screen::{LARGE, SMALL, Screen, Size};

/// A monitor with a kiosk, and what its browser is started with.
struct Monitor {
    programs: Programs,
    service: Option<Service>,
    port: u16,
}

impl Monitor {
    fn start(more: &str) -> Self {
        let programs = Programs::commissioned();
        let port = free_port();
        let run = programs.at("run");
        let group = fs::metadata(&run).unwrap().gid();
        programs.configure(&format!(
            "[kiosk]\ngroup = \"{group}\"\nport = {port}\nstart_file = \"{}/kiosk.html\"\n{more}",
            run.display()
        ));
        let service = Some(programs.serve());
        Self {
            programs,
            service,
            port,
        }
    }

    fn token(&self) -> String {
        let page = fs::read_to_string(self.programs.at("run/kiosk.html")).unwrap();
        let (_, rest) = page.split_once("#token=").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    /// Starts the browser as a kiosk does.
    fn seen_by(&self, screen: &mut Screen, size: Size) {
        let start = self.programs.at("run/kiosk.html");
        screen.open(&format!("file://{}", start.display()), size, "light");
        screen.shows("idle");
        let address = format!("http://127.0.0.1:{}/", self.port);
        assert_eq!(
            screen.ask("address", Value::Null),
            address,
            "the address bar forgot the token"
        );
    }

    /// What must be in no log.
    fn has_logged_none_of(&self, secrets: &[&str]) {
        let log = fs::read_to_string(self.programs.at("log")).unwrap();
        assert!(log.contains("the kiosk page is there"), "the control: {log}");
        for secret in secrets {
            assert!(!log.contains(secret), "{secret} is in the log");
        }
    }
}

/// Touches "Enable provisioning", and waits for the code.
fn enable(screen: &mut Screen, view: &str) -> String {
    screen.click(&format!("#{view} [data-act=open]"));
    screen.shows("ready");
    screen.until("document.querySelectorAll('#code span').length === 6");
    screen.text("#code").split_whitespace().collect()
}

/// The station reads the picture of the screen, and pushes.
fn provisioning(monitor: &Monitor, screen: &mut Screen, language: &str) -> Command {
    let picture = monitor.programs.at("screen.png");
    screen.picture(&picture);
    let mut station = monitor.programs.station();
    station.arg("provision").arg(&picture);
    station.args([
        "--server-url",
        "https://central.example.org/api",
        "--label",
        "ICU 4 / Bed 12",
    ]);
    station.args(["--language", language]);
    station
}

fn provision(monitor: &Monitor, screen: &mut Screen, language: &str) {
    run(&mut provisioning(monitor, screen, language));
}

fn lives(title: &str, size: Size, language: &str) {
    let Some(mut screen) = Screen::start(title) else {
        return;
    };
    let monitor = Monitor::start("");
    let token = monitor.token();
    monitor.seen_by(&mut screen, size);
    let code = enable(&mut screen, "idle");
    provision(&monitor, &mut screen, language);
    screen.shows("provisioned");
    assert_eq!(screen.text("#label"), "ICU 4 / Bed 12");
    assert_eq!(screen.text("#server"), "https://central.example.org/api");
    assert!(screen.text("#until").contains("20"), "a year of this century");
    assert_eq!(
        screen.evaluate("document.documentElement.lang"),
        language.to_lowercase()
    );
    screen.has_forgotten(&code);
    assert_eq!(screen.faults(size), [""; 0]);
    assert_eq!(screen.problems(), [""; 0]);

    screen.click("[data-act=ask-pin]");
    screen.ask("type", "not the PIN 1");
    screen.ask("press", "Enter");
    screen.until("document.getElementById('pin-fault').textContent !== ''");
    screen.problems();
    screen.ask("type", PIN);
    screen.ask("press", "Enter");
    screen.shows("deprovisioned");
    assert_eq!(screen.evaluate("document.getElementById('pin').value"), "");
    assert_eq!(screen.ask("remembers", PIN), false, "a script holds the PIN");
    screen.click("#deprovisioned [data-act=acknowledge]");
    screen.shows("idle");
    assert_eq!(screen.problems(), [""; 0]);
    let audit = said(monitor.programs.device().args(["audit", "list"]));
    assert!(audit.contains("at the screen"), "{audit}");
    monitor.has_logged_none_of(&[&token, &code, PIN]);
}

#[test]
fn it_goes_from_the_first_touch_to_provisioned_and_back_in_english() {
    lives("a device's life on the small kiosk page", SMALL, "EN");
}

#[test]
fn it_goes_from_the_first_touch_to_provisioned_and_back_in_spanish() {
    lives("a device's life on the large kiosk page", LARGE, "ES");
}

#[test]
fn it_survives_a_restart_of_the_service_without_being_loaded_again() {
    let Some(mut screen) = Screen::start("the kiosk page over a restart of the service") else {
        return;
    };
    let mut monitor = Monitor::start("");
    let token = monitor.token();
    monitor.seen_by(&mut screen, SMALL);
    screen.evaluate("window.loadedOnce = true");
    let code = enable(&mut screen, "idle");
    // Killed, not stopped: nothing is closed in good order.
    monitor.service = None;
    screen.shows("unreachable");
    screen.has_forgotten(&code);
    monitor.service = Some(monitor.programs.serve());
    screen.shows("idle");
    assert_eq!(monitor.token(), token);
    assert_ne!(enable(&mut screen, "idle"), code);
    assert_eq!(screen.evaluate("window.loadedOnce"), true);

    // A token that is lost is a new one: the page says so, until the start file is opened again.
    fs::remove_file(monitor.programs.at("run/kiosk.html")).unwrap();
    monitor.service = None;
    monitor.service = Some(monitor.programs.serve());
    screen.shows("locked");
    assert_ne!(monitor.token(), token);
    monitor.seen_by(&mut screen, SMALL);
    monitor.has_logged_none_of(&[&token, &monitor.token(), &code]);
}

#[test]
fn it_ends_a_session_on_a_touch_and_shows_one_that_another_program_opened() {
    let Some(mut screen) = Screen::start("cancelling at the kiosk page") else {
        return;
    };
    let monitor = Monitor::start("");
    monitor.seen_by(&mut screen, SMALL);
    let first = enable(&mut screen, "idle");
    let second = {
        screen.click("#ready [data-act=open]");
        screen.until(&format!(
            "(code => code.length === 6 && code !== '{first}')(document.getElementById('code').textContent)"
        ));
        screen.text("#code").split_whitespace().collect::<String>()
    };
    screen.click("#ready [data-act=cancel]");
    screen.shows("idle");
    screen.has_forgotten(&second);
    run(monitor.programs.device().args(["pair", "--no-wait"]));
    screen.shows("ready");
    run(monitor.programs.device().arg("cancel"));
    screen.shows("idle");
    assert_eq!(screen.problems(), [""; 0]);
}

#[test]
fn it_says_what_failed_why_and_what_to_do_next() {
    let Some(mut screen) = Screen::start("a failure on the kiosk page") else {
        return;
    };
    let monitor = Monitor::start("language = \"ES\"\n");
    monitor.seen_by(&mut screen, LARGE);
    let code = enable(&mut screen, "idle");
    let picture = monitor.programs.at("screen.png");
    screen.picture(&picture);
    push_by_another_station(&picture);
    screen.shows("failed");
    assert_eq!(screen.text("#failure-code"), "SignatureInvalid");
    assert!(screen.text("#what").contains("La firma"), "{}", screen.text("#what"));
    assert!(screen.text("#next").contains("ancla de confianza"));
    screen.has_forgotten(&code);
    assert_eq!(screen.problems(), [""; 0]);
    enable(&mut screen, "failed");
    provision(&monitor, &mut screen, "EN");
    screen.shows("provisioned");
    assert_eq!(screen.evaluate("document.documentElement.lang"), "en");
}

/// Sealed for the code on the screen, and signed with a key that the monitor does not trust.
fn push_by_another_station(picture: &Path) {
    let qr = qr::fields(&qr::text_in(picture));
    let device_key = derive_device_key(&SecretBytes::take(&mut [77; 32]), &DeviceId::parse(DEVICE).unwrap());
    let nothing = SecretText::new("{}".into());
    let body = sign_and_seal(&nothing, &SigningKey::Hmac { device_key }, &qr.key).unwrap();
    let to = SocketAddr::new(qr.ip_address, qr.port);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answer = runtime.block_on(HttpsClient::new(qr.pin).push(to, body));
    assert_eq!(answer.unwrap().status, 401);
}

#[test]
fn it_lets_a_person_decide_after_comparing() {
    let Some(mut screen) = Screen::start("confirmation on the kiosk page") else {
        return;
    };
    let monitor = Monitor::start("[pairing]\nconfirm = true\n");
    monitor.seen_by(&mut screen, SMALL);
    for (view, touch, outcome) in [("idle", "refuse", "failed"), ("failed", "confirm", "provisioned")] {
        enable(&mut screen, view);
        let mut station = provisioning(&monitor, &mut screen, "EN");
        let station = station.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        screen.shows("confirm");
        let number: String = screen.text("#number").split_whitespace().collect();
        assert_eq!(screen.text("#confirm-label"), "ICU 4 / Bed 12");
        assert_eq!(screen.text("#confirm-sender"), "127.0.0.1");
        screen.click(&format!("[data-act={touch}]"));
        screen.shows(outcome);
        let output = station.wait_with_output().unwrap();
        assert_eq!(output.status.success(), outcome == "provisioned");
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(
            said.contains(&format!("Comparison value: {number}.")),
            "{number}: {said}"
        );
        if outcome == "failed" {
            assert_eq!(screen.text("#failure-code"), "ConfirmationRefused");
        }
    }
    assert_eq!(screen.problems(), [""; 0]);
    let audit = said(monitor.programs.device().args(["audit", "list"]));
    assert!(audit.contains("at the screen"), "{audit}");
}

#[test]
fn it_turns_urgent_and_says_when_the_code_has_expired() {
    let Some(mut screen) = Screen::start("expiry on the kiosk page") else {
        return;
    };
    let monitor = Monitor::start("[pairing]\nminutes = 1\n");
    monitor.seen_by(&mut screen, SMALL);
    let announced = "document.getElementById('announce').textContent";
    let now = "performance.now()";
    let begun = screen.evaluate(now).as_f64().unwrap();
    let code = enable(&mut screen, "idle");
    screen.until("document.querySelector('#time.urgent') !== null");
    let mut told = Vec::new();
    while screen.evaluate("document.getElementById('expired').hidden") == true {
        let waited = screen.evaluate(now).as_f64().unwrap() - begun;
        assert!(waited < 300_000.0, "it does not expire");
        let now = screen.evaluate(announced).as_str().unwrap().to_owned();
        if !now.is_empty() && told.last() != Some(&now) {
            told.push(now);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let waited = screen.evaluate(now).as_f64().unwrap() - begun;
    // The minute began after that look at the clock.
    assert!(waited >= 60_000.0, "too early: {waited} ms");
    // A screen reader is told now and then, not every second.
    assert!((2..=5).contains(&told.len()), "{told:?}");
    screen.has_forgotten(&code);
    assert_eq!(screen.problems(), [""; 0]);
    enable(&mut screen, "expired");
}
