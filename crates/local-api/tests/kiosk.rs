//! The kiosk page over a real socket: who gets what, and who gets nothing.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use zmon_domain::admin::{AdministratorAct, Requester};
use zmon_domain::error::ErrorCode;
use zmon_domain::identity::DeviceId;
use zmon_domain::secret::SecretText;
use zmon_domain::signal::ProvisioningSignal;
use zmon_domain::status::ProvisioningStatus;
use zmon_local_api::{KioskSettings, Language, PairingDefaults, Theme, serve_kiosk};
use zmon_testkit::fake_service::{Call, FakeService, report};
use zmon_testkit::qr_code::qr_code;

const TOKEN: &str = "k1osk-t0ken-k1osk-t0ken-k1osk-t0ken-k1osk-1";
const PAIRING_CODE: &str = "X7Y9Z2";
const PIN: &str = "canary-314159";

struct Page {
    address: SocketAddr,
    service: FakeService,
    server: JoinHandle<std::io::Result<()>>,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An answer as it came: head and body.
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> &str {
        let line = self
            .head
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_default()
    }

    fn code(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Page {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = FakeService::new();
        service.show(Some(qr_code(PAIRING_CODE)));
        let defaults = PairingDefaults {
            device_id: DeviceId::parse("ZM-ICU-MON-04").unwrap(),
            ip_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let settings = KioskSettings {
            token: SecretText::new(TOKEN.into()),
            language: Language::English,
            theme: Theme::Auto,
        };
        let server = tokio::spawn(serve_kiosk(
            listener,
            service.clone(),
            defaults,
            settings,
            std::future::pending(),
        ));
        Self {
            address,
            service,
            server,
        }
    }

    fn host(&self) -> String {
        self.address.to_string()
    }

    /// Sends these lines after the request line; a body follows an empty one.
    async fn raw(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    async fn send(&self, request_line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let length = body.len();
        self.raw(&format!(
            "{request_line} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    /// As the page itself asks.
    async fn own(&self, request_line: &str, body: &str) -> Answer {
        let (host, token) = (self.host(), format!("Bearer {TOKEN}"));
        let origin = format!("http://{host}");
        let headers = [
            ("host", host.as_str()),
            ("origin", &origin),
            ("sec-fetch-site", "same-origin"),
            ("authorization", &token),
        ];
        self.send(request_line, &headers, body).await
    }
}

/// Every path of the API that the page uses.
const ROUTES: [&str; 8] = [
    "GET /v1/status",
    "POST /v1/pairing",
    "DELETE /v1/pairing",
    "GET /v1/pairing/qr.svg",
    "GET /v1/pairing/code",
    "POST /v1/acknowledge",
    "POST /v1/deprovision",
    "GET /v1/events",
];
const FILES: [&str; 7] = [
    "/",
    "/kiosk.css",
    "/page.js",
    "/service.js",
    "/icon.svg",
    "/texts/EN.json",
    "/texts/ES.json",
];

#[tokio::test]
async fn it_gives_the_page_and_its_files_to_whoever_asks_at_its_address() {
    let page = Page::start().await;
    for name in [page.host(), format!("localhost:{}", page.address.port())] {
        for file in FILES {
            let answer = page.send(&format!("GET {file}"), &[("host", &name)], "").await;
            assert_eq!(answer.status(), 200, "{file}");
            assert!(!answer.body.contains(TOKEN) && !answer.body.contains(PAIRING_CODE));
        }
    }
    // The start file leads here from elsewhere.
    let host = page.host();
    let headers = [("host", host.as_str()), ("sec-fetch-site", "cross-site")];
    assert_eq!(page.send("GET /", &headers, "").await.status(), 200);
}

#[tokio::test]
async fn it_tells_the_browser_what_the_page_may_do_with_every_answer() {
    let page = Page::start().await;
    let host = page.host();
    let answers = [
        page.own("GET /", "").await,
        page.own("GET /v1/status", "").await,
        page.own("GET /nothing", "").await,
        page.send("GET /v1/status", &[("host", &host)], "").await,
        page.send("GET /", &[("host", "evil.example")], "").await,
    ];
    for answer in answers {
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob:",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.split("; ").any(|found| found == part), "{part} in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(answer.header("cache-control"), "no-store");
        for cross_site in ["set-cookie", "access-control-allow-origin"] {
            assert_eq!(answer.header(cross_site), "", "{cross_site}");
        }
    }
}

#[tokio::test]
async fn it_answers_under_its_own_address_alone() {
    let page = Page::start().await;
    let port = page.address.port();
    let foreign = [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{}", port.wrapping_add(1)),
        format!("127.0.0.1:{port}.evil.example"),
        format!("127.0.0.2:{port}"),
        format!("[::1]:{port}"),
        format!("LOCALHOST:{port}"),
        format!("localhost.:{port}"),
        String::new(),
    ];
    for host in &foreign {
        for request in ["GET /", "GET /v1/status", "GET /v1/health", "POST /v1/pairing"] {
            let token = format!("Bearer {TOKEN}");
            let origin = format!("http://{host}");
            let headers = [("host", host.as_str()), ("origin", &origin), ("authorization", &token)];
            let answer = page.send(request, &headers, "").await;
            assert_eq!(
                (answer.status(), answer.code().as_str()),
                (421, "HostForeign"),
                "{host} {request}"
            );
        }
    }
    let own = page.host();
    let twice = page
        .send("GET /", &[("host", &own), ("host", "evil.example")], "")
        .await;
    assert!([400, 421].contains(&twice.status()), "{}", twice.head);
    let absent = page.send("GET /", &[], "").await;
    assert!([400, 421].contains(&absent.status()), "{}", absent.head);
    let elsewhere = page
        .send("GET http://evil.example/v1/status", &[("host", &own)], "")
        .await;
    assert_eq!(elsewhere.status(), 421);
    assert!(page.service.calls().is_empty());
}

#[tokio::test]
async fn it_does_nothing_that_another_site_sets_off() {
    let page = Page::start().await;
    let (host, token) = (page.host(), format!("Bearer {TOKEN}"));
    let port = page.address.port();
    let own = format!("http://{host}");
    // The other of its two names is another origin.
    let other = format!("http://localhost:{port}");
    let secure = format!("https://{host}");
    let cases: [&[(&str, &str)]; 8] = [
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("origin", &other)],
        &[("origin", &secure)],
        &[("origin", &own), ("origin", "http://evil.example")],
        &[("origin", &own), ("sec-fetch-site", "cross-site")],
        &[("origin", &own), ("sec-fetch-site", "same-site")],
        &[("origin", &own), ("sec-fetch-site", "none")],
    ];
    for case in cases {
        for route in ROUTES {
            let headers = [&[("host", host.as_str()), ("authorization", &token)], case].concat();
            let answer = page.send(route, &headers, "").await;
            assert_eq!(
                (answer.status(), answer.code().as_str()),
                (403, "OriginForeign"),
                "{route} {case:?}"
            );
        }
    }
    // What changes something says where it comes from.
    for route in ROUTES.iter().filter(|route| !route.starts_with("GET")) {
        let answer = page
            .send(route, &[("host", &host), ("authorization", &token)], "")
            .await;
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (403, "OriginForeign"),
            "{route}"
        );
    }
    let asked = page
        .send(
            "OPTIONS /v1/pairing",
            &[("host", &host), ("origin", "http://evil.example")],
            "",
        )
        .await;
    assert_eq!(asked.status(), 403);
    assert!(page.service.calls().is_empty());
}

#[tokio::test]
async fn it_gives_nothing_to_another_user_of_the_device() {
    let page = Page::start().await;
    let host = page.host();
    let origin = format!("http://{host}");
    let long = format!("Bearer {TOKEN}A");
    let lower = format!("Bearer {}", TOKEN.to_lowercase());
    let upper = format!("Bearer {}", TOKEN.to_uppercase());
    let short = format!("Bearer {}", &TOKEN[..TOKEN.len() - 1]);
    let right = format!("Bearer {TOKEN}");
    let wrong: [&[(&str, &str)]; 9] = [
        &[],
        &[("authorization", "")],
        &[("authorization", "Bearer ")],
        &[("authorization", TOKEN)],
        &[("authorization", &long)],
        &[("authorization", &short)],
        &[("authorization", &upper)],
        &[("authorization", &right), ("authorization", "Bearer x")],
        &[("cookie", &right)],
    ];
    // The token of this test has no capitals.
    assert_eq!(lower, right);
    for case in wrong {
        for route in ROUTES {
            let headers = [&[("host", host.as_str()), ("origin", &origin)], case].concat();
            let answer = page.send(route, &headers, r#"{"pin":"1"}"#).await;
            assert_eq!(
                (answer.status(), answer.code().as_str()),
                (401, "TokenRequired"),
                "{route} {case:?}"
            );
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            assert!(!answer.body.contains(PAIRING_CODE) && !answer.body.contains("svg/"));
        }
    }
    let headers = [("host", host.as_str()), ("origin", &origin)];
    let in_address = page.send(&format!("GET /v1/status?token={TOKEN}"), &headers, "").await;
    assert_eq!(in_address.status(), 401);
    assert!(page.service.calls().is_empty());
}

#[tokio::test]
async fn it_tells_a_watchdog_without_a_token_how_the_service_is() {
    let page = Page::start().await;
    let host = page.host();
    let answer = page.send("GET /v1/health", &[("host", &host)], "").await;
    assert_eq!(answer.status(), 200);
    assert!(answer.body.contains("\"healthy\":true"), "{}", answer.body);
    page.service.health_with(None);
    assert_eq!(page.send("GET /v1/health", &[("host", &host)], "").await.status(), 503);
    let foreign = [("host", host.as_str()), ("sec-fetch-site", "cross-site")];
    assert_eq!(page.send("GET /v1/health", &foreign, "").await.status(), 403);
}

#[tokio::test]
async fn it_lets_the_page_see_and_do_what_a_person_at_the_screen_may() {
    let page = Page::start().await;
    assert!(page.own("GET /v1/status", "").await.body.contains("READY_TO_PAIR"));
    let picture = page.own("GET /v1/pairing/qr.svg", "").await;
    assert_eq!(
        (picture.header("content-type"), picture.body.as_str()),
        ("image/svg+xml", "<svg/>")
    );
    let code = page.own("GET /v1/pairing/code", "").await;
    assert_eq!(code.body, format!("{{\"pairingCode\":\"{PAIRING_CODE}\"}}"));
    page.service.generate_with(Ok(qr_code(PAIRING_CODE)));
    assert_eq!(page.own("POST /v1/pairing", "").await.status(), 201);
    assert_eq!(page.own("DELETE /v1/pairing", "").await.status(), 200);
    assert_eq!(page.own("POST /v1/acknowledge", "").await.status(), 200);
    let body = format!("{{\"pin\":\"{PIN}\"}}");
    assert_eq!(page.own("POST /v1/deprovision", &body).await.status(), 200);
    let expected = Call::Administer(AdministratorAct::Deprovision, PIN.into(), Requester::Screen);
    let calls = page.service.calls();
    assert!(
        matches!(&calls[..], [Call::Generate(..), Call::Cancel, Call::Acknowledge, last] if *last == expected),
        "{calls:?}"
    );
    page.service.show(None);
    for path in ["qr.svg", "code"] {
        let answer = page.own(&format!("GET /v1/pairing/{path}"), "").await;
        assert_eq!((answer.status(), answer.code().as_str()), (409, "NotPairing"));
    }
}

#[tokio::test]
async fn it_has_nothing_else_of_the_control_api() {
    let page = Page::start().await;
    for request in [
        "GET /v1/audit",
        "GET /v1/audit/verdict",
        "GET /v1/configuration",
        "GET /v1/credentials",
        "GET /v1/receipt",
        "GET /v1/destruction",
        "GET /v1/pairing/qr.png",
        "GET /v1/pairing/qr.txt",
        "GET /v1/metrics",
        "POST /v1/retire",
        "POST /v1/time/reset",
        "POST /v1/store/rotate-key",
        "GET /index.html",
        "GET /../v1/status",
        "GET //",
        "GET /texts/../page.js",
        "GET /texts/DE.json",
    ] {
        let answer = page.own(request, "").await;
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (404, "NotFound"),
            "{request}"
        );
    }
    for request in ["POST /", "DELETE /page.js", "PUT /v1/status", "HEAD /v1/status"] {
        assert_eq!(page.own(request, "").await.status(), 405, "{request}");
    }
    assert!(page.service.calls().is_empty());
}

#[tokio::test]
async fn it_streams_events_and_says_nothing_secret_in_them() {
    let page = Page::start().await;
    let mut stream = TcpStream::connect(page.address).await.unwrap();
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {TOKEN}\r\n\r\n",
        page.host()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains("event: statusChanged") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "{text}");
        text += std::str::from_utf8(&buffer[..read]).unwrap();
        // The head says that the subscription is there.
        page.service.announce(ProvisioningSignal::StatusChanged {
            status: ProvisioningStatus::Provisioned,
            phase: None,
        });
    }
    assert!(
        text.starts_with("HTTP/1.1 200 OK") && text.contains("text/event-stream"),
        "{text}"
    );
    assert!(!text.contains(TOKEN) && !text.contains(PAIRING_CODE), "{text}");
}

#[tokio::test]
async fn it_repeats_neither_token_nor_pin() {
    let page = Page::start().await;
    page.service.report_with(report(ProvisioningStatus::Provisioned));
    for outcome in [
        Ok(()),
        Err(ErrorCode::AdminRequired.into()),
        Err(ErrorCode::StorageError.into()),
    ] {
        page.service.administer_with(outcome);
        for body in [
            format!("{{\"pin\":\"{PIN}\"}}"),
            format!("{{\"pin\":\"{PIN}\""),
            PIN.to_owned(),
        ] {
            let answer = page.own("POST /v1/deprovision", &body).await;
            let all = answer.head + &answer.body;
            assert!(!all.contains(PIN) && !all.contains(TOKEN), "{all}");
        }
    }
    let settings = KioskSettings {
        token: SecretText::new(TOKEN.into()),
        language: Language::Spanish,
        theme: Theme::Dark,
    };
    assert!(!format!("{settings:?}").contains(TOKEN));
}
