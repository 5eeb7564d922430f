//! Which peers are believed when they speak for others (`forwarded_allow_ips`).

use rgunicorn_engine::Peer;
use std::net::IpAddr;

/// The peers whose forwarding headers count.
#[derive(Debug)]
pub enum Trusted {
    /// All.
    Everyone,
    /// Those in one of these networks, and every client of a unix socket.
    Networks(Vec<Network>),
}

/// An address and how many of its first bits count.
#[derive(Debug)]
pub struct Network {
    address: u128,
    bits: u32,
}

impl Trusted {
    /// From the setting's entries, which the master has checked; `*` is everyone.
    pub fn new(entries: &[String]) -> Self {
        if entries.iter().any(|entry| entry == "*") {
            return Self::Everyone;
        }
        Self::Networks(entries.iter().filter_map(|entry| network(entry)).collect())
    }

    /// Whether `peer` is one of them.
    pub fn includes(&self, peer: Peer) -> bool {
        match (self, peer) {
            (Self::Everyone, _) | (Self::Networks(_), Peer::Unix) => true,
            (Self::Networks(networks), Peer::Tcp(address)) => {
                let address = wide(address.ip());
                networks.iter().any(|network| network.contains(address))
            }
        }
    }
}

impl Network {
    fn contains(&self, address: u128) -> bool {
        let differing = self.address ^ address;
        differing.leading_zeros() >= self.bits
    }
}

fn network(entry: &str) -> Option<Network> {
    let (address, bits) = match entry.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
        None => (entry, None),
    };
    let address: IpAddr = address.trim().parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(whole).min(whole) + (128 - whole);
    Some(Network {
        address: wide(address),
        bits,
    })
}

/// IPv4 addresses as the IPv6 addresses that stand for them, so that a client of
/// a dual-stack listener is the same client (RFC 4291 §2.5.5.2).
fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}
