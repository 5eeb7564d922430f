//! A command line of Gunicorn or rgunicorn, read word by word. Unlike a start, it
//! goes on after each mistake: the line may be of another machine, and Gunicorn's.

use crate::config::{SETTINGS, Setting, THEIRS, Takes, foreign_flag};
use std::path::Path;

/// What a word says.
#[derive(Debug)]
pub(super) enum Said {
    /// A setting, by its flag or as the application.
    Set(&'static Setting, Option<String>),
    /// A flag that rgunicorn does not have.
    Foreign(String),
    /// The interpreter, as far as the line tells.
    Python(String),
    /// A file with settings.
    Config(String),
    /// A variable for the process.
    Variable(String),
    /// What no program here would understand.
    Unknown(String),
}

/// Flags of the program itself, which say nothing about a site.
const OWN: &[&str] = &[
    "--check-config",
    "--print-config",
    "--convert",
    "--explain-unit",
];

pub(super) fn read(words: &[String]) -> Vec<Said> {
    let mut said = Vec::new();
    let mut rest = program(words, &mut said);
    let app = Setting::find("app");
    while let [word, after @ ..] = rest {
        rest = after;
        if word == "--" || OWN.contains(&word.as_str()) {
            continue;
        }
        let (flag, attached) = flag_of(word);
        let Some(flag) = flag else {
            said.extend(app.map(|app| Said::Set(app, Some(word.clone()))));
            continue;
        };
        let setting = SETTINGS.iter().find(|row| row.flags.contains(&flag));
        let is_switch = match setting {
            Some(setting) => setting.takes == Takes::Nothing,
            None => is_switch_of_gunicorn(flag),
        };
        let may_be_alone =
            setting.is_some_and(|setting| matches!(setting.takes, Takes::OneOrNothing(_)));
        let value = match (attached, rest) {
            _ if is_switch => None,
            (Some(value), _) => Some(value.to_owned()),
            (None, [next, ..]) if may_be_alone && next.starts_with('-') => None,
            (None, [value, after @ ..]) if takes_value(flag, setting) => {
                rest = after;
                Some(value.clone())
            }
            (None, _) => None,
        };
        said.push(match (setting, flag) {
            (Some(setting), _) => Said::Set(setting, value),
            (None, "-c" | "--config") => Said::Config(value.unwrap_or_default()),
            (None, _) if foreign_flag(flag).is_some() => Said::Foreign(flag.to_owned()),
            (None, _) => Said::Unknown(flag.to_owned()),
        });
    }
    said
}

fn is_switch_of_gunicorn(flag: &str) -> bool {
    let mut theirs = THEIRS.iter();
    theirs.any(|theirs| theirs.takes == Takes::Nothing && theirs.flags.contains(&flag))
}

/// An unknown flag may be followed by its value or by the application: nobody
/// knows, so what follows it is looked at by itself.
fn takes_value(flag: &str, setting: Option<&Setting>) -> bool {
    setting.is_some() || ["-c", "--config"].contains(&flag) || foreign_flag(flag).is_some()
}

/// `--flag=value`, `--flag`, `-fvalue`, `-f`, or no flag.
fn flag_of(word: &str) -> (Option<&str>, Option<&str>) {
    if word.starts_with("--") {
        return match word.split_once('=') {
            Some((flag, value)) => (Some(flag), Some(value)),
            None => (Some(word), None),
        };
    }
    let short = word.char_indices().nth(2).map_or(word.len(), |(at, _)| at);
    match word.strip_prefix('-') {
        Some("") | None => (None, None),
        Some(_) => {
            let value = &word[short..];
            let value = value.strip_prefix('=').unwrap_or(value);
            (Some(&word[..short]), (!value.is_empty()).then_some(value))
        }
    }
}

/// The words after the program. `env`, variables and an interpreter may be before it.
fn program<'a>(words: &'a [String], said: &mut Vec<Said>) -> &'a [String] {
    let is_program = |word: &String| {
        let name = Path::new(word).file_name().and_then(|name| name.to_str());
        matches!(name, Some("gunicorn" | "gunicorn3" | "rgunicorn"))
    };
    let Some(at) = words.iter().position(is_program) else {
        // Arguments alone, as `rgunicorn --explain-unit` itself has them.
        return words;
    };
    let before = &words[..at];
    let is_variable = |word: &&String| word.contains('=') && !word.starts_with('-');
    let variables = before.iter().filter(is_variable).cloned();
    said.extend(variables.map(Said::Variable));
    let is_python = |word: &&String| {
        let name = Path::new(word).file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("python"))
    };
    let beside = || {
        let folder = Path::new(&words[at]).parent()?;
        let is_absolute = folder.is_absolute() && !folder.starts_with("/usr");
        (is_absolute && !words[at].ends_with("rgunicorn"))
            .then(|| folder.join("python").to_string_lossy().into_owned())
    };
    let python = before.iter().find(is_python).cloned().or_else(beside);
    said.extend(python.map(Said::Python));
    &words[at + 1..]
}
