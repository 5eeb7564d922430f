//! `proxy_protocol`: whether a proxy says whom it speaks for, when it connects.

use crate::config::value::{Takes, Value, misfit};
use rgunicorn_link::protocol::ProxyVersions;

/// The versions of the header that are understood, if any is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    Off,
    V1,
    V2,
    /// Either version.
    Auto,
}

impl ProxyProtocol {
    pub const fn versions(self) -> Option<ProxyVersions> {
        match self {
            Self::Off => None,
            Self::V1 => Some(ProxyVersions::V1),
            Self::V2 => Some(ProxyVersions::V2),
            Self::Auto => Some(ProxyVersions::Both),
        }
    }
}

impl Value for ProxyProtocol {
    const TAKES: Takes = Takes::OneOrNothing("auto");

    fn expects() -> String {
        r#""off", "v1", "v2" or "auto""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(
            match self {
                Self::Off => "off",
                Self::V1 => "v1",
                Self::V2 => "v2",
                Self::Auto => "auto",
            }
            .into(),
        )
    }

    /// Also Gunicorn's other spellings.
    fn from_text(text: &str) -> Result<Self, String> {
        match text.trim().to_lowercase().as_str() {
            "off" | "false" | "0" | "none" => Ok(Self::Off),
            "v1" => Ok(Self::V1),
            "v2" => Ok(Self::V2),
            "auto" | "true" | "1" => Ok(Self::Auto),
            _ => Err(misfit::<Self>(&format!("{text:?}"))),
        }
    }

    fn from_bool(value: bool) -> Result<Self, String> {
        Ok(if value { Self::Auto } else { Self::Off })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gunicorns_spellings_are_understood() {
        for (text, expected) in [
            ("off", ProxyProtocol::Off),
            ("False", ProxyProtocol::Off),
            ("0", ProxyProtocol::Off),
            ("v1", ProxyProtocol::V1),
            (" V2 ", ProxyProtocol::V2),
            ("auto", ProxyProtocol::Auto),
            ("true", ProxyProtocol::Auto),
        ] {
            assert_eq!(ProxyProtocol::from_text(text), Ok(expected), "{text}");
        }
        assert_eq!(ProxyProtocol::from_bool(true), Ok(ProxyProtocol::Auto));
        assert_eq!(
            ProxyProtocol::from_text("v3"),
            Err(r#"must be "off", "v1", "v2" or "auto", not "v3""#.into())
        );
    }
}
