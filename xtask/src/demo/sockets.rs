//! Which TCP ports a process listens on, as the kernel knows it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};

/// State `TCP_LISTEN` in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The TCP ports that the process listens on, over IPv4 and IPv6.
pub(super) fn listening_ports(process: u32) -> Result<BTreeSet<u16>> {
    let process = Path::new("/proc").join(process.to_string());
    let inodes = socket_inodes(&process.join("fd"))?;
    let mut ports = BTreeSet::new();
    for table in ["net/tcp", "net/tcp6"] {
        // Without IPv6 there is no second table.
        let text = std::fs::read_to_string(process.join(table)).unwrap_or_default();
        ports.extend(
            listeners(&text)
                .filter(|(inode, _)| inodes.contains(*inode))
                .map(|(_, port)| port),
        );
    }
    Ok(ports)
}

fn socket_inodes(descriptors: &Path) -> Result<BTreeSet<String>> {
    let mut inodes = BTreeSet::new();
    for entry in std::fs::read_dir(descriptors).with_context(|| format!("cannot read {}", descriptors.display()))? {
        // A descriptor may be closed while we look.
        if let Ok(target) = std::fs::read_link(entry?.path())
            && let Some(inode) = target.to_str().and_then(|text| text.strip_prefix("socket:["))
        {
            inodes.insert(inode.trim_end_matches(']').to_owned());
        }
    }
    Ok(inodes)
}

/// Inode and port of each listening socket in a table of the kernel.
fn listeners(table: &str) -> impl Iterator<Item = (&str, u16)> {
    table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = columns.get(1)?.rsplit_once(':')?;
        (columns.get(3)? == &LISTEN).then_some((*columns.get(9)?, u16::from_str_radix(port, 16).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn it_sees_a_port_while_it_is_open_and_not_afterwards() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listening_ports(std::process::id()).unwrap().contains(&port));
        drop(listener);
        assert!(!listening_ports(std::process::id()).unwrap().contains(&port));
    }
}
