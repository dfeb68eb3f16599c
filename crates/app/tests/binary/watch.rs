//! `watch`, across restarts of the service and with a reader that is too slow.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::UnixListener;
use zmon_domain::identity::DeviceId;
use zmon_domain::signal::ProvisioningSignal;
use zmon_local_api::PairingDefaults;
use zmon_testkit::fake_service::FakeService;

use crate::support::{PATIENCE, Site, bare, finish};

/// A command whose lines are read as they come; killed when dropped.
struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The data of the next event with this name; what comes before it is not looked at.
    fn wait_for(&self, name: &str) -> Value {
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("no {name}"));
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            assert!(event["at"].is_u64(), "{line}");
            if event["event"] == name {
                return event["data"].clone();
            }
        }
    }

    fn end(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn waits_for_the_service_and_comes_back_after_a_restart() {
    let site = Site::new();
    let mut watching = Watching::start(site.command(&["watch", "--json", "--until", "ready-to-pair"]));
    watching.wait_for("disconnected");
    let mut device = site.serve();
    assert_eq!(watching.wait_for("connected")["status"], "UNPROVISIONED");
    assert_eq!(device.stop(Signal::TERM), 0);
    watching.wait_for("disconnected");
    let _device = site.serve();
    assert_eq!(watching.wait_for("connected")["status"], "UNPROVISIONED");
    assert_eq!(site.run(&["pair", "--no-wait"]).0, 0);
    let changed = watching.wait_for("statusChanged");
    assert_eq!(changed["status"], "READY_TO_PAIR");
    assert_eq!(watching.end(), 0, "it ends where the status is reached");
}

#[test]
fn says_in_plain_lines_what_happens() {
    let site = Site::new();
    let _device = site.serve();
    let watching = site
        .command(&["watch", "--once", "--until", "READY_TO_PAIR"])
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(site.run(&["pair", "--no-wait"]).0, 0);
    let (code, text, errors) = finish(watching.wait_with_output().unwrap());
    assert_eq!(code, 0, "{errors}");
    for part in [
        "Z  the service runs; the status is UNPROVISIONED\n",
        "Z  a QR code is on the screen, until 20",
        "Z  status: READY_TO_PAIR\n",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn ends_where_it_is_told_to() {
    let site = Site::new();
    let (code, _, errors) = site.run(&["watch", "--once"]);
    assert_eq!(code, 69, "{errors}");
    let (code, text, errors) = site.run(&["watch", "--timeout", "1"]);
    assert_eq!(code, 75, "{errors}");
    assert!(
        text.contains("waiting for it") && errors.contains("next: "),
        "{text}{errors}"
    );
    let (code, _, errors) = site.run(&["watch", "--until", "done"]);
    assert_eq!(code, 2, "{errors}");
    let mut device = site.serve();
    let (code, ..) = site.run(&["watch", "--until", "unprovisioned"]);
    assert_eq!(code, 0, "what is so already needs no waiting");
    let watching = site.command(&["watch", "--once"]).spawn().unwrap();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(device.stop(Signal::TERM), 0);
    let (code, _, errors) = finish(watching.wait_with_output().unwrap());
    assert_eq!(code, 69, "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn says_how_many_events_it_missed_and_where_the_device_stands_now() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control.sock");
    let service = FakeService::new();
    let defaults = PairingDefaults {
        device_id: DeviceId::parse("ZM-ICU-MON-04").unwrap(),
        ip_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(zmon_local_api::serve(
        listener,
        service.clone(),
        defaults,
        std::future::pending(),
    ));
    let told = tokio::task::spawn_blocking(move || {
        let watching = Watching::start(bare(&["watch", "--json", "--socket", socket.to_str().unwrap()]));
        watching.wait_for("connected");
        let process = Pid::from_child(&watching.child);
        kill_process(process, Signal::STOP).unwrap();
        for _ in 0..20_000 {
            service.announce(ProvisioningSignal::QrCodeExpired);
            // The server shall notice that nobody reads before the next ones come.
            if service.calls().is_empty() {
                thread::yield_now();
            }
        }
        thread::sleep(Duration::from_millis(200));
        kill_process(process, Signal::CONT).unwrap();
        (watching.wait_for("missed"), watching.wait_for("status"))
    });
    let (missed, status) = told.await.unwrap();
    assert!(missed["count"].as_u64().unwrap() > 0, "{missed}");
    assert_eq!(status["status"], "READY_TO_PAIR");
}
