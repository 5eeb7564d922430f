//! Where to listen.

use crate::config::value::{Refusal, Takes, Value, misfit, texts};
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use toml::Spanned;
use toml::de::DeValue;

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// TCP. The host is a name or an address, without brackets.
    Tcp {
        /// The name or address of this host to listen on.
        host: String,
        /// The port; 0 lets the kernel choose.
        port: u16,
    },
    /// A unix socket in the file system.
    Unix(PathBuf),
    /// A unix socket in the abstract namespace, without the `@`.
    Abstract(String),
    /// A listening socket that is open already.
    Fd(u16),
}

/// The longest name of a unix socket that the kernel can hold.
const LONGEST_SOCKET_NAME: usize = 107;

impl Bind {
    const DEFAULT_PORT: u16 = 8000;

    fn unix(path: &str) -> Result<Self, String> {
        let path = path.strip_prefix("//").unwrap_or(path);
        let name = path.strip_prefix('@');
        if name.unwrap_or(path).is_empty() {
            return Err("needs a path after \"unix:\"".into());
        }
        if path.len() > LONGEST_SOCKET_NAME {
            return Err(format!(
                "a socket's path may be {LONGEST_SOCKET_NAME} bytes long, and {path:?} has {}",
                path.len()
            ));
        }
        if path.contains(char::is_control) {
            return Err(misfit::<Binds>(&format!("{path:?}")));
        }
        Ok(name.map_or_else(
            || Self::Unix(PathBuf::from(path)),
            |name| Self::Abstract(name.to_owned()),
        ))
    }

    fn tcp(text: &str) -> Result<Self, String> {
        let refused = || misfit::<Binds>(&format!("{text:?}"));
        let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
            let (host, rest) = bracketed.split_once(']').ok_or_else(refused)?;
            host.parse::<Ipv6Addr>().map_err(|_| refused())?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(refused()),
            }
        } else if text.parse::<Ipv6Addr>().is_ok() {
            return Err(format!(
                "{text:?} needs brackets around the IPv6 address: \"[{text}]\" or \"[{text}]:{}\"",
                Self::DEFAULT_PORT
            ));
        } else {
            match text.split_once(':') {
                Some(("", port)) => ("0.0.0.0", Some(port)),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if port.is_none() && text.parse::<u16>().is_ok() {
            return Err(format!("{text:?} is no address; did you mean \":{text}\"?"));
        }
        let is_host = |letter: char| letter.is_ascii_alphanumeric() || "-._:".contains(letter);
        if host.is_empty() || !host.chars().all(is_host) {
            return Err(refused());
        }
        let port = match port {
            None => Self::DEFAULT_PORT,
            Some(port) => match port.parse::<u16>() {
                Ok(number) if port.chars().all(|digit| digit.is_ascii_digit()) => number,
                Ok(_) | Err(_) => {
                    return Err(format!("{port:?} in {text:?} is no port: use 0 to 65535"));
                }
            },
        };
        Ok(Self::Tcp {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl TryFrom<&str> for Bind {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::unix(path);
        }
        if let Some(number) = text.strip_prefix("fd://") {
            return match number.parse() {
                Ok(number) if number > 2 => Ok(Self::Fd(number)),
                Ok(_) | Err(_) => Err(format!(
                    "{number:?} in {text:?} is no descriptor of a socket: use 3 or above"
                )),
            };
        }
        Self::tcp(text.strip_prefix("tcp://").unwrap_or(text))
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(to, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(to, "{host}:{port}"),
            Self::Unix(path) => write!(to, "unix:{}", path.display()),
            Self::Abstract(name) => write!(to, "unix:@{name}"),
            Self::Fd(number) => write!(to, "fd://{number}"),
        }
    }
}

/// The addresses to listen on: at least one, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binds(Vec<Bind>);

impl Binds {
    /// What is bound when nobody says otherwise: not reachable from outside.
    pub fn loopback() -> Self {
        Self(vec![Bind::Tcp {
            host: "127.0.0.1".into(),
            port: Bind::DEFAULT_PORT,
        }])
    }

    /// The addresses, in the order they were given.
    pub fn addresses(&self) -> &[Bind] {
        &self.0
    }

    fn with(mut self, text: &str) -> Result<Self, String> {
        for address in text.split(',') {
            let address = Bind::try_from(address.trim())?;
            let is_free_port = matches!(address, Bind::Tcp { port: 0, .. });
            if self.0.contains(&address) && !is_free_port {
                return Err(format!("\"{address}\" is there twice"));
            }
            self.0.push(address);
        }
        Ok(self)
    }
}

impl Value for Binds {
    const TAKES: Takes = Takes::Many;

    fn expects() -> String {
        "HOST, HOST:PORT, unix:PATH or fd://NUMBER, or a list of these".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        match self.0.as_slice() {
            [one] => Some(one.to_string().into()),
            many => Some(many.iter().map(Bind::to_string).collect::<Vec<_>>().into()),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Self(Vec::new()).with(text)
    }

    fn from_list(items: &[Spanned<DeValue<'_>>]) -> Result<Self, Refusal> {
        let mut binds = Self(Vec::new());
        for (text, place) in texts::<Self>(items)? {
            binds = binds.with(text).map_err(|says| Refusal {
                part: Some(place),
                says,
            })?;
        }
        if binds.0.is_empty() {
            return Err(misfit::<Self>("an empty list").into());
        }
        Ok(binds)
    }

    fn from_words(words: &[String]) -> Result<Self, String> {
        words
            .iter()
            .try_fold(Self(Vec::new()), |binds, word| binds.with(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Bind {
        Bind::Tcp {
            host: host.into(),
            port,
        }
    }

    #[test]
    fn every_form_of_an_address_is_understood() {
        for (text, bind) in [
            ("localhost", tcp("localhost", 8000)),
            ("Example.ORG:80", tcp("example.org", 80)),
            ("0.0.0.0:9000", tcp("0.0.0.0", 9000)),
            ("127.0.0.1:0", tcp("127.0.0.1", 0)),
            (":8080", tcp("0.0.0.0", 8080)),
            ("[::1]", tcp("::1", 8000)),
            ("[::]:80", tcp("::", 80)),
            ("tcp://127.0.0.1:80", tcp("127.0.0.1", 80)),
            ("unix:/run/site.sock", Bind::Unix("/run/site.sock".into())),
            ("unix:///run/site.sock", Bind::Unix("/run/site.sock".into())),
            ("unix:site.sock", Bind::Unix("site.sock".into())),
            ("unix:@site", Bind::Abstract("site".into())),
            ("fd://3", Bind::Fd(3)),
        ] {
            assert_eq!(Bind::try_from(text), Ok(bind), "{text}");
        }
    }

    #[test]
    fn an_address_is_written_as_it_can_be_read_again() {
        for text in [
            "localhost:8000",
            "[::1]:80",
            "unix:/run/x",
            "unix:@x",
            "fd://3",
        ] {
            let written = Bind::try_from(text).map(|bind| bind.to_string());
            assert_eq!(written.as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_refused_address_comes_with_its_remedy() {
        let forms = "must be HOST, HOST:PORT, unix:PATH or fd://NUMBER, or a list of these";
        for (text, says) in [
            ("", format!("{forms}, not \"\"")),
            ("/run/site.sock", format!("{forms}, not \"/run/site.sock\"")),
            (
                "http://x:80",
                "\"//x:80\" in \"http://x:80\" is no port: use 0 to 65535".into(),
            ),
            (
                "8000",
                "\"8000\" is no address; did you mean \":8000\"?".into(),
            ),
            (
                "::1",
                "\"::1\" needs brackets around the IPv6 address: \"[::1]\" or \"[::1]:8000\""
                    .into(),
            ),
            ("[::1", format!("{forms}, not \"[::1\"")),
            ("[::1]80", format!("{forms}, not \"[::1]80\"")),
            ("[host]:80", format!("{forms}, not \"[host]:80\"")),
            (
                "host:",
                "\"\" in \"host:\" is no port: use 0 to 65535".into(),
            ),
            (
                "host:+80",
                "\"+80\" in \"host:+80\" is no port: use 0 to 65535".into(),
            ),
            (
                "host:65536",
                "\"65536\" in \"host:65536\" is no port: use 0 to 65535".into(),
            ),
            ("unix:", "needs a path after \"unix:\"".into()),
            ("unix:@", "needs a path after \"unix:\"".into()),
            (
                "fd://x",
                "\"x\" in \"fd://x\" is no descriptor of a socket: use 3 or above".into(),
            ),
            (
                "fd://2",
                "\"2\" in \"fd://2\" is no descriptor of a socket: use 3 or above".into(),
            ),
        ] {
            assert_eq!(Bind::try_from(text), Err(says), "{text}");
        }
        let long = format!("/{}", "x".repeat(107));
        assert_eq!(
            Bind::try_from(format!("unix:{long}").as_str()),
            Err(format!(
                "a socket's path may be 107 bytes long, and {long:?} has 108"
            ))
        );
    }

    #[test]
    fn an_address_given_twice_is_refused_unless_the_kernel_chooses_the_port() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            Binds::from_words(&words(&[":80", "0.0.0.0:80"])),
            Err("\"0.0.0.0:80\" is there twice".into())
        );
        let free = Binds::from_words(&words(&["127.0.0.1:0,127.0.0.1:0"]));
        assert_eq!(free.map(|binds| binds.addresses().len()), Ok(2));
    }
}
