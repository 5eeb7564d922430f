//! The command line: what the words mean, and `--help`. The settings in it
//! come from the table in [`crate::config`].

use crate::config::{Origin, Partial, SETTINGS, Setting, Sources, Start, Takes, unknown_flag};
use crate::usage::{Stop, one_line};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Serve,
    /// Load configuration and application, say whether they are good, and exit.
    CheckConfig,
    /// Print the effective configuration and exit.
    PrintConfig,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    pub task: Task,
    /// Where the configuration comes from, now and at each reload.
    pub sources: Sources,
}

/// The command line that `--explain-unit` is to explain, if that is given: what is
/// after `--`, or all other words.
pub fn to_explain<I: IntoIterator<Item = String>>(arguments: I) -> Option<Vec<String>> {
    let words: Vec<String> = arguments.into_iter().skip(1).collect();
    let own = words.split(|word| word == "--").next().unwrap_or_default();
    if !own.iter().any(|word| word == EXPLAIN) {
        return None;
    }
    let explained = match words.iter().position(|word| word == "--") {
        Some(at) => words[at + 1..].to_vec(),
        None => words.into_iter().filter(|word| word != EXPLAIN).collect(),
    };
    Some(explained)
}

/// It explains flags that clap would refuse, so it is found without that.
const EXPLAIN: &str = "--explain-unit";

/// Reads the arguments of this process.
pub fn parse() -> Result<CommandLine, Stop> {
    parse_from(env::args_os(), Start::here())
}

/// Reads `words`, the first of which is the program's name.
pub fn parse_from<I>(words: I, start: Start) -> Result<CommandLine, Stop>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let matches = command()
        .try_get_matches_from(words)
        .map_err(|error| one_line(&error, unknown_flag, "APP_MODULE"))?;
    if matches.get_flag("explain_unit") {
        return Err(Stop::usage_error(format!(
            "{EXPLAIN} has to be written in full"
        )));
    }
    let task = if matches.get_flag("print_config") {
        Task::PrintConfig
    } else if matches.get_flag("check_config") {
        Task::CheckConfig
    } else {
        Task::Serve
    };
    Ok(CommandLine {
        task,
        sources: Sources {
            start,
            file: matches.get_one::<PathBuf>("config").cloned(),
            command_line: settings(&matches)?,
        },
    })
}

fn settings(matches: &ArgMatches) -> Result<Partial, Stop> {
    let mut partial = Partial::default();
    let mut refused = Vec::new();
    for setting in SETTINGS.iter().filter(|setting| setting.is_argument()) {
        let words: Vec<String> = match setting.takes {
            Takes::Nothing if matches.get_flag(setting.key) => Vec::new(),
            Takes::Nothing => continue,
            Takes::One | Takes::Many => match matches.get_many::<String>(setting.key) {
                Some(words) => words.cloned().collect(),
                None => continue,
            },
        };
        let origin = Origin::CommandLine(setting.flag());
        if let Err(problem) = partial.set_from_words(setting, &words, origin.clone()) {
            refused.push(origin.describe(setting.key, &problem));
        }
    }
    if refused.is_empty() {
        Ok(partial)
    } else {
        Err(Stop::UsageError(refused))
    }
}

/// The command line as clap knows it.
pub fn command() -> Command {
    Command::new("rgunicorn")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves a Python web application with a pool of worker processes.")
        .override_usage("rgunicorn [OPTIONS] [APP_MODULE]")
        .after_help(
            "All but the last six can be set in a file, see rgunicorn.toml(5).\n\
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
                .help("File to read settings from [default: ./rgunicorn.toml if it exists]"),
            Arg::new("check_config")
                .long("check-config")
                .action(ArgAction::SetTrue)
                .help("Load the configuration and the application, report mistakes, and exit"),
            Arg::new("print_config")
                .long("print-config")
                .action(ArgAction::SetTrue)
                .conflicts_with("check_config")
                .help("Print the effective configuration as TOML, and exit"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Group, load};

    fn start() -> Start {
        Start {
            directory: "/".into(),
            search_path: env::var_os("PATH").unwrap_or_default(),
            ..Start::default()
        }
    }

    fn parsed(words: &str) -> Result<CommandLine, Stop> {
        parse_from(
            ["rgunicorn"].into_iter().chain(words.split_whitespace()),
            start(),
        )
    }

    fn refusal(words: &str) -> String {
        match parsed(words) {
            Err(Stop::UsageError(lines)) if lines.len() == 1 && !lines[0].contains('\n') => {
                lines[0].clone()
            }
            other => panic!("{words}: {other:?}"),
        }
    }

    #[test]
    fn the_table_makes_a_valid_clap_command() {
        command().debug_assert();
    }

    #[test]
    fn a_gunicorn_users_command_line_works_as_typed() {
        let line = parsed("-w 4 -b :8000 -b unix:/run/x -e A=1 --env B=2 --timeout=60 --log-level debug --preload -n shop shop:app").unwrap();
        assert_eq!(line.task, Task::Serve);

        let config = load(&line.sources).unwrap();

        assert_eq!(config.app.as_str(), "shop:app");
        assert_eq!(config.workers.count(), 4);
        let addresses = config.bind.as_ref().map(|bind| {
            bind.addresses()
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        });
        assert_eq!(
            addresses,
            Some(vec!["0.0.0.0:8000".to_owned(), "unix:/run/x".to_owned()])
        );
        assert_eq!(
            config.env.iter().collect::<Vec<_>>(),
            [("A", "1"), ("B", "2")]
        );
        assert!(config.preload);
        assert_eq!(config.process_name(), "shop");
        assert_eq!(
            config.origin("workers").to_string(),
            "--workers on the command line"
        );
    }

    #[test]
    fn the_last_of_several_counts_and_the_start_of_a_name_is_enough() {
        let line = parsed("-w 4 -w 2 --workers 3 --limit-request-field_size 10 --limit-request-field-size 20 --sur 7 a:b").unwrap();
        let config = load(&line.sources).unwrap();
        assert_eq!(config.workers.count(), 3);
        assert_eq!(config.limit_request_field_size.get(), 20);
        assert_eq!(config.surge.get(), 7);
    }

    #[test]
    fn a_refused_argument_is_one_line_that_names_its_flag() {
        for (words, says) in [
            (
                "-w 0 a:b",
                "--workers: must be \"auto\" or a whole number between 1 and 1024, not 0",
            ),
            (
                "-w -1 a:b",
                "--workers: must be \"auto\" or a whole number between 1 and 1024, not -1",
            ),
            (
                "--workers=many a:b",
                "--workers: must be \"auto\" or a whole number between 1 and 1024, not \"many\"",
            ),
            (
                "-b 8000 a:b",
                "--bind: \"8000\" is only a number; for a port write \":8000\"",
            ),
            (
                "-e A a:b",
                "--env: must be KEY=VALUE, or in a file a table of strings, not \"A\"",
            ),
            (
                "./site.py",
                "APP_MODULE: must be \"module:callable\" as Python would import it, not \"./site.py\"",
            ),
            (
                "--wokers 4 a:b",
                "unknown option --wokers; did you mean --workers?",
            ),
            (
                "-k gevent a:b",
                "--worker-class: \"gevent\" is not supported; use \"gthread\" and raise `threads`",
            ),
            (
                "--threads 0 a:b",
                "--threads: must be a whole number between 1 and 1024, not 0",
            ),
            (
                "--reload a:b",
                "Gunicorn's option --reload is not supported; after a change, run `systemctl reload` or send SIGHUP",
            ),
            (
                "--daemon a:b",
                "Gunicorn's option --daemon is not supported; systemd runs a service in the background",
            ),
            (
                "a:b c:d",
                "unexpected argument \"c:d\": only one APP_MODULE can be given, and a value with spaces needs quotes",
            ),
            ("a:b -w", "--workers <NUMBER> needs a value"),
            ("--preload=yes a:b", "--preload takes no value"),
            (
                "--check-config --print-config",
                "--check-config cannot be used with --print-config",
            ),
            (
                "--limit a:b",
                "--limit is ambiguous: --limit-request-line, --limit-request-fields, --limit-request-field_size, --limit-request-body, --limit-response-buffer",
            ),
            ("--zzz=1 a:b", "unknown option --zzz; see --help"),
            ("-x a:b", "unknown option -x; see --help"),
        ] {
            assert_eq!(refusal(words), says);
        }
    }

    #[test]
    fn help_and_version_are_printed() {
        for words in ["-V", "-v", "--version"] {
            let version = format!("rgunicorn {}\n", env!("CARGO_PKG_VERSION"));
            assert_eq!(parsed(words), Err(Stop::Print(version)));
        }
        for words in ["-h", "--help", "--hel"] {
            let Err(Stop::Print(help)) = parsed(words) else {
                panic!("{words}")
            };
            for setting in SETTINGS.iter().filter(|row| row.is_argument()) {
                assert!(
                    help.contains(&setting.summary().replace('`', "")),
                    "{}",
                    setting.key
                );
            }
        }
    }

    #[test]
    fn the_task_is_chosen_by_a_flag() {
        assert_eq!(
            parsed("--check-config a:b").map(|line| line.task),
            Ok(Task::CheckConfig)
        );
        assert_eq!(
            parsed("--print-config a:b").map(|line| line.task),
            Ok(Task::PrintConfig)
        );
        let file = parsed("-c x.toml").map(|line| line.sources.file);
        assert_eq!(file, Ok(Some("x.toml".into())));
    }

    #[test]
    fn every_group_of_settings_is_a_heading_of_the_help() {
        let help = command().render_help().to_string();
        for group in [
            Group::Application,
            Group::Sockets,
            Group::Workers,
            Group::Limits,
            Group::Server,
        ] {
            assert!(help.contains(&format!("{}:\n", group.heading())), "{help}");
        }
    }
}
