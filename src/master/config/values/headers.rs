//! What the names of header fields mean: `header_map`, `forwarder_headers` and
//! `secure_scheme_headers`.

use crate::config::value::{
    Refusal, Takes, Value, between_commas, from_table_of_texts, from_texts, misfit, to_table,
};
use rgunicorn_link::protocol;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What becomes of headers with an underscore in their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderMap {
    Drop,
    Refuse,
    Dangerous,
}

impl HeaderMap {
    const ALL: [Self; 3] = [Self::Drop, Self::Refuse, Self::Dangerous];

    const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Refuse => "refuse",
            Self::Dangerous => "dangerous",
        }
    }

    pub const fn rule(self) -> protocol::HeaderMap {
        match self {
            Self::Drop => protocol::HeaderMap::Drop,
            Self::Refuse => protocol::HeaderMap::Refuse,
            Self::Dangerous => protocol::HeaderMap::Dangerous,
        }
    }
}

impl Value for HeaderMap {
    fn expects() -> String {
        r#""drop", "refuse" or "dangerous""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.name().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|map| map.name().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| misfit::<Self>(&format!("{text:?}")))
    }
}

/// A token (RFC 9110, section 5.1).
fn is_name(name: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token_byte)
}

/// Names of headers, in upper case; `*` stands for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderNames(Vec<String>);

impl HeaderNames {
    /// The default of `forwarder_headers`.
    pub fn script_name_and_path_info() -> Self {
        Self(vec!["SCRIPT_NAME".into(), "PATH_INFO".into()])
    }

    pub fn all(&self) -> &[String] {
        &self.0
    }

    /// One, or several separated by commas.
    fn add(&mut self, text: &str) -> Result<(), String> {
        for name in between_commas(text) {
            if !is_name(name) {
                return Err(misfit::<Self>(&format!("{name:?}")));
            }
            self.0.push(name.to_ascii_uppercase());
        }
        Ok(())
    }
}

impl Value for HeaderNames {
    fn expects() -> String {
        "names of headers such as REMOTE_USER, separated by commas, or *".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.clone().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let mut names = Self(Vec::new());
        names.add(text)?;
        Ok(names)
    }

    fn from_list(items: &[Spanned<DeValue<'_>>]) -> Result<Self, Vec<Refusal>> {
        from_texts(Self(Vec::new()), items, Self::add)
    }
}

/// The headers that say that the client spoke TLS to the proxy, by their names in upper
/// case, with the value that says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemeHeaders(BTreeMap<String, String>);

impl SchemeHeaders {
    /// Gunicorn's, which most proxies send one of.
    pub fn usual() -> Self {
        let usual = [
            ("X-FORWARDED-PROTO", "https"),
            ("X-FORWARDED-PROTOCOL", "ssl"),
            ("X-FORWARDED-SSL", "on"),
        ];
        Self(
            usual
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
        )
    }

    pub fn all(&self) -> Vec<(String, String)> {
        self.0.clone().into_iter().collect()
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        if !is_name(name) {
            return Err(format!("{name:?} is no name of a header"));
        }
        if name.contains('_') {
            let with_dash = name.replace('_', "-");
            return Err(format!(
                "{name:?} has an underscore, and `header_map` is about those; did you mean {with_dash:?}?"
            ));
        }
        self.0.insert(name.to_ascii_uppercase(), value.to_owned());
        Ok(())
    }
}

impl Value for SchemeHeaders {
    const TAKES: Takes = Takes::Many;

    fn expects() -> String {
        "NAME=VALUE, or in a file a table of names and values".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        let pairs = self.0.iter();
        Some(to_table(
            pairs.map(|(name, value)| (name.as_str(), value.as_str())),
        ))
    }

    fn from_table(table: &DeTable<'_>) -> Result<Self, Vec<Refusal>> {
        from_table_of_texts(table, "secure_scheme_headers", "header", Self::add)
    }

    fn from_words(words: &[String]) -> Result<Self, String> {
        let mut headers = Self::default();
        for word in words {
            match word.split_once('=') {
                Some((name, value)) => headers.add(name, value)?,
                None => return Err(misfit::<Self>(&format!("{word:?}"))),
            }
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_map_is_one_of_gunicorns_three() {
        for (text, name) in [
            ("drop", "drop"),
            ("Refuse", "refuse"),
            (" dangerous ", "dangerous"),
        ] {
            assert_eq!(HeaderMap::from_text(text).map(HeaderMap::name), Ok(name));
        }
        assert_eq!(
            HeaderMap::from_text("keep"),
            Err(r#"must be "drop", "refuse" or "dangerous", not "keep""#.into())
        );
    }

    #[test]
    fn names_of_headers_are_upper_case_and_tokens() {
        let names = |text| HeaderNames::from_text(text).map(|names| names.0.join(","));
        assert_eq!(names("remote_user, X_A"), Ok("REMOTE_USER,X_A".into()));
        assert_eq!(names("*"), Ok("*".into()));
        assert_eq!(names(""), Ok(String::new()));
        for text in ["a b", "a:b", "é"] {
            assert_eq!(
                names(text),
                Err(format!(
                    "must be names of headers such as REMOTE_USER, separated by commas, or *, not {text:?}"
                ))
            );
        }
    }

    #[test]
    fn a_scheme_header_has_a_name_with_dashes_and_a_value() {
        let headers = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            SchemeHeaders::from_words(&words)
        };
        let two = headers(&["x-scheme=https", "X-Tls=yes=1"]).unwrap();
        assert_eq!(
            two.all(),
            [
                ("X-SCHEME".to_owned(), "https".to_owned()),
                ("X-TLS".to_owned(), "yes=1".to_owned())
            ]
        );
        assert_eq!(
            headers(&["X_SCHEME=https"]),
            Err("\"X_SCHEME\" has an underscore, and `header_map` is about those; did you mean \"X-SCHEME\"?".into())
        );
        assert_eq!(
            headers(&["X-Scheme"]),
            Err(
                "must be NAME=VALUE, or in a file a table of names and values, not \"X-Scheme\""
                    .into()
            )
        );
        assert_eq!(
            headers(&["a b=c"]),
            Err("\"a b\" is no name of a header".into())
        );
    }
}
