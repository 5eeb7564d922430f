//! The command line as clap knows it, and so `--help`. The settings in it come from the
//! table in [`crate::config`].

use crate::config::{SETTINGS, Setting, Takes};
use clap::{Arg, ArgAction, Command};
use std::path::PathBuf;

/// That of `rgunicorn`.
pub fn command() -> Command {
    Command::new("rgunicorn")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves a Python web application with a pool of worker processes.")
        .override_usage(
            "rgunicorn [OPTIONS] [APP_MODULE]\n       rgunicorn [OPTIONS] --config script:PATH [-- ARGUMENTS]",
        )
        .after_help(
            "All but the last seven can be set in a file, see rgunicorn.toml(5).\n\
             \n\
             Examples:\n\
             \x20 rgunicorn -w 4 -b 127.0.0.1:8000 shop:app\n\
             \x20 rgunicorn --python venv/bin/python --preload 'shop:create_app(\"production\")'\n\
             \x20 rgunicorn -c /etc/rgunicorn/shop.toml --check-config\n\
             \n\
             \x20 rgunicorn --explain-unit -- gunicorn -w 4 -b unix:/run/shop.sock shop:app\n\
             \n\
             See rgunicorn(1), rgunicorn.toml(5).",
        )
        .infer_long_args(true)
        .args_override_self(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(
            SETTINGS
                .iter()
                .filter(|row| row.is_argument())
                .map(argument),
        )
        .next_help_heading("Options")
        .args([
            Arg::new("config")
                .short('c')
                .long("config")
                .value_name("PATH")
                .value_parser(clap::value_parser!(PathBuf))
                .help(
                    "File to read settings from: TOML, a gunicorn.conf.py, python:MODULE, or script:PATH\n\
                     [default: ./rgunicorn.toml if it exists, else ./gunicorn.conf.py]",
                ),
            Arg::new("check_config")
                .long("check-config")
                .action(ArgAction::SetTrue)
                .help("Load the configuration and the application, report mistakes, and exit"),
            Arg::new("print_config")
                .long("print-config")
                .action(ArgAction::SetTrue)
                .conflicts_with("check_config")
                .help("Print the effective configuration as TOML, and exit"),
            Arg::new("convert")
                .long("convert")
                .value_name("PATH")
                .value_parser(clap::value_parser!(PathBuf))
                .conflicts_with_all(["config", "check_config", "print_config"])
                .help("Print what a gunicorn.conf.py or script:PATH sets as TOML, and what cannot be said there, and exit"),
            Arg::new("explain_unit")
                .long("explain-unit")
                .action(ArgAction::SetTrue)
                .help(
                    "Print the file and the units that this command line, or one of Gunicorn after --, becomes",
                ),
            Arg::new("version")
                .short('V')
                .short_alias('v')
                .long("version")
                .action(ArgAction::Version)
                .help("Print the version"),
            Arg::new("help")
                .short('h')
                .long("help")
                .action(ArgAction::Help)
                .help("Print this help"),
        ])
}

fn argument(setting: &'static Setting) -> Arg {
    let mut argument = Arg::new(setting.key)
        .help(help(setting))
        .value_name(setting.value_name);
    if let Some(short) = setting.short_flag() {
        argument = argument.short(short);
    }
    let mut long = setting
        .long_flags()
        .map(|flag| flag.trim_start_matches('-'));
    if let Some(shown) = long.next() {
        argument = argument.long(shown).aliases(long);
    }
    if !setting.flags.is_empty() {
        argument = argument.help_heading(setting.group.heading());
    }
    match setting.takes {
        Takes::Nothing => argument.action(ArgAction::SetTrue),
        Takes::One => argument.action(ArgAction::Set).allow_negative_numbers(true),
        Takes::OneOrNothing(none) => argument
            .action(ArgAction::Set)
            .num_args(0..=1)
            .default_missing_value(none),
        Takes::Many => argument
            .action(ArgAction::Append)
            .allow_negative_numbers(true),
    }
}

fn help(setting: &Setting) -> String {
    /// In a longer line, the default has a line of its own.
    const WIDTH: usize = 68;
    let summary = setting.summary().replace('`', "");
    let default = match (setting.default)() {
        Some(toml::Value::Boolean(_) | toml::Value::Table(_)) => return summary,
        Some(value) => plain(&value),
        None => setting.otherwise.to_owned(),
    };
    if default.is_empty() {
        return summary;
    }
    let line = format!("{summary} [default: {default}]");
    if line.len() > WIDTH {
        return format!("{summary}\n[default: {default}]");
    }
    line
}

/// A value as one would type it on the command line.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Table(_) => value.to_string(),
    }
}
