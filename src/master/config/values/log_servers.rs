//! Where syslog and StatsD are, and what they are told, as Gunicorn reads it.

use super::path::joined;
use crate::config::value::{Value, misfit};
use rgunicorn_link::remote::{IpFamily, RemoteAddress, UnixKind};
use std::path::{Path, PathBuf};

const SYSLOG_PORT: u16 = 514;
const STATSD_PORT: u16 = 8125;

/// Where syslog listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogAddress(RemoteAddress);

impl SyslogAddress {
    pub fn local() -> Self {
        Self(RemoteAddress::Udp {
            host: "localhost".to_owned(),
            port: SYSLOG_PORT,
            family: IpFamily::Any,
        })
    }

    pub fn remote(&self) -> &RemoteAddress {
        &self.0
    }

    /// The same place seen from `base`.
    #[must_use]
    pub fn seen_from(self, base: &Path) -> Self {
        Self(seen_from(self.0, base))
    }
}

impl Value for SyslogAddress {
    fn expects() -> String {
        r#"an address such as "udp://localhost:514", "tcp://HOST:PORT" or "unix:///dev/log""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        let is_strict = |address: &_| {
            let kind = UnixKind::Datagrams;
            matches!(address, RemoteAddress::Unix { kind: found, .. } if *found == kind)
        };
        let kind = if is_strict(&self.0) { "#dgram" } else { "" };
        Some(format!("{}{kind}", self.0).into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let refused = || misfit::<Self>(&format!("{text:?}"));
        if let Some(rest) = text.strip_prefix("unix://") {
            let (path, kind) = rest.split_once('#').unwrap_or((rest, ""));
            let path = unix_path(path).ok_or_else(refused)?;
            // Any other word is as good as none there.
            let kind = if kind == "dgram" {
                UnixKind::Datagrams
            } else {
                UnixKind::Any
            };
            return Ok(Self(RemoteAddress::Unix { path, kind }));
        }
        let at = |rest: &str| {
            let (host, port) = host_and_port(rest, SYSLOG_PORT)?;
            let host = if host.is_empty() { "localhost" } else { host };
            Some((host.to_lowercase(), port))
        };
        if let Some((host, port)) = text.strip_prefix("udp://").and_then(at) {
            let family = IpFamily::Any;
            return Ok(Self(RemoteAddress::Udp { host, port, family }));
        }
        let (host, port) = text
            .strip_prefix("tcp://")
            .and_then(at)
            .ok_or_else(refused)?;
        Ok(Self(RemoteAddress::Tcp { host, port }))
    }
}

/// Where StatsD listens, if it is told anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsdHost(Option<RemoteAddress>);

impl StatsdHost {
    pub const NONE: Self = Self(None);

    pub fn remote(&self) -> Option<&RemoteAddress> {
        self.0.as_ref()
    }

    /// The same place seen from `base`.
    #[must_use]
    pub fn seen_from(self, base: &Path) -> Self {
        Self(self.0.map(|address| seen_from(address, base)))
    }
}

impl Value for StatsdHost {
    fn expects() -> String {
        r#""HOST:PORT" or "unix://PATH""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        let address = self.0.as_ref()?.to_string();
        let text = address.strip_prefix("udp://").unwrap_or(&address);
        Some(text.into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let refused = || misfit::<Self>(&format!("{text:?}"));
        if text.is_empty() {
            return Ok(Self::NONE);
        }
        // A name and a port, for Gunicorn and here, if the rest are digits.
        let is_port = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(rest) = text.strip_prefix("unix:").filter(|rest| !is_port(rest)) {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let path = unix_path(path).ok_or_else(refused)?;
            let kind = UnixKind::Datagrams;
            return Ok(Self(Some(RemoteAddress::Unix { path, kind })));
        }
        let place = text.strip_prefix("tcp://").unwrap_or(text);
        let found = host_and_port(place, STATSD_PORT).filter(|(host, _)| !host.is_empty());
        let (host, port) = found.ok_or_else(refused)?;
        let family = if host.contains(':') {
            IpFamily::Any
        } else {
            IpFamily::V4
        };
        let host = host.to_lowercase();
        Ok(Self(Some(RemoteAddress::Udp { host, port, family })))
    }
}

fn unix_path(text: &str) -> Option<PathBuf> {
    let is_path = !text.is_empty() && !text.contains('\0');
    is_path.then(|| PathBuf::from(text))
}

fn seen_from(address: RemoteAddress, base: &Path) -> RemoteAddress {
    match address {
        RemoteAddress::Unix { path, kind } => RemoteAddress::Unix {
            path: joined(base, &path),
            kind,
        },
        address @ (RemoteAddress::Udp { .. } | RemoteAddress::Tcp { .. }) => address,
    }
}

/// `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
fn host_and_port(text: &str, default: u16) -> Option<(&str, u16)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_bracketed = text.starts_with('[');
    let is_host =
        |c: char| c.is_alphanumeric() || "-._".contains(c) || is_bracketed && ":%".contains(c);
    if !host.chars().all(is_host) || is_bracketed && host.is_empty() {
        return None;
    }
    if rest.is_empty() {
        return Some((host, default));
    }
    let port = rest.strip_prefix(':')?;
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    Some((host, port.parse().ok().filter(|_| is_number)?))
}

/// A facility of syslog, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyslogFacility {
    name: &'static str,
    number: u8,
}

/// The names that Gunicorn knows.
const FACILITIES: &[(&str, u8)] = &[
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("security", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

impl SyslogFacility {
    pub fn user() -> Self {
        let (name, number) = ("user", 1);
        Self { name, number }
    }

    pub fn number(self) -> u8 {
        self.number
    }
}

impl Value for SyslogFacility {
    fn expects() -> String {
        "a facility of syslog such as \"user\", \"daemon\" or \"local0\" to \"local7\"".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.name.into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let lower = text.to_lowercase();
        let found = FACILITIES.iter().find(|(name, _)| *name == lower);
        found
            .map(|&(name, number)| Self { name, number })
            .ok_or_else(|| misfit::<Self>(&format!("{text:?}")))
    }
}

/// A text that becomes a part of records or metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordText(String);

impl RecordText {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for RecordText {
    fn expects() -> String {
        "a text without control characters".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.as_str().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err(misfit::<Self>(&format!("{text:?}")));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &impl Value) -> String {
        let value = value.to_toml();
        value.map_or_else(String::new, |value| value.as_str().unwrap().to_owned())
    }

    #[test]
    fn syslog_is_where_gunicorn_looks_for_it() {
        for (given, expected) in [
            ("udp://localhost:514", "udp://localhost:514"),
            ("udp://", "udp://localhost:514"),
            ("udp://:5140", "udp://localhost:5140"),
            ("udp://Log.Example", "udp://log.example:514"),
            ("tcp://10.0.0.1:601", "tcp://10.0.0.1:601"),
            ("tcp://[::1]:601", "tcp://[::1]:601"),
            ("udp://[FE80::1]", "udp://[fe80::1]:514"),
            ("unix:///dev/log", "unix:///dev/log"),
            ("unix:///dev/log#dgram", "unix:///dev/log#dgram"),
            ("unix:///dev/log#stream", "unix:///dev/log"),
        ] {
            let address = SyslogAddress::from_text(given).unwrap();
            assert_eq!(text(&address), expected, "{given}");
            assert_eq!(SyslogAddress::from_text(expected), Ok(address));
        }
        for wrong in [
            "",
            "/dev/log",
            "localhost:514",
            "unix://",
            "unix:/dev/log",
            "udp://h:",
            "udp://h:x",
            "udp://h:70000",
            "udp://::1",
            "tcp://a b",
            "udp://h/514",
        ] {
            let refused = SyslogAddress::from_text(wrong).unwrap_err();
            assert!(refused.contains("unix:///dev/log"), "{refused}");
        }
        let near = SyslogAddress::from_text("unix://log").unwrap();
        let absolute = near.seen_from(Path::new("/srv/shop"));
        assert_eq!(text(&absolute), "unix:///srv/shop/log");
    }

    #[test]
    fn statsd_is_where_gunicorn_looks_for_it() {
        for (given, expected) in [
            ("localhost:8125", "localhost:8125"),
            ("Stats", "stats:8125"),
            ("tcp://stats:99", "stats:99"),
            ("[::1]:8126", "[::1]:8126"),
            ("unix:///run/statsd", "unix:///run/statsd"),
            ("unix:/run/statsd", "unix:///run/statsd"),
            ("unix:8126", "unix:8126"),
            ("", ""),
        ] {
            let host = StatsdHost::from_text(given).unwrap();
            assert_eq!(text(&host), expected, "{given}");
            assert_eq!(StatsdHost::from_text(expected), Ok(host));
        }
        for wrong in [
            "fd://3",
            ":8125",
            "h:x",
            "a:1:2",
            "unix://",
            "udp://h:1",
            "[]:1",
        ] {
            let refused = StatsdHost::from_text(wrong).unwrap_err();
            assert!(refused.contains("HOST:PORT"), "{wrong}: {refused}");
        }
    }

    #[test]
    fn a_facility_has_a_name() {
        for (name, number) in [("user", 1), ("LOCAL7", 23), ("security", 4), ("kern", 0)] {
            assert_eq!(SyslogFacility::from_text(name).unwrap().number(), number);
        }
        for wrong in ["", "16", "local8"] {
            let refused = SyslogFacility::from_text(wrong).unwrap_err();
            assert!(refused.contains("local0"), "{refused}");
        }
    }

    #[test]
    fn a_text_is_one_line() {
        assert_eq!(RecordText::from_text("a b").unwrap().as_str(), "a b");
        assert!(RecordText::from_text("a\nb").is_err());
    }
}
