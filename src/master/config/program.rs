//! What a configuration in Python has set, as settings.
//!
//! Only names that Gunicorn has are settings there: a file of Gunicorn may use any
//! other as a variable of its own. Settings that Gunicorn does not have stand in a
//! table, `rgunicorn = {"drain_time": 5}`.

use super::error::{ConfigError, MAX_MISTAKES};
use super::gunicorn::{OPTIONS, our_name};
use super::gunicorn_settings::{THEIRS, Theirs};
use super::hooks::{HOOKS, LOGCONFIG_DICT};
use super::origin::Origin;
use super::setting::{Group, Setting};
use super::settings::Partial;
use super::support::Foreign;
use super::unknown::{unknown_key, unused as hint};
use super::value::{Refusal, Takes};
use rgunicorn_link::protocol::{Assigned, AssignedValue, Evaluation};
use serde_json::{Map, Value};
use std::path::Path;
use toml::de::DeTable;

/// The table of the settings that Gunicorn does not have.
const OWN: &str = "rgunicorn";

/// These decide how the program itself is run.
const NOT_THERE: &[&str] = &["config", "python", "worker_dir"];

/// What was set, every mistake in it, and what may be one.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) settings: Partial,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
}

/// The names that may be settings.
pub(crate) fn names() -> Vec<String> {
    let names = THEIRS.iter().map(|theirs| theirs.key);
    let names = names.filter(|name| !OPTIONS.contains(name)).chain([OWN]);
    names.map(str::to_owned).collect()
}

/// Reads what the program has set. The operator calls it `name`.
pub(super) fn read(evaluation: &Evaluation, name: &Path) -> Contents {
    let mut contents = Contents::default();
    for assigned in &evaluation.settings {
        let origin = Origin::Program {
            file: name.to_owned(),
            line: assigned.line,
        };
        match (&assigned.value, assigned.name.as_str()) {
            (AssignedValue::Plain(Value::Null), _) => {}
            (AssignedValue::Plain(Value::Object(table)), OWN) => contents.own(table, &origin),
            (_, OWN) => contents.refuse(OWN, &origin, "must be a table".to_owned()),
            _ => contents.assigned(assigned, &origin),
        }
    }
    for unused in &evaluation.unused {
        if let Some(hint) = hint(&unused.name) {
            let place = format!("{}:{}", name.display(), unused.line);
            contents.warnings.push(format!("{place}: {hint}"));
        }
    }
    contents
}

impl Contents {
    fn refuse(&mut self, key: &'static str, origin: &Origin, problem: String) {
        if self.errors.len() < MAX_MISTAKES {
            self.errors.push(ConfigError::Unusable {
                key,
                origin: origin.clone(),
                problem,
            });
        }
    }

    fn assigned(&mut self, assigned: &Assigned, origin: &Origin) {
        let name = assigned.name.as_str();
        if let Some(setting) = Setting::find(our_name(name)) {
            return self.set(setting, &assigned.value, origin);
        }
        if let Some(&hook) = HOOKS.iter().find(|hook| **hook == name) {
            match &assigned.value {
                AssignedValue::Callable | AssignedValue::Class(_) => {
                    self.settings.hook(hook, origin.clone());
                }
                AssignedValue::Uncallable(problem) => {
                    self.refuse(hook, origin, problem.clone());
                }
                AssignedValue::Plain(_) | AssignedValue::Other(_) => {
                    self.refuse(hook, origin, "must be a function".to_owned());
                }
            }
            return;
        }
        if name == LOGCONFIG_DICT {
            match &assigned.value {
                AssignedValue::Plain(Value::Object(table)) if table.is_empty() => {}
                AssignedValue::Plain(Value::Object(_)) | AssignedValue::Other(_) => {
                    self.settings.hook(LOGCONFIG_DICT, origin.clone());
                }
                AssignedValue::Plain(_)
                | AssignedValue::Callable
                | AssignedValue::Uncallable(_)
                | AssignedValue::Class(_) => {
                    self.refuse(LOGCONFIG_DICT, origin, "must be a dict".to_owned());
                }
            }
            return;
        }
        let Some(theirs) = Theirs::by_key(name) else {
            return;
        };
        let value = match &assigned.value {
            AssignedValue::Plain(value) => toml::Value::try_from(value).ok(),
            AssignedValue::Class(name) => Some(name.as_str().into()),
            AssignedValue::Callable | AssignedValue::Uncallable(_) | AssignedValue::Other(_) => {
                None
            }
        };
        // What TOML has no word for is no default either.
        let value = value.unwrap_or_else(|| "a value of Python's".into());
        match theirs.in_file(&value) {
            Foreign::Silent => {}
            Foreign::Ignored(ignored) => self.settings.ignore(ignored, origin.clone()),
            Foreign::Refused(refused) => self.refuse(theirs.key, origin, refused.advice()),
        }
    }

    /// The settings that Gunicorn does not have.
    fn own(&mut self, table: &Map<String, Value>, origin: &Origin) {
        for (key, value) in table {
            match Setting::find(key) {
                Some(setting)
                    if setting.group == Group::Units || NOT_THERE.contains(&setting.key) =>
                {
                    let problem = "has to be known before Python runs; give it on the command \
                                   line, or in a TOML file";
                    self.refuse(setting.key, origin, problem.to_owned());
                }
                Some(setting) => {
                    self.set(setting, &AssignedValue::Plain(value.clone()), origin);
                }
                None => self.refuse(OWN, origin, unknown_key(key).problem),
            }
        }
    }

    fn set(&mut self, setting: &'static Setting, value: &AssignedValue, origin: &Origin) {
        let set = match value {
            AssignedValue::Plain(value) => set(&mut self.settings, setting, value, origin.clone()),
            AssignedValue::Class(name) => self
                .settings
                .set_from_words(setting, std::slice::from_ref(name), origin.clone())
                .map_err(|problem| vec![problem]),
            AssignedValue::Callable | AssignedValue::Uncallable(_) => {
                Err(vec![misfit(setting, "a function")])
            }
            AssignedValue::Other(shown) => Err(vec![misfit(setting, shown)]),
        };
        for problem in set.err().into_iter().flatten() {
            self.refuse(setting.key, origin, problem);
        }
    }
}

fn misfit(setting: &Setting, shown: &str) -> String {
    format!("must be {}, not {shown}", (setting.expects)())
}

/// Gives a setting the value that it has in Python. What is a text there may be what
/// one would type on the command line; anything else is what it is in TOML.
fn set(
    settings: &mut Partial,
    setting: &'static Setting,
    value: &Value,
    origin: Origin,
) -> Result<(), Vec<String>> {
    let value = match (value, setting.takes) {
        (Value::String(text), Takes::Nothing) => match text.trim().to_ascii_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(vec![misfit(setting, &format!("{text:?}"))]),
        },
        (Value::String(text), Takes::One | Takes::OneOrNothing(_) | Takes::Many) => {
            let word = decimal(text).unwrap_or_else(|| text.clone());
            return match settings.set_from_words(setting, &[word], origin) {
                // An empty text says nothing where it is no value.
                Err(_) if text.is_empty() => Ok(()),
                set => set.map_err(|problem| vec![problem]),
            };
        }
        (value, _) => value.clone(),
    };
    let unusable = || vec![misfit(setting, &value.to_string())];
    let line = toml::Value::try_from(&value).map_err(|_| unusable())?;
    let line = toml::to_string(&toml::Table::from_iter([("value".to_owned(), line)]));
    let line = line.map_err(|_| unusable())?;
    let table = DeTable::parse(&line).map_err(|_| unusable())?;
    let Some(value) = table.get_ref().get("value") else {
        return Err(unusable());
    };
    let set = settings.set_from_file(setting, value.get_ref(), origin);
    set.map_err(|refusals| {
        refusals
            .into_iter()
            .map(|Refusal { problem, .. }| problem)
            .collect()
    })
}

/// A number that is written as Python writes others than decimal ones: `0x10`, `0o22`.
fn decimal(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let (digits, radix) = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((text.strip_prefix(prefix)?, radix)))?;
    let number = i64::from_str_radix(digits, radix).ok()?;
    Some(number.to_string())
}
