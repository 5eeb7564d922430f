//! What can be wrong with a configuration, each mistake in one line.

use super::origin::{Origin, Place};
use super::values::ConfigProgram;
use nix::errno::Errno;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// One mistake in a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}cannot read {}: {}", origin.in_front(), file.display(), reason(cause))]
    Unreadable {
        file: PathBuf,
        /// Who names it.
        origin: Origin,
        cause: io::Error,
    },

    /// The configuration in Python, with what Python says of it; the traceback.
    #[error("{summary}{}", if traceback.is_empty() { String::new() } else { format!("\n{traceback}") })]
    Program { summary: String, traceback: String },

    /// The syntax of the file, or a name that is not a setting's.
    #[error("{place}: {problem}")]
    InFile {
        place: Place,
        problem: String,
        /// The setting that was probably meant.
        meant: Option<&'static str>,
    },

    #[error("{}", origin.describe(key, problem))]
    Unusable {
        key: &'static str,
        origin: Origin,
        problem: String,
    },

    /// In a variable that has words of a command line.
    #[error("{line}")]
    InArguments {
        key: Option<&'static str>,
        line: String,
    },

    #[error(
        "no application to serve; name it on the command line, or write {} = \"module:callable\" in {}",
        if ConfigProgram::is_named_by(file) { "wsgi_app" } else { "app" },
        file.display()
    )]
    NoApp { file: PathBuf },

    #[error(
        "{}: rgunicorn-generator could not tell from it in which account the site runs \
         (journalctl -t rgunicorn-generator); run `systemctl daemon-reload`, then start the \
         service again",
        file.display()
    )]
    Withheld { file: PathBuf },
}

impl ConfigError {
    /// Whether correcting this mistake may be all that the setting `key` needs.
    pub(crate) fn is_about(&self, key: &str) -> bool {
        match self {
            Self::InFile { meant, .. } => *meant == Some(key),
            Self::Unusable { key: about, .. } => *about == key,
            // Without a key, nobody knows which settings the words would have set.
            Self::InArguments { key: about, .. } => about.is_none_or(|about| about == key),
            Self::Unreadable { .. }
            | Self::Program { .. }
            | Self::NoApp { .. }
            | Self::Withheld { .. } => false,
        }
    }

    /// By line and column.
    fn place(&self) -> Option<(usize, usize)> {
        match self {
            Self::InFile { place, .. }
            | Self::Unusable {
                origin: Origin::File(place),
                ..
            } => Some((place.line, place.column)),
            Self::Unusable {
                origin: Origin::Program { line, .. },
                ..
            } => line.map(|line| (line, 0)),
            Self::Unusable { .. }
            | Self::InArguments { .. }
            | Self::Unreadable { .. }
            | Self::Program { .. }
            | Self::NoApp { .. }
            | Self::Withheld { .. } => None,
        }
    }
}

/// A file with this many mistakes is not examined further: the master reads it
/// between two heartbeats.
pub(super) const MAX_MISTAKES: usize = 1000;

/// Every mistake that was found in a configuration; at least one.
#[derive(Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// In the order in which they stand in the file, so that it can be corrected
    /// from top to bottom.
    pub(crate) fn sorted(mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by_key(|error| match error.place() {
            Some((line, column)) => (0, line, column),
            None => (1, 0, 0),
        });
        Self(errors)
    }

    /// A line for each, unless there are so many that the file is likely to be
    /// something else than a configuration.
    pub fn lines(&self) -> Vec<String> {
        const MOST: usize = 50;
        let mut lines: Vec<String> = self.0.iter().take(MOST).map(ToString::to_string).collect();
        if self.0.len() > MOST {
            let at_least = if self.0.len() < MAX_MISTAKES {
                ""
            } else {
                "at least "
            };
            let more = self.0.len() - MOST;
            lines.push(format!("{at_least}{more} more mistakes"));
        }
        lines
    }

    /// One line, for where there is no room for all.
    pub fn summary(&self) -> String {
        match self.0.as_slice() {
            [first, _, ..] => format!(
                "{} mistakes in the configuration, see the log; the first: {first}",
                self.0.len()
            ),
            errors => errors.iter().map(ToString::to_string).collect(),
        }
    }

    /// The exit status, in the numbers of sysexits.h.
    pub fn exit_code(&self) -> u8 {
        const USAGE: u8 = 64;
        const CONFIG: u8 = 78;
        let is_usage = |error: &ConfigError| {
            matches!(
                error,
                ConfigError::Unusable {
                    origin: Origin::CommandLine(_),
                    ..
                }
            )
        };
        if self.0.iter().all(is_usage) {
            USAGE
        } else {
            CONFIG
        }
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

/// A line for each.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.lines().join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// The operating system's reason without the number that `io::Error` appends.
pub fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}
