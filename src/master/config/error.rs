//! What can be wrong with a configuration, each in one line.

use super::origin::{Origin, Place};
use nix::errno::Errno;
use std::io;
use std::path::PathBuf;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}: {}", file.display(), reason(cause))]
    Unreadable {
        /// The file, as the operator called it.
        file: PathBuf,
        /// The operating system's reason.
        cause: io::Error,
    },

    /// The file is a program, as Gunicorn's are.
    #[error(
        "{}: a configuration in Python is not supported yet: write it as TOML, see rgunicorn.toml(5)",
        file.display()
    )]
    Program {
        /// The file, as the operator called it.
        file: PathBuf,
    },

    /// Something in the file is wrong: its syntax, or the name of a setting.
    #[error("{place}: {problem}")]
    InFile {
        /// Where.
        place: Place,
        /// What, and what would be right.
        problem: String,
    },

    /// The value of a setting is wrong.
    #[error("{}", origin.blame(key, problem))]
    Unusable {
        /// The setting.
        key: &'static str,
        /// Where the value came from.
        origin: Origin,
        /// What is wrong, and what would be right.
        problem: String,
    },

    /// No application was named.
    #[error(
        "no application to serve: name it on the command line, or write app = \"module:callable\" in {}",
        file.display()
    )]
    NoApp {
        /// The file that was read, or would have been.
        file: PathBuf,
    },
}

impl ConfigError {
    /// The exit status, in the numbers of sysexits.h.
    pub fn exit_code(&self) -> u8 {
        const USAGE: u8 = 64;
        const CONFIG: u8 = 78;
        match self {
            Self::Unusable {
                origin: Origin::CommandLine(_),
                ..
            } => USAGE,
            Self::Unreadable { .. }
            | Self::Program { .. }
            | Self::InFile { .. }
            | Self::Unusable { .. }
            | Self::NoApp { .. } => CONFIG,
        }
    }
}

/// The operating system's reason in words only.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}
