//! The header of the PROXY protocol, by which a proxy says at the start of a connection whom
//! it speaks for: version 1 in text, version 2 in binary (haproxy.org, proxy-protocol.txt).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::{self, FromStr};

use memchr::memchr;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1, with its line break.
const LONGEST_LINE: usize = 107;

/// Of version 2: the signature, version and command, family and protocol, and the length of
/// what follows.
const FIXED: usize = V2.len() + 4;

/// The versions of the header that are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersions {
    V1,
    V2,
    Both,
}

/// What a header says about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProxyHeader {
    /// The client, and where it connected to.
    Tcp {
        client: SocketAddr,
        server: SocketAddr,
    },
    /// `LOCAL`: the proxy speaks for itself, say to see whether the server lives.
    Local,
    /// `UNKNOWN` in version 1: the proxy does not know the client.
    Unknown,
    /// `UNSPEC`: the same in version 2.
    Unspecified,
}

/// What stands at the start of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Too little to tell whether it is a header.
    Undecided,
    /// A header that has not come completely.
    Begun,
    /// A header of so many bytes.
    Header(ProxyHeader, usize),
    Absent,
}

impl ProxyHeader {
    /// Reads what a connection begins with. It takes at most 64 KiB to decide.
    pub fn read(buffer: &[u8], versions: ProxyVersions) -> Result<Start, Refusal> {
        let (v1, v2) = match versions {
            ProxyVersions::V1 => (true, false),
            ProxyVersions::V2 => (false, true),
            ProxyVersions::Both => (true, true),
        };
        if v1 && buffer.starts_with(V1) {
            read_v1(buffer)
        } else if v2 && buffer.starts_with(V2) {
            read_v2(buffer)
        } else if v1 && V1.starts_with(buffer) || v2 && V2.starts_with(buffer) {
            Ok(Start::Undecided)
        } else {
            Ok(Start::Absent)
        }
    }

    /// Gunicorn's name for it.
    pub fn protocol(&self) -> &'static str {
        match self {
            Self::Tcp { client, .. } if client.is_ipv4() => "TCP4",
            Self::Tcp { .. } => "TCP6",
            Self::Local => "LOCAL",
            Self::Unknown => "UNKNOWN",
            Self::Unspecified => "UNSPEC",
        }
    }
}

/// `PROXY TCP4 192.0.2.7 198.51.100.1 51234 443`.
fn read_v1(buffer: &[u8]) -> Result<Start, Refusal> {
    let window = &buffer[..buffer.len().min(LONGEST_LINE)];
    let Some(end) = memchr(b'\n', window) else {
        return match window.len() {
            LONGEST_LINE => Err(Refusal::BadProxyHeader),
            _ => Ok(Start::Begun),
        };
    };
    let line = window[V1.len()..end]
        .strip_suffix(b"\r")
        .and_then(|line| str::from_utf8(line).ok())
        .ok_or(Refusal::BadProxyHeader)?;
    let words: Vec<&str> = line.split(' ').collect();
    let header = match words[..] {
        // Whatever follows is to be ignored.
        ["UNKNOWN", ..] => Some(ProxyHeader::Unknown),
        ["TCP4", client, server, client_port, server_port] => {
            addresses::<Ipv4Addr>([client, server], [client_port, server_port])
        }
        ["TCP6", client, server, client_port, server_port] => {
            addresses::<Ipv6Addr>([client, server], [client_port, server_port])
        }
        [..] => None,
    };
    let header = header.ok_or(Refusal::BadProxyHeader)?;
    Ok(Start::Header(header, end + 1))
}

fn addresses<T: FromStr + Into<IpAddr>>(hosts: [&str; 2], ports: [&str; 2]) -> Option<ProxyHeader> {
    let address = |at: usize| {
        let host: T = hosts[at].parse().ok()?;
        let digits = ports[at];
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        let port = digits.parse().ok().filter(|_| is_number)?;
        Some(SocketAddr::new(host.into(), port))
    };
    Some(ProxyHeader::Tcp {
        client: address(0)?,
        server: address(1)?,
    })
}

fn read_v2(buffer: &[u8]) -> Result<Start, Refusal> {
    let Some([command, family, high, low]) = buffer.get(V2.len()..FIXED) else {
        return Ok(Start::Begun);
    };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Refusal::BadProxyHeader),
    };
    let length = FIXED + usize::from(u16::from_be_bytes([*high, *low]));
    let Some(block) = buffer.get(FIXED..length) else {
        return Ok(Start::Begun);
    };
    let header = match family {
        _ if is_local => ProxyHeader::Local,
        // Over TCP; the family alone is known for 0x01, and neither for 0x00.
        0x00 | 0x01 => ProxyHeader::Unspecified,
        0x11 => tcp::<4>(block).ok_or(Refusal::BadProxyHeader)?,
        0x21 => tcp::<16>(block).ok_or(Refusal::BadProxyHeader)?,
        _ => return Err(Refusal::BadProxyHeader),
    };
    Ok(Start::Header(header, length))
}

/// Two addresses of `N` bytes and two ports. What follows them says more about the
/// connection, and is not needed.
fn tcp<const N: usize>(block: &[u8]) -> Option<ProxyHeader>
where
    [u8; N]: Into<IpAddr>,
{
    let (client, rest) = block.split_first_chunk::<N>()?;
    let (server, rest) = rest.split_first_chunk::<N>()?;
    let (client_port, rest) = rest.split_first_chunk()?;
    let server_port = rest.first_chunk()?;
    let address =
        |host: &[u8; N], port: &[u8; 2]| SocketAddr::new((*host).into(), u16::from_be_bytes(*port));
    Some(ProxyHeader::Tcp {
        client: address(client, client_port),
        server: address(server, server_port),
    })
}
