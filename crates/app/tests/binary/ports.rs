//! What a port scan finds: nothing, unless pairing is open, and then one port (`threats.md`, row 1).

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use rustix::process::Signal;

use crate::support::{Device, Site};

/// The Internet sockets of a process, as the kernel lists them: protocol and local port, connected ones left out.
fn open_ports(process: u32) -> BTreeSet<(&'static str, u16)> {
    let process = Path::new("/proc").join(process.to_string());
    let descriptors = fs::read_dir(process.join("fd")).unwrap();
    let inodes: BTreeSet<String> = descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|target| {
            Some(
                target
                    .to_str()?
                    .strip_prefix("socket:[")?
                    .trim_end_matches(']')
                    .to_owned(),
            )
        })
        .collect();
    assert!(!inodes.is_empty(), "the control socket at least");
    let mut ports = BTreeSet::new();
    for protocol in ["tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6"] {
        // Without IPv6 there are fewer tables.
        let table = fs::read_to_string(process.join("net").join(protocol)).unwrap_or_default();
        for line in table.lines().skip(1) {
            let columns: Vec<&str> = line.split_whitespace().collect();
            // 0A is LISTEN; what is neither TCP nor connected has 07.
            if inodes.contains(columns[9]) && ["0A", "07"].contains(&columns[3]) {
                let port = columns[1].rsplit_once(':').unwrap().1;
                ports.insert((protocol, u16::from_str_radix(port, 16).unwrap()));
            }
        }
    }
    ports
}

fn of(device: &Device) -> BTreeSet<(&'static str, u16)> {
    open_ports(device.child.id())
}

#[test]
fn opens_one_port_for_pairing_and_none_while_it_is_idle() {
    let site = Site::new();
    let mut device = site.serve();
    assert_eq!(of(&device), BTreeSet::new());

    let (code, _, errors) = site.run(&["pair", "--no-wait"]);
    assert_eq!(code, 0, "{errors}");
    assert_eq!(of(&device), BTreeSet::from([("tcp", site.port)]));
    // On the address of the QR code alone: nothing answers at another one of this machine.
    assert!(TcpStream::connect(site.address()).is_ok());
    let elsewhere = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), site.port));
    assert!(TcpStream::connect(elsewhere).is_err());

    // The grace period after a cancelled session lasts half a minute; stopping ends it at once.
    assert_eq!(site.run(&["cancel"]).0, 0);
    assert_eq!(device.stop(Signal::TERM), 0);
    let device = site.serve();
    assert_eq!(of(&device), BTreeSet::new());
    assert!(TcpStream::connect(site.address()).is_err());
}

/// The control: a process that listens is found.
#[test]
fn a_listener_would_be_found() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let found = open_ports(std::process::id());
    assert!(
        found.contains(&("tcp", listener.local_addr().unwrap().port())),
        "{found:?}"
    );
    assert!(
        found.contains(&("udp", socket.local_addr().unwrap().port())),
        "{found:?}"
    );
}
