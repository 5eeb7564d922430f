//! From what a command line says to the file of a site: its settings, lines for the
//! unit that no setting stands for, and notes about the rest.

use super::line::Said;
use crate::config::{SETTINGS, Setting, Takes, foreign_flag};
use std::path::Path;
use toml::Value;

/// What becomes of a command line.
#[derive(Debug, Default)]
pub(super) struct Translation {
    settings: toml::Table,
    /// Lines for a drop-in of the service.
    pub(super) service: Vec<String>,
    /// What is not taken over, and why.
    pub(super) notes: Vec<String>,
    pub(super) mistakes: Vec<String>,
}

impl Translation {
    pub(super) fn setting(&self, key: &str) -> Option<&Value> {
        self.settings.get(key)
    }

    /// The file, in the order in which settings are documented.
    pub(super) fn toml(&self) -> String {
        let lines = SETTINGS.iter().filter_map(|setting| {
            let value = self.settings.get(setting.key)?;
            Some(format!("{} = {value}\n", setting.key))
        });
        let text: String = lines.collect();
        if self.settings.contains_key("app") {
            text
        } else {
            format!("#app = \"module:callable\"\n{text}")
        }
    }

    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.settings.insert(key.to_owned(), value.into());
    }

    fn refuse(&mut self, mistake: String) {
        self.notes.push(mistake.clone());
        self.mistakes.push(mistake);
    }
}

pub(super) fn translate(line: &[Said]) -> Translation {
    let mut made = Translation::default();
    for setting in SETTINGS.iter().filter(|setting| setting.is_argument()) {
        let given = line.iter().filter_map(|said| match said {
            Said::Set(of, value) if of.key == setting.key => Some(value.as_ref()),
            Said::Variable(pair) if setting.key == "env" => Some(Some(pair)),
            _ => None,
        });
        let given: Vec<Option<&String>> = given.collect();
        if !given.is_empty() {
            read(setting, &given, &mut made);
        }
    }
    for said in line {
        match said {
            Said::Set(..) | Said::Variable(_) => {}
            Said::Python(path) => {
                if made.setting("python").is_none() {
                    made.set("python", path.clone());
                }
            }
            Said::Config(file) => {
                let is_python = Path::new(file).extension().is_some_and(|kind| kind == "py");
                let what = if is_python {
                    "a configuration in Python; "
                } else {
                    ""
                };
                made.notes.push(format!(
                    "--config {file}: {what}write its settings into this file"
                ));
            }
            Said::Foreign(flag, value) => foreign(flag, value.as_deref(), &mut made),
            Said::Unknown(flag) => made.refuse(format!(
                "{flag}: neither Gunicorn nor rgunicorn has this option"
            )),
        }
    }
    made
}

/// A setting of rgunicorn, checked as a start would check it.
fn read(setting: &'static Setting, given: &[Option<&String>], made: &mut Translation) {
    if setting.takes != Takes::Nothing && given.contains(&None) {
        made.refuse(format!("{}: a value is missing", setting.flag()));
        return;
    }
    let words: Vec<String> = given.iter().copied().flatten().cloned().collect();
    match setting.value_of(&words) {
        Ok(Some(value)) => made.set(setting.key, value),
        Ok(None) => {}
        Err(problem) => made.refuse(format!("{}: {problem}", setting.flag())),
    }
}

/// An option of Gunicorn that is something else here.
fn foreign(flag: &str, value: Option<&str>, made: &mut Translation) {
    let value = value.unwrap_or_default();
    let key = match flag {
        "-u" | "--user" => "user",
        "-g" | "--group" => "group",
        "-m" | "--umask" => {
            let digits = value.trim_start_matches("0o");
            if !digits.is_empty() && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) {
                made.service.push(format!("UMask={digits}"));
            } else {
                made.refuse(format!("{flag}: must be an octal number, not {value:?}"));
            }
            return;
        }
        _ => {
            let advice = foreign_flag(flag).unwrap_or_default();
            made.notes.push(format!("{flag}: {advice}"));
            return;
        }
    };
    let Some(setting) = Setting::find(key) else {
        return;
    };
    match setting.value_of(&[value.to_owned()]) {
        Ok(Some(value)) => made.set(key, value),
        Ok(None) => {}
        Err(problem) => made.refuse(format!("{flag}: {problem}")),
    }
}
