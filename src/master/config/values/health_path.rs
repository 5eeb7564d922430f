//! The path that is answered without the application.

use crate::config::value::{Value, misfit};

/// An absolute path as it stands in a request line, without a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPath(String);

impl HealthPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for HealthPath {
    fn expects() -> String {
        r##"a path such as "/health": a slash first, printable ASCII without blanks, "?" and "#""##
            .into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.as_str().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let is_printable = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
        if text.starts_with('/') && text.bytes().all(is_printable) {
            Ok(Self(text.to_owned()))
        } else {
            Err(misfit::<Self>(&format!("{text:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_health_path_is_what_a_request_line_can_hold() {
        for path in ["/", "/health", "/-/ready.txt", "/caf%C3%A9"] {
            assert_eq!(HealthPath::from_text(path).unwrap().as_str(), path);
        }
        for path in [
            "",
            "health",
            "/health?full",
            "/#",
            "/a b",
            "/caf\u{e9}",
            "/a\n",
        ] {
            let refused = HealthPath::from_text(path).unwrap_err();
            assert!(refused.contains("/health"), "{refused}");
        }
    }
}
