//! The command line of `rgunicornctl`.

use crate::commands::{COMMANDS, names};
use clap::{Arg, ArgAction, Command};
use rgunicorn::config::Start;
use rgunicorn::usage::{Stop, one_line};
use rgunicorn_control::protocol::Request;
use rgunicorn_control::{instances, terminals};
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The server that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The one with this control socket.
    Socket(PathBuf),
    /// The instance of `rgunicorn@.service` that has this name.
    Instance(String),
    /// The one of the unit that this process belongs to, as in `ExecReload=`; by
    /// its runtime directory.
    Unit(PathBuf),
    /// The same in another folder than that of the system: one of a user.
    UserInstance { name: String, folder: PathBuf },
    /// All instances of this machine, or of this user: those in the folder. Only for `top`.
    Every(PathBuf),
}

impl Target {
    pub fn socket(&self) -> PathBuf {
        match self {
            Self::Socket(path) => path.clone(),
            Self::Instance(name) => instances::control_socket(Path::new(instances::FOLDER), name),
            Self::UserInstance { name, folder } => instances::control_socket(folder, name),
            Self::Unit(directory) => directory.join("control"),
            Self::Every(folder) => folder.clone(),
        }
    }

    /// The name of the instance.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Instance(name) | Self::UserInstance { name, .. } => Some(name),
            Self::Socket(_) | Self::Unit(_) | Self::Every(_) => None,
        }
    }
}

/// To be read in "is … running?"
impl fmt::Display for Target {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(_) | Self::Unit(_) | Self::Every(_) => {
                to.write_str("a server with this control socket")
            }
            Self::Instance(name) | Self::UserInstance { name, .. } => {
                write!(to, "rgunicorn@{name}.service")
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    pub target: Target,
    pub request: Request,
    pub format: Format,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    /// One line, with names that do not change.
    Json,
    /// Only for the command that has no other.
    Prometheus,
    /// In a terminal, again and again.
    Screen,
    /// The same as JSON: one look.
    JsonOnce,
}

/// Reads `words`, the first of which is the program's name.
/// `terminals` finds the servers of this user that no unit runs.
pub fn parse_from<I>(
    words: I,
    start: &Start,
    terminals: impl FnOnce() -> Vec<(u32, PathBuf)>,
) -> Result<CommandLine, Stop>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let matches = command()
        .try_get_matches_from(words)
        .map_err(|error| one_line(&error, unknown_flag, "COMMAND"))?;
    let Some(word) = matches.get_one::<String>("command") else {
        return Err(Stop::usage_error(format!(
            "no command given; use {}",
            names()
        )));
    };
    let entry = (COMMANDS.iter())
        .find(|entry| entry.name == word)
        .ok_or_else(|| Stop::usage_error(format!("unknown command {word:?}; use {}", names())))?;
    let name = entry.name;
    let operand = matches.get_one::<String>("operand").map(String::as_str);
    let request = entry.request(operand).map_err(Stop::usage_error)?;
    let (request, format) = match (entry.format(), matches.get_flag("json")) {
        (format, false) => (request, format),
        (Format::Text, true) if request == Request::Status => (Request::Summary, Format::Json),
        (Format::Text | Format::Json, true) => (request, Format::Json),
        (Format::Screen | Format::JsonOnce, true) => (request, Format::JsonOnce),
        (Format::Prometheus, true) => {
            return Err(Stop::usage_error(format!(
                "{name} has no --json, it prints the format of Prometheus; status, workers and \
                 listeners have the same as JSON"
            )));
        }
    };
    let socket = matches.get_one::<PathBuf>("socket");
    let instance = matches.get_one::<String>("instance");
    let of_user = if matches.get_flag("user") {
        Some(users_folder(env::var_os("XDG_RUNTIME_DIR"))?)
    } else {
        None
    };
    let target = match (socket, instance, &start.runtime_directory) {
        (Some(path), _, _) => Target::Socket(path.clone()),
        (None, Some(name), _) => match of_user {
            Some(folder) => Target::UserInstance {
                name: instance_name(name)?,
                folder,
            },
            None => Target::Instance(instance_name(name)?),
        },
        (None, None, _) if of_user.is_some() && is_of_all(format) => {
            Target::Every(of_user.unwrap_or_default())
        }
        (None, None, Some(directory)) => Target::Unit(directory.clone()),
        (None, None, None) if is_of_all(format) => Target::Every(instances::FOLDER.into()),
        (None, None, None) => only_one(terminals(), name)?,
    };
    Ok(CommandLine {
        target,
        request,
        format,
    })
}

/// The server that is meant if none is named: the only one in a terminal.
fn only_one(mut terminals: Vec<(u32, PathBuf)>, command: &str) -> Result<Target, Stop> {
    if terminals.len() > 1 {
        let named = terminals.iter();
        let named =
            named.map(|(pid, _)| format!("`rgunicornctl --user --instance {pid} {command}`"));
        let named: Vec<String> = named.collect();
        return Err(Stop::usage_error(format!(
            "several servers run in terminals; type {}",
            named.join(" or ")
        )));
    }
    match terminals.pop() {
        Some((_, path)) => Ok(Target::Socket(path)),
        None => Err(Stop::usage_error(format!(
            "no server given, and none of yours runs in a terminal where XDG_RUNTIME_DIR is set: for \
             rgunicorn@NAME.service type `rgunicornctl --instance NAME {command}`; without \
             XDG_RUNTIME_DIR, start the server with `rgunicorn --control-socket PATH`, then type \
             `rgunicornctl --socket PATH {command}`"
        ))),
    }
}

/// Whether the command is for all instances if none is named.
fn is_of_all(format: Format) -> bool {
    matches!(format, Format::Screen | Format::JsonOnce)
}

/// Where the instances of a user have their folders.
fn users_folder(runtime: Option<OsString>) -> Result<PathBuf, Stop> {
    terminals::folder(runtime).ok_or_else(|| {
        Stop::usage_error(
            "--user: XDG_RUNTIME_DIR is not set; log in as that user, or set it to /run/user/UID"
                .to_owned(),
        )
    })
}

/// `site` from `site`, `rgunicorn@site` and `rgunicorn@site.service`.
fn instance_name(word: &str) -> Result<String, Stop> {
    let name = word.strip_suffix(".service").unwrap_or(word);
    let name = name.strip_prefix("rgunicorn@").unwrap_or(name);
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '@', '\0']) {
        return Err(Stop::usage_error(format!(
            "--instance: {word:?} is not the name of an instance"
        )));
    }
    Ok(name.to_owned())
}

fn unknown_flag(flag: &str) -> String {
    format!("unknown option {flag}; see --help")
}

/// The command line as clap knows it.
pub fn command() -> Command {
    let width = COMMANDS.iter().map(|entry| entry.usage().len()).max();
    let width = width.unwrap_or(0);
    let commands = COMMANDS
        .map(|entry| format!("  {:width$}  {}\n", entry.usage(), entry.help))
        .concat();
    Command::new("rgunicornctl")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Sends a command to a running rgunicorn and waits for the result.")
        .override_usage("rgunicornctl [-s PATH | [-u] -i NAME] [-j] COMMAND")
        .after_help(format!(
            "Commands:\n{commands}\n\
             Exit status: 0 success, 1 failure, 64 usage error, 69 no server answers.\n\
             \n\
             See rgunicornctl(1)."
        ))
        .infer_long_args(true)
        .args_override_self(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args([
            Arg::new("command")
                .value_name("COMMAND")
                .help("The command, see below"),
            Arg::new("operand")
                .value_name("OPERAND")
                .allow_negative_numbers(true)
                .hide(true),
            Arg::new("instance")
                .short('i')
                .long("instance")
                .value_name("NAME")
                .conflicts_with("socket")
                .help("The server of rgunicorn@NAME.service"),
            Arg::new("socket")
                .short('s')
                .long("socket")
                .value_name("PATH")
                .value_parser(clap::value_parser!(PathBuf))
                .help("The server with this control socket [default: $RUNTIME_DIRECTORY/control, else the one that runs in a terminal]"),
            Arg::new("user")
                .short('u')
                .long("user")
                .action(ArgAction::SetTrue)
                .conflicts_with("socket")
                .help("Of the sites of this user, which systemctl --user runs"),
            Arg::new("json")
                .short('j')
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print one line of JSON, also for a failure; not for metrics"),
            Arg::new("version")
                .short('V')
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parsed(words: &str, runtime_directory: Option<&str>) -> Result<CommandLine, Stop> {
        let start = Start {
            runtime_directory: runtime_directory.map(PathBuf::from),
            ..Start::default()
        };
        parse_from(
            ["rgunicornctl"].into_iter().chain(words.split_whitespace()),
            &start,
            Vec::new,
        )
    }

    fn refusal(words: &str) -> String {
        match parsed(words, None) {
            Err(Stop::UsageError(lines)) if lines.len() == 1 && !lines[0].contains('\n') => {
                lines[0].clone()
            }
            other => panic!("{words}: {other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_valid_for_clap() {
        command().debug_assert();
    }

    #[test]
    fn an_instance_is_found_by_any_of_its_names() {
        for name in ["site", "rgunicorn@site", "rgunicorn@site.service"] {
            let line = parsed(&format!("-i {name} reload"), Some("/run/else")).unwrap();
            assert_eq!(
                line.target.socket(),
                Path::new("/run/rgunicorn/site/control")
            );
            assert_eq!(line.target.to_string(), "rgunicorn@site.service");
            assert_eq!(line.request, Request::Reload);
        }
    }

    #[test]
    fn a_named_socket_is_used_and_otherwise_that_of_the_unit() {
        let socket = |words, directory| parsed(words, directory).unwrap().target.socket();
        assert_eq!(
            socket("status -s /run/x", Some("/run/unit")),
            Path::new("/run/x")
        );
        assert_eq!(
            socket("status", Some("/run/unit")),
            Path::new("/run/unit/control")
        );
    }

    #[test]
    fn json_is_asked_for_by_an_option_anywhere() {
        for words in ["-i site -j status", "-i site status --json"] {
            let line = parsed(words, None).unwrap();
            assert_eq!(line.request, Request::Summary);
            assert_eq!(line.format, Format::Json);
        }
        let line = parsed("-i site workers", None).unwrap();
        assert_eq!(line.request, Request::Workers { from: 0 });
        assert_eq!(line.format, Format::Text);
    }

    #[test]
    fn orders_have_json_too() {
        for word in ["reload", "scale +1", "restart-worker 3", "stop"] {
            let text = parsed(&format!("-i site {word}"), None).unwrap();
            let json = parsed(&format!("-i site {word} --json"), None).unwrap();
            assert_eq!(json.request, text.request);
            assert_eq!((text.format, json.format), (Format::Text, Format::Json));
        }
    }

    #[test]
    fn workers_are_counted_absolutely_or_from_how_many_there_are() {
        for (word, request) in [
            ("4", Request::Scale { workers: 4 }),
            ("+2", Request::ScaleBy { workers: 2 }),
            ("-3", Request::ScaleBy { workers: -3 }),
        ] {
            for words in [
                format!("-i site scale {word}"),
                format!("scale {word} -i site"),
            ] {
                assert_eq!(parsed(&words, None).unwrap().request, request, "{words}");
            }
        }
        for word in [
            "++1", "+-1", "+", "1.5", "4x", "65536", "-65536", "0x10", "⁴",
        ] {
            let mistake = refusal(&format!("-i site scale {word}"));
            assert!(
                mistake.contains("number") || mistake.contains("option"),
                "{mistake}"
            );
        }
    }

    #[test]
    fn top_without_a_server_is_of_all() {
        let every = Target::Every("/run/rgunicorn".into());
        assert_eq!(parsed("top", None).unwrap().target, every);
        let one = parsed("top -i site", None).unwrap().target;
        assert_eq!(one, Target::Instance("site".into()));
        let json = parsed("top --json", None).unwrap();
        assert_eq!((json.target, json.format), (every, Format::JsonOnce));
    }

    #[test]
    fn the_sites_of_a_user_are_in_the_folder_of_that_user() {
        let folder = users_folder(Some("/run/user/7".into())).unwrap();
        assert_eq!(folder, Path::new("/run/user/7/rgunicorn"));
        let target = Target::UserInstance {
            name: "shop".into(),
            folder,
        };
        assert_eq!(
            target.socket(),
            Path::new("/run/user/7/rgunicorn/shop/control")
        );
        for unusable in [None, Some("run".into())] {
            assert!(matches!(
                users_folder(unusable),
                Err(Stop::UsageError(lines)) if lines[0].contains("XDG_RUNTIME_DIR")
            ));
        }
    }

    #[test]
    fn without_a_name_the_only_server_in_a_terminal_is_meant() {
        let asked = |servers: &[u32]| {
            let servers = servers
                .iter()
                .map(|pid| (*pid, PathBuf::from(format!("/{pid}"))));
            let servers = servers.collect();
            parse_from(["rgunicornctl", "status"], &Start::default(), || servers)
        };

        let target = asked(&[12]).unwrap().target;
        assert_eq!(target, Target::Socket("/12".into()));
        assert_eq!(
            asked(&[12, 34]),
            Err(Stop::usage_error(
                "several servers run in terminals; type `rgunicornctl --user --instance 12 status` \
                 or `rgunicornctl --user --instance 34 status`"
                    .to_owned()
            ))
        );
    }

    #[test]
    fn a_usage_error_is_one_line() {
        for (words, says) in [
            (
                "-i site",
                "no command given; use reload, upgrade, status, workers, listeners, config, stacks, metrics, top, scale, restart-worker or stop",
            ),
            (
                "-i site dance",
                "unknown command \"dance\"; use reload, upgrade, status, workers, listeners, config, stacks, metrics, top, scale, restart-worker or stop",
            ),
            (
                "reload",
                "no server given, and none of yours runs in a terminal where XDG_RUNTIME_DIR is set: for rgunicorn@NAME.service type `rgunicornctl --instance NAME reload`; without XDG_RUNTIME_DIR, start the server with `rgunicorn --control-socket PATH`, then type `rgunicornctl --socket PATH reload`",
            ),
            (
                "-i ../x reload",
                "--instance: \"../x\" is not the name of an instance",
            ),
            (
                "-i .. reload",
                "--instance: \"..\" is not the name of an instance",
            ),
            (
                "-i a -s b reload",
                "--instance <NAME> cannot be used with --socket <PATH>",
            ),
            (
                "-i site reload reload",
                "reload takes no argument, but \"reload\" was given",
            ),
            (
                "-i site scale 2 3",
                "unexpected argument \"3\": only one COMMAND can be given, and a value with spaces needs quotes",
            ),
            ("-i site scale", "usage: rgunicornctl scale N|+N|-N"),
            (
                "-i site scale 0",
                "scale: one worker at least has to run; `rgunicornctl stop` ends the server",
            ),
            ("-i site scale -0", "scale: -0 changes nothing"),
            (
                "-i site scale two",
                "scale: \"two\" is not a number of workers; write 4 for four, +1 for one more, -1 for one fewer",
            ),
            (
                "-i site restart-worker all",
                "restart-worker: \"all\" is neither a number nor a pid of a worker; `rgunicornctl workers` lists them",
            ),
            (
                "-i site metrics --json",
                "metrics has no --json, it prints the format of Prometheus; status, workers and listeners have the same as JSON",
            ),
            ("--wait reload", "unknown option --wait; see --help"),
        ] {
            assert_eq!(refusal(words), says);
        }
    }

    #[test]
    fn help_names_every_command() {
        let Err(Stop::Print(help)) = parsed("--help", None) else {
            panic!("no help")
        };
        for entry in COMMANDS {
            let is_there = (help.lines()).any(|line| {
                let words = line.trim_start();
                words.starts_with(&entry.usage()) && words.ends_with(entry.help)
            });
            assert!(is_there, "{} is not in {help}", entry.name);
        }
    }

    /// The page as text, without the requests and escapes of roff.
    fn page() -> String {
        let source = include_str!("../../man/rgunicornctl.1");
        let text = source
            .replace("\\fB", "")
            .replace("\\fI", "")
            .replace("\\fR", "");
        let text = text.replace("\\-", "-");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_manual_page_has_every_option_and_command_with_its_help() {
        let page = page();
        let command = command();
        for argument in command
            .get_arguments()
            .filter(|argument| !argument.is_positional())
        {
            let short = argument.get_short().unwrap();
            let long = argument.get_long().unwrap();
            let help = argument.get_help().unwrap();
            let value = match argument.get_value_names() {
                Some([name]) if argument.get_action().takes_values() => format!(" {name}"),
                _ => String::new(),
            };
            let entry = format!(".TP -{short}, --{long}{value} {help}.");
            assert!(page.contains(&entry), "{entry:?} is not in {page}");
        }
        for entry in COMMANDS {
            let entry = format!(".TP .B {} {}.", entry.usage(), entry.help);
            assert!(page.contains(&entry), "{entry:?} is not in {page}");
        }
    }
}
