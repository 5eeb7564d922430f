//! Variables for the application's environment.

use crate::config::value::{
    Refusal, Takes, Value, from_table_of_texts, from_texts, misfit, to_table,
};
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest `NAME=VALUE` that a program can be started with, with its NUL byte
/// (execve(2), `MAX_ARG_STRLEN`).
const LONGEST: usize = 128 * 1024;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// In the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("{name:?} is not a valid variable name"));
        }
        if value.contains('\0') {
            return Err(format!("the value of {name} contains a NUL byte"));
        }
        let length = name.len() + "=\0".len() + value.len();
        if length > LONGEST {
            return Err(format!(
                "the variable {name} is too long: Linux passes at most {} KiB; put the value into \
                 a file",
                LONGEST / 1024
            ));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn add_pair(&mut self, pair: &str) -> Result<(), String> {
        match pair.split_once('=') {
            Some((name, value)) => self.add(name, value),
            None => Err(misfit::<Self>(&format!("{pair:?}"))),
        }
    }
}

impl Value for Environment {
    const TAKES: Takes = Takes::Many;

    fn expects() -> String {
        "KEY=VALUE, or in a file a table of strings".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(to_table(self.iter()))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let mut variables = Self::default();
        variables.add_pair(text)?;
        Ok(variables)
    }

    fn from_list(items: &[Spanned<DeValue<'_>>]) -> Result<Self, Vec<Refusal>> {
        from_texts(Self::default(), items, Self::add_pair)
    }

    fn from_table(table: &DeTable<'_>) -> Result<Self, Vec<Refusal>> {
        from_table_of_texts(table, "env", "variable", Self::add)
    }

    fn from_words(words: &[String]) -> Result<Self, String> {
        let mut variables = Self::default();
        words.iter().try_for_each(|pair| variables.add_pair(pair))?;
        Ok(variables)
    }

    /// Variable by variable: one on the command line does not drop the others of
    /// the file.
    fn overlaid(mut self, stronger: Self) -> Self {
        self.0.extend(stronger.0);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pairs: &[&str]) -> Result<Environment, String> {
        Environment::from_words(&pairs.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn variables_are_pairs_of_which_the_last_counts() {
        let all = words(&["A=1", "B=x=y", "C=", "A=2"]).unwrap();
        let pairs: Vec<_> = all.iter().collect();
        assert_eq!(pairs, [("A", "2"), ("B", "x=y"), ("C", "")]);
    }

    #[test]
    fn a_stronger_source_adds_to_a_weaker_one() {
        let all = words(&["A=1", "B=1"])
            .unwrap()
            .overlaid(words(&["B=2"]).unwrap());
        assert_eq!(all, words(&["A=1", "B=2"]).unwrap());
    }

    #[test]
    fn a_malformed_variable_is_refused() {
        assert_eq!(
            words(&["DEBUG"]),
            Err("must be KEY=VALUE, or in a file a table of strings, not \"DEBUG\"".into())
        );
        assert_eq!(
            words(&["=1"]),
            Err("\"\" is not a valid variable name".into())
        );
        assert_eq!(
            words(&["A=\0"]),
            Err("the value of A contains a NUL byte".into())
        );
    }
}
