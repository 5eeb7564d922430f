//! How many workers.

use super::Within;
use crate::config::cpus;
use crate::config::value::{Value, misfit, number_or_text};

/// How many workers to keep running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// As many as there are processors to run them.
    Auto,
    /// So many.
    Exactly(Within<1, 1024>),
}

impl Workers {
    /// One worker, what there is by default.
    pub const ONE: Self = Self::Exactly(Within::nearest(1));

    /// The number, with `auto` counted on this machine, now.
    pub fn count(self) -> usize {
        match self {
            Self::Auto => Within::<1, 1024>::nearest(cpus::available()).count(),
            Self::Exactly(count) => count.count(),
        }
    }
}

impl Value for Workers {
    fn expects() -> String {
        r#""auto" or between 1 and 1024"#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        match self {
            Self::Auto => Some("auto".into()),
            Self::Exactly(count) => count.to_toml(),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        Err(misfit::<Self>(&format!("{text:?}")))
    }

    fn from_integer(number: i64) -> Result<Self, String> {
        Within::try_from(number)
            .map(Self::Exactly)
            .map_err(|_| misfit::<Self>(&number.to_string()))
    }

    fn from_word(word: &str) -> Result<Self, String> {
        number_or_text(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_a_number_or_auto() {
        assert_eq!(Workers::from_word("4").map(Workers::count), Ok(4));
        assert_eq!(Workers::from_word("auto"), Ok(Workers::Auto));
        assert!(Workers::Auto.count() >= 1);
        assert_eq!(
            Workers::from_integer(0),
            Err(r#"must be "auto" or between 1 and 1024, not 0"#.into())
        );
        assert_eq!(
            Workers::from_text("four"),
            Err(r#"must be "auto" or between 1 and 1024, not "four""#.into())
        );
    }
}
