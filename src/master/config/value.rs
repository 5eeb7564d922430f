//! What every type of a setting can do: be read from a file or a command line,
//! be refused in one sentence, be written as TOML. The types themselves are in
//! [`super::values`].

use super::setting::Setting;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// How many words of the command line a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A flag without a value.
    Nothing,
    /// The last one given counts.
    One,
    /// One, or none, which stands for this.
    OneOrNothing(&'static str),
    /// One each time the flag is given, and all count.
    Many,
}

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The part of the file that is to blame, when it is not the whole value.
    pub part: Option<Range<usize>>,
    /// What is wrong and what would be right, without the setting's name.
    pub problem: String,
}

impl Refusal {
    /// Of the value as a whole.
    pub(super) fn whole(problem: String) -> Vec<Self> {
        vec![Self {
            part: None,
            problem,
        }]
    }
}

/// The type of a setting.
///
/// A type implements the `from_…` methods for the TOML kinds it accepts; all
/// others refuse with what [`Value::expects`] says.
pub trait Value: Sized {
    const TAKES: Takes = Takes::One;

    /// What may stand here, to be read after "must be".
    fn expects() -> String;

    /// What is written in a file for this value; `None` when it is not set.
    fn to_toml(&self) -> Option<toml::Value>;

    fn from_text(text: &str) -> Result<Self, String> {
        Err(misfit::<Self>(&format!("{text:?}")))
    }

    fn from_integer(number: i64) -> Result<Self, String> {
        Err(misfit::<Self>(&number.to_string()))
    }

    fn from_bool(value: bool) -> Result<Self, String> {
        Err(misfit::<Self>(&value.to_string()))
    }

    fn from_list(_items: &[Spanned<DeValue<'_>>]) -> Result<Self, Vec<Refusal>> {
        Err(Refusal::whole(misfit::<Self>("a list")))
    }

    fn from_table(_table: &DeTable<'_>) -> Result<Self, Vec<Refusal>> {
        Err(Refusal::whole(misfit::<Self>("a table")))
    }

    /// From one word of the command line.
    fn from_word(word: &str) -> Result<Self, String> {
        Self::from_text(word)
    }

    /// From all the words given on the command line, in order.
    fn from_words(words: &[String]) -> Result<Self, String> {
        Self::from_word(words.last().map_or("", String::as_str))
    }

    /// From the environment variable of its setting.
    fn from_variable(text: &str) -> Result<Self, String> {
        Self::from_words(&[text.to_owned()])
    }

    /// From any TOML value. A list or a table may have several mistakes in it.
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Vec<Refusal>> {
        match value {
            DeValue::Array(items) => return Self::from_list(items),
            DeValue::Table(table) => return Self::from_table(table),
            DeValue::String(text) => Self::from_text(text),
            DeValue::Integer(number) => match integer(number) {
                Some(number) => Self::from_integer(number),
                None => Err(misfit::<Self>(number.as_str())),
            },
            DeValue::Boolean(value) => Self::from_bool(*value),
            DeValue::Float(number) => Err(misfit::<Self>(number.as_str())),
            DeValue::Datetime(moment) => Err(misfit::<Self>(&moment.to_string())),
        }
        .map_err(Refusal::whole)
    }

    /// What holds when this value comes from a weaker source and `stronger` from
    /// a stronger one.
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

/// What a text has between commas, without those where nothing is.
pub(super) fn between_commas(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(',').map(str::trim);
    parts.filter(|part| !part.is_empty())
}

/// Adds the strings of a list to `value` one by one; all that are refused are
/// returned.
pub(super) fn from_texts<T: Value>(
    mut value: T,
    items: &[Spanned<DeValue<'_>>],
    add: fn(&mut T, &str) -> Result<(), String>,
) -> Result<T, Vec<Refusal>> {
    let mut refusals = Vec::new();
    for item in items {
        let added = match item.get_ref().as_str() {
            Some(text) => add(&mut value, text),
            None => Err(misfit::<T>(&format!(
                "a list with {}",
                kind(item.get_ref())
            ))),
        };
        refusals.extend(added.err().map(|problem| Refusal {
            part: Some(item.span()),
            problem,
        }));
    }
    if refusals.is_empty() {
        Ok(value)
    } else {
        Err(refusals)
    }
}

/// Adds the names and strings of a table to an empty value one by one; all that are refused
/// are returned. `setting` is what the table is called, `what` what a name stands for.
pub(super) fn from_table_of_texts<T: Value + Default>(
    table: &DeTable<'_>,
    setting: &str,
    what: &str,
    add: fn(&mut T, &str, &str) -> Result<(), String>,
) -> Result<T, Vec<Refusal>> {
    let mut all = T::default();
    let mut refusals = Vec::new();
    for (name, value) in table {
        let key = name.get_ref();
        // TOML takes all that is written below a table's name for a part of it.
        let (part, added) = if Setting::find(key).is_some() {
            let problem = format!("{key} is a setting, not a {what}: move it above [{setting}]");
            (name.span(), Err(problem))
        } else if let Some(text) = value.get_ref().as_str() {
            (name.span(), add(&mut all, key, text))
        } else {
            let kind = kind(value.get_ref());
            let problem =
                format!("the value of {key} must be a string, not {kind}: put it in quotes");
            (value.span(), Err(problem))
        };
        refusals.extend(added.err().map(|problem| Refusal {
            part: Some(part),
            problem,
        }));
    }
    if refusals.is_empty() {
        Ok(all)
    } else {
        Err(refusals)
    }
}

/// A table of names and strings.
pub(super) fn to_table<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> toml::Value {
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.into()));
    toml::Value::Table(pairs.collect())
}

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

    fn from_variable(text: &str) -> Result<Self, String> {
        T::from_variable(text).map(Some)
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, Vec<Refusal>> {
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
