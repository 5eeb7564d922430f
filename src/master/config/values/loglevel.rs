//! How much is logged.

use crate::config::value::{Value, misfit};
use rgunicorn_link::protocol::Level;

/// The least level of records that are logged, in Gunicorn's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// Changes of state, and what is worse.
    Info,
    /// What was coped with, and what is worse.
    Warning,
    /// What somebody must act on.
    Error,
    /// The same: nothing that somebody must act on is less than critical here.
    Critical,
}

impl LogLevel {
    const ALL: [Self; 5] = [
        Self::Debug,
        Self::Info,
        Self::Warning,
        Self::Error,
        Self::Critical,
    ];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// The level that records are compared with.
    pub const fn level(self) -> Level {
        match self {
            Self::Debug => Level::Debug,
            Self::Info => Level::Info,
            Self::Warning => Level::Warning,
            Self::Error | Self::Critical => Level::Error,
        }
    }
}

impl Value for LogLevel {
    fn expects() -> String {
        r#""debug", "info", "warning", "error" or "critical""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.name().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| misfit::<Self>(&format!("{text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_gunicorns_names() {
        assert_eq!(LogLevel::from_text("warning"), Ok(LogLevel::Warning));
        assert_eq!(
            LogLevel::from_text("INFO").map(LogLevel::level),
            Ok(Level::Info)
        );
        assert_eq!(LogLevel::Critical.level(), Level::Error);
        assert_eq!(
            LogLevel::from_text("loud"),
            Err(r#"must be "debug", "info", "warning", "error" or "critical", not "loud""#.into())
        );
    }
}
