//! What becomes of Gunicorn's settings here, and of their values.

use super::gunicorn::{OPTIONS, Unsupported, our_name};
use super::gunicorn_settings::Theirs;
use super::hooks::{HOOKS, LOGCONFIG_DICT};
use super::ignored::Ignored;
use super::setting::Setting;

/// What becomes of a setting of Gunicorn.
#[derive(Debug)]
pub enum Support {
    /// It is here, under this name.
    Setting(&'static Setting),
    /// It is an option of the program, not a setting.
    Option,
    /// It is a function in a configuration in Python.
    Hook,
    /// It is another object in a configuration in Python.
    Object,
    /// It is accepted, and has no effect.
    Ignored(&'static Ignored),
    /// It is refused, but for its default.
    Refused(&'static Unsupported),
}

/// What a value of a setting that is not here says.
#[derive(Debug)]
pub(crate) enum Foreign {
    /// What holds anyway.
    Silent,
    Ignored(&'static Ignored),
    Refused(&'static Unsupported),
}

/// What becomes of Gunicorn's setting `key`; `None` if Gunicorn has no such setting.
pub fn support(key: &str) -> Option<Support> {
    if let Some(setting) = Setting::find(our_name(key)) {
        return Some(Support::Setting(setting));
    }
    if let Some(ignored) = Ignored::by_key(key) {
        return Some(Support::Ignored(ignored));
    }
    if HOOKS.contains(&key) {
        return Some(Support::Hook);
    }
    if key == LOGCONFIG_DICT {
        return Some(Support::Object);
    }
    if OPTIONS.contains(&key) {
        return Some(Support::Option);
    }
    Unsupported::by_key(key).map(Support::Refused)
}

impl Theirs {
    /// What this value in a file says.
    pub(super) fn in_file(&'static self, value: &toml::Value) -> Foreign {
        self.said(self.is_default(value))
    }

    /// What this word of a command line says.
    pub(crate) fn on_command_line(&'static self, word: &str) -> Foreign {
        self.said(self.is_default_word(word))
    }

    fn said(&'static self, is_default: bool) -> Foreign {
        if is_default {
            return Foreign::Silent;
        }
        if let Some(ignored) = Ignored::by_key(self.key) {
            return Foreign::Ignored(ignored);
        }
        let refused = Unsupported::by_key(self.key);
        let flags = || {
            self.flags
                .iter()
                .find_map(|flag| Unsupported::by_flag(flag))
        };
        refused
            .or_else(flags)
            .map_or(Foreign::Silent, Foreign::Refused)
    }

    /// Whether it means the same as none.
    fn is_default(&self, value: &toml::Value) -> bool {
        if value.as_str().is_some_and(str::is_empty) {
            return true;
        }
        self.default_value().as_ref() == Some(value)
    }

    /// The same for the words of a command line.
    fn is_default_word(&self, word: &str) -> bool {
        match self.default_value() {
            Some(toml::Value::String(text)) => word.is_empty() || text == word,
            Some(value) => value.to_string() == word,
            None => word.is_empty(),
        }
    }
}
