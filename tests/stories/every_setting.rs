//! Each setting of the table, with another value than its default, from each source that it may
//! stand in. What the values do is told in the stories about each of them.

use crate::harness::program::Program;
use rgunicorn::config::{Group, RENAMED, SETTINGS, Setting, THEIRS, Takes};
use toml::{Table, Value};

/// Settings that a program in Python cannot decide, as they say how it is run.
const NOT_FOR_PROGRAMS: [&str; 3] = ["config", "python", "worker_dir"];

/// A value that is not the default, as TOML has it.
fn value(setting: &Setting) -> Value {
    let default = (setting.default)();
    match (setting.key, default) {
        ("app", _) => "shop:app".into(),
        ("config", _) => "python:shop_conf".into(),
        ("python", _) => "/usr/bin/env".into(),
        ("chdir" | "tmp_upload_dir", _) => "/usr".into(),
        ("pythonpath", _) => vec!["/usr/lib"].into(),
        ("user" | "group", _) => "root".into(),
        ("logger_class", _) => "shop.Logger".into(),
        ("accesslog", _) => "journal".into(),
        ("errorlog", _) => "/dev/null".into(),
        ("access_log_format", _) => "%(h)s \"%({X-A}i)s\" %(s)s".into(),
        ("access_log_filter", _) => "errors,slow:500".into(),
        ("worker_class", _) => "gthread".into(),
        ("forwarded_allow_ips" | "proxy_allow_ips", _) => vec!["192.0.2.1", "10.0.0.0/8"].into(),
        ("proxy_protocol", _) => "v2".into(),
        ("header_map", _) => "refuse".into(),
        ("forwarder_headers", _) => vec!["REMOTE_USER", "SCRIPT_NAME"].into(),
        ("loglevel", _) => "warning".into(),
        ("syslog_addr", _) => "udp://192.0.2.1:514".into(),
        ("syslog_facility", _) => "local0".into(),
        ("statsd_prefix" | "dogstatsd_tags", _) => "shop:shop".into(),
        ("worker_dir", _) => "/usr/lib".into(),
        (_, Some(Value::Boolean(is_on))) => (!is_on).into(),
        (_, Some(Value::Integer(number))) => (number + 1).into(),
        (_, _) => {
            let line = format!("value = {}", setting.example);
            line.parse::<Table>().unwrap()["value"].clone()
        }
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

/// What these name has to be there: `gunicorn_conf.rs` and `embedding.rs` tell about them.
const NAMING_FILES: [&str; 2] = ["config", "paste"];

/// The settings that can be given on a command line.
fn arguments() -> impl Iterator<Item = &'static Setting> {
    let settings = SETTINGS.iter().filter(|setting| setting.is_argument());
    settings.filter(|setting| !NAMING_FILES.contains(&setting.key))
}

/// A configuration in Python that sets all it may.
fn program() -> String {
    // JSON is Python, but for three words.
    let python = |value: &Value| match value {
        Value::Boolean(is_on) => if *is_on { "True" } else { "False" }.to_owned(),
        value => serde_json::to_string(value).unwrap(),
    };
    let mut lines = Vec::new();
    let mut own = Vec::new();
    for setting in arguments().filter(|setting| !NOT_FOR_PROGRAMS.contains(&setting.key)) {
        let renamed = RENAMED.iter().find(|(_, ours)| *ours == setting.key);
        let name = renamed.map_or(setting.key, |(theirs, _)| theirs);
        let value = python(&value(setting));
        if THEIRS.iter().any(|theirs| theirs.key == name) {
            lines.push(format!("{name} = {value}\n"));
        } else {
            own.push(format!("{name:?}: {value}"));
        }
    }
    format!("{}rgunicorn = {{{}}}\n", lines.concat(), own.join(", "))
}

/// What is printed of the settings, as a table and as it is.
fn printed(program: Program) -> (Table, String) {
    let outcome = { program }.run();
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{outcome:?}");
    (outcome.stdout.parse().unwrap(), outcome.stdout)
}

/// Each setting has its value from here: what is printed of them.
#[track_caller]
fn assert_from(place: &str, keys: &[&str], program: Program) -> Table {
    let (table, text) = printed(program);
    for key in keys {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{key} = ")));
        let line = line.unwrap_or_else(|| panic!("{key} is not set: {text}"));
        let (_, origin) = line.rsplit_once("  # ").unwrap_or_default();
        assert!(origin.contains(place), "{place}: {line}");
    }
    table
}

#[test]
fn every_setting_has_the_same_value_from_each_source() {
    let print = |words: &[&str]| Program::rgunicorn(&[&["--print-config"], words].concat());
    let keys: Vec<_> = arguments().map(|setting| setting.key).collect();
    let lines = arguments().map(|setting| format!("{} = {}\n", setting.key, value(setting)));
    let file = print(&["-c", "shop.toml"]).file("shop.toml", &lines.collect::<String>());

    let written = assert_from("shop.toml:", &keys, file);

    let (defaults, _) = printed(print(&["other:app"]));
    for key in &keys {
        assert_ne!(
            defaults.get(*key),
            written.get(*key),
            "{key} has its default"
        );
    }
    let words: Vec<_> = arguments().flat_map(words).collect();
    let line = words.iter().map(String::as_str).collect::<Vec<_>>();
    let quoted = shlex::try_join(line.iter().copied()).unwrap();
    let typed = assert_from(" on the command line", &keys, print(&line));
    assert_eq!(typed, written);
    for variable in ["GUNICORN_CMD_ARGS", "RGUNICORN_CMD_ARGS"] {
        let said = print(&[]).env(variable, &quoted);
        let said = assert_from(&format!(" in ${variable}"), &keys, said);
        assert_eq!(said, written, "{variable}");
    }
    let of_programs = |key: &&str| !NOT_FOR_PROGRAMS.contains(key);
    let keys: Vec<_> = keys.into_iter().filter(of_programs).collect();
    let run = print(&["-c", "shop.py"]).file("shop.py", &program());
    let run = assert_from("shop.py:", &keys, run);
    for key in keys {
        assert_eq!(run.get(key), written.get(key), "{key}");
    }
}

/// They stand in files alone: systemd is told of them before the server starts.
#[test]
fn the_settings_of_units_stand_in_files() {
    let of_units = || {
        SETTINGS
            .iter()
            .filter(|setting| setting.group == Group::Units)
    };
    let lines = of_units().map(|setting| format!("{} = {}\n", setting.key, value(setting)));
    let text = format!("app = \"shop:app\"\n{}", lines.collect::<String>());
    let keys: Vec<_> = of_units().map(|setting| setting.key).collect();

    let file = Program::rgunicorn(&["--print-config", "-c", "shop.toml"]).file("shop.toml", &text);

    assert_from("shop.toml:", &keys, file);
}
