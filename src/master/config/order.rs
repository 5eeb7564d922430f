//! Which source of a setting wins, for each setting and each pair of sources. That each of them
//! gives it the same value is told in `tests/stories/every_setting.rs`.

use super::setting::Setting;
use super::settings::{Config, SETTINGS};
use super::value::Takes;
use super::{Loaded, Origin, RENAMED, Start, Theirs, read};
use crate::cli;
use rgunicorn_link::protocol::{Assigned, AssignedValue, Evaluation};
use std::{env, fs};
use tempfile::TempDir;
use toml::Value;

/// The sources, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Default,
    Variable,
    Program,
    File,
    GunicornArguments,
    Arguments,
    CommandLine,
}

/// All that say something.
const SOURCES: [Source; 6] = [
    Source::Variable,
    Source::Program,
    Source::File,
    Source::GunicornArguments,
    Source::Arguments,
    Source::CommandLine,
];

impl Source {
    fn of(origin: &Origin) -> Self {
        match origin {
            Origin::Default | Origin::Installation => Self::Default,
            Origin::Environment(_) => Self::Variable,
            Origin::Program { .. } => Self::Program,
            Origin::File(_) => Self::File,
            Origin::Arguments {
                variable: "GUNICORN_CMD_ARGS",
                ..
            } => Self::GunicornArguments,
            Origin::Arguments { .. } => Self::Arguments,
            Origin::CommandLine(_) => Self::CommandLine,
        }
    }
}

/// A value that can be given here, as TOML has it.
fn value(setting: &Setting) -> Value {
    match setting.key {
        "chdir" => "/".into(),
        // A file that is there.
        "config" | "paste" => "gunicorn.conf.py".into(),
        "python" => "python3".into(),
        "pythonpath" => vec!["/lib"].into(),
        "reload_extra_files" => vec!["/templates/*.html"].into(),
        "sendfile" => false.into(),
        _ if setting.takes == Takes::Nothing => true.into(),
        _ => match (setting.default)() {
            Some(value) if setting.example.is_empty() => value,
            Some(_) | None => {
                let line = format!("value = {}", setting.example);
                line.parse::<toml::Table>().unwrap()["value"].clone()
            }
        },
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The words of a command line that give it this value.
fn words(setting: &Setting) -> Vec<String> {
    let flag = |word: String| match setting.flags {
        [] => word,
        _ => format!("{}={word}", setting.flag()),
    };
    match value(setting) {
        Value::Boolean(_) => vec![setting.flag().to_owned()],
        Value::Array(items) if setting.takes == Takes::Many => {
            items.iter().map(word).map(flag).collect()
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(word).collect();
            vec![flag(items.join(","))]
        }
        Value::Table(pairs) => {
            let pairs = pairs.iter();
            let pair = |(name, value)| flag(format!("{name}={}", word(value)));
            pairs.map(pair).collect()
        }
        value => vec![flag(word(&value))],
    }
}

/// Whether a program in Python may set it.
fn is_for_programs(setting: &Setting) -> bool {
    !["config", "python", "worker_dir"].contains(&setting.key)
}

/// What a program has set, which says something of this setting.
fn evaluation(setting: &Setting) -> Evaluation {
    let renamed = RENAMED.iter().find(|(_, ours)| *ours == setting.key);
    let theirs = renamed.map_or(setting.key, |(theirs, _)| theirs);
    let value = serde_json::to_value(value(setting)).unwrap();
    let (name, value) = if Theirs::by_key(theirs).is_some() {
        (theirs, value)
    } else {
        ("rgunicorn", serde_json::json!({ setting.key: value }))
    };
    Evaluation {
        file: "/gunicorn.conf.py".into(),
        settings: vec![Assigned {
            name: name.to_owned(),
            value: AssignedValue::Plain(value),
            line: Some(1),
        }],
        unused: Vec::new(),
    }
}

/// The configuration when these sources say something of this setting.
fn with(setting: &Setting, sources: &[Source]) -> Config {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let mut start = Start {
        directory: folder.path().to_owned(),
        search_path: env::var_os("PATH").unwrap(),
        ..Start::default()
    };
    let mut line = vec!["rgunicorn".to_owned()];
    let words = words(setting);
    let quoted = || shlex::try_join(words.iter().map(String::as_str)).unwrap();
    let app = "app = \"a:b\"\n".to_owned();
    let mut file = if setting.key == "app" && !sources.contains(&Source::File) {
        String::new()
    } else {
        app
    };
    for source in sources {
        match source {
            Source::Default => {}
            Source::Variable => {
                let first = match value(setting) {
                    Value::Array(items) => word(&items[0]),
                    value => word(&value),
                };
                // A port is all that PORT takes.
                let text = if setting.key == "bind" { "80" } else { &first };
                let variable = setting.variable.unwrap();
                start.variables.insert(variable, text.into());
            }
            Source::Program => file.insert_str(0, "config = \"gunicorn.conf.py\"\n"),
            Source::File if setting.key == "app" => {}
            Source::File => {
                let line = format!("{} = {}\n", setting.key, value(setting));
                file.push_str(&line);
            }
            Source::GunicornArguments => {
                start.variables.insert("GUNICORN_CMD_ARGS", quoted().into());
            }
            Source::Arguments => {
                let words = quoted().into();
                start.variables.insert("RGUNICORN_CMD_ARGS", words);
            }
            Source::CommandLine => line.extend(words.clone()),
        }
    }
    fs::write(folder.path().join("rgunicorn.toml"), file).unwrap();
    fs::write(folder.path().join("gunicorn.conf.py"), "").unwrap();
    let sources = cli::parse_from(line, start).unwrap().sources;
    let config = read(&sources).and_then(|loaded| match loaded {
        Loaded::Complete(config) => Ok(*config),
        Loaded::Unfinished(unfinished) => Ok(unfinished.settle(&evaluation(setting))?.config),
    });
    config.unwrap_or_else(|error| panic!("{}: {error}", setting.key))
}

#[test]
fn for_each_setting_the_strongest_source_wins() {
    for setting in SETTINGS.iter().filter(|setting| setting.is_argument()) {
        let can_say = |source: &Source| match source {
            Source::Variable => setting.variable.is_some(),
            Source::Program => is_for_programs(setting),
            _ => true,
        };
        let sources: Vec<Source> = SOURCES.into_iter().filter(can_say).collect();
        // From all of them to the weakest alone.
        for count in (1..=sources.len()).rev() {
            let config = with(setting, &sources[..count]);

            let origin = config.origin(setting.key);
            let strongest = sources[count - 1];
            assert_eq!(Source::of(origin), strongest, "{}: {origin}", setting.key);
            assert!(
                config
                    .values()
                    .iter()
                    .any(|(row, _)| row.key == setting.key)
            );
        }
    }
}
