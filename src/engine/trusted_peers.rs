//! Which peers are believed when they speak for others.

use crate::transport::Peer;
use ipnet::{IpNet, Ipv6Net};
use std::net::{IpAddr, Ipv6Addr};

/// The peers that are believed.
#[derive(Debug, Clone)]
pub enum TrustedPeers {
    Everyone,
    /// Those in one of these networks, and every client of a unix socket.
    Networks(Vec<Ipv6Net>),
}

impl TrustedPeers {
    /// From the setting's entries, which the master has checked; `*` is everyone.
    pub fn new(entries: &[String]) -> Self {
        if entries.iter().any(|entry| entry == "*") {
            return Self::Everyone;
        }
        Self::Networks(entries.iter().filter_map(|entry| network(entry)).collect())
    }

    pub fn includes(&self, peer: Peer) -> bool {
        match (self, peer) {
            (Self::Everyone, _) | (Self::Networks(_), Peer::Unix) => true,
            (Self::Networks(networks), Peer::Tcp(address)) => {
                let address = mapped(address.ip());
                networks.iter().any(|network| network.contains(&address))
            }
        }
    }
}

fn network(entry: &str) -> Option<Ipv6Net> {
    let network: IpNet = match entry.parse() {
        Ok(network) => network,
        Err(_) => entry.parse::<IpAddr>().ok()?.into(),
    };
    match network {
        IpNet::V4(network) => {
            Ipv6Net::new(network.addr().to_ipv6_mapped(), 96 + network.prefix_len()).ok()
        }
        IpNet::V6(network) => Some(network),
    }
}

/// IPv4 addresses as the IPv6 addresses that stand for them, so that a client of
/// a dual-stack listener is the same client (RFC 4291 §2.5.5.2).
fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}
