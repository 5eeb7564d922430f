//! The command line: what the words mean.

mod command;
mod foreign;

use crate::config::{
    ARGUMENT_VARIABLES, ConfigProgram, GUNICORN_ARGUMENTS, Mistake, NamedFile, Origin, Partial,
    SETTINGS, Sources, Start, Takes, unknown_flag,
};
use crate::usage::{Stop, one_line};
use clap::ArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};
pub use command::command;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{env, iter};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Serve,
    /// Load configuration and application, say whether they are good, and exit.
    CheckConfig,
    /// Print the effective configuration and exit.
    PrintConfig,
    /// Print a configuration in Python as TOML and exit.
    Convert,
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
    let words = words.into_iter().map(Into::into).collect();
    let (words, script_arguments) = without_script_arguments(words);
    let from_line = interpret(words, Origin::CommandLine);
    let mut sources = Sources {
        start,
        script_arguments,
        ..Sources::default()
    };
    let mut task = None;
    let is_script = |said: &Said| {
        said.file
            .as_ref()
            .is_some_and(|file| ConfigProgram::is_script(&file.name))
    };
    let is_script = from_line.as_ref().is_ok_and(is_script);
    for variable in ARGUMENT_VARIABLES {
        if is_script && variable == GUNICORN_ARGUMENTS {
            // It is weaker than the arguments of the script there. The script reads it itself.
            continue;
        }
        let Some(text) = sources.start.variables.get(variable) else {
            continue;
        };
        match arguments(variable, text) {
            Ok(said) => {
                task = said.task.or(task);
                sources.file = said.file.or(sources.file);
                if variable == GUNICORN_ARGUMENTS {
                    sources.gunicorn_arguments = said.settings;
                } else {
                    sources.arguments = said.settings;
                }
                sources.mistakes.extend(said.mistakes);
            }
            Err(Stop::Print(text)) => return Err(Stop::Print(text)),
            Err(Stop::UsageError(lines)) => {
                let mistake = |line| Mistake {
                    key: None,
                    line: format!("${variable}: {line}"),
                };
                sources.mistakes.extend(lines.into_iter().map(mistake));
            }
        }
    }
    // An invalid command line ends the program: then is the time to name these, too.
    let others = || sources.mistakes.iter().map(|mistake| mistake.line.clone());
    let said = match from_line {
        Ok(said) if said.mistakes.is_empty() => said,
        Ok(said) => {
            let lines = said.mistakes.into_iter().map(|mistake| mistake.line);
            return Err(Stop::UsageError(lines.chain(others()).collect()));
        }
        Err(Stop::Print(text)) => return Err(Stop::Print(text)),
        Err(Stop::UsageError(lines)) => {
            let lines = lines.into_iter();
            return Err(Stop::UsageError(lines.chain(others()).collect()));
        }
    };
    sources.file = said.file.or(sources.file);
    sources.command_line = said.settings;
    let task = said.task.or(task).unwrap_or(Task::Serve);
    sources.needs_no_app = task == Task::Convert;
    Ok(CommandLine { task, sources })
}

/// Takes off the arguments of the script that is named: all behind `--`.
fn without_script_arguments(mut words: Vec<OsString>) -> (Vec<OsString>, Vec<OsString>) {
    let names_script = |word: &OsString| {
        let text = word.to_string_lossy();
        let mut flags = ["--config=", "-c"].iter();
        let value = flags.find_map(|flag| text.strip_prefix(flag));
        ConfigProgram::is_script(Path::new(value.unwrap_or(&text)))
    };
    match words.iter().position(|word| word == "--") {
        Some(at) if words[..at].iter().any(names_script) => {
            let arguments = words.split_off(at + 1);
            words.pop();
            (words, arguments)
        }
        Some(_) | None => (words, Vec::new()),
    }
}

/// What the words of one source say.
#[derive(Debug)]
struct Said {
    /// None is to serve.
    task: Option<Task>,
    file: Option<NamedFile>,
    settings: Partial,
    mistakes: Vec<Mistake>,
}

/// Reads the words in a variable.
fn arguments(variable: &'static str, text: &OsStr) -> Result<Said, Stop> {
    let Some(text) = text.to_str() else {
        return Err(Stop::usage_error("not valid UTF-8".into()));
    };
    let Some(words) = shlex::split(text) else {
        let problem = "a quotation mark or a backslash at the end has nothing to go with it";
        return Err(Stop::usage_error(problem.into()));
    };
    let words = iter::once("rgunicorn".to_owned()).chain(words);
    interpret(words, |flag| Origin::Arguments { variable, flag })
}

/// Reads `words`, the first of which is the program's name. Fails when that is not
/// possible for all of them; a value that cannot be used is in what is returned.
fn interpret<I>(words: I, origin: impl Fn(&'static str) -> Origin) -> Result<Said, Stop>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let words = foreign::in_full(words.into_iter().map(Into::into));
    let matches = command()
        .args(foreign::arguments())
        .try_get_matches_from(&words)
        .map_err(|error| match error.kind() {
            ErrorKind::UnknownArgument => all_unknown(words, &error),
            _ => one_line(&error, unknown_flag, "APP_MODULE"),
        })?;
    if matches.get_flag("explain_unit") {
        return Err(Stop::usage_error(format!(
            "{EXPLAIN} has to be written in full, on the command line"
        )));
    }
    let converted = matches.get_one::<PathBuf>("convert");
    let task = if converted.is_some() {
        Some(Task::Convert)
    } else if matches.get_flag("print_config") {
        Some(Task::PrintConfig)
    } else if matches.get_flag("check_config") {
        Some(Task::CheckConfig)
    } else {
        None
    };
    let named = converted.map(|name| (name, "--convert"));
    let config = matches.get_one::<PathBuf>("config");
    let named = named.or_else(|| config.map(|name| (name, "--config")));
    let (mut settings, mut mistakes) = settings(&matches, &origin);
    mistakes.extend(foreign::read(&matches, &origin, &mut settings));
    Ok(Said {
        task,
        file: named.map(|(name, flag)| NamedFile {
            name: name.clone(),
            origin: origin(flag),
        }),
        settings,
        mistakes,
    })
}

/// Names all flags that there are not: clap stops at the first one, with `error`.
fn all_unknown(mut words: Vec<OsString>, error: &clap::Error) -> Stop {
    let mut stop = one_line(error, unknown_flag, "APP_MODULE");
    let mut lines = Vec::new();
    let mut flag = said_flag(error);
    while let Some(name) = flag.take() {
        let Stop::UsageError(more) = stop else {
            break;
        };
        lines.extend(more);
        let Some(at) = words.iter().position(|word| is_flag(word, &name)) else {
            break;
        };
        let has_value = words[at].to_str() == Some(&name);
        words.remove(at);
        // What follows is its value, unless it is the last word, which names the application.
        let follows = words.get(at).and_then(|word| word.to_str());
        if has_value && at + 1 < words.len() && follows.is_some_and(|word| !word.starts_with('-')) {
            words.remove(at);
        }
        let again = command().args(foreign::arguments());
        match again.try_get_matches_from(&words) {
            Err(error) if error.kind() == ErrorKind::UnknownArgument => {
                flag = said_flag(&error);
                stop = one_line(&error, unknown_flag, "APP_MODULE");
            }
            Err(_) | Ok(_) => break,
        }
    }
    if lines.is_empty() {
        return one_line(error, unknown_flag, "APP_MODULE");
    }
    Stop::UsageError(lines)
}

/// The flag that clap does not know.
fn said_flag(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) if word.starts_with('-') => Some(word.clone()),
        Some(_) | None => None,
    }
}

fn is_flag(word: &OsStr, name: &str) -> bool {
    let rest = word.to_str().and_then(|word| word.strip_prefix(name));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

fn settings(
    matches: &ArgMatches,
    origin: &impl Fn(&'static str) -> Origin,
) -> (Partial, Vec<Mistake>) {
    let mut partial = Partial::default();
    let mut mistakes = Vec::new();
    for setting in SETTINGS.iter().filter(|setting| setting.is_argument()) {
        let words: Vec<String> = match setting.takes {
            Takes::Nothing if matches.get_flag(setting.key) => Vec::new(),
            Takes::Nothing => continue,
            Takes::One | Takes::OneOrNothing(_) | Takes::Many => {
                match matches.get_many::<String>(setting.key) {
                    Some(words) => words.cloned().collect(),
                    None => continue,
                }
            }
        };
        let origin = origin(setting.flag());
        if let Err(problem) = partial.set_from_words(setting, &words, origin.clone()) {
            mistakes.push(Mistake {
                key: Some(setting.key),
                line: origin.describe(setting.key, &problem),
            });
        }
    }
    (partial, mistakes)
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
        assert_eq!(config.limit_request_field_size.count(), 20);
        assert_eq!(config.surge.get(), 7);
    }

    #[test]
    fn all_flags_that_there_are_not_are_named_at_once() {
        let unknown = |words: &str| match parsed(words) {
            Err(Stop::UsageError(lines)) => lines,
            other => panic!("{words}: {other:?}"),
        };
        assert_eq!(
            unknown("--wokers 3 -w 2 --wrkers=foo --tmeout 5 -Z --zzz a:b"),
            [
                "unknown option --wokers; did you mean --workers?",
                "unknown option --wrkers; did you mean --workers?",
                "unknown option --tmeout; did you mean --timeout?",
                "unknown option -Z; see --help",
                "unknown option --zzz; see --help",
            ]
        );
        assert_eq!(unknown("a:b --zzz"), ["unknown option --zzz; see --help"]);
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
                "--certfile x a:b",
                "Gunicorn's option --certfile is not supported; let a proxy in front terminate TLS",
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
        let named = NamedFile {
            name: "x.toml".into(),
            origin: Origin::CommandLine("--config"),
        };
        assert_eq!(file, Ok(Some(named)));
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
