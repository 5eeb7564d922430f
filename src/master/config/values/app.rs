//! The name of the application, and the name of its processes.

use crate::config::value::{Value, misfit};
use std::fmt;

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum App {
    /// `module`, `module:callable` or `module:factory("argument")`.
    ///
    /// Only the syntax is checked here: whether there is such a module is known to
    /// the application's own interpreter.
    Imported(String),
    /// What a script of this name has for itself.
    OfScript(String),
    /// What a call returns that another setting stands for.
    Called {
        name: String,
        /// As in `Imported`.
        call: String,
    },
}

impl App {
    pub fn of_script(name: &str) -> Self {
        Self::OfScript(name.replace(char::is_control, "?"))
    }

    /// Its name for operators.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Imported(name) | Self::OfScript(name) | Self::Called { name, .. } => name,
        }
    }

    /// What Python imports.
    pub fn target(&self) -> &str {
        match self {
            Self::Imported(name) | Self::OfScript(name) => name,
            Self::Called { call, .. } => call,
        }
    }
}

impl fmt::Display for App {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.as_str())
    }
}

impl TryFrom<&str> for App {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        let (module, callable) = match text.split_once(':') {
            Some((module, callable)) => (module, Some(callable)),
            None => (text, None),
        };
        let is_name = |name: &str| {
            !name.is_empty()
                && !name.starts_with(|first: char| first.is_ascii_digit())
                && name
                    .chars()
                    .all(|letter| letter.is_alphanumeric() || letter == '_')
        };
        let usable = module.split('.').all(is_name)
            && callable.is_none_or(|callable| !callable.trim().is_empty())
            && !text.contains(char::is_control);
        if usable {
            Ok(Self::Imported(text.to_owned()))
        } else {
            Err(misfit::<Self>(&format!("{text:?}")))
        }
    }
}

impl Value for App {
    fn expects() -> String {
        r#""module:callable" as Python would import it"#.into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        match self {
            Self::Imported(name) => Some(name.as_str().into()),
            // Another setting says it.
            Self::OfScript(_) | Self::Called { .. } => None,
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Self::try_from(text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcName(String);

impl ProcName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for ProcName {
    fn expects() -> String {
        "a name without line breaks".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.as_str().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains(char::is_control) {
            return Err(misfit::<Self>(&format!("{text:?}")));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_a_module_and_perhaps_a_callable() {
        for app in [
            "site",
            "site:app",
            "shop.web.wsgi:application",
            "site:make(\"a:b\", debug=True)",
            "größe:app",
            "_x1:a.b",
        ] {
            assert_eq!(
                App::from_text(app).map(|app| app.to_string()),
                Ok(app.to_owned())
            );
        }
        for app in [
            "",
            ":app",
            "site:",
            "site: ",
            "./site.py",
            "srv/site:app",
            "site..x:app",
            "my-site:app",
            "1st:app",
            "site:a\nb",
        ] {
            assert_eq!(
                App::from_text(app),
                Err(format!(
                    "must be \"module:callable\" as Python would import it, not {app:?}"
                ))
            );
        }
    }

    #[test]
    fn a_process_name_is_one_line() {
        assert!(ProcName::from_text("the shop").is_ok());
        assert!(ProcName::from_text("").is_err());
        assert!(ProcName::from_text("a\nb").is_err());
    }
}
