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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;
    use crate::config::file;
    use crate::config::gunicorn::UNSUPPORTED;
    use crate::config::gunicorn_settings::THEIRS;
    use crate::config::ignored::IGNORED;
    use crate::config::value::Takes;
    use crate::config::{Config, Start, load};
    use std::env;
    use std::path::Path;

    #[test]
    fn each_setting_of_gunicorn_is_here_or_accepted_or_refused_with_advice() {
        for theirs in THEIRS {
            match support(theirs.key) {
                Some(Support::Ignored(ignored)) => {
                    assert!(
                        Unsupported::by_key(ignored.key).is_none(),
                        "{}",
                        ignored.key
                    );
                }
                Some(
                    Support::Setting(_)
                    | Support::Option
                    | Support::Hook
                    | Support::Object
                    | Support::Refused(_),
                ) => {}
                None => panic!("{}", theirs.key),
            }
        }
        for key in IGNORED.iter().map(|ignored| ignored.key) {
            assert!(
                Theirs::by_key(key).is_some() && Setting::find(key).is_none(),
                "{key}"
            );
        }
        for refused in UNSUPPORTED {
            let theirs = Theirs::by_key(refused.key).unwrap();
            assert_eq!(theirs.flags, refused.flags, "{}", refused.key);
        }
    }

    fn configured(words: &[String]) -> Result<Config, String> {
        let start = Start {
            directory: "/".into(),
            search_path: env::var_os("PATH").unwrap(),
            ..Start::default()
        };
        let own = ["rgunicorn".to_owned(), "a:b".to_owned()];
        let line =
            cli::parse_from(own.iter().chain(words), start).map_err(|stop| format!("{stop:?}"))?;
        load(&line.sources).map_err(|errors| errors.to_string())
    }

    #[test]
    fn the_default_of_a_setting_that_is_not_here_is_accepted_silently() {
        for theirs in THEIRS.iter().filter(|theirs| !theirs.default.is_empty()) {
            if matches!(support(theirs.key), Some(Support::Option)) {
                continue;
            }
            let text = format!("{} = {}", theirs.key, theirs.default);
            let contents = file::parse(&text, Path::new("x.toml")).unwrap();
            assert!(contents.errors.is_empty(), "{text}: {contents:?}");
            assert!(contents.settings.ignored_keys().is_empty(), "{text}");

            let word = theirs.default_value().unwrap();
            let word = word
                .as_str()
                .map_or_else(|| word.to_string(), str::to_owned);
            let is_list = word.starts_with('[') || word.starts_with('{');
            if theirs.takes == Takes::Nothing || theirs.flags.is_empty() || is_list {
                continue;
            }
            for flag in theirs.flags {
                let config = configured(&[(*flag).to_owned(), word.clone()]);
                assert_eq!(config.unwrap().ignored().count(), 0, "{flag} {word}");
            }
        }
    }

    #[test]
    fn a_setting_without_effect_is_accepted_and_said_with_its_place() {
        for ignored in IGNORED {
            let theirs = Theirs::by_key(ignored.key).unwrap();
            let text = format!("{} = \"x\"", theirs.key);
            let contents = file::parse(&text, Path::new("x.toml")).unwrap();
            assert!(contents.errors.is_empty(), "{text}: {contents:?}");
            assert_eq!(contents.settings.ignored_keys(), [ignored.key]);

            if theirs.flags.is_empty() {
                continue;
            }
            let words: &[&str] = match theirs.takes {
                Takes::Nothing => &[],
                Takes::One | Takes::OneOrNothing(_) | Takes::Many => &["x"],
            };
            let words = theirs.flags.iter().take(1).chain(words);
            let config = configured(&words.map(|word| (*word).to_owned()).collect::<Vec<_>>());
            let config = config.unwrap();
            let said = config
                .ignored()
                .map(|(found, origin)| (found.key, origin.to_string()));
            // What Gunicorn has anyway says nothing.
            if ignored.key != "suppress_ragged_eofs" {
                let place = format!("{} on the command line", theirs.long_flag());
                assert_eq!(said.collect::<Vec<_>>(), [(ignored.key, place)]);
            }
        }
    }

    #[test]
    fn what_is_refused_on_a_command_line_is_reported_together() {
        let words = "--dirty-app x --keyfile a -w 0 --log-file - --certfile b --protocol=uwsgi";
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();

        let refused = configured(&words).unwrap_err();

        for name in [
            "--dirty-app",
            "--keyfile",
            "--workers",
            "--certfile",
            "--protocol",
        ] {
            assert!(refused.contains(name), "{refused}");
        }
        assert!(!refused.contains("--log-file"), "{refused}");
    }
}
