//! From a name to a TCP connection.

use std::net::SocketAddr;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use zmon_domain::settings::{ServerHost, ServerUrl};
use zmon_ports::{ConnectionFault, ConnectionStage};

use crate::words;

/// How many addresses of one name are tried.
const MAX_ADDRESSES: usize = 4;

/// The server's addresses, from the system's resolver.
pub(crate) async fn resolve(url: &ServerUrl) -> Result<Vec<SocketAddr>, ConnectionFault> {
    let name = match url.host() {
        ServerHost::Address(address) => return Ok(vec![SocketAddr::new(*address, url.port())]),
        ServerHost::Name(name) => name.as_str(),
    };
    let found = lookup_host((name, url.port())).await;
    let addresses: Vec<_> = found
        .map_err(|fault| words::unresolved(name, &fault))?
        .take(MAX_ADDRESSES)
        .collect();
    if addresses.is_empty() {
        return Err(words::unresolved(name, &"it has no address"));
    }
    Ok(addresses)
}

/// The first address that answers; each gets an equal share of what is left.
pub(crate) async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, ConnectionFault> {
    let mut last = None;
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(1);
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Costs time alone where it fails.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(fault)) => last = Some(words::not_connected(*address, &fault)),
            Err(_) => {
                let silent = words::silent(ConnectionStage::Connect, share);
                last.get_or_insert(silent);
            }
        }
    }
    Err(last.unwrap_or_else(|| words::unresolved("the server", &"it has no address")))
}
