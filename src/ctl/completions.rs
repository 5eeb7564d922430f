//! Makes the completions of both programs for bash, zsh and fish, from their command lines.
//! They are committed in `packaging/completions`.
//!
//! As a test it fails when one of them is stale. To make them again:
//! `UPDATE=1 cargo test --bin rgunicornctl completions`

use crate::cli;
use crate::commands::COMMANDS;
use clap::builder::{PossibleValuesParser, Str};
use clap::{Arg, Command, ValueHint};
use clap_complete::{Generator, Shell, generate};
use std::path::Path;
use std::{env, fs};

/// Stands for the names of the instances, which only the shell can know.
const INSTANCES: &str = "@INSTANCES@";

/// Names that a unit can have, from the configuration files. The name of a file is text for
/// the shell to expand, so others are left out.
const FOR_BASH: &str = "\
_rgunicorn_instances() {
    local file
    for file in /etc/rgunicorn/*.toml; do
        file=${file##*/}
        file=${file%.toml}
        case $file in
            *[!A-Za-z0-9_-]*) ;;
            *) printf '%s\\n' \"$file\" ;;
        esac
    done
}

";

const FOR_ZSH: &str = "\
(( $+functions[_rgunicorn_instances] )) ||
_rgunicorn_instances() {
    local -a names
    names=(/etc/rgunicorn/*.toml(N:t:r))
    _describe -t instances instance names
}

";

const FOR_FISH: &str = "\
function __rgunicorn_instances
    for file in /etc/rgunicorn/*.toml
        path basename $file | string replace -r '\\.toml$' ''
    end
end

";

fn rgunicorn() -> Command {
    rgunicorn::cli::command().mut_args(|argument| match argument.get_id().as_str() {
        "worker_class" => one_of(argument, &["auto", "sync", "gthread"]),
        "loglevel" => one_of(argument, &["debug", "info", "warning", "error", "critical"]),
        _ => hinted(argument),
    })
}

/// Its commands are subcommands here: the shells offer those with their help.
fn rgunicornctl() -> Command {
    let given = cli::command();
    let options = (given.get_arguments())
        .filter(|argument| !argument.is_positional())
        .cloned()
        .map(|argument| match argument.get_id().as_str() {
            "instance" => one_of(argument, &[INSTANCES]).global(true),
            "help" | "version" => argument,
            _ => hinted(argument).global(true),
        });
    let commands = COMMANDS.iter().map(|entry| {
        let command = Command::new(entry.name)
            .about(entry.help)
            .disable_help_flag(true);
        match entry.operand() {
            Some(operand) => command.arg(Arg::new(operand).value_hint(ValueHint::Other)),
            None => command,
        }
    });
    Command::new("rgunicornctl")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(options)
        .subcommands(commands)
}

fn one_of(argument: Arg, values: &[&'static str]) -> Arg {
    argument.value_parser(PossibleValuesParser::new(values))
}

/// With what its value is, so that files are offered where one is wanted.
fn hinted(argument: Arg) -> Arg {
    if !argument.get_action().takes_values() {
        return argument;
    }
    let name = argument.get_value_names().and_then(|names| names.first());
    let hint = match name.map(Str::as_str) {
        Some("PATH" | "FILE") => ValueHint::FilePath,
        Some("PROGRAM") => ValueHint::ExecutablePath,
        Some("DIRECTORY" | "DIRECTORIES") => ValueHint::DirPath,
        Some(_) | None => ValueHint::Other,
    };
    argument.value_hint(hint)
}

fn completions(shell: Shell, mut command: Command) -> String {
    let name = command.get_name().to_owned();
    let mut bytes = Vec::new();
    generate(shell, &mut command, name, &mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let text = lines.join("\n") + "\n";
    if !text.contains(INSTANCES) {
        return text;
    }
    match shell {
        Shell::Bash => FOR_BASH.to_owned() + &text.replace(INSTANCES, "$(_rgunicorn_instances)"),
        Shell::Zsh => {
            let text = text.replace(&format!("({INSTANCES})"), "_rgunicorn_instances");
            // The first line has to stay the first.
            let (first, rest) = text.split_once('\n').unwrap();
            format!("{first}\n\n{FOR_ZSH}{}", rest.trim_start())
        }
        Shell::Fish => {
            let value = format!("{INSTANCES}\\t''");
            FOR_FISH.to_owned() + &text.replace(&value, "(__rgunicorn_instances)")
        }
        other => panic!("{other}"),
    }
}

#[test]
fn the_committed_completions_are_those_of_the_command_lines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions");
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        for command in [rgunicorn(), rgunicornctl()] {
            let file = folder.join(shell.file_name(command.get_name()));
            let text = completions(shell, command);
            assert!(!text.contains(INSTANCES), "{text}");
            if env::var_os("UPDATE").is_some() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&file, &text).unwrap();
            }
            let committed = fs::read_to_string(&file).unwrap_or_default();
            assert!(
                committed == text,
                "{} is stale: UPDATE=1 cargo test --bin rgunicornctl completions",
                file.display()
            );
        }
    }
}
