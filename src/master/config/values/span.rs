//! Times with a unit, as systemd and people write them.

use super::number::Timeout;
use crate::config::value::{Value, misfit, number_or_text};
use jiff::SignedDuration;
use std::time::Duration;

/// A time of whole seconds, or 0 for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSpan(Timeout);

impl TimeSpan {
    pub const NEVER: Self = Self(Timeout::nearest(0));

    pub const fn get(self) -> Option<Duration> {
        self.0.get()
    }
}

impl Value for TimeSpan {
    fn expects() -> String {
        r#"a time such as "5min" or a number of seconds, at most a year, or 0 for never"#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        self.0.to_toml()
    }

    fn from_integer(number: i64) -> Result<Self, String> {
        Timeout::from_integer(number)
            .map(Self)
            .map_err(|_| misfit::<Self>(&number.to_string()))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse::<SignedDuration>()
            .ok()
            .filter(|time| time.subsec_nanos() == 0)
            .and_then(|time| Self::from_integer(time.as_secs()).ok())
            .ok_or_else(|| misfit::<Self>(&format!("{text:?}")))
    }

    fn from_word(word: &str) -> Result<Self, String> {
        number_or_text(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        for (word, seconds) in [
            ("300", 300),
            ("300s", 300),
            ("5min", 300),
            ("5 min", 300),
            ("5m", 300),
            ("1h 30min", 5400),
            ("2h", 7200),
        ] {
            assert_eq!(
                TimeSpan::from_word(word).map(TimeSpan::get),
                Ok(Some(Duration::from_secs(seconds))),
                "{word}"
            );
        }
    }

    #[test]
    fn zero_is_never() {
        for word in ["0", "0s"] {
            assert_eq!(TimeSpan::from_word(word), Ok(TimeSpan::NEVER));
        }
        assert_eq!(TimeSpan::NEVER.get(), None);
    }

    #[test]
    fn what_is_no_time_or_too_long_or_too_precise_is_refused() {
        for word in [
            "", "soon", "5x", "-5min", "-1", "500ms", "1.5s", "31536001", "9000h",
        ] {
            assert!(TimeSpan::from_word(word).is_err(), "{word}");
        }
        assert_eq!(
            TimeSpan::from_word("5x"),
            Err(
                r#"must be a time such as "5min" or a number of seconds, at most a year, or 0 for never, not "5x""#
                    .into()
            )
        );
    }
}
