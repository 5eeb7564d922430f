//! The hooks of a configuration in Python, and what they are told of the settings.

use super::gunicorn_settings::THEIRS;
use super::settings::Config;
use super::support::{Support, support};
use super::{Origin, Setting};
use serde_json::{Map, Value};

/// Those that are called. Gunicorn has more.
pub const HOOKS: &[&str] = &[
    "child_exit",
    "nworkers_changed",
    "on_exit",
    "on_reload",
    "on_starting",
    "post_fork",
    "post_request",
    "post_worker_init",
    "pre_exec",
    "pre_fork",
    "pre_request",
    "when_ready",
    "worker_abort",
    "worker_exit",
    "worker_int",
];

/// What Python alone can use, as hooks are: there may be any object in it.
pub const LOGCONFIG_DICT: &str = "logconfig_dict";

/// What the value of a hook, or of the like, is.
pub(super) fn kind(name: &str) -> &'static str {
    if name == LOGCONFIG_DICT {
        "a dict"
    } else {
        "a function"
    }
}

impl Config {
    pub fn has_hooks(&self) -> bool {
        !self.hooks.is_empty()
    }

    /// Whether it says more of Python's `logging` than its level.
    pub fn configures_logging(&self) -> bool {
        self.logconfig.is_some()
            || self.logconfig_json.is_some()
            || !self.logger_class.is_default()
            || self.hooks.contains_key(LOGCONFIG_DICT)
    }

    /// The hooks that are set, and where.
    pub fn hooks(&self) -> impl Iterator<Item = (&'static str, &Origin)> {
        self.hooks.iter().map(|(&name, origin)| (name, origin))
    }

    /// Every setting of Gunicorn, by its name and in the form that it has there. `null` where
    /// it has no value, or where only the configuration in Python knows it.
    pub fn as_gunicorn_has_it(&self) -> Map<String, Value> {
        let values = self.values();
        let value = |setting: &Setting| {
            let mut values = values.iter();
            values
                .find(|(other, _)| other.key == setting.key)?
                .1
                .clone()
        };
        let is_ignored = |key| self.ignored().any(|(ignored, _)| ignored.key == key);
        let theirs = THEIRS.iter().map(|theirs| {
            let value = match support(theirs.key) {
                Some(Support::Setting(setting)) => match setting.key {
                    "workers" => Some(self.workers.count().into()),
                    "env" => Some(self.raw_env()),
                    "worker_class" => {
                        let class = self.worker_class.resolve(self.threads.get());
                        Some(class.name().into())
                    }
                    "proc_name" => Some(self.process_name().into()),
                    "pythonpath" => value(setting).as_ref().and_then(joined),
                    "bind" => value(setting).and_then(plain).map(listed),
                    _ => value(setting).and_then(plain),
                },
                // Only the configuration in Python knows it.
                Some(Support::Ignored(_)) if is_ignored(theirs.key) => None,
                // Python has it.
                Some(Support::Object) if self.hooks.contains_key(theirs.key) => None,
                Some(
                    Support::Option
                    | Support::Hook
                    | Support::Object
                    | Support::Ignored(_)
                    | Support::Refused(_),
                )
                | None => theirs.default_value().and_then(plain),
            };
            (theirs.key.to_owned(), value.unwrap_or(Value::Null))
        });
        theirs.collect()
    }

    fn raw_env(&self) -> Value {
        let pairs = self.env.iter();
        pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .into()
    }
}

fn plain(value: toml::Value) -> Option<Value> {
    serde_json::to_value(value).ok()
}

/// A list also of one.
fn listed(value: Value) -> Value {
    match value {
        Value::Array(_) => value,
        one => vec![one].into(),
    }
}

/// A list in the form of a text, with commas.
fn joined(list: &toml::Value) -> Option<Value> {
    let items = list.as_array()?.iter();
    let items: Vec<&str> = items.filter_map(toml::Value::as_str).collect();
    (!items.is_empty()).then(|| items.join(",").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;
    use crate::config::{Start, load};

    #[test]
    fn settings_have_the_form_that_gunicorn_gives_them() {
        let words = [
            "rgunicorn",
            "-w",
            "3",
            "--threads",
            "2",
            "-e",
            "A=b",
            "--pythonpath",
            "/a,/b",
            "-b",
            ":80",
            "shop:app",
        ];
        let start = Start {
            directory: "/".into(),
            search_path: std::env::var_os("PATH").unwrap(),
            ..Start::default()
        };
        let config = load(&cli::parse_from(words, start).unwrap().sources).unwrap();

        let settings = config.as_gunicorn_has_it();

        for (name, value) in [
            ("workers", serde_json::json!(3)),
            ("worker_class", "gthread".into()),
            ("raw_env", serde_json::json!(["A=b"])),
            ("pythonpath", "/a,/b".into()),
            ("wsgi_app", "shop:app".into()),
            ("preload_app", false.into()),
            ("keepalive", 2.into()),
            ("proc_name", "shop:app".into()),
            ("bind", serde_json::json!(["0.0.0.0:80"])),
            ("keyfile", Value::Null),
            ("http_parser", "auto".into()),
        ] {
            assert_eq!(settings[name], value, "{name}");
        }
        assert_eq!(settings.len(), THEIRS.len());
    }
}
