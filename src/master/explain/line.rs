//! A command line of Gunicorn or rgunicorn, read word by word. Unlike a start, it
//! goes on after each mistake: the line may be of another machine, and Gunicorn's.

use crate::config::{ConfigProgram, SETTINGS, Setting, THEIRS, Takes, foreign_flag};
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
    /// A file with settings, or a script.
    Config(String),
    /// What stands behind the name of a script.
    Arguments(Vec<String>),
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
        if word == "--" && said.iter().any(is_script) {
            said.push(Said::Arguments(rest.to_vec()));
            break;
        }
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

fn is_script(said: &Said) -> bool {
    matches!(said, Said::Config(name) if ConfigProgram::is_script(Path::new(name)))
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

fn name_of(word: &str) -> Option<&str> {
    Path::new(word).file_name().and_then(|name| name.to_str())
}

fn is_program(word: &str) -> bool {
    matches!(name_of(word), Some("gunicorn" | "gunicorn3" | "rgunicorn"))
}

fn is_python(word: &str) -> bool {
    name_of(word).is_some_and(|name| name.starts_with("python"))
}

fn is_variable(word: &str) -> bool {
    word.contains('=') && !word.starts_with('-')
}

/// The words after the program. `env`, variables and an interpreter may be before it.
fn program<'a>(words: &'a [String], said: &mut Vec<Said>) -> &'a [String] {
    if let Some((before, script, arguments)) = script(words) {
        let variables = before.iter().filter(|word| is_variable(word));
        said.extend(variables.cloned().map(Said::Variable));
        let python = before.iter().find(|word| is_python(word));
        said.extend(python.cloned().map(Said::Python));
        said.push(Said::Config(format!("script:{script}")));
        said.push(Said::Arguments(arguments.to_vec()));
        return &[];
    }
    let Some(at) = words.iter().position(|word| is_program(word)) else {
        // Arguments alone, as `rgunicorn --explain-unit` itself has them.
        return words;
    };
    let before = &words[..at];
    let variables = before.iter().filter(|word| is_variable(word)).cloned();
    said.extend(variables.map(Said::Variable));
    let beside = || {
        let folder = Path::new(&words[at]).parent()?;
        let is_absolute = folder.is_absolute() && !folder.starts_with("/usr");
        (is_absolute && !words[at].ends_with("rgunicorn"))
            .then(|| folder.join("python").to_string_lossy().into_owned())
    };
    let python = before.iter().find(|word| is_python(word));
    let python = python.cloned().or_else(beside);
    said.extend(python.map(Said::Python));
    &words[at + 1..]
}

/// What `python` runs, if that is a script of the site's: the words before it, its path or
/// `-m MODULE`, and its arguments.
fn script(words: &[String]) -> Option<(&[String], String, &[String])> {
    let is_before = |word: &&String| name_of(word) == Some("env") || is_variable(word);
    let python = words.iter().take_while(is_before).count();
    let mut at = python + 1;
    words.get(python).filter(|word| is_python(word))?;
    let (main, arguments) = loop {
        match words.get(at)?.as_str() {
            "-m" => break (at + 1, at + 2),
            "-c" => return None,
            // These have a value.
            "-W" | "-X" => at += 2,
            flag if flag.starts_with('-') => at += 1,
            _ => break (at, at + 1),
        }
    };
    let name = words.get(main).filter(|name| !is_program(name))?;
    let is_module = main > at;
    let script = if is_module {
        format!("-m {name}")
    } else {
        name.clone()
    };
    Some((&words[..at], script, &words[arguments..]))
}
