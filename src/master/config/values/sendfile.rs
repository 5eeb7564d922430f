//! Whether files are sent by the kernel.

use crate::config::value::{Takes, Value};

/// On unless it is turned off: its flag does that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sendfile(bool);

impl Sendfile {
    pub const ON: Self = Self(true);

    pub const fn is_on(self) -> bool {
        self.0
    }
}

impl Value for Sendfile {
    const TAKES: Takes = Takes::Nothing;

    fn expects() -> String {
        "true or false".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.into())
    }

    fn from_bool(value: bool) -> Result<Self, String> {
        Ok(Self(value))
    }

    /// `--no-sendfile`
    fn from_words(_words: &[String]) -> Result<Self, String> {
        Ok(Self(false))
    }

    /// As Gunicorn reads it: what does not say yes says no.
    fn from_variable(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        Ok(Self(["y", "1", "yes", "true"].contains(&text.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_turns_it_off_unless_it_says_yes() {
        for (text, is_on) in [("1", true), ("Yes", true), ("0", false), ("no", false)] {
            assert_eq!(
                Sendfile::from_variable(text).unwrap().is_on(),
                is_on,
                "{text}"
            );
        }
    }
}
