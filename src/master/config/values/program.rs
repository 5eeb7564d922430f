//! A configuration in Python, as Gunicorn has it, or a script with an application of its own.

use super::App;
use crate::config::value::{Value, misfit};
use rgunicorn_link::protocol::{Main, Program, Script};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// What names a script, and not a configuration.
const SCRIPT: &str = "script:";

/// What names a script as `python -m` does.
const MODULE: &str = "-m ";

/// A Python file, a module that can be imported, or a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProgram(Program);

impl ConfigProgram {
    /// Whether `name`, as it stands behind `--config`, is not that of a TOML file.
    pub fn is_named_by(name: &Path) -> bool {
        let is_python = name.extension().is_some_and(|extension| extension == "py");
        let has_scheme = |text: &str| {
            let mut schemes = ["python:", "file:", SCRIPT].iter();
            schemes.any(|scheme| text.starts_with(scheme))
        };
        is_python || name.to_str().is_some_and(has_scheme)
    }

    /// Whether `name`, as it stands behind `--config`, is that of a script.
    pub fn is_script(name: &Path) -> bool {
        name.to_str().is_some_and(|text| text.starts_with(SCRIPT))
    }

    /// For a script, its arguments. What is no text in them is replaced, as Python could not
    /// be told of it.
    #[must_use]
    pub fn with_arguments(self, arguments: &[OsString]) -> Self {
        match self.0 {
            Program::Script(Script { main, .. }) => Self(Program::Script(Script {
                main,
                arguments: (arguments.iter())
                    .map(|word| word.to_string_lossy().into_owned())
                    .collect(),
            })),
            other @ (Program::File(_) | Program::Module(_)) => Self(other),
        }
    }

    /// What a script serves: its own application, which is called like its file.
    pub fn served_by_script(&self) -> Option<App> {
        match &self.0 {
            Program::Script(Script { main, .. }) => Some(App::of_script(&match main {
                Main::File(path) => path.file_name().unwrap_or_default().to_string_lossy(),
                Main::Module(name) => name.into(),
            })),
            Program::File(_) | Program::Module(_) => None,
        }
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
            Program::Script(Script {
                main: Main::File(path),
                arguments,
            }) => Self(Program::Script(Script {
                main: Main::File(base.join(path)),
                arguments: arguments.clone(),
            })),
            Program::Module(_) | Program::Script(_) => self.clone(),
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
        r#"the path of a Python file such as "gunicorn.conf.py", "python:MODULE", or "script:PATH""#
            .into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        let text = match &self.0 {
            Program::File(path) if Self::is_named_by(path) => path.to_string_lossy().into_owned(),
            Program::File(path) => format!("file:{}", path.display()),
            Program::Module(name) => format!("python:{name}"),
            Program::Script(Script { main, .. }) => match main {
                Main::File(path) => format!("{SCRIPT}{}", path.display()),
                Main::Module(name) => format!("{SCRIPT}{MODULE}{name}"),
            },
        };
        Some(text.into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let refused = || Err(misfit::<Self>(&format!("{text:?}")));
        if let Some(module) = text.strip_prefix("python:") {
            if is_module(module) {
                return Ok(Self(Program::Module(module.to_owned())));
            }
            return refused();
        }
        if let Some(script) = text.strip_prefix(SCRIPT) {
            let main = match script.strip_prefix(MODULE) {
                Some(module) if is_module(module) => Main::Module(module.to_owned()),
                None if !script.is_empty() && !script.contains('\0') => Main::File(script.into()),
                Some(_) | None => return refused(),
            };
            let arguments = Vec::new();
            return Ok(Self(Program::Script(Script { main, arguments })));
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

fn is_module(text: &str) -> bool {
    let is_name = |name: &str| {
        let mut letters = name.chars();
        letters
            .next()
            .is_some_and(|letter| letter.is_alphabetic() || letter == '_')
            && letters.all(|letter| letter.is_alphanumeric() || letter == '_')
    };
    text.split('.').all(is_name)
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
            ("script:serve.py", "script:/srv/shop/serve.py"),
            ("script:/venv/bin/shop", "script:/venv/bin/shop"),
            ("script:-m shop.serve", "script:-m shop.serve"),
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
            "script:",
            "script:-m ",
            "script:-m a/b",
        ] {
            let refused = shown(text).unwrap_err();
            assert!(refused.contains("gunicorn.conf.py"), "{refused}");
        }
    }
}
