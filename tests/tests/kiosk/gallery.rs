//! Every state of the page, before a service that says what it is told: sizes, accessibility, policy.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use zmon_domain::confirmation::{ComparisonValue, ConfirmationRequest};
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::identity::{DeviceId, SerialNumber};
use zmon_domain::pairing::{PairingCode, SessionPublicKey, Sha256Digest, TlsPin};
use zmon_domain::qr::{QrCodeData, QrFields};
use zmon_domain::secret::SecretText;
use zmon_domain::settings::{DeviceLabel, ServerUrl, Settings};
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::status::{Phase, ProvisioningStatus as Status};
use zmon_domain::time::Timestamp;
use zmon_local_api::{KioskSettings, Language, PairingDefaults, Theme, serve_kiosk};
use zmon_ports::{PendingConfirmation, QrRenderer, StatusReport, StorageWarning};
use zmon_qr_render::QrImageRenderer;
use zmon_testkit::fake_service::{FakeService, installed, report};

use crate::screen::{LARGE, SMALL, Screen, Size, gallery};

const TOKEN: &str = "gallery-token";
const CODE: &str = "X7Y9Z2";
/// Of a digest that begins with zeros.
const COMPARISON: &str = "0000";
/// Nearly as long as the protocol allows.
const LABEL: &str = "ICU-MON-04 · Bed 12, by the window of room 3 in ward 7 floor 2";
const SERVER: &str = "https://provisioning-server.intensive-care.hospital.example.org:8443/api/v1";

struct Page {
    service: FakeService,
    address: SocketAddr,
    language: Language,
    server: JoinHandle<std::io::Result<()>>,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Page {
    async fn start(language: Language, theme: Theme) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = FakeService::new();
        let defaults = PairingDefaults {
            device_id: DeviceId::parse("ZM-ICU-MON-04").unwrap(),
            ip_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let token = SecretText::new(TOKEN.into());
        let settings = KioskSettings { token, language, theme };
        let server = tokio::spawn(serve_kiosk(
            listener,
            service.clone(),
            defaults,
            settings,
            std::future::pending(),
        ));
        Self {
            service,
            address,
            language,
            server,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/#token={TOKEN}", self.address)
    }

    /// From now on the device stands there, and everybody hears of it.
    fn stands(&self, report: StatusReport) {
        let (status, phase) = (report.status, report.phase);
        self.service.show((status == Status::ReadyToPair).then(qr_code));
        self.service.report_with(report);
        self.service
            .announce(ProvisioningSignal::StatusChanged { status, phase });
    }

    fn installed(&self) -> StatusReport {
        let mut report = report(Status::Provisioned);
        let mut shown = installed();
        let language = self.language.as_str();
        shown.settings = Settings::from_pairs(|key| match key {
            "deviceId" => Some("ZM-ICU-MON-04"),
            "deviceLabel" => Some(LABEL),
            "serverUrl" => Some(SERVER),
            "syncInterval" => Some("10"),
            "measurementUnit" => Some("METRIC"),
            "language" => Some(language),
            _ => None,
        })
        .unwrap();
        report.installed = Some(shown);
        report
    }
}

/// A configuration that waits for a person.
fn asks() -> StatusReport {
    let mut asks = checking(Phase::AwaitingConfirmation);
    asks.confirmation = Some(PendingConfirmation {
        request: ConfirmationRequest {
            sender: Some("10.1.50.7".parse().unwrap()),
            server_url: ServerUrl::parse(SERVER).unwrap(),
            device_label: DeviceLabel::parse(LABEL).unwrap(),
            comparison: ComparisonValue::of(&Sha256Digest::new([0; 32])),
        },
        expires_in_seconds: 52,
    });
    asks
}

fn qr_code() -> QrCodeData {
    let fields = QrFields {
        device_id: DeviceId::parse("ZM-ICU-MON-04").unwrap(),
        serial_number: SerialNumber::parse("ZM-2024-0001234").unwrap(),
        ip_address: "10.1.50.104".parse().unwrap(),
        port: 8443,
        pairing_code: PairingCode::parse(CODE).unwrap(),
        timestamp: Timestamp::from_millis(1_764_000_000_000),
        key: SessionPublicKey::new([1; 32]),
        pin: TlsPin::new([2; 32]),
    };
    let content = QrCodeData::content(&fields, Some(&[3; 16])).unwrap();
    let images = QrImageRenderer.render(&content).unwrap();
    QrCodeData::new(fields, Timestamp::from_millis(1_764_000_600_000), content, images)
}

fn ready(seconds: u64) -> StatusReport {
    let mut ready = report(Status::ReadyToPair);
    ready.expires_in_seconds = Some(seconds);
    ready
}

fn checking(phase: Phase) -> StatusReport {
    let mut checking = report(Status::PairingReceived);
    checking.phase = Some(phase);
    checking
}

fn failed(code: ErrorCode, message: Option<&'static str>) -> StatusReport {
    let mut failed = report(Status::ProvisioningFailed);
    failed.failure = Some(message.map_or_else(|| code.into(), |message| ProvisioningError::new(code, message)));
    failed
}

/// One way in which the page is looked at.
struct Look<'a> {
    screen: &'a mut Screen,
    size: Size,
    name: String,
    faults: Vec<String>,
}

impl Look<'_> {
    /// Takes a picture of this state, and everything that is wrong with it.
    fn at(&mut self, state: &str) {
        let name = format!("{state}-{}", self.name);
        let picture = gallery().join(format!("{name}.png"));
        self.screen.picture(&picture);
        assert_eq!(image::image_dimensions(&picture).unwrap(), self.size, "{name}");
        let faults = self.screen.faults(self.size).into_iter();
        let problems = self.screen.problems().into_iter();
        self.faults
            .extend(faults.chain(problems).map(|fault| format!("{name}: {fault}")));
    }

    /// What the browser says of an answer that is a refusal is no fault.
    fn expects_refusal(&mut self, status: u16) {
        let problems = self.screen.problems();
        let others: Vec<_> = problems
            .iter()
            .filter(|problem| !problem.contains(&format!("status of {status}")))
            .collect();
        assert!(others.is_empty() && !problems.is_empty(), "{problems:?}");
    }
}

fn walk_through(look: &mut Look<'_>, page: &Page, scheme: &str) {
    page.stands(report(Status::Unprovisioned));
    look.screen.open(&page.url(), look.size, scheme);
    look.screen.shows("idle");
    look.at("idle");

    page.service.generate_with(Err(ErrorCode::NetworkError.into()));
    look.screen.click("#idle [data-act=open]");
    look.screen
        .until("document.getElementById('notice').textContent !== ''");
    look.expects_refusal(502);
    look.at("refused");

    page.stands(ready(581));
    look.screen
        .until("document.querySelectorAll('#code span').length === 6");
    assert_eq!(look.screen.text("#code").split_whitespace().collect::<String>(), CODE);
    look.at("ready");
    look.screen
        .evaluate("globalThis.kept = document.getElementById('code').textContent");
    assert_eq!(
        look.screen.ask("remembers", CODE),
        true,
        "the control: what is kept is found"
    );
    look.screen.evaluate("delete globalThis.kept");

    page.service.announce(ProvisioningSignal::QrCodeExpired);
    page.stands(report(Status::Unprovisioned));
    look.screen.shows("expired");
    look.screen.has_forgotten(CODE);
    look.at("expired");

    page.stands(ready(45));
    look.screen.until("document.querySelector('#time.urgent') !== null");
    look.at("urgent");

    for phase in Phase::ALL {
        page.stands(checking(phase));
        let now = format!(
            "document.querySelector('[aria-current]')?.dataset.phase === '{}'",
            phase.as_str()
        );
        look.screen.until(&now);
    }
    page.stands(checking(Phase::CheckingCertificates));
    look.screen
        .until("document.querySelectorAll('#phases .done').length === 2");
    look.at("checking");

    page.stands(asks());
    look.screen.shows("confirm");
    assert_eq!(
        look.screen.text("#number").split_whitespace().collect::<String>(),
        COMPARISON
    );
    look.at("confirm");

    let why =
        "clientCertificate: its extended key usage does not list clientAuth, which mutual TLS with the server needs.";
    page.stands(failed(ErrorCode::InvalidCertificate, Some(why)));
    look.screen.shows("failed");
    look.at("failed");
    for code in ErrorCode::ALL {
        page.stands(failed(*code, None));
        look.screen.until(&format!(
            "document.getElementById('failure-code').textContent === '{code}'"
        ));
        assert_eq!(look.screen.misfits(look.size), [""; 0], "{code} {}", look.name);
    }

    page.stands(page.installed());
    look.screen.shows("provisioned");
    look.at("provisioned");
    let mut warned = page.installed();
    warned.storage = Some(StorageWarning::StatusUncertain);
    page.stands(warned);
    look.screen
        .until("document.getElementById('warning').textContent !== ''");
    look.at("warning");
    page.stands(page.installed());
    look.screen
        .until("document.getElementById('warning').textContent === ''");

    look.screen.click("[data-act=ask-pin]");
    look.screen.ask("type", "1234");
    look.screen.click("#keys button:nth-child(5)");
    assert_eq!(look.screen.evaluate("document.getElementById('pin').value"), "12345");
    look.screen.click("#keys button:last-child");
    look.at("pin");
    page.service.administer_with(Err(ErrorCode::AdminRequired.into()));
    look.screen.click("#pin-send");
    assert_eq!(
        look.screen.evaluate("document.getElementById('pin').value"),
        "",
        "cleared at once"
    );
    look.screen
        .until("document.getElementById('pin-fault').textContent !== ''");
    look.expects_refusal(403);
    look.at("pin-wrong");
    assert_eq!(
        look.screen.evaluate("document.activeElement.id"),
        "pin",
        "the keyboard goes on there"
    );
    look.screen.ask("press", "Escape");

    page.stands(report(Status::Deprovisioned));
    look.screen.shows("deprovisioned");
    look.at("deprovisioned");

    page.server.abort();
    look.screen.shows("unreachable");
    // Chromium says of each attempt that nobody is there.
    look.screen.problems();
    look.at("unreachable");
    look.screen.problems();
}

async fn look_at_everything(title: &str, size: Size, name: &str) {
    let Some(mut screen) = Screen::start(title) else {
        return;
    };
    let mut faults = Vec::new();
    for (language, scheme, theme) in [
        (Language::English, "light", Theme::Auto),
        (Language::Spanish, "dark", Theme::Auto),
        (Language::English, "light", Theme::Dark),
        (Language::Spanish, "dark", Theme::Bright),
    ] {
        let page = Page::start(language, theme).await;
        let dark = theme == Theme::Dark || (theme == Theme::Auto && scheme == "dark");
        let name = format!("{name}-{}-{}", language.as_str(), if dark { "dark" } else { "bright" });
        let mut look = Look {
            screen: &mut screen,
            size,
            name,
            faults: Vec::new(),
        };
        walk_through(&mut look, &page, scheme);
        let spoken = look
            .screen
            .evaluate("[document.documentElement.lang, document.documentElement.classList.contains('dark')]");
        assert_eq!(spoken, serde_json::json!([language.as_str().to_lowercase(), dark]));
        faults.append(&mut look.faults);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_readable_usable_and_accessible_on_the_small_screen() {
    look_at_everything("every state of the kiosk page at 1280x720", SMALL, "1280x720").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_readable_usable_and_accessible_on_the_large_screen() {
    look_at_everything("every state of the kiosk page at 1920x1080", LARGE, "1920x1080").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_is_wrong_where_the_browser_has_no_token_or_an_old_one() {
    let Some(mut screen) = Screen::start("the kiosk page without its token") else {
        return;
    };
    let page = Page::start(Language::English, Theme::Auto).await;
    page.stands(ready(300));
    let bare = format!("http://{}/", page.address);
    for url in [bare.clone(), format!("{bare}#token=another")] {
        screen.open(&url, SMALL, "light");
        screen.shows("locked");
        assert_eq!(screen.faults(SMALL), [""; 0]);
        assert_eq!(screen.ask("remembers", CODE), false);
        screen.problems();
    }
    // The start file, opened again in the same browser.
    screen.evaluate(&format!("location.hash = '#token={TOKEN}'"));
    screen.shows("ready");
    assert_eq!(screen.ask("address", Value::Null), bare.as_str());
    screen.ask("reload", Value::Null);
    screen.shows("ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_catches_up_after_it_missed_something() {
    let Some(mut screen) = Screen::start("the kiosk page that missed events") else {
        return;
    };
    let page = Page::start(Language::English, Theme::Auto).await;
    page.stands(report(Status::Unprovisioned));
    screen.open(&page.url(), SMALL, "light");
    screen.shows("idle");
    // More than the subscription holds, and the change itself is never announced.
    page.service.report_with(page.installed());
    for _ in 0..40 {
        page.service.announce(ProvisioningSignal::ConfigurationReceived {
            session: zmon_domain::pairing::SessionId::from_random([1; 8]),
        });
    }
    screen.shows("provisioned");
    assert_eq!(screen.problems(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_remembers_the_light_that_somebody_chose() {
    let Some(mut screen) = Screen::start("the light of the kiosk page") else {
        return;
    };
    let page = Page::start(Language::English, Theme::Bright).await;
    screen.open(&page.url(), SMALL, "dark");
    let dark = "document.documentElement.classList.contains('dark')";
    assert_eq!(screen.evaluate(dark), false);
    screen.click("#theme");
    assert_eq!(screen.evaluate(dark), true);
    screen.ask("reload", Value::Null);
    screen.shows("ready");
    assert_eq!(screen.evaluate(dark), true);
}
