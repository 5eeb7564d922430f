//! Numbers: counts, durations, sizes.

use crate::config::value::{Value, misfit, number_or_text};
use std::time::Duration;

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Within<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Within<MIN, MAX> {
    /// For constants; a number out of range becomes the nearer limit.
    pub const fn nearest(number: u32) -> Self {
        Self(if number < MIN {
            MIN
        } else if number > MAX {
            MAX
        } else {
            number
        })
    }

    pub const fn get(self) -> u32 {
        self.0
    }

    pub const fn count(self) -> usize {
        self.0 as usize
    }
}

impl<const MIN: u32, const MAX: u32> TryFrom<i64> for Within<MIN, MAX> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        u32::try_from(number)
            .ok()
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Self)
            .ok_or_else(|| misfit::<Self>(&number.to_string()))
    }
}

impl<const MIN: u32, const MAX: u32> Value for Within<MIN, MAX> {
    fn expects() -> String {
        format!("a whole number between {MIN} and {MAX}")
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.into())
    }

    fn from_integer(number: i64) -> Result<Self, String> {
        Self::try_from(number)
    }

    fn from_word(word: &str) -> Result<Self, String> {
        number_or_text(word)
    }
}

/// What is made of a number whose kind `T` would describe its range in other words.
fn within<N, T: Value>(
    number: i64,
    inner: impl FnOnce(i64) -> Result<N, String>,
) -> Result<N, String> {
    inner(number).map_err(|_| misfit::<T>(&number.to_string()))
}

/// A limit for request heads: up to `MOST`, or 0 for no other limit than that, which bounds
/// the memory that one client can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimit<const MOST: u32>(Within<0, MOST>);

impl<const MOST: u32> HeadLimit<MOST> {
    pub const fn nearest(number: u32) -> Self {
        Self(Within::nearest(number))
    }

    /// Never 0.
    pub const fn count(self) -> usize {
        match self.0.count() {
            0 => MOST as usize,
            count => count,
        }
    }
}

impl<const MOST: u32> Value for HeadLimit<MOST> {
    fn expects() -> String {
        format!("a whole number up to {MOST}, or 0 for no limit below that")
    }

    fn to_toml(&self) -> Option<toml::Value> {
        self.0.to_toml()
    }

    fn from_integer(number: i64) -> Result<Self, String> {
        within::<_, Self>(number, Within::try_from).map(Self)
    }

    fn from_word(word: &str) -> Result<Self, String> {
        number_or_text(word)
    }
}

/// A year: the longest time that can be configured, in seconds.
const LONGEST: u32 = 31_536_000;

/// A time of whole seconds, at least `MIN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds<const MIN: u32>(Within<MIN, LONGEST>);

impl<const MIN: u32> Seconds<MIN> {
    pub const fn nearest(seconds: u32) -> Self {
        Self(Within::nearest(seconds))
    }

    pub const fn get(self) -> Duration {
        Duration::from_secs(self.0.get() as u64)
    }
}

impl<const MIN: u32> Value for Seconds<MIN> {
    fn expects() -> String {
        format!("a whole number of seconds between {MIN} and {LONGEST}")
    }

    fn to_toml(&self) -> Option<toml::Value> {
        self.0.to_toml()
    }

    fn from_integer(number: i64) -> Result<Self, String> {
        within::<_, Self>(number, Within::try_from).map(Self)
    }

    fn from_word(word: &str) -> Result<Self, String> {
        number_or_text(word)
    }
}

/// A limit in seconds, or 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout(Seconds<0>);

impl Timeout {
    pub const fn nearest(seconds: u32) -> Self {
        Self(Seconds::nearest(seconds))
    }

    /// `None` without a limit.
    pub const fn get(self) -> Option<Duration> {
        let limit = self.0.get();
        if limit.is_zero() { None } else { Some(limit) }
    }
}

impl Value for Timeout {
    fn expects() -> String {
        format!("a whole number of seconds up to {LONGEST}, or 0 for no limit")
    }

    fn to_toml(&self) -> Option<toml::Value> {
        self.0.to_toml()
    }

    fn from_integer(number: i64) -> Result<Self, String> {
        within::<_, Self>(number, Seconds::from_integer).map(Self)
    }

    fn from_word(word: &str) -> Result<Self, String> {
        number_or_text(word)
    }
}

/// The largest size of something in bytes, or 0 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit(i64);

impl BodyLimit {
    pub const NONE: Self = Self(0);
    pub const GIBIBYTE: Self = Self(1 << 30);

    /// `None` without a limit.
    pub const fn limit(self) -> Option<u64> {
        match self.0 {
            0 => None,
            bytes => Some(bytes.unsigned_abs()),
        }
    }

    /// `u64::MAX` without a limit.
    pub const fn bytes(self) -> u64 {
        match self.limit() {
            Some(bytes) => bytes,
            None => u64::MAX,
        }
    }
}

impl Value for BodyLimit {
    fn expects() -> String {
        r#"a number of bytes, with K, M or G such as "10M", or 0 for no limit"#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.into())
    }

    fn from_integer(number: i64) -> Result<Self, String> {
        if number < 0 {
            return Err(misfit::<Self>(&number.to_string()));
        }
        Ok(Self(number))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let refused = || misfit::<Self>(&format!("{text:?}"));
        let trimmed = text.trim();
        let (digits, shift) = match trimmed.char_indices().last() {
            Some((at, 'k' | 'K')) => (&trimmed[..at], 10),
            Some((at, 'm' | 'M')) => (&trimmed[..at], 20),
            Some((at, 'g' | 'G')) => (&trimmed[..at], 30),
            Some(_) | None => (trimmed, 0),
        };
        digits
            .trim_end()
            .parse::<i64>()
            .ok()
            .filter(|number| *number >= 0)
            .and_then(|number| number.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(refused)
    }

    fn from_word(word: &str) -> Result<Self, String> {
        number_or_text(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Count = Within<1, 1024>;

    #[test]
    fn a_number_out_of_range_is_refused() {
        assert_eq!(Count::from_integer(1).map(Count::get), Ok(1));
        assert_eq!(Count::from_integer(1024).map(Count::get), Ok(1024));
        for number in [0, 1025, -1, i64::MAX, i64::MIN] {
            assert_eq!(
                Count::from_integer(number),
                Err(format!(
                    "must be a whole number between 1 and 1024, not {number}"
                ))
            );
        }
    }

    #[test]
    fn a_word_that_is_not_a_number_is_shown_in_quotes() {
        assert_eq!(
            Count::from_word("many"),
            Err("must be a whole number between 1 and 1024, not \"many\"".into())
        );
        assert_eq!(
            Count::from_word(""),
            Err("must be a whole number between 1 and 1024, not \"\"".into())
        );
    }

    #[test]
    fn a_constant_out_of_range_becomes_the_nearer_limit() {
        assert_eq!(Count::nearest(0).get(), 1);
        assert_eq!(Count::nearest(2000).get(), 1024);
        assert_eq!(Count::nearest(7).count(), 7);
    }

    #[test]
    fn seconds_become_a_duration() {
        assert_eq!(
            Seconds::<0>::from_word("2").map(Seconds::get),
            Ok(Duration::from_secs(2))
        );
        assert_eq!(
            Seconds::<1>::from_word("0"),
            Err("must be a whole number of seconds between 1 and 31536000, not 0".into())
        );
        assert_eq!(
            Seconds::<0>::from_word("2.5"),
            Err("must be a whole number of seconds between 0 and 31536000, not \"2.5\"".into())
        );
    }

    #[test]
    fn a_timeout_of_zero_is_none() {
        assert_eq!(Timeout::from_word("0").map(Timeout::get), Ok(None));
        assert_eq!(
            Timeout::from_word("30").map(Timeout::get),
            Ok(Some(Duration::from_secs(30)))
        );
        assert_eq!(
            Timeout::from_word("-1"),
            Err(
                "must be a whole number of seconds up to 31536000, or 0 for no limit, not -1"
                    .into()
            )
        );
    }

    #[test]
    fn a_limit_of_zero_for_heads_is_the_most_there_can_be() {
        type Limit = HeadLimit<500>;
        let count = |word| Limit::from_word(word).map(Limit::count);
        assert_eq!(count("0"), Ok(500));
        assert_eq!(count("1"), Ok(1));
        assert_eq!(count("500"), Ok(500));
        assert_eq!(
            count("501"),
            Err("must be a whole number up to 500, or 0 for no limit below that, not 501".into())
        );
        assert!(count("-1").is_err());
    }

    #[test]
    fn sizes_may_have_a_unit() {
        for (word, bytes) in [
            ("1", 1),
            ("1024", 1024),
            ("8k", 8192),
            ("10M", 10 << 20),
            ("10 M", 10 << 20),
            ("2G", 2 << 30),
            ("0", u64::MAX),
        ] {
            assert_eq!(
                BodyLimit::from_word(word).map(BodyLimit::bytes),
                Ok(bytes),
                "{word}"
            );
        }
        assert_eq!(BodyLimit::from_word("0").map(BodyLimit::limit), Ok(None));
        assert_eq!(
            BodyLimit::from_word("8k").map(BodyLimit::limit),
            Ok(Some(8192))
        );
        for word in ["-1", "M", "1T", "1.5M", "10MB", "99999999999G", ""] {
            assert!(BodyLimit::from_word(word).is_err(), "{word}");
        }
    }
}
