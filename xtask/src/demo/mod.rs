//! `cargo xtask demo`: a device is provisioned in front of a person's eyes, by two real processes. Every claim that it
//! prints was checked a moment before.

mod device;
mod report;
mod sockets;
mod station;
mod story;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::process::Stopwatch;
use crate::workspace::Workspace;
use device::Device;
use station::Station;

/// Tells the story, with another `device` program where one is given; leaves nothing behind unless it is to `keep`
/// device and files.
pub(crate) fn run(workspace: &Workspace, device: Option<&Path>, keep: bool) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    println!("Z Monitor Provisioning: a monitor is paired with its Central Station, by two real programs.");

    report::chapter(
        1,
        "Build both programs (development variant, shared with the tests; minutes the first time)",
    );
    let watch = Stopwatch::start();
    let programs = workspace.build_binaries()?;
    let device = device.map_or_else(|| programs.join("zmon-provision"), Path::to_owned);
    interrupt.check()?;
    report::shown_after("zmon-provision and zmon-station are there", watch);

    let folder = tempfile::Builder::new()
        .prefix("zmon-demo-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    let station = Station::new(
        programs.join("zmon-station"),
        folder.path().join("station"),
        interrupt.clone(),
    );
    let mut stage = story::set(device, station, folder.path(), keep, interrupt)?;
    if let Err(error) = stage.play() {
        eprintln!("\nThe device's log ends with:\n{}\n", stage.device.log_tail(12));
        return Err(error);
    }
    if keep {
        let folder = folder.keep();
        explain(&mut stage.device, &stage.station, &folder)?;
    } else {
        let status = stage.device.stop()?;
        if !status.success() {
            bail!("the device ended with {status}");
        }
        println!("\nDone. The device has ended; its files are removed.");
    }
    Ok(())
}

/// How to go on with a device that was left running.
fn explain(device: &mut Device, station: &Station, folder: &Path) -> Result<()> {
    let process = device.process()?;
    println!("\nDone. The device is still running; to go on:\n");
    let device_program = format!(
        "{} --config {}",
        device.program().display(),
        device.configuration().display()
    );
    println!("   where it stands    {device_program} status");
    println!("   its receipt        {device_program} status --receipt");
    println!("   its log            less {}", device.log().display());
    println!(
        "   the other side     {} --home {} --help",
        station.program().display(),
        station.home().display()
    );
    println!("   to end it          kill {process} && rm -r {}", folder.display());
    device.leave();
    Ok(())
}

/// Whether somebody wants us to stop. Asked between steps, so that what was started is taken down in one way only.
#[derive(Clone)]
struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on signals that end a program are only noted.
    fn listen() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag)).context("cannot listen for signals")?;
        }
        Ok(Self(flag))
    }

    /// Fails once somebody has interrupted us.
    fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Waits a little.
    fn pause(&self, time: Duration) -> Result<()> {
        self.check()?;
        std::thread::sleep(time);
        Ok(())
    }
}
