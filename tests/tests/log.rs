//! What the log of the real program says of an attempt to provision, and where it goes.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test itself")]

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use zmon_domain::status::Phase;
use zmon_testkit::skip::skip;
use zmon_tests::programs::{Programs, Service, program, run, said};

/// A mock of a device that goes through every phase, with its log in words.
struct Mock {
    folder: TempDir,
    _service: Service,
}

impl Mock {
    fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let set = format!("control.socket={}", folder.path().join("socket").display());
        let mut serve = Command::new(program("zmon-provision"));
        serve.args(["--set", &set, "serve", "--mock", "--mock-auto", "--mock-delay", "10"]);
        let log = File::create(folder.path().join("log")).unwrap();
        let service = Service(serve.args(options).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let mock = Self {
            folder,
            _service: service,
        };
        mock.until(|mock| mock.folder.path().join("socket").exists());
        mock
    }

    fn until(&self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..1200 {
            if is_so(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("waited in vain: {}", self.log());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("zmon-provision"));
        command
            .args(arguments)
            .arg("--socket")
            .arg(self.folder.path().join("socket"));
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// A line with all of this.
    fn has_said(&self, what: &[&str]) -> bool {
        self.log()
            .lines()
            .any(|line| what.iter().all(|what| line.contains(what)))
    }
}

#[test]
fn it_shows_every_phase_in_a_span_of_its_attempt() {
    let mock = Mock::start(&["--mock-confirm"]);
    run(&mut mock.command(&["pair", "--no-wait"]));
    mock.until(|mock| said(&mut mock.command(&["status", "--json"])).contains("AWAITING_CONFIRMATION"));
    run(&mut mock.command(&["confirm", "--accept"]));
    mock.until(|mock| mock.has_said(&["provisioning completed"]));
    for phase in Phase::ALL {
        let span = format!("phase{{phase=\"{phase}\" outcome=\"ok\"}}");
        assert!(
            mock.has_said(&["provisioning{session=", &span, "phase finished elapsed_us="]),
            "{phase}: {}",
            mock.log()
        );
    }
}

#[test]
fn it_shows_with_which_code_a_phase_ended() {
    let mock = Mock::start(&["--mock-fail", "InvalidCertificate"]);
    run(&mut mock.command(&["pair", "--no-wait"]));
    mock.until(|mock| mock.has_said(&["provisioning{session=", "provisioning failed code=InvalidCertificate"]));
    let span = "phase{phase=\"CHECKING_PAYLOAD\" outcome=\"InvalidCertificate\"}";
    assert!(mock.has_said(&[span, "phase finished"]), "{}", mock.log());
}

#[test]
fn it_names_session_and_phase_in_lines_of_json() {
    let programs = Programs::commissioned();
    let _service = programs.serve();
    programs.provision("receipt");
    let log = fs::read_to_string(programs.at("log")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |message: &str| {
        lines
            .iter()
            .filter(|line| line["message"] == message)
            .collect::<Vec<_>>()
    };
    let session = &of("pairing opened")[0]["session"];
    let finished = of("phase finished");
    let phases: Vec<_> = finished
        .iter()
        .map(|line| line["span"]["phase"].as_str().unwrap())
        .collect();
    let untested = [
        "VERIFYING_SIGNATURE",
        "CHECKING_PAYLOAD",
        "CHECKING_CERTIFICATES",
        "APPLYING",
    ];
    assert_eq!(phases, untested);
    for line in finished {
        let spans = &line["spans"];
        assert_eq!(
            (&spans[0]["name"], &spans[0]["session"]),
            (&"provisioning".into(), session),
            "{line}"
        );
        assert_eq!(
            (&spans[1]["name"], &spans[1]["outcome"]),
            (&"phase".into(), &"ok".into()),
            "{line}"
        );
    }
    let completed = of("provisioning completed");
    assert_eq!(&completed[0]["span"]["session"], session);
}

/// Starts the program with its standard error in a file, and says in its environment that this file is the journal's; gives what
/// it wrote.
fn logged(stream: impl Fn(&Path) -> String) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = File::create(&path).unwrap();
    let mut serve = Command::new(program("zmon-provision"));
    for setting in [
        "device.id=ZM-1",
        "device.serial_number=S1",
        "device.address=127.0.0.1",
        "trust.hmac_key_file=/nonexistent/key",
        "store.path=/nonexistent/store.db",
    ] {
        serve.args(["--set", setting]);
    }
    let status = serve
        .arg("serve")
        .env("JOURNAL_STREAM", stream(&path))
        .stdout(Stdio::null())
        .stderr(log)
        .status()
        .unwrap();
    assert!(!status.success(), "it is not commissioned");
    fs::read_to_string(path).unwrap()
}

#[test]
fn it_writes_lines_where_standard_error_is_not_the_journals_or_no_journal_listens() {
    const FALLBACK: &str = "the journal takes no entries with fields";
    let file = |path: &Path| {
        let file = fs::metadata(path).unwrap();
        format!("{}:{}", file.dev(), file.ino())
    };
    let elsewhere = logged(|path| format!("{}0", file(path)));
    assert!(
        !elsewhere.contains(FALLBACK) && elsewhere.contains("\"message\":"),
        "{elsewhere}"
    );
    if Path::new("/run/systemd/journal/socket").exists() {
        return skip("a journal that does not listen", "this machine's does");
    }
    let unheard = logged(file);
    assert!(unheard.contains(FALLBACK), "{unheard}");
    assert!(unheard.contains("the service cannot run"), "{unheard}");
}
