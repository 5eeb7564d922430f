//! The address to listen on, as in `bind = "127.0.0.1:8000"`.

use super::Listener;
use rgunicorn_link::protocol::ListenAddress;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The port of an address that names none.
const DEFAULT_PORT: u16 = 8000;

/// The host of an address that names none: all of IPv4.
const DEFAULT_HOST: &str = "0.0.0.0";

/// The longest path or name of a unix socket.
const LONGEST_PATH: usize = 107;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BindAddress {
    /// TCP: `HOST`, `HOST:PORT`, `:PORT`, `[IPV6]:PORT`.
    Tcp {
        /// A name or a numeric address, IPv6 without brackets.
        host: String,
        /// 0 lets the kernel choose.
        port: u16,
    },
    /// A unix socket in the file system: `unix:PATH`.
    Unix(PathBuf),
    /// A unix socket without a file: `unix:@NAME`.
    Abstract(Vec<u8>),
    /// A descriptor that is open already: `fd://N`.
    Fd(RawFd),
}

/// What is wrong with the text of an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    #[error("an address is empty; write HOST:PORT, unix:PATH or fd://NUMBER")]
    Empty,
    #[error("{0:?} is not a port; it must be a number from 0 to 65535")]
    Port(String),
    #[error("{0:?} is only a number; for a port write \":{0}\"")]
    OnlyNumber(String),
    #[error("an IPv6 address needs brackets: \"[{0}]:{DEFAULT_PORT}\"")]
    NoBrackets(String),
    #[error("{0:?} is not an IPv6 address in brackets, such as \"[::1]:8000\"")]
    Brackets(String),
    #[error("{0:?} is not a host name or an address")]
    Host(String),
    #[error("unix: needs a path, such as \"unix:/run/shop.sock\"")]
    NoPath,
    #[error("the path of a unix socket can have {LONGEST_PATH} bytes, this one has {0}")]
    LongPath(usize),
    #[error("the path of a unix socket cannot contain a NUL byte")]
    ZeroByte,
    #[error("{0:?} is not the number of a descriptor to listen on; it must be 3 or more")]
    Descriptor(String),
    #[error("{0:?} is unknown; write HOST:PORT, unix:PATH or fd://NUMBER")]
    Scheme(String),
}

impl BindAddress {
    fn unix(path: &str) -> Result<Self, BadAddress> {
        if path.is_empty() || path == "@" {
            return Err(BadAddress::NoPath);
        }
        if path.len() > LONGEST_PATH {
            return Err(BadAddress::LongPath(path.len()));
        }
        if path.contains('\0') {
            return Err(BadAddress::ZeroByte);
        }
        Ok(match path.strip_prefix('@') {
            Some(name) => Self::Abstract(name.as_bytes().to_vec()),
            None => Self::Unix(PathBuf::from(path)),
        })
    }

    fn tcp(text: &str) -> Result<Self, BadAddress> {
        if let Some(rest) = text.strip_prefix('[') {
            let wrong = || BadAddress::Brackets(text.to_owned());
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            let number = host.split_once('%').map_or(host, |(number, _)| number);
            number.parse::<Ipv6Addr>().map_err(|_| wrong())?;
            let port = match rest.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if rest.is_empty() => DEFAULT_PORT,
                None => return Err(wrong()),
            };
            return Ok(Self::Tcp {
                host: host.to_owned(),
                port,
            });
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(BadAddress::NoBrackets(text.to_owned()));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadAddress::OnlyNumber(text.to_owned()));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, DEFAULT_PORT),
        };
        let host = if host.is_empty() { DEFAULT_HOST } else { host };
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !host.chars().all(allowed) {
            return Err(BadAddress::Host(text.to_owned()));
        }
        Ok(Self::Tcp {
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// Whether it may be listed twice: with port 0, each is another socket.
    pub fn may_repeat(&self) -> bool {
        matches!(self, Self::Tcp { port: 0, .. })
    }

    /// Whether `listener` listens here.
    pub(super) fn is(&self, listener: &Listener) -> bool {
        match (self, &listener.address) {
            (Self::Fd(number), _) => listener.fd.as_raw_fd() == *number,
            (Self::Tcp { host, port }, ListenAddress::Tcp { host: h, port: p }) => {
                same_host(host, h) && port == p
            }
            (Self::Unix(path), ListenAddress::Unix(name)) => path == Path::new(name),
            (Self::Abstract(own), ListenAddress::Unix(name)) => {
                name.as_bytes().strip_prefix(b"@") == Some(own)
            }
            (Self::Tcp { .. }, ListenAddress::Unix(_))
            | (Self::Unix(_) | Self::Abstract(_), ListenAddress::Tcp { .. }) => false,
        }
    }
}

/// Whether a host of the configuration is the address `shown`, however either is
/// written. `localhost` is what a socket unit gets for it.
fn same_host(host: &str, shown: &str) -> bool {
    let address = |host: &str| match host {
        "localhost" => Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
        host => host.parse().ok(),
    };
    host == shown || address(host).is_some_and(|host| address(shown) == Some(host))
}

fn parse_port(text: &str) -> Result<u16, BadAddress> {
    let wrong = || BadAddress::Port(text.to_owned());
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

impl FromStr for BindAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::unix(path.strip_prefix("//").unwrap_or(path));
        }
        if let Some(number) = text.strip_prefix("fd://") {
            return match number.parse() {
                Ok(number @ 3..) => Ok(Self::Fd(number)),
                Ok(_) | Err(_) => Err(BadAddress::Descriptor(number.to_owned())),
            };
        }
        match text.strip_prefix("tcp://").unwrap_or(text) {
            "" => Err(BadAddress::Empty),
            text => match text.split_once("://") {
                Some((scheme, _)) => Err(BadAddress::Scheme(format!("{scheme}://"))),
                None => Self::tcp(text),
            },
        }
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{}", String::from_utf8_lossy(name)),
            Self::Fd(number) => write!(f, "fd://{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> BindAddress {
        BindAddress::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        for (host, shown) in [
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "127.0.0.1"),
            ("0:0::1", "::1"),
            ("shop.example", "shop.example"),
        ] {
            assert!(same_host(host, shown), "{host}");
        }
        assert!(!same_host("localhost", "::1") && !same_host("::", "0.0.0.0"));
    }

    #[test]
    fn every_form_is_understood_and_shown_again() {
        for (text, address, shown) in [
            ("127.0.0.1:8080", tcp("127.0.0.1", 8080), "127.0.0.1:8080"),
            ("tcp://127.0.0.1:80", tcp("127.0.0.1", 80), "127.0.0.1:80"),
            ("LocalHost", tcp("localhost", 8000), "localhost:8000"),
            (":9000", tcp("0.0.0.0", 9000), "0.0.0.0:9000"),
            ("[::]:8000", tcp("::", 8000), "[::]:8000"),
            ("[::1]", tcp("::1", 8000), "[::1]:8000"),
            (
                "[fe80::1%eth0]:1",
                tcp("fe80::1%eth0", 1),
                "[fe80::1%eth0]:1",
            ),
            (
                "unix:/run/shop.sock",
                BindAddress::Unix("/run/shop.sock".into()),
                "unix:/run/shop.sock",
            ),
            (
                "unix:///run/shop.sock",
                BindAddress::Unix("/run/shop.sock".into()),
                "unix:/run/shop.sock",
            ),
            (
                "unix:shop.sock",
                BindAddress::Unix("shop.sock".into()),
                "unix:shop.sock",
            ),
            (
                "unix:@shop",
                BindAddress::Abstract(b"shop".to_vec()),
                "unix:@shop",
            ),
            ("fd://3", BindAddress::Fd(3), "fd://3"),
        ] {
            let parsed: BindAddress = text.parse().unwrap();

            assert_eq!(parsed, address);
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn a_wrong_address_says_what_is_wrong_with_it() {
        for (text, complaint) in [
            (
                "",
                "an address is empty; write HOST:PORT, unix:PATH or fd://NUMBER",
            ),
            (
                "localhost:http",
                "\"http\" is not a port; it must be a number from 0 to 65535",
            ),
            (
                "localhost:65536",
                "\"65536\" is not a port; it must be a number from 0 to 65535",
            ),
            (
                "localhost:",
                "\"\" is not a port; it must be a number from 0 to 65535",
            ),
            (
                "localhost:+80",
                "\"+80\" is not a port; it must be a number from 0 to 65535",
            ),
            (
                "8000",
                "\"8000\" is only a number; for a port write \":8000\"",
            ),
            ("::1", "an IPv6 address needs brackets: \"[::1]:8000\""),
            (
                "[::1]8000",
                "\"[::1]8000\" is not an IPv6 address in brackets, such as \"[::1]:8000\"",
            ),
            (
                "[localhost]:8000",
                "\"[localhost]:8000\" is not an IPv6 address in brackets, such as \"[::1]:8000\"",
            ),
            (
                "my host:80",
                "\"my host:80\" is not a host name or an address",
            ),
            (
                "unix:",
                "unix: needs a path, such as \"unix:/run/shop.sock\"",
            ),
            (
                "unix:@",
                "unix: needs a path, such as \"unix:/run/shop.sock\"",
            ),
            (
                "unix:a\0b",
                "the path of a unix socket cannot contain a NUL byte",
            ),
            (
                "fd://2",
                "\"2\" is not the number of a descriptor to listen on; it must be 3 or more",
            ),
            (
                "fd://x",
                "\"x\" is not the number of a descriptor to listen on; it must be 3 or more",
            ),
            (
                "http://localhost",
                "\"http://\" is unknown; write HOST:PORT, unix:PATH or fd://NUMBER",
            ),
        ] {
            let error = text.parse::<BindAddress>().unwrap_err().to_string();

            assert_eq!(error, complaint, "{text}");
        }
    }

    #[test]
    fn a_path_is_as_long_as_the_kernel_takes() {
        let longest = format!("unix:/{}", "x".repeat(LONGEST_PATH - 1));

        assert!(longest.parse::<BindAddress>().is_ok());
        assert_eq!(
            format!("{longest}x").parse::<BindAddress>(),
            Err(BadAddress::LongPath(LONGEST_PATH + 1))
        );
    }
}
