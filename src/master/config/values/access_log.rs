//! The access log: where it goes, what its lines look like, which requests it has.

use super::log_file;
use super::path::joined;
use crate::config::value::{Value, misfit};
use rgunicorn_link::protocol::AccessDestination;
use rgunicorn_link::{self as link, AccessFormat};
use std::path::{Path, PathBuf};

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// `-`: standard output, or the journal if the log goes there.
    Standard,
    /// `journal`
    Journal,
    /// Absolute once the configuration is loaded.
    File(PathBuf),
}

impl AccessLog {
    /// The same place seen from `base`.
    #[must_use]
    pub fn seen_from(self, base: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(joined(base, &path)),
            Self::Standard | Self::Journal => self,
        }
    }

    /// Where workers write it. `in_journal`: the server's own log goes to the journal.
    pub fn destination(&self, in_journal: bool) -> AccessDestination {
        match self {
            Self::Journal => AccessDestination::Journal,
            Self::Standard if in_journal => AccessDestination::Journal,
            Self::Standard => AccessDestination::Stdout,
            Self::File(path) if path == Path::new("/dev/stdout") => {
                Self::Standard.destination(in_journal)
            }
            Self::File(path) if path == Path::new("/dev/stderr") && !in_journal => {
                AccessDestination::Stderr
            }
            Self::File(path) if path == Path::new("/dev/stderr") => AccessDestination::Journal,
            Self::File(path) => AccessDestination::File(path.clone()),
        }
    }

    /// Its file, if it goes to one.
    pub fn file(&self) -> Option<PathBuf> {
        match self.destination(false) {
            AccessDestination::File(path) => Some(path),
            AccessDestination::Journal
            | AccessDestination::Stdout
            | AccessDestination::Stderr
            | AccessDestination::Syslog(_) => None,
        }
    }

    /// Whether its file could be written to by this process; else why not. Makes no file: this
    /// may be another user than the server's.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::File(path) => log_file::check(path),
            Self::Standard | Self::Journal => Ok(()),
        }
    }
}

impl Value for AccessLog {
    fn expects() -> String {
        r#"the path of a file, "-" or "journal""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(match self {
            Self::Standard => "-".into(),
            Self::Journal => "journal".into(),
            Self::File(path) => path.to_string_lossy().into_owned().into(),
        })
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "-" => Ok(Self::Standard),
            "journal" => Ok(Self::Journal),
            _ if text.is_empty() || text.contains('\0') => {
                Err(misfit::<Self>(&format!("{text:?}")))
            }
            _ => Ok(Self::File(PathBuf::from(text))),
        }
    }
}

/// What a line of the access log looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogFormat(String);

impl AccessLogFormat {
    pub fn combined() -> Self {
        Self(link::DEFAULT_FORMAT.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for AccessLogFormat {
    fn expects() -> String {
        r#"a format such as "%(h)s %(t)s \"%(r)s\" %(s)s %(b)s""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.as_str().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match AccessFormat::parse(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(format!("{text:?}: {error}")),
        }
    }
}

/// Which requests the access log has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogFilter {
    text: String,
    filter: link::AccessFilter,
}

impl AccessLogFilter {
    pub fn all() -> Self {
        Self {
            text: "all".to_owned(),
            filter: link::AccessFilter::ALL,
        }
    }

    pub fn filter(&self) -> &link::AccessFilter {
        &self.filter
    }
}

impl Value for AccessLogFilter {
    fn expects() -> String {
        r#""all", or some of "errors", "slow:MILLISECONDS" and "1/NUMBER", separated by commas"#
            .into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.text.as_str().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match link::AccessFilter::parse(text) {
            Some(filter) => Ok(Self {
                text: text.to_owned(),
                filter,
            }),
            None => Err(misfit::<Self>(&format!("{text:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_destination_depends_on_where_the_log_goes() {
        let destination =
            |text: &str, in_journal| AccessLog::from_text(text).unwrap().destination(in_journal);

        assert_eq!(destination("-", false), AccessDestination::Stdout);
        assert_eq!(destination("-", true), AccessDestination::Journal);
        assert_eq!(destination("/dev/stdout", false), AccessDestination::Stdout);
        assert_eq!(destination("/dev/stderr", false), AccessDestination::Stderr);
        assert_eq!(destination("/dev/stderr", true), AccessDestination::Journal);
        assert_eq!(destination("journal", false), AccessDestination::Journal);
        assert_eq!(
            destination("/a.log", true),
            AccessDestination::File("/a.log".into())
        );
    }

    #[test]
    fn a_mistake_in_a_format_is_named_with_its_column() {
        let error = AccessLogFormat::from_text("%(h)s %(nope)s").unwrap_err();

        assert!(error.contains("\"%(nope)s\" is unknown"), "{error}");
        assert!(error.ends_with("at column 7"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_refused_and_none_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str| AccessLog::File(folder.path().join(name)).check();

        assert_eq!(check("log"), Ok(()));
        assert!(!folder.path().join("log").exists());
        let error = check("none/log").unwrap_err();
        assert!(error.contains("create its directory"), "{error}");
        let error = check("").unwrap_err();
        assert!(error.contains("directory"), "{error}");
    }
}
