//! The story: from a fresh device to one that is provisioned, survives a restart and refuses to be paired again.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::Interrupt;
use super::device::{DEVICE_ID, Device, elapsed};
use super::report::{self, Limits, Timing};
use super::station::{Pushed, Station, said};
use crate::process::Stopwatch;

const SERVER_HOST: &str = "localhost";
const SERVER_URL: &str = "https://localhost:9443";
const LABEL: &str = "ICU-MON-04 Demo";
/// Width and height of the picture in pixels.
const PICTURE: (u32, u32) = (300, 300);
const QR_LIMITS: Limits = Limits {
    goal: Duration::from_millis(5),
    ceiling: Duration::from_millis(500),
};
const APPLY_LIMITS: Limits = Limits {
    goal: Duration::from_millis(50),
    ceiling: Duration::from_secs(5),
};

/// Everything that has a part.
pub(super) struct Stage {
    pub(super) device: Device,
    pub(super) station: Station,
    server_certificate: PathBuf,
    picture: PathBuf,
    body: PathBuf,
}

/// Chapter 2: the station makes its keys, and the device is commissioned with one derived from them.
pub(super) fn set(
    program: PathBuf,
    station: Station,
    folder: &Path,
    keep: bool,
    interrupt: Interrupt,
) -> Result<Stage> {
    report::chapter(
        2,
        "The Central Station makes its keys; the monitor is commissioned with its own",
    );
    let trust_key = folder.join("device.key");
    let server = folder.join("server");
    station.run(&["init"])?;
    report::shown("master key and certificate authority are made");
    station.run(&["derive", DEVICE_ID, "--out", text(&trust_key)?])?;
    report::shown(&format!(
        "a key for {DEVICE_ID} is derived: it can verify for this monitor alone"
    ));
    station.run(&["issue-server", SERVER_HOST, "--out", text(&server)?])?;
    report::shown(&format!(
        "a certificate for the server {SERVER_HOST} is issued, to be pinned"
    ));
    let device = Device::install(program, &folder.join("device"), &trust_key, keep, interrupt)?;
    Ok(Stage {
        device,
        station,
        server_certificate: server.join("certificate.pem"),
        picture: folder.join("qr.png"),
        body: folder.join("body.jose"),
    })
}

impl Stage {
    /// Chapters 3 to 8.
    pub(super) fn play(&mut self) -> Result<()> {
        self.start()?;
        self.pair()?;
        let answer = self.provision()?;
        self.show_installed(&answer)?;
        self.push_again(&answer)?;
        self.restart()
    }

    fn start(&mut self) -> Result<()> {
        report::chapter(3, "The monitor starts");
        let watch = Stopwatch::start();
        self.device.start()?;
        report::shown_after("the device's service answers on its control socket", watch);
        self.expect_status("UNPROVISIONED")?;
        report::shown("its status is UNPROVISIONED");
        self.expect_closed()
    }

    fn pair(&self) -> Result<()> {
        report::chapter(4, "A technician opens pairing at the monitor, which shows this");
        let output = self.device.run(&["pair", "--png", text(&self.picture)?, "--no-wait"])?;
        ensure!(
            output.status.success(),
            "pairing could not be opened: {}",
            said(&output)
        );
        // Not indented: it is wide enough as it is.
        println!("{}", String::from_utf8_lossy(&output.stdout));
        self.expect_status("READY_TO_PAIR")?;
        report::shown("its status is READY_TO_PAIR");
        let size = png_size(&std::fs::read(&self.picture)?)?;
        ensure!(size == PICTURE, "the picture has {size:?} pixels");
        report::shown("the same code is there as a picture of 300x300 pixels");
        let port = self.device.port();
        let open = self.device.open_ports()?;
        ensure!(open == [port], "the open ports are {open:?}, expected {port} alone");
        report::shown(&format!("port {port}, the one in the code, is open now, and no other"));
        Ok(())
    }

    fn provision(&self) -> Result<Value> {
        report::chapter(
            5,
            "The Central Station reads the picture, seals a configuration and pushes it",
        );
        let Pushed::Accepted(answer) = self.station.push(&[
            "provision",
            text(&self.picture)?,
            "--server-url",
            SERVER_URL,
            "--label",
            LABEL,
            "--server-cert",
            text(&self.server_certificate)?,
            "--save-body",
            text(&self.body)?,
        ])?
        else {
            bail!("the device refused the configuration");
        };
        report::shown("the monitor's certificate is the one that the code pins, and the code is the monitor's own");
        report::shown("the configuration is accepted, and the receipt is genuine");
        self.expect_status("PROVISIONED")?;
        report::shown("the monitor's status is PROVISIONED");
        report::table(&self.timings(&answer)?);
        Ok(answer)
    }

    /// What both sides measured, in the order of events. Fails where the specification's limits do not hold.
    fn timings(&self, answer: &Value) -> Result<Vec<Timing>> {
        let qr_code = self.device.measured("qr code generated")?;
        let applied = self.device.measured("provisioning completed")?;
        let mut timings = vec![Timing::new("device", "make and draw the QR code", qr_code).within(QR_LIMITS)];
        timings.extend(station_timings(answer)?);
        for entry in self.device.logged("phase finished")? {
            let phase = entry["span"]["phase"].as_str().context("a phase without a name")?;
            let took = elapsed(&entry).context("a phase without a duration")?;
            timings.push(Timing::new("device", phase.to_lowercase().replace('_', " "), took));
        }
        timings.push(Timing::new("device", "push arrived to durably installed", applied).within(APPLY_LIMITS));
        for timing in &timings {
            if let Some(Limits { ceiling, .. }) = timing.limits {
                ensure!(
                    timing.took <= ceiling,
                    "\"{}\" took {:?}; the specification allows {ceiling:?}",
                    timing.what,
                    timing.took
                );
            }
        }
        Ok(timings)
    }

    fn show_installed(&self, answer: &Value) -> Result<()> {
        report::chapter(6, "What is installed (keys are never shown)");
        let status = self.device.status()?;
        let settings = &status["installed"]["settings"];
        for (key, expected) in [
            ("deviceId", DEVICE_ID),
            ("deviceLabel", LABEL),
            ("serverUrl", SERVER_URL),
        ] {
            ensure!(
                settings[key] == expected,
                "{key} is {}, expected {expected}",
                settings[key]
            );
        }
        for kind in ["client", "ca", "server"] {
            let count = status["installed"]["certificates"][kind].as_array().map_or(0, Vec::len);
            ensure!(count > 0, "no {kind} certificate is installed");
        }
        let output = self.device.run(&["status"])?;
        ensure!(output.status.success(), "`status` failed: {}", said(&output));
        report::facts(&String::from_utf8_lossy(&output.stdout));
        println!();
        let receipt = self.receipt()?;
        ensure!(
            receipt == receipt_of(answer)?,
            "the device has another receipt than the station"
        );
        report::shown("the monitor keeps the same receipt that the station got");
        self.expect_sealed()
    }

    /// Neither the store nor the log says in clear what was installed.
    fn expect_sealed(&self) -> Result<()> {
        let folder = self.device.configuration();
        let folder = folder.parent().context("the configuration stands in a folder")?;
        for name in ["store.db", "store.db-wal"] {
            let Ok(bytes) = std::fs::read(folder.join(name)) else {
                continue;
            };
            for clear in ["SQLite format 3", "-----BEGIN", LABEL, SERVER_URL] {
                ensure!(!contains(&bytes, clear), "{name} says \"{clear}\" in clear");
            }
        }
        report::shown("the store on disk says nothing in clear: no table, certificate, key or label");
        let log = std::fs::read(self.device.log())?;
        ensure!(!contains(&log, "PRIVATE KEY"), "the log holds a private key");
        report::shown("the log holds no private key");
        Ok(())
    }

    fn push_again(&self, answer: &Value) -> Result<()> {
        report::chapter(
            7,
            "Somebody pushes once more, while the port is still open for a lost answer",
        );
        let Pushed::Refused(refusal) = self.station.push(&[
            "provision",
            text(&self.picture)?,
            "--server-url",
            SERVER_URL,
            "--label",
            "Somebody else's",
        ])?
        else {
            bail!("a second configuration was accepted");
        };
        let code = &refusal["error"]["code"];
        ensure!(
            code == "AlreadyProvisioned",
            "a second configuration was refused for another reason: {code}"
        );
        report::shown("another configuration is refused: AlreadyProvisioned");
        let Pushed::Accepted(again) =
            self.station
                .push(&["push", "--body", text(&self.body)?, text(&self.picture)?])?
        else {
            bail!("the identical push was refused");
        };
        ensure!(
            receipt_of(&again)? == receipt_of(answer)?,
            "the identical push got another receipt"
        );
        report::shown("the identical push is answered with the same receipt");
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        report::chapter(8, "The monitor is restarted");
        let before = self.device.status()?;
        let watch = Stopwatch::start();
        let status = self.device.stop()?;
        ensure!(status.success(), "the device ended with {status}");
        self.device.start()?;
        report::shown_after("it ends cleanly when asked, and starts again", watch);
        self.expect_status("PROVISIONED")?;
        ensure!(
            self.device.status()? == before,
            "another configuration is installed than before"
        );
        report::shown("its status is still PROVISIONED, with the same configuration:");
        let output = self.device.run(&["status"])?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if line.starts_with("Server:") || line.starts_with("Client certificate:") {
                report::facts(line);
            }
        }
        self.expect_closed()?;
        let output = self.device.run(&["pair", "--no-wait"])?;
        ensure!(
            output.status.code() == Some(1) && contains(&output.stderr, "AlreadyProvisioned"),
            "pairing a provisioned monitor was not refused as it should: {}",
            said(&output)
        );
        report::shown("pairing it again is refused: AlreadyProvisioned");
        Ok(())
    }

    fn receipt(&self) -> Result<String> {
        let output = self.device.run(&["status", "--receipt"])?;
        ensure!(output.status.success(), "`status --receipt` failed: {}", said(&output));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn expect_status(&self, expected: &str) -> Result<()> {
        let status = self.device.status()?;
        ensure!(
            status["status"] == expected,
            "the status is {}, expected {expected}",
            status["status"]
        );
        Ok(())
    }

    fn expect_closed(&self) -> Result<()> {
        let open = self.device.open_ports()?;
        ensure!(open.is_empty(), "the ports {open:?} are open");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.device.port()));
        ensure!(
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err(),
            "something answers on {address}"
        );
        report::shown("no port is open");
        Ok(())
    }
}

/// The station's own measurements.
fn station_timings(answer: &Value) -> Result<Vec<Timing>> {
    let phases = answer["timings"].as_array().context("the station did not measure")?;
    phases
        .iter()
        .map(|entry| {
            let phase = entry["phase"].as_str().context("a phase without a name")?;
            let took = elapsed(entry).context("a phase without a duration")?;
            Ok(Timing::new("station", phase, took))
        })
        .collect()
}

fn receipt_of(answer: &Value) -> Result<&str> {
    answer["receipt"].as_str().context("the station shows no receipt")
}

/// Width and height in a PNG's header.
fn png_size(bytes: &[u8]) -> Result<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    ensure!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "the picture is not a PNG");
    number(16).zip(number(20)).context("the picture is cut off")
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the temporary folder's name is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_the_size_of_a_picture() {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend([0, 0, 1, 44, 0, 0, 1, 43]);
        assert_eq!(png_size(&bytes).unwrap(), (300, 299));
        assert!(png_size(&bytes[..22]).is_err());
        assert!(png_size(b"GIF89a").is_err());
    }

    #[test]
    fn it_finds_text_in_bytes() {
        assert!(contains(b"\0\0label\xff", "label"));
        assert!(!contains(b"lab\0el", "label"));
    }
}
