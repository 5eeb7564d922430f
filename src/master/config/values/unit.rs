//! Values that `rgunicorn-generator` writes into unit files. What these types
//! admit is what a unit file can hold without a meaning of its own, so nothing in
//! a configuration can add a line or another directive to a unit.

use crate::config::value::{Refusal, Value, from_texts, kind, misfit};
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest path that the kernel takes, with its terminating NUL.
const LONGEST_PATH: usize = 4096;

/// A path that a unit file can name in every directive.
///
/// Quotes and backslashes mean something to some directives and nothing to
/// others, and systemd refuses `..`.
pub fn is_unit_path(text: &str) -> bool {
    let forbidden = |c: char| c.is_control() || matches!(c, '"' | '\'' | '\\');
    text.starts_with('/')
        && text.len() < LONGEST_PATH
        && text.trim() == text
        && !text.contains(forbidden)
        && !text.split('/').any(|part| part == "..")
}

const A_PATH: &str = "an absolute path without quotes, backslashes and \"..\"";

/// The name or the number of a user or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account(String);

impl Account {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether systemd could make an account of this name: it is stricter there
    /// than with accounts that exist.
    pub fn can_be_made(&self) -> bool {
        const LONGEST: usize = 31;
        let mut letters = self.0.chars();
        let first = letters.next();
        first.is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
            && self.0.len() <= LONGEST
    }

    pub fn number(&self) -> Option<u32> {
        self.0.parse().ok()
    }
}

impl Value for Account {
    fn expects() -> String {
        "the name or number of an account, of letters, digits, \"_\", \"-\", \".\" and \"@\"".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.clone().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        const LONGEST: usize = 255;
        let refused = || Err(misfit::<Self>(&format!("{text:?}")));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
        if text.len() > LONGEST || !text.chars().all(allowed) {
            return refused();
        }
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number {
            // 65535 and 4294967295 mean "none" to system calls.
            return match text.parse::<u32>() {
                Ok(number) if number != u32::MAX && number != u32::from(u16::MAX) => {
                    Ok(Self(number.to_string()))
                }
                Ok(_) | Err(_) => refused(),
            };
        }
        match text.chars().next() {
            Some(first) if first.is_ascii_alphanumeric() || first == '_' => {
                Ok(Self(text.to_owned()))
            }
            Some(_) | None => refused(),
        }
    }

    fn from_integer(number: i64) -> Result<Self, String> {
        Self::from_text(&number.to_string()).map_err(|_| misfit::<Self>(&number.to_string()))
    }
}

/// Files or directories. One with `-` in front may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitPaths(Vec<String>);

impl UnitPaths {
    /// With the `-`.
    pub fn entries(&self) -> &[String] {
        &self.0
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        if !is_unit_path(text.strip_prefix('-').unwrap_or(text)) {
            return Err(misfit::<Self>(&format!("{text:?}")));
        }
        self.0.push(text.to_owned());
        Ok(())
    }
}

impl Value for UnitPaths {
    fn expects() -> String {
        format!("{A_PATH}, with \"-\" in front if it may be missing, or a list of these")
    }

    fn to_toml(&self) -> Option<toml::Value> {
        match self.0.as_slice() {
            [one] => Some(one.clone().into()),
            many => Some(many.to_vec().into()),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let mut paths = Self::default();
        paths.add(text)?;
        Ok(paths)
    }

    fn from_list(items: &[Spanned<DeValue<'_>>]) -> Result<Self, Vec<Refusal>> {
        from_texts(Self::default(), items, Self::add)
    }
}

/// Files that the application finds in `$CREDENTIALS_DIRECTORY`, by the name that
/// they have there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials(BTreeMap<String, String>);

impl Credentials {
    /// Names and paths, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, path)| (name.as_str(), path.as_str()))
    }

    fn add(&mut self, name: &str, path: &str) -> Result<(), String> {
        const LONGEST: usize = 255;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let dots = name.bytes().all(|byte| byte == b'.');
        if name.len() > LONGEST || dots || !name.chars().all(allowed) {
            return Err(format!(
                "{name:?} cannot be the name of a credential; use letters, digits, \"_\", \"-\" and \".\""
            ));
        }
        // systemd 257 passes the path on to itself in a form that loses spaces.
        if !is_unit_path(path) || path.contains(char::is_whitespace) {
            return Err(format!(
                "the path of {name} must be {A_PATH}, and without spaces, not {path:?}"
            ));
        }
        self.0.insert(name.to_owned(), path.to_owned());
        Ok(())
    }
}

impl Value for Credentials {
    fn expects() -> String {
        "a table of names and absolute paths".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        let table: toml::Table = self
            .iter()
            .map(|(name, path)| (name.to_owned(), path.into()))
            .collect();
        Some(table.into())
    }

    fn from_table(table: &DeTable<'_>) -> Result<Self, Vec<Refusal>> {
        let mut credentials = Self::default();
        let mut refusals = Vec::new();
        for (name, path) in table {
            let key = name.get_ref();
            let added = match path.get_ref().as_str() {
                Some(text) => credentials.add(key, text),
                None => Err(format!(
                    "the path of {key:?} must be a string, not {}",
                    kind(path.get_ref())
                )),
            };
            refusals.extend(added.err().map(|problem| Refusal {
                part: Some(name.span()),
                problem,
            }));
        }
        if refusals.is_empty() {
            Ok(credentials)
        } else {
            Err(refusals)
        }
    }
}

/// The digits of a number, up to one too large for systemd to count with.
fn is_number(text: &str) -> bool {
    const LONGEST: usize = 15;
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `text` is a whole percentage between 1 and `most`.
fn is_percentage(text: &str, most: u32) -> bool {
    let digits = text.strip_suffix('%').filter(|digits| is_number(digits));
    let number = digits.and_then(|digits| digits.parse::<u32>().ok());
    number.is_some_and(|number| (1..=most).contains(&number))
}

/// An amount of memory, as systemd writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryLimit(String);

impl MemoryLimit {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for MemoryLimit {
    fn expects() -> String {
        r#"a number of bytes, with K, M, G or T such as "512M", a percentage of the machine's memory such as "40%", or "infinity""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.clone().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let digits = text.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(text);
        let is_size = is_number(digits) && digits.bytes().any(|byte| byte != b'0');
        if is_size || is_percentage(text, 100) || text == "infinity" {
            return Ok(Self(text.to_owned()));
        }
        Err(misfit::<Self>(&format!("{text:?}")))
    }

    fn from_integer(number: i64) -> Result<Self, String> {
        Self::from_text(&number.to_string()).map_err(|_| misfit::<Self>(&number.to_string()))
    }
}

/// A share of processor time: `"150%"` is one and a half processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuQuota(String);

impl CpuQuota {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for CpuQuota {
    fn expects() -> String {
        r#"a percentage such as "150%", where "100%" is one processor"#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.clone().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        /// More processors than Linux can have.
        const MOST: u32 = 1_000_000;
        if is_percentage(text, MOST) {
            return Ok(Self(text.to_owned()));
        }
        Err(misfit::<Self>(&format!("{text:?}")))
    }
}

/// How many processes and threads there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TasksLimit(String);

impl TasksLimit {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for TasksLimit {
    fn expects() -> String {
        r#"a whole number, a percentage of the machine's limit such as "10%", or "infinity""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.clone().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if is_percentage(text, 100) || text == "infinity" {
            return Ok(Self(text.to_owned()));
        }
        Err(misfit::<Self>(&format!("{text:?}")))
    }

    fn from_integer(number: i64) -> Result<Self, String> {
        if number < 1 || number > i64::from(u32::MAX) {
            return Err(misfit::<Self>(&number.to_string()));
        }
        Ok(Self(number.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken<T: Value>(text: &str) -> bool {
        T::from_text(text).is_ok()
    }

    #[test]
    fn an_account_is_a_name_or_a_number() {
        for name in [
            "shop",
            "www-data",
            "_x",
            "shop.example",
            "shop@corp",
            "1000",
            "0",
        ] {
            assert!(taken::<Account>(name), "{name}");
        }
        for name in [
            "",
            "-x",
            "a b",
            "a%i",
            "a$b",
            "a\nb",
            "a:b",
            "ä",
            "65535",
            "4294967295",
            "99999999999",
        ] {
            assert!(!taken::<Account>(name), "{name:?}");
        }
        assert_eq!(Account::from_integer(1000), Account::from_text("1000"));
        assert!(Account::from_integer(-1).is_err());
        assert!(!taken::<Account>(&"a".repeat(256)));
    }

    #[test]
    fn systemd_makes_accounts_of_simple_names_only() {
        let made = |name: &str| Account::from_text(name).unwrap().can_be_made();
        assert!(made("shop") && made("_a-9"));
        assert!(!made("shop.example") && !made("9a") && !made("1000"));
        assert!(!made(&"a".repeat(32)));
    }

    #[test]
    fn a_path_is_one_that_every_directive_can_name() {
        for path in [
            "/srv/x",
            "-/etc/x.env",
            "/srv/my files/100%/$HOME",
            "/srv/ä;#",
        ] {
            assert!(taken::<UnitPaths>(path), "{path}");
        }
        for path in [
            "",
            "x",
            "-x",
            "--/x",
            "/a\nUser=root",
            "/a\\",
            "/a\"b",
            "/a'b",
            "/a ",
            "/a\t",
            "/../x",
            "/a/..",
            "/a\u{85}b",
        ] {
            assert!(!taken::<UnitPaths>(path), "{path:?}");
        }
        assert!(!taken::<UnitPaths>(&format!("/{}", "a".repeat(4095))));
    }

    #[test]
    fn a_credential_has_a_simple_name_and_a_path_without_spaces() {
        let taken = |name, path| Credentials::default().add(name, path).is_ok();
        assert!(taken("secret_key", "/etc/a:%i;#$HOME") && taken("a.b-C", "/x"));
        for (name, path) in [
            ("", "/x"),
            ("..", "/x"),
            ("a/b", "/x"),
            ("a:b", "/x"),
            ("a%", "/x"),
            ("a\nb", "/x"),
            ("a", "x"),
            ("a", "/a b"),
            ("a", "/a\nb"),
            ("a", ""),
        ] {
            assert!(!taken(name, path), "{name:?} {path:?}");
        }
    }

    #[test]
    fn limits_are_written_as_systemd_writes_them() {
        for text in ["512M", "1024", "2G", "40%", "100%", "infinity"] {
            assert!(taken::<MemoryLimit>(text), "{text}");
        }
        for text in [
            "", "M", "0", "0M", "512MB", "1.5G", "-1", "101%", "0%", "%", "1M\n", "∞",
        ] {
            assert!(!taken::<MemoryLimit>(text), "{text:?}");
        }
        assert!(MemoryLimit::from_integer(-1).is_err() && MemoryLimit::from_integer(0).is_err());
        for (text, good) in [("150%", true), ("1%", true), ("0%", false), ("50", false)] {
            assert_eq!(taken::<CpuQuota>(text), good, "{text}");
        }
        for (text, good) in [("10%", true), ("infinity", true), ("10", false)] {
            assert_eq!(taken::<TasksLimit>(text), good, "{text}");
        }
        assert!(TasksLimit::from_integer(0).is_err() && TasksLimit::from_integer(1).is_ok());
    }
}
