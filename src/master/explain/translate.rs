//! From what a command line says to the file of a site: its settings, and notes about
//! the rest.

use super::line::Said;
use crate::config::{ConfigProgram, SETTINGS, Setting, Takes, foreign_flag};
use std::path::Path;
use toml::Value;

/// Settings that are for servers in a terminal.
const TERMINAL: [&str; 2] = ["daemon", "enable_stdio_inheritance"];

/// What becomes of a command line.
#[derive(Debug, Default)]
pub(super) struct Translation {
    settings: toml::Table,
    /// What is not taken over, and why.
    pub(super) notes: Vec<String>,
    pub(super) mistakes: Vec<String>,
}

impl Translation {
    /// A setting that is a text.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.settings.get(key)?.as_str()
    }

    /// The path of the script that serves the site, or `-m MODULE`.
    pub(super) fn script(&self) -> Option<&str> {
        self.text("config")?.strip_prefix("script:")
    }

    /// The file, in the order in which settings are documented.
    pub(super) fn toml(&self) -> String {
        let lines = SETTINGS.iter().filter_map(|setting| {
            let value = self.settings.get(setting.key)?;
            Some(format!("{} = {value}\n", setting.key))
        });
        let text: String = lines.collect();
        let is_named = ["app", "paste"].iter().any(|key| self.text(key).is_some());
        if is_named || self.script().is_some() {
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
        if !given.is_empty() && TERMINAL.contains(&setting.key) {
            let flag = setting.flag();
            let note = format!("{flag}: left out; systemd runs a service in the background");
            made.notes.push(note);
        } else if !given.is_empty() {
            read(setting, &given, &mut made);
        }
    }
    for said in line {
        match said {
            Said::Set(..) | Said::Variable(_) => {}
            Said::Python(path) => {
                if made.text("python").is_none() {
                    made.set("python", path.clone());
                }
            }
            Said::Config(file) => {
                if !ConfigProgram::is_named_by(Path::new(file)) {
                    made.notes.push(format!(
                        "--config {file}: write its settings into this file"
                    ));
                    continue;
                }
                made.set("config", file.clone());
                if is_relative(file) {
                    made.notes.push(whole_path("--config", file));
                }
            }
            Said::Arguments(words) if words.is_empty() => {}
            Said::Arguments(words) => made.notes.push(format!(
                "-- {}: the script of a site has no arguments; give it variables of `env`",
                words.join(" ")
            )),
            Said::Foreign(flag) => {
                let advice = foreign_flag(flag).unwrap_or_default();
                made.notes.push(format!("{flag}: {advice}"));
            }
            Said::Unknown(flag) => made.refuse(format!(
                "{flag}: neither Gunicorn nor rgunicorn has this option"
            )),
        }
    }
    if let Some(file) = made.text("paste").filter(|file| !file.starts_with('/')) {
        let note = whole_path("--paste", file);
        made.notes.push(note);
    }
    made
}

/// Whether what `--config` names is a file whose place depends on where the server starts.
fn is_relative(program: &str) -> bool {
    let schemes = ["file:", "script:"].iter();
    let path = schemes.fold(program, |path, scheme| {
        path.strip_prefix(scheme).unwrap_or(path)
    });
    let is_module = program.starts_with("python:") || path.starts_with("-m ");
    !is_module && !path.starts_with('/')
}

fn whole_path(flag: &str, file: &str) -> String {
    format!("{flag} {file}: write the whole path of the file, as the service starts in /")
}

/// A setting of rgunicorn, checked as a start would check it.
fn read(setting: &'static Setting, given: &[Option<&String>], made: &mut Translation) {
    let without = match setting.takes {
        Takes::OneOrNothing(value) => Some(value),
        Takes::Nothing | Takes::One | Takes::Many => None,
    };
    if setting.takes != Takes::Nothing && without.is_none() && given.contains(&None) {
        made.refuse(format!("{}: a value is missing", setting.flag()));
        return;
    }
    let words: Vec<String> = given
        .iter()
        .filter_map(|word| word.cloned().or(without.map(str::to_owned)))
        .collect();
    match setting.value_of(&words) {
        Ok(Some(value)) => made.set(setting.key, value),
        Ok(None) => {}
        Err(problem) => made.refuse(format!("{}: {problem}", setting.flag())),
    }
}
