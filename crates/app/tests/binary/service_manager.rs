//! What a service manager hears from the real binary.

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use crate::support::{PATIENCE, Site};

/// The service manager's end of the socket.
struct Manager(UnixDatagram);

impl Manager {
    /// Reads until a datagram has this line.
    fn wait_for(&self, line: &str) {
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let length = self
                .0
                .recv(&mut buffer)
                .unwrap_or_else(|fault| panic!("{fault}: nobody said {line:?}, only {heard:#?}"));
            let said = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if said.lines().any(|said| said == line) {
                return;
            }
            heard.push(said);
        }
    }
}

#[test]
fn says_ready_status_alive_and_stopping() {
    let site = Site::new();
    let path = site.path("notify");
    let manager = Manager(UnixDatagram::bind(&path).unwrap());
    manager.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut device = site.serve_with(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "500000")]);
    manager.wait_for("READY=1");
    manager.wait_for("STATUS=UNPROVISIONED: waiting until somebody opens pairing");
    manager.wait_for("WATCHDOG=1");
    let (code, _, errors) = site.run(&["pair", "--no-wait"]);
    assert_eq!(code, 0, "{errors}");
    manager.wait_for("STATUS=READY_TO_PAIR: a QR code is on the screen");
    manager.wait_for("WATCHDOG=1");
    assert_eq!(device.stop(Signal::TERM), 0);
    manager.wait_for("STOPPING=1");
}
