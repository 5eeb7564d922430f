//! `loglevel`.

use crate::config::value::{Value, misfit};
use rgunicorn_link::protocol::Level;

/// The lowest level of records that are logged, by Gunicorn's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLevel {
    name: &'static str,
    level: Level,
}

impl LogLevel {
    pub const INFO: Self = Self::new("info", Level::Info);

    const ALL: [Self; 5] = [
        Self::new("debug", Level::Debug),
        Self::INFO,
        Self::new("warning", Level::Warning),
        Self::new("error", Level::Error),
        // No record of rgunicorn's has a higher level than error.
        Self::new("critical", Level::Error),
    ];

    const fn new(name: &'static str, level: Level) -> Self {
        Self { name, level }
    }

    pub const fn level(self) -> Level {
        self.level
    }

    /// As Python's `logging` counts it.
    pub fn in_python(self) -> u8 {
        match self.level {
            Level::Debug => 10,
            Level::Info => 20,
            Level::Warning => 30,
            Level::Error if self.name == "critical" => 50,
            Level::Error => 40,
        }
    }
}

impl Value for LogLevel {
    fn expects() -> String {
        r#""debug", "info", "warning", "error" or "critical""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.name.into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|level| level.name.eq_ignore_ascii_case(text))
            .ok_or_else(|| misfit::<Self>(&format!("{text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_gunicorns_names() {
        let warning = LogLevel::from_text("warning").unwrap();
        assert_eq!(warning.level(), Level::Warning);
        assert_eq!(warning.to_toml(), Some("warning".into()));
        assert_eq!(
            LogLevel::from_text("INFO").map(LogLevel::level),
            Ok(Level::Info)
        );
        assert_eq!(
            LogLevel::from_text("critical").map(LogLevel::level),
            Ok(Level::Error)
        );
        assert_eq!(
            LogLevel::from_text("loud"),
            Err(r#"must be "debug", "info", "warning", "error" or "critical", not "loud""#.into())
        );
    }
}
