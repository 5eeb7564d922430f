//! Log files: where the error log goes, and whether a file can be written.

use super::path::joined;
use crate::config::error::reason;
use crate::config::value::{Value, misfit, quoted};
use rustix::fs::{Access, access};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// Where the error log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorLog {
    /// `-`: standard error, or the journal.
    Standard,
    /// Absolute once the configuration is loaded.
    File(PathBuf),
}

impl ErrorLog {
    /// The same place seen from `base`.
    #[must_use]
    pub fn seen_from(self, base: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(joined(base, &path)),
            Self::Standard => self,
        }
    }

    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Standard => None,
            Self::File(path) => Some(path),
        }
    }

    /// Whether its file could be written to by this process; else why not.
    pub fn check(&self) -> Result<(), String> {
        self.file().map_or(Ok(()), check)
    }
}

impl Value for ErrorLog {
    fn expects() -> String {
        r#"the path of a file or "-""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(match self {
            Self::Standard => "-".into(),
            Self::File(path) => path.to_string_lossy().into_owned().into(),
        })
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "-" | "/dev/stderr" => Ok(Self::Standard),
            _ if text.is_empty() || text.contains('\0') => {
                Err(misfit::<Self>(&format!("{text:?}")))
            }
            _ => Ok(Self::File(PathBuf::from(text))),
        }
    }
}

/// Whether a log file could be written to by this process; else why not. Makes no file: this
/// may be another user than the server's.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let cause = match access(path, Access::WRITE_OK) {
        Ok(()) if path.is_dir() => Errno::ISDIR,
        Ok(()) => return Ok(()),
        Err(Errno::NOENT) => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            }
        }
        Err(error) => error,
    };
    Err(refusal(path, cause))
}

/// Why a log file cannot be written, and what to do about it.
pub fn refusal(path: &Path, cause: Errno) -> String {
    let remedy = match cause {
        Errno::NOENT => "; create its directory, or name another file".to_owned(),
        Errno::ACCESS => format!(
            "; user {} needs permission to write it, or to make files in its directory",
            rustix::process::geteuid().as_raw()
        ),
        Errno::ROFS => {
            "; a site under systemd can write below its $LOGS_DIRECTORY, and below what \
             `read_write_paths` names"
                .to_owned()
        }
        _ => String::new(),
    };
    let reason = reason(&cause.into());
    format!("cannot write {}: {reason}{remedy}", quoted(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_error_has_two_names_and_anything_else_is_a_file() {
        for (text, expected) in [
            ("-", ErrorLog::Standard),
            ("/dev/stderr", ErrorLog::Standard),
            ("error.log", ErrorLog::File("error.log".into())),
        ] {
            assert_eq!(ErrorLog::from_text(text), Ok(expected), "{text}");
        }
        assert!(ErrorLog::from_text("").is_err());
        let seen = ErrorLog::File("error.log".into()).seen_from(Path::new("/srv/shop"));
        assert_eq!(seen.file(), Some(Path::new("/srv/shop/error.log")));
    }
}
