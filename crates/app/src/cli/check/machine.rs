//! What the machine under the device is like: configuration, clock, disk, port.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use rustix::fs::statvfs;
use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};
use zmon_local_api::ExaminationView;
use zmon_ports::Clock;

use super::finding::{Check, Finding};
use crate::clock::SystemClock;
use crate::configuration::{Configuration, Faults};
use crate::release;
use crate::text::utc;

/// Room that there has to be at least, in bytes.
const ROOM: u64 = 16 * 1024 * 1024;

pub(super) fn configuration(loaded: &Result<Configuration, Faults>) -> Finding {
    let check = Check::Configuration;
    match loaded {
        Ok(configuration) => check.passes(format!("it is the one of {}", configuration.device_id)),
        Err(faults) => {
            let remedy = "mend each in its place; `zmon-provision check-config` says where every value comes from";
            check.fails(faults.in_one_line(), remedy)
        }
    }
}

pub(super) fn clock(examination: Option<&ExaminationView>) -> Finding {
    let check = Check::Clock;
    // Without the device itself, no floor is known but the first.
    let (now, floor) = match examination {
        Some(examination) => (examination.now, examination.time_floor),
        None => (SystemClock.wall().now.as_millis(), release::date().as_millis()),
    };
    if now >= floor {
        return check.passes(format!("it says {}, after the time floor {}", utc(now), utc(floor)));
    }
    check.fails(
        format!("it says {}, before the time floor {}", utc(now), utc(floor)),
        "set the clock, best by a time server (timedatectl status); where the floor is wrong: `zmon-provision time reset`",
    )
}

pub(super) fn synchronised(examination: Option<&ExaminationView>) -> Finding {
    let check = Check::ClockSynchronised;
    let says = examination.map_or_else(|| SystemClock.wall().synchronised, |told| told.clock_synchronised);
    if says {
        return check.passes("the kernel says so");
    }
    check.warns(
        "the kernel does not say so: `notBefore` of certificates is not enforced, and the audit's times may be wrong",
        "let the monitor reach a time server: timedatectl status, timedatectl timesync-status",
    )
}

pub(super) fn disk_space(configuration: &Configuration) -> Finding {
    let check = Check::DiskSpace;
    let path = &configuration.store_path;
    // The store makes its directory at the first start.
    let mut places = path.ancestors().skip(1);
    let Some(place) = places.find(|place| place.exists()) else {
        return check.fails(format!("{} is on no file system", path.display()), "mend store.path");
    };
    let database = fs::metadata(path).map_or(0, |found| found.len());
    match statvfs(place) {
        Ok(found) => room(place, found.f_bavail.saturating_mul(found.f_frsize), database),
        Err(fault) => check.fails(format!("{}: {fault}", place.display()), "check the storage"),
    }
}

/// De-provisioning and a change of the key write the whole database anew.
fn room(place: &Path, free: u64, database: u64) -> Finding {
    let check = Check::DiskSpace;
    let needed = database.saturating_mul(2).max(ROOM);
    let mebibytes = |bytes: u64| bytes.div_ceil(1024 * 1024);
    let found = format!(
        "{} MiB are free at {}, {} MiB are wanted",
        free / (1024 * 1024),
        place.display(),
        mebibytes(needed)
    );
    if free >= needed {
        check.passes(found)
    } else {
        check.fails(
            found,
            "make room on that file system: journalctl --vacuum-size=16M, apt-get clean",
        )
    }
}

pub(super) fn pairing_port(configuration: &Configuration, examination: Option<&ExaminationView>) -> Finding {
    let check = Check::PairingPort;
    let address = configuration.bind.unwrap_or(configuration.address);
    let port = configuration.port;
    let ours = examination.is_some_and(|examination| examination.listening);
    match try_bind(address, port) {
        Ok(()) => check.passes(format!("port {port} of {address} is free, as long as nobody pairs")),
        Err(fault) => match fault.kind() {
            io::ErrorKind::AddrInUse if ours => {
                check.passes(format!("our own service holds port {port} of {address}, for a pairing session"))
            }
            io::ErrorKind::AddrInUse => check.fails(
                format!("another program holds port {port} of {address}: pairing cannot be opened"),
                format!("see which: ss -ltnp 'sport = :{port}'; end it, or set listener.port"),
            ),
            io::ErrorKind::AddrNotAvailable => check.fails(
                format!("{address} is no address of this device"),
                "set device.address to what `ip address` shows, or listener.bind where the QR code's address is another's",
            ),
            io::ErrorKind::PermissionDenied => check.is_hidden(format_args!("port {port}")),
            _ => check.fails(format!("port {port} of {address}: {fault}"), "check network and listener.port"),
        },
    }
}

/// Takes the port for a moment without listening: a service that opens pairing just then is not held up.
fn try_bind(address: IpAddr, port: u16) -> io::Result<()> {
    let family = match address {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket(family, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(bind(&socket, &SocketAddr::new(address, port))?)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    fn told(now: u64, time_floor: u64, clock_synchronised: bool) -> ExaminationView {
        ExaminationView {
            now,
            clock_synchronised,
            time_floor,
            listening: false,
            key_belongs: None,
            retired: false,
        }
    }

    #[test]
    fn fails_where_the_clock_is_before_the_floor() {
        assert_eq!(clock(Some(&told(5, 5, true))).outcome, Outcome::Pass);
        assert_eq!(clock(Some(&told(4, 5, true))).outcome, Outcome::Fail);
    }

    #[test]
    fn warns_where_the_kernel_does_not_call_the_clock_synchronised() {
        assert_eq!(synchronised(Some(&told(5, 5, true))).outcome, Outcome::Pass);
        assert_eq!(synchronised(Some(&told(5, 5, false))).outcome, Outcome::Warning);
    }

    #[test]
    fn wants_room_for_the_database_twice_and_sixteen_mebibytes_at_least() {
        let outcome = |free, database| room(Path::new("/"), free, database).outcome;
        assert_eq!(outcome(ROOM, 0), Outcome::Pass);
        assert_eq!(outcome(ROOM - 1, 0), Outcome::Fail);
        assert_eq!(outcome(2 * ROOM, ROOM), Outcome::Pass);
        assert_eq!(outcome(2 * ROOM - 1, ROOM), Outcome::Fail);
    }
}
