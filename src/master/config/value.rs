//! What every type of a setting can do: be read from either source, be
//! refused in one sentence, be written down again. The types themselves are
//! in [`super::values`].

use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// How many words of the command line a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// None: naming the flag says it all.
    Nothing,
    /// One; the last one given counts.
    One,
    /// One each time the flag is given.
    Many,
}

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The part of the file that is to blame, when it is not the whole value.
    pub part: Option<Range<usize>>,
    /// What is wrong and what would be right, without the setting's name.
    pub says: String,
}

impl From<String> for Refusal {
    fn from(says: String) -> Self {
        Self { part: None, says }
    }
}

/// The type of a setting.
///
/// A type implements the `from_…` methods for the TOML kinds it accepts; all
/// others refuse with what [`Value::expects`] says.
pub trait Value: Sized {
    /// How many words of the command line it takes.
    const TAKES: Takes = Takes::One;

    /// What may stand here, to be read after "must be".
    fn expects() -> String;

    /// What is written in a file for this value; `None` when it is not set.
    fn to_toml(&self) -> Option<toml::Value>;

    /// From a TOML string.
    fn from_text(text: &str) -> Result<Self, String> {
        Err(misfit::<Self>(&format!("{text:?}")))
    }

    /// From a TOML integer.
    fn from_integer(number: i64) -> Result<Self, String> {
        Err(misfit::<Self>(&number.to_string()))
    }

    /// From a TOML boolean.
    fn from_bool(value: bool) -> Result<Self, String> {
        Err(misfit::<Self>(&value.to_string()))
    }

    /// From a TOML array.
    fn from_list(_items: &[Spanned<DeValue<'_>>]) -> Result<Self, Refusal> {
        Err(misfit::<Self>("a list").into())
    }

    /// From a TOML table.
    fn from_table(_table: &DeTable<'_>) -> Result<Self, Refusal> {
        Err(misfit::<Self>("a table").into())
    }

    /// From one word of the command line.
    fn from_word(word: &str) -> Result<Self, String> {
        Self::from_text(word)
    }

    /// From all the words given on the command line, in order.
    fn from_words(words: &[String]) -> Result<Self, String> {
        Self::from_word(words.last().map_or("", String::as_str))
    }

    /// From whatever stands in the file.
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        match value {
            DeValue::String(text) => Self::from_text(text).map_err(Refusal::from),
            DeValue::Integer(number) => match integer(number) {
                Some(number) => Self::from_integer(number).map_err(Refusal::from),
                None => Err(misfit::<Self>(number.as_str()).into()),
            },
            DeValue::Boolean(value) => Self::from_bool(*value).map_err(Refusal::from),
            DeValue::Array(items) => Self::from_list(items),
            DeValue::Table(table) => Self::from_table(table),
            DeValue::Float(number) => Err(misfit::<Self>(number.as_str()).into()),
            DeValue::Datetime(moment) => Err(misfit::<Self>(&moment.to_string()).into()),
        }
    }

    /// This value from a weaker source with one from a stronger source over it.
    #[must_use]
    fn overlaid(self, stronger: Self) -> Self {
        stronger
    }
}

/// A path or a word, in quotes and on one line whatever is in it.
pub(super) fn quoted(text: impl AsRef<Path>) -> String {
    format!("{:?}", text.as_ref().to_string_lossy())
}

/// "must be this, not that".
pub(super) fn misfit<T: Value>(shown: &str) -> String {
    format!("must be {}, not {shown}", T::expects())
}

/// A word of the command line that may be a number: where TOML would have
/// told an integer from a string, the shape of the word does.
pub(super) fn number_or_text<T: Value>(word: &str) -> Result<T, String> {
    match word.parse::<i64>() {
        Ok(number) => T::from_integer(number),
        Err(_) => T::from_text(word),
    }
}

/// The strings of a list, each with its place.
pub(super) fn texts<'a, T: Value>(
    items: &'a [Spanned<DeValue<'_>>],
) -> Result<Vec<(&'a str, Range<usize>)>, Refusal> {
    items
        .iter()
        .map(|item| match item.get_ref().as_str() {
            Some(text) => Ok((text, item.span())),
            None => Err(Refusal {
                part: Some(item.span()),
                says: misfit::<T>(&format!("a list with {}", kind(item.get_ref()))),
            }),
        })
        .collect()
}

/// What a TOML value is, in an operator's words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

impl Value for bool {
    const TAKES: Takes = Takes::Nothing;

    fn expects() -> String {
        "true or false".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some((*self).into())
    }

    fn from_bool(value: bool) -> Result<Self, String> {
        Ok(value)
    }

    fn from_words(_words: &[String]) -> Result<Self, String> {
        Ok(true)
    }
}

/// A setting that need not be set.
impl<T: Value> Value for Option<T> {
    const TAKES: Takes = T::TAKES;

    fn expects() -> String {
        T::expects()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        self.as_ref().and_then(T::to_toml)
    }

    fn from_words(words: &[String]) -> Result<Self, String> {
        T::from_words(words).map(Some)
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        T::from_toml(value).map(Some)
    }

    fn overlaid(self, stronger: Self) -> Self {
        match (self, stronger) {
            (Some(weaker), Some(stronger)) => Some(weaker.overlaid(stronger)),
            (weaker, None) => weaker,
            (None, stronger) => stronger,
        }
    }
}
