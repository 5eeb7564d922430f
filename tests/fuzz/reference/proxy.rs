//! A header of the PROXY protocol (haproxy.org, proxy-protocol.txt, section 2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What stands at the start of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Its protocol, the client, the server, and how long it is.
    Header(String, Option<SocketAddr>, Option<SocketAddr>, usize),
    Absent,
    Incomplete,
    Refused,
}

pub fn header(bytes: &[u8], v1: bool, v2: bool) -> Found {
    let signatures = [(v1, &b"PROXY "[..]), (v2, b"\r\n\r\n\0\r\nQUIT\n")];
    for (is_read, signature) in signatures {
        let common = bytes
            .iter()
            .zip(signature)
            .take_while(|(a, b)| a == b)
            .count();
        if !is_read || common < bytes.len().min(signature.len()) {
            continue;
        }
        if common < signature.len() {
            return Found::Incomplete;
        }
        return if signature.len() == 6 {
            text(bytes)
        } else {
            binary(bytes)
        };
    }
    Found::Absent
}

fn text(bytes: &[u8]) -> Found {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < 107 {
            Found::Incomplete
        } else {
            Found::Refused
        };
    };
    if end >= 107 || bytes[end - 1] != b'\r' {
        return Found::Refused;
    }
    let Ok(line) = String::from_utf8(bytes[6..end - 1].to_vec()) else {
        return Found::Refused;
    };
    let mut words = line.split(' ');
    let protocol = words.next().unwrap_or_default().to_owned();
    if protocol == "UNKNOWN" {
        return Found::Header(protocol, None, None, end + 1);
    }
    let words: Vec<&str> = words.collect();
    let host = |text: &str| match &*protocol {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        _ => None,
    };
    let port = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|port| port.to_string() == text)
    };
    let address = |host_at: usize, port_at: usize| {
        Some(SocketAddr::new(
            host(words.get(host_at)?)?,
            port(words.get(port_at)?)?,
        ))
    };
    match (words.len(), address(0, 2), address(1, 3)) {
        (4, Some(client), Some(server)) => {
            Found::Header(protocol, Some(client), Some(server), end + 1)
        }
        _ => Found::Refused,
    }
}

fn binary(bytes: &[u8]) -> Found {
    if bytes.len() < 16 {
        return Found::Incomplete;
    }
    let length = 16 + usize::from(bytes[14]) * 256 + usize::from(bytes[15]);
    if !matches!(bytes[12], 0x20 | 0x21) {
        return Found::Refused;
    }
    if bytes.len() < length {
        return Found::Incomplete;
    }
    let block = &bytes[16..length];
    let host = |at: usize, size: usize| -> Option<IpAddr> {
        let bytes = block.get(at..at + size)?;
        match size {
            4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
            _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        }
    };
    let port = |at: usize| Some((u16::from(*block.get(at)?) << 8) | u16::from(*block.get(at + 1)?));
    let tcp = |name: &str, size: usize| {
        let client = || Some(SocketAddr::new(host(0, size)?, port(2 * size)?));
        let server = || Some(SocketAddr::new(host(size, size)?, port(2 * size + 2)?));
        match (client(), server()) {
            (Some(client), Some(server)) => {
                Found::Header(name.to_owned(), Some(client), Some(server), length)
            }
            _ => Found::Refused,
        }
    };
    match (bytes[12], bytes[13]) {
        (0x20, _) => Found::Header("LOCAL".to_owned(), None, None, length),
        (_, 0x00 | 0x01) => Found::Header("UNSPEC".to_owned(), None, None, length),
        (_, 0x11) => tcp("TCP4", 4),
        (_, 0x21) => tcp("TCP6", 16),
        _ => Found::Refused,
    }
}
