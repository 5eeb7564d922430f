//! Whose forwarding headers are believed.

use crate::config::value::{Refusal, Value, misfit, texts};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use toml::Spanned;
use toml::de::DeValue;

/// Some of the world's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// All of them.
    Anyone,
    /// One.
    Address(IpAddr),
    /// Those that begin like this one.
    Network {
        /// The first address, with all bits behind the prefix zero.
        first: IpAddr,
        /// How many bits at the front count.
        prefix: u8,
    },
}

/// The address with all bits behind the first `prefix` zero.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

impl TryFrom<&str> for Peer {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        let refused = || misfit::<Peers>(&format!("{text:?}"));
        if text == "*" {
            return Ok(Self::Anyone);
        }
        let Some((address, prefix)) = text.split_once('/') else {
            return text.parse().map(Self::Address).map_err(|_| refused());
        };
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix
            .parse()
            .ok()
            .filter(|prefix| *prefix <= longest)
            .ok_or_else(refused)?;
        let first = masked(address, prefix);
        if first == address {
            Ok(Self::Network { first, prefix })
        } else {
            Err(format!(
                "{text:?} is no network; did you mean \"{first}/{prefix}\"?"
            ))
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => to.write_str("*"),
            Self::Address(address) => write!(to, "{address}"),
            Self::Network { first, prefix } => write!(to, "{first}/{prefix}"),
        }
    }
}

/// The peers whose forwarding headers are believed; may be none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers(Vec<Peer>);

impl Peers {
    /// This machine: where a proxy in front usually runs.
    pub fn this_machine() -> Self {
        Self(vec![
            Peer::Address(Ipv4Addr::LOCALHOST.into()),
            Peer::Address(Ipv6Addr::LOCALHOST.into()),
        ])
    }

    /// Each of them.
    pub fn all(&self) -> &[Peer] {
        &self.0
    }

    fn with(mut self, text: &str) -> Result<Self, String> {
        for peer in text
            .split(',')
            .map(str::trim)
            .filter(|peer| !peer.is_empty())
        {
            self.0.push(Peer::try_from(peer)?);
        }
        Ok(self)
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
        Self(Vec::new()).with(text)
    }

    fn from_list(items: &[Spanned<DeValue<'_>>]) -> Result<Self, Refusal> {
        texts::<Self>(items)?
            .into_iter()
            .try_fold(Self(Vec::new()), |peers, (text, place)| {
                peers.with(text).map_err(|says| Refusal {
                    part: Some(place),
                    says,
                })
            })
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
    }

    #[test]
    fn what_is_no_peer_is_refused() {
        let forms =
            "must be IP addresses or networks such as 10.0.0.0/8, separated by commas, or *";
        for text in [
            "localhost",
            "10.0.0",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
        ] {
            assert_eq!(
                Peers::from_text(text),
                Err(format!("{forms}, not {text:?}"))
            );
        }
        assert_eq!(
            Peers::from_text("192.168.1.7/24"),
            Err("\"192.168.1.7/24\" is no network; did you mean \"192.168.1.0/24\"?".into())
        );
    }
}
