//! Where a value came from, so that every error can name the place.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// A place in a file, counted from 1 as editors do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// As the operator called it.
    pub file: PathBuf,
    pub line: usize,
    /// In characters.
    pub column: usize,
}

impl Place {
    /// The place of the byte at `offset` in `text`, the contents of `file`.
    pub fn at(file: &Path, text: &str, offset: usize) -> Self {
        // Bytes, not characters: a file can have many mistakes in one long line.
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n');
        let in_line = &before[line_start.map_or(0, |at| at + 1)..];
        let continues_character = |byte: u8| byte & 0b1100_0000 == 0b1000_0000;
        Self {
            file: file.to_owned(),
            line: before.split(|byte| *byte == b'\n').count(),
            column: in_line
                .iter()
                .filter(|byte| !continues_character(**byte))
                .count()
                + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// The program is in a virtual environment, or beside another Python.
    Installation,
    /// The variable of this name.
    Environment(&'static str),
    File(Place),
    /// A configuration in Python.
    Program {
        file: PathBuf,
        line: Option<usize>,
    },
    /// This flag, in a variable that has words of a command line.
    Arguments {
        variable: &'static str,
        flag: &'static str,
    },
    /// This flag.
    CommandLine(&'static str),
}

impl Origin {
    /// `problem` of the setting `key`, with the place of its value in front.
    pub fn describe(&self, key: &str, problem: &str) -> String {
        match self {
            Self::Default => format!("{key}: {problem}"),
            Self::Installation => format!("{key} ({self}): {problem}"),
            Self::Environment(name) => format!("{key} (from ${name}): {problem}"),
            Self::File(_) | Self::Program { .. } => format!("{self}: {key}: {problem}"),
            Self::Arguments { variable, flag } => format!("${variable}: {flag}: {problem}"),
            Self::CommandLine(flag) => format!("{flag}: {problem}"),
        }
    }
}

impl Origin {
    /// The place, to stand before a problem with the file that it names; nothing where the
    /// name of that file says enough.
    pub(super) fn in_front(&self) -> String {
        match self {
            Self::Arguments { variable, flag } => format!("${variable}: {flag}: "),
            Self::File(_) => format!("{self}: "),
            Self::Default
            | Self::Installation
            | Self::Environment(_)
            | Self::Program { .. }
            | Self::CommandLine(_) => String::new(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => to.write_str("default"),
            Self::Installation => to.write_str("the one that rgunicorn is installed for"),
            Self::Environment(name) => write!(to, "${name}"),
            Self::File(place) => write!(to, "{place}"),
            Self::Program { file, line: None } => write!(to, "{}", file.display()),
            Self::Program {
                file,
                line: Some(line),
            } => write!(to, "{}:{line}", file.display()),
            Self::Arguments { variable, flag } => write!(to, "{flag} in ${variable}"),
            Self::CommandLine(flag) => write!(to, "{flag} on the command line"),
        }
    }
}

/// The origin of each setting, by its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Origins(BTreeMap<&'static str, Origin>);

impl Origins {
    pub(super) fn get(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    pub(super) fn set(&mut self, key: &'static str, origin: Origin) {
        self.0.insert(key, origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_as_editors_do() {
        let place = |offset| Place::at(Path::new("f"), "ab\nä = 1\n", offset).to_string();
        assert_eq!(place(0), "f:1:1");
        assert_eq!(place(1), "f:1:2");
        assert_eq!(place(3), "f:2:1");
        assert_eq!(place(5), "f:2:2");
        assert_eq!(place(99), "f:3:1");
    }

    #[test]
    fn an_error_begins_with_the_place_of_the_value() {
        let place = Place {
            file: "/etc/x.toml".into(),
            line: 2,
            column: 11,
        };
        assert_eq!(
            Origin::File(place).describe("bind", "no"),
            "/etc/x.toml:2:11: bind: no"
        );
        assert_eq!(
            Origin::CommandLine("--bind").describe("bind", "no"),
            "--bind: no"
        );
        let arguments = Origin::Arguments {
            variable: "RUN",
            flag: "--bind",
        };
        assert_eq!(arguments.describe("bind", "no"), "$RUN: --bind: no");
        assert_eq!(Origin::Default.describe("bind", "no"), "bind: no");
        assert_eq!(
            Origin::Environment("RUN").describe("bind", "no"),
            "bind (from $RUN): no"
        );
    }
}
