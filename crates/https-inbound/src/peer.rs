//! Whom a limit counts.

use std::net::IpAddr;

/// One sender as far as limits are concerned: an IPv4 address, or an IPv6 /64. An IPv4-mapped IPv6 address is the IPv4
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    V4(u32),
    V6Network(u64),
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            // The upper half: what one household, ward or attacker is given.
            IpAddr::V6(address) => Self::V6Network((address.to_bits() >> 64) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn takes_each_ipv4_address_for_itself() {
        assert_ne!(peer("10.1.50.1"), peer("10.1.50.2"));
    }

    #[test]
    fn takes_an_ipv6_network_for_one_sender() {
        assert_eq!(peer("2001:db8:1:2::1"), peer("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
    }

    #[test]
    fn takes_a_mapped_address_for_the_ipv4_address_that_it_is() {
        assert_eq!(peer("::ffff:10.1.50.1"), peer("10.1.50.1"));
        assert_ne!(peer("::ffff:10.1.50.1"), peer("::ffff:10.1.50.2"));
    }
}
