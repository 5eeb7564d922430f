//! An application that a file of `PasteDeploy` describes.

use super::path::joined;
use super::{App, Directory};
use crate::config::file::bytes_of;
use crate::config::value::{Refusal, Takes, Value, from_texts, misfit};
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::DeValue;

/// What a section of `logging` is called in the file.
const LOGGERS: &[u8] = b"[loggers]";

/// `FILE`, or `FILE#SECTION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasteFile {
    path: PathBuf,
    section: Option<String>,
}

impl PasteFile {
    /// The same file seen from `base`.
    #[must_use]
    pub fn seen_from(self, base: &Path) -> Self {
        Self {
            path: joined(base, &self.path),
            ..self
        }
    }

    /// What it describes.
    pub fn app(&self, globals: &PasteGlobals) -> App {
        // JSON of these is Python, too.
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let uri = format!("config:{}", self.shown());
        App::Called {
            name: self.path.to_string_lossy().into_owned(),
            call: format!(
                "rgunicorn.paste:get_wsgi_app({}, defaults={})",
                text(&uri),
                globals.in_python()
            ),
        }
    }

    /// The file itself, if it says how Python's `logging` is to log; or why it cannot be read.
    pub fn logging(&self) -> Result<Option<Directory>, String> {
        let (bytes, _) = bytes_of(&self.path)
            .map_err(|error| format!("cannot read {}: {error}", self.path.display()))?;
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let is_there = lines.any(|line| line.trim_ascii_end() == LOGGERS);
        Ok(is_there.then(|| Directory::at(&self.path)))
    }

    fn shown(&self) -> String {
        let path = self.path.display();
        match &self.section {
            Some(section) => format!("{path}#{section}"),
            None => path.to_string(),
        }
    }
}

impl Value for PasteFile {
    fn expects() -> String {
        r#"the path of a file of PasteDeploy such as "production.ini", or PATH#SECTION"#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.shown().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let (path, section) = match text.split_once('#') {
            Some((path, section)) => (path, Some(section.to_owned())),
            None => (text, None),
        };
        if path.is_empty() || text.contains(char::is_control) {
            return Err(misfit::<Self>(&format!("{text:?}")));
        }
        Ok(Self {
            path: PathBuf::from(path),
            section,
        })
    }
}

/// Values for all sections of such a file, as `KEY=VALUE`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PasteGlobals(Vec<String>);

impl PasteGlobals {
    fn add(&mut self, pair: &str) -> Result<(), String> {
        match pair.split_once('=') {
            Some((key, _)) if !key.is_empty() => self.0.push(pair.to_owned()),
            Some(_) | None => return Err(misfit::<Self>(&format!("{pair:?}"))),
        }
        Ok(())
    }

    fn in_python(&self) -> String {
        let pairs = self.0.iter().filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.into()));
        serde_json::Value::Object(pairs.collect()).to_string()
    }
}

impl Value for PasteGlobals {
    const TAKES: Takes = Takes::Many;

    fn expects() -> String {
        "KEY=VALUE, or a list of these".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.clone().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let mut globals = Self::default();
        globals.add(text)?;
        Ok(globals)
    }

    fn from_list(items: &[Spanned<DeValue<'_>>]) -> Result<Self, Vec<Refusal>> {
        from_texts(Self::default(), items, Self::add)
    }

    fn from_words(words: &[String]) -> Result<Self, String> {
        let mut globals = Self::default();
        words.iter().try_for_each(|pair| globals.add(pair))?;
        Ok(globals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_loaded_by_its_path_with_its_section_and_the_global_values() {
        let file = PasteFile::from_text("etc/shop.ini#admin").unwrap();
        let globals = ["debug=\"a'b\"".to_owned(), "x=y=z".to_owned()];
        let globals = PasteGlobals::from_words(&globals).unwrap();

        let app = file.seen_from(Path::new("/srv/shop")).app(&globals);

        assert_eq!(app.as_str(), "/srv/shop/etc/shop.ini");
        assert_eq!(
            app.target(),
            "rgunicorn.paste:get_wsgi_app(\"config:/srv/shop/etc/shop.ini#admin\", \
             defaults={\"debug\":\"\\\"a'b\\\"\",\"x\":\"y=z\"})"
        );
    }

    #[test]
    fn what_names_no_file_or_no_value_is_refused() {
        for text in ["", "#main", "a\nb"] {
            assert!(PasteFile::from_text(text).is_err(), "{text:?}");
        }
        for pair in ["", "debug", "=1"] {
            assert!(PasteGlobals::from_text(pair).is_err(), "{pair:?}");
        }
    }

    #[test]
    fn a_file_with_loggers_is_one_of_logging() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.ini");
        let file = PasteFile::from_text(path.to_str().unwrap()).unwrap();
        fs::write(&path, "[app:main]\n# [loggers]\n").unwrap();
        assert_eq!(file.logging(), Ok(None));

        fs::write(&path, "[app:main]\n[loggers]\nkeys = root\n").unwrap();

        assert_eq!(file.logging(), Ok(Some(Directory::at(&path))));
    }

    /// At a reload, too: the master would stand still, or read for ever.
    #[test]
    fn what_is_no_file_is_refused_and_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("shop.ini");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [fifo.to_str().unwrap(), "/dev/zero"] {
            let refused = PasteFile::from_text(path).unwrap().logging();
            assert_eq!(
                refused,
                Err(format!("cannot read {path}: not a regular file"))
            );
        }
    }
}
