//! Variables for the application's environment.

use crate::config::Setting;
use crate::config::value::{Refusal, Takes, Value, kind, misfit, texts};
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Variables that are set in the application's environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Each name with its value, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn with(mut self, name: &str, value: &str) -> Result<Self, String> {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("{name:?} cannot be the name of a variable"));
        }
        if value.contains('\0') {
            return Err(format!("the value of {name} has a NUL in it"));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(self)
    }

    fn with_pair(self, pair: &str) -> Result<Self, String> {
        match pair.split_once('=') {
            Some((name, value)) => self.with(name, value),
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
        let table: toml::Table = self
            .0
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        Some(table.into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Self::default().with_pair(text)
    }

    fn from_list(items: &[Spanned<DeValue<'_>>]) -> Result<Self, Refusal> {
        texts::<Self>(items)?
            .into_iter()
            .try_fold(Self::default(), |all, (pair, place)| {
                all.with_pair(pair).map_err(|says| Refusal {
                    part: Some(place),
                    says,
                })
            })
    }

    fn from_table(table: &DeTable<'_>) -> Result<Self, Refusal> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        entries
            .into_iter()
            .try_fold(Self::default(), |all, (name, value)| {
                // TOML takes all that stands below `[env]` for a part of it.
                if Setting::find(name.get_ref()).is_some() {
                    return Err(Refusal {
                        part: Some(name.span()),
                        says: format!("{} is a setting: write it above [env]", name.get_ref()),
                    });
                }
                let Some(text) = value.get_ref().as_str() else {
                    return Err(Refusal {
                        part: Some(value.span()),
                        says: format!(
                            "the value of {} must be a string, not {}: put it in quotes",
                            name.get_ref(),
                            kind(value.get_ref())
                        ),
                    });
                };
                all.with(name.get_ref(), text).map_err(|says| Refusal {
                    part: Some(name.span()),
                    says,
                })
            })
    }

    fn from_words(words: &[String]) -> Result<Self, String> {
        words
            .iter()
            .try_fold(Self::default(), |all, pair| all.with_pair(pair))
    }

    /// Variable by variable: one on the command line leaves the file's others.
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
    fn what_is_no_variable_is_refused() {
        assert_eq!(
            words(&["DEBUG"]),
            Err("must be KEY=VALUE, or in a file a table of strings, not \"DEBUG\"".into())
        );
        assert_eq!(
            words(&["=1"]),
            Err("\"\" cannot be the name of a variable".into())
        );
        assert_eq!(
            words(&["A=\0"]),
            Err("the value of A has a NUL in it".into())
        );
    }
}
