//! `logger_class`.

use crate::config::value::{Value, misfit};

/// The class of the log that hooks write to: `module.Class`. Only Python can tell whether there
/// is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggerClass(String);

impl LoggerClass {
    const GUNICORNS: &str = "gunicorn.glogging.Logger";

    pub fn gunicorns() -> Self {
        Self(Self::GUNICORNS.to_owned())
    }

    pub fn is_default(&self) -> bool {
        self.0 == Self::GUNICORNS
    }
}

impl Value for LoggerClass {
    fn expects() -> String {
        "a class, as \"module.Class\"".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(self.0.as_str().into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let is_name =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
        // Gunicorn takes either.
        let name = text.replacen(':', ".", 1);
        if name.contains('.') && name.split('.').all(is_name) {
            Ok(Self(name))
        } else {
            Err(misfit::<Self>(&format!("{text:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_a_module() {
        for (text, name) in [
            ("shop.logs.Logger", "shop.logs.Logger"),
            ("shop.logs:Logger", "shop.logs.Logger"),
            ("__config__.Logger", "__config__.Logger"),
        ] {
            let class = LoggerClass::from_text(text).unwrap();
            assert_eq!(class.to_toml(), Some(name.into()));
            assert!(!class.is_default());
        }
        assert!(LoggerClass::gunicorns().is_default());
        for text in ["", "Logger", "simple", "shop..Logger", "shop.", "a b.C"] {
            assert!(LoggerClass::from_text(text).is_err(), "{text}");
        }
    }
}
