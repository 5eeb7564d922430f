//! A configuration in Python, as Gunicorn has it.

use crate::config::value::{Value, misfit};
use rgunicorn_link::protocol::Program;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A Python file, or a module that can be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProgram(Program);

impl ConfigProgram {
    /// Whether `name`, as it stands behind `--config`, is not that of a TOML file.
    pub fn is_named_by(name: &Path) -> bool {
        let is_python = name.extension().is_some_and(|extension| extension == "py");
        let has_scheme = |text: &str| text.starts_with("python:") || text.starts_with("file:");
        is_python || name.to_str().is_some_and(has_scheme)
    }

    pub fn at(path: &Path) -> Self {
        Self(Program::File(path.to_owned()))
    }

    pub fn program(&self) -> &Program {
        &self.0
    }

    #[must_use]
    pub fn seen_from(&self, base: &Path) -> Self {
        match &self.0 {
            Program::File(path) => Self(Program::File(base.join(path))),
            Program::Module(_) => self.clone(),
        }
    }
}

impl ConfigProgram {
    /// Whether the file is there, for all that can be seen before Python opens it; if not,
    /// its path.
    pub fn check(&self) -> Result<(), (&Path, io::Error)> {
        let Program::File(path) = &self.0 else {
            return Ok(());
        };
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err((path, error)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl Value for ConfigProgram {
    fn expects() -> String {
        r#"the path of a Python file such as "gunicorn.conf.py", or "python:MODULE""#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        let text = match &self.0 {
            Program::File(path) if Self::is_named_by(path) => path.to_string_lossy().into_owned(),
            Program::File(path) => format!("file:{}", path.display()),
            Program::Module(name) => format!("python:{name}"),
        };
        Some(text.into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let refused = || Err(misfit::<Self>(&format!("{text:?}")));
        if let Some(module) = text.strip_prefix("python:") {
            let is_name = |name: &str| {
                let mut letters = name.chars();
                letters
                    .next()
                    .is_some_and(|letter| letter.is_alphabetic() || letter == '_')
                    && letters.all(|letter| letter.is_alphanumeric() || letter == '_')
            };
            if module.split('.').all(is_name) {
                return Ok(Self(Program::Module(module.to_owned())));
            }
            return refused();
        }
        let (path, is_named) = match text.strip_prefix("file:") {
            Some(path) => (path, true),
            None => (text, Self::is_named_by(Path::new(text))),
        };
        if path.is_empty() || path.contains('\0') || !is_named {
            return refused();
        }
        Ok(Self(Program::File(PathBuf::from(path))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        let program = ConfigProgram::from_text(text)?;
        let value = program.seen_from(Path::new("/srv/shop")).to_toml();
        Ok(value.unwrap().as_str().unwrap().to_owned())
    }

    #[test]
    fn a_program_is_a_python_file_or_a_module() {
        for (text, says) in [
            ("gunicorn.conf.py", "/srv/shop/gunicorn.conf.py"),
            ("/etc/x.py", "/etc/x.py"),
            ("file:settings", "file:/srv/shop/settings"),
            ("file:conf.py", "/srv/shop/conf.py"),
            ("python:shop.server", "python:shop.server"),
        ] {
            assert_eq!(shown(text), Ok(says.to_owned()));
            assert_eq!(shown(says), Ok(says.to_owned()));
        }
        for text in [
            "",
            "shop.toml",
            "python:",
            "python:a..b",
            "python:a b",
            "file:",
            "a\0.py",
        ] {
            let refused = shown(text).unwrap_err();
            assert!(refused.contains("gunicorn.conf.py"), "{refused}");
        }
    }
}
