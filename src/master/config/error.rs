//! What can be wrong with a configuration, each mistake in one line.

use super::origin::{Origin, Place};
use nix::errno::Errno;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// One mistake in a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {}", file.display(), reason(cause))]
    Unreadable { file: PathBuf, cause: io::Error },

    #[error(
        "{}: configuration files in Python are not supported yet; write it as TOML, see rgunicorn.toml(5)",
        file.display()
    )]
    Program { file: PathBuf },

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

    #[error(
        "no application to serve; name it on the command line, or write app = \"module:callable\" in {}",
        file.display()
    )]
    NoApp { file: PathBuf },
}

impl ConfigError {
    /// Whether correcting this mistake may be all that the setting `key` needs.
    pub(super) fn is_about(&self, key: &str) -> bool {
        match self {
            Self::InFile { meant, .. } => *meant == Some(key),
            Self::Unusable { key: about, .. } => *about == key,
            Self::Unreadable { .. } | Self::Program { .. } | Self::NoApp { .. } => false,
        }
    }

    fn place(&self) -> Option<&Place> {
        match self {
            Self::InFile { place, .. }
            | Self::Unusable {
                origin: Origin::File(place),
                ..
            } => Some(place),
            Self::Unusable { .. }
            | Self::Unreadable { .. }
            | Self::Program { .. }
            | Self::NoApp { .. } => None,
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
    pub(super) fn sorted(mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by_key(|error| match error.place() {
            Some(place) => (0, place.line, place.column),
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
