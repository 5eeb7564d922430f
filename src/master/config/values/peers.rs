//! The peers whose forwarding headers are believed.

use crate::config::value::{Refusal, Value, between_commas, from_texts, misfit};
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use toml::Spanned;
use toml::de::DeValue;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Anyone,
    Address(IpAddr),
    /// All bits behind the prefix are zero.
    Network(IpNet),
}

impl TryFrom<&str> for Peer {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Anyone);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let network = network(text).ok_or_else(|| misfit::<Peers>(&format!("{text:?}")))?;
        if network == network.trunc() {
            Ok(Self::Network(network))
        } else {
            Err(format!(
                "{text:?} has bits set behind the prefix; did you mean \"{}\"?",
                network.trunc()
            ))
        }
    }
}

/// A network with its prefix, or as Python takes it, too, with its netmask.
fn network(text: &str) -> Option<IpNet> {
    if let Ok(network) = text.parse() {
        return Some(network);
    }
    let (address, mask) = text.split_once('/')?;
    IpNet::with_netmask(address.parse().ok()?, mask.parse().ok()?).ok()
}

impl fmt::Display for Peer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => to.write_str("*"),
            Self::Address(address) => write!(to, "{address}"),
            Self::Network(network) => write!(to, "{network}"),
        }
    }
}

/// May be empty: then no TCP peer is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers(Vec<Peer>);

impl Peers {
    /// The default: a proxy usually runs on the same machine.
    pub fn this_machine() -> Self {
        Self(vec![
            Peer::Address(Ipv4Addr::LOCALHOST.into()),
            Peer::Address(Ipv6Addr::LOCALHOST.into()),
        ])
    }

    pub fn all(&self) -> &[Peer] {
        &self.0
    }

    /// One, or several separated by commas.
    fn add(&mut self, text: &str) -> Result<(), String> {
        for peer in between_commas(text) {
            self.0.push(Peer::try_from(peer)?);
        }
        Ok(())
    }
}

impl Value for Peers {
    fn expects() -> String {
        "IP addresses or networks such as 10.0.0.0/8, separated by commas, or *".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(
            self.0
                .iter()
                .map(Peer::to_string)
                .collect::<Vec<_>>()
                .into(),
        )
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let mut peers = Self(Vec::new());
        peers.add(text)?;
        Ok(peers)
    }

    fn from_list(items: &[Spanned<DeValue<'_>>]) -> Result<Self, Vec<Refusal>> {
        from_texts(Self(Vec::new()), items, Self::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_addresses_networks_or_everyone() {
        let written = |text: &str| {
            Peers::from_text(text).map(|peers| {
                peers
                    .all()
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(",")
            })
        };
        for text in [
            "127.0.0.1,::1",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "::/0",
            "2001:db8::/32",
            "*",
            "10.1.2.3/32",
            "",
        ] {
            assert_eq!(written(text).as_deref(), Ok(text));
        }
        assert_eq!(written(" 127.0.0.1 , ::1 ").as_deref(), Ok("127.0.0.1,::1"));
        assert_eq!(written("10.0.0.0/255.0.0.0").as_deref(), Ok("10.0.0.0/8"));
    }

    #[test]
    fn anything_else_is_refused() {
        let forms =
            "must be IP addresses or networks such as 10.0.0.0/8, separated by commas, or *";
        for text in [
            "localhost",
            "10.0.0",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/255.0.255.0",
        ] {
            assert_eq!(
                Peers::from_text(text),
                Err(format!("{forms}, not {text:?}"))
            );
        }
        assert_eq!(
            Peers::from_text("192.168.1.7/24"),
            Err("\"192.168.1.7/24\" has bits set behind the prefix; did you mean \"192.168.1.0/24\"?".into())
        );
    }
}
