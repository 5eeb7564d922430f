//! Its command line.

use crate::config::Start;
use crate::control::protocol::Request;
use crate::usage::{Stop, one_line};
use clap::{Arg, ArgAction, Command};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// The rgunicorn that is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The one that has this socket.
    Socket(PathBuf),
    /// The instance of `rgunicorn@.service` that has this name.
    Instance(String),
    /// The one whose unit this process belongs to, as with `ExecReload=`.
    Unit(PathBuf),
}

impl Target {
    /// Where its control socket is.
    pub fn socket(&self) -> PathBuf {
        match self {
            Self::Socket(path) => path.clone(),
            Self::Instance(name) => PathBuf::from("/run/rgunicorn").join(name).join("control"),
            Self::Unit(directory) => directory.join("control"),
        }
    }
}

/// Who it is, as one asks "is … running?"
impl fmt::Display for Target {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(_) | Self::Unit(_) => {
                to.write_str("an rgunicorn with this control socket")
            }
            Self::Instance(name) => write!(to, "rgunicorn@{name}.service"),
        }
    }
}

/// An understood command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// Whom to ask.
    pub target: Target,
    /// For what.
    pub request: Request,
}

/// Each command, what it asks for, and what it does.
pub(crate) const COMMANDS: [(&str, Request, &str); 2] = [
    (
        "reload",
        Request::Reload,
        "Put every worker on the code and configuration of now; done when they serve",
    ),
    ("status", Request::Status, "Say in one line how it stands"),
];

/// Understands `words`, the first of which is the program's name.
pub(super) fn parse_from<I>(words: I, start: &Start) -> Result<CommandLine, Stop>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let matches = command()
        .try_get_matches_from(words)
        .map_err(|error| one_line(&error, unknown_flag, "COMMAND"))?;
    let names = || COMMANDS.map(|(name, ..)| name).join(" or ");
    let request = match matches.get_one::<String>("command") {
        None => {
            return Err(Stop::Refuse(format!(
                "what shall be done? COMMAND is {}",
                names()
            )));
        }
        Some(word) => COMMANDS
            .into_iter()
            .find(|(name, ..)| name == word)
            .map(|(_, request, _)| request)
            .ok_or_else(|| Stop::Refuse(format!("unknown command {word:?}: it is {}", names())))?,
    };
    let socket = matches.get_one::<PathBuf>("socket");
    let instance = matches.get_one::<String>("instance");
    let target = match (socket, instance, &start.runtime_directory) {
        (Some(path), _, _) => Target::Socket(path.clone()),
        (None, Some(name), _) => Target::Instance(instance_name(name)?),
        (None, None, Some(directory)) => Target::Unit(directory.clone()),
        (None, None, None) => {
            return Err(Stop::Refuse(
                "which rgunicorn? Name its instance with -i NAME or its control socket with -s PATH".into(),
            ));
        }
    };
    Ok(CommandLine { target, request })
}

/// `site` from `site`, `rgunicorn@site` and `rgunicorn@site.service`.
fn instance_name(word: &str) -> Result<String, Stop> {
    let name = word.strip_suffix(".service").unwrap_or(word);
    let name = name.strip_prefix("rgunicorn@").unwrap_or(name);
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '@', '\0']) {
        return Err(Stop::Refuse(format!(
            "--instance: {word:?} is no name of an instance"
        )));
    }
    Ok(name.to_owned())
}

fn unknown_flag(flag: &str) -> String {
    format!("unknown option {flag}; --help lists those there are")
}

/// The command line as clap knows it.
pub fn command() -> Command {
    let commands = COMMANDS
        .map(|(name, _, help)| format!("  {name}  {help}\n"))
        .concat();
    Command::new("rgunicornctl")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Asks a running rgunicorn to do something, and waits until it is done.")
        .override_usage("rgunicornctl [-s PATH | -i NAME] COMMAND")
        .after_help(format!(
            "Commands:\n{commands}\n\
             Exit status: 0 done, 1 not done, 64 not understood, 69 nobody answers.\n\
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
                .help("What to do: see below"),
            Arg::new("instance")
                .short('i')
                .long("instance")
                .value_name("NAME")
                .conflicts_with("socket")
                .help("The instance: NAME in rgunicorn@NAME.service"),
            Arg::new("socket")
                .short('s')
                .long("socket")
                .value_name("PATH")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Its control socket [default: $RUNTIME_DIRECTORY/control]"),
            Arg::new("version")
                .short('V')
                .long("version")
                .action(ArgAction::Version)
                .help("Print the version"),
            Arg::new("help")
                .short('h')
                .long("help")
                .action(ArgAction::Help)
                .help("Print this"),
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
        )
    }

    fn refusal(words: &str) -> String {
        match parsed(words, None) {
            Err(Stop::Refuse(line)) if !line.contains('\n') => line,
            other => panic!("{words}: {other:?}"),
        }
    }

    #[test]
    fn clap_finds_no_fault_with_it() {
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
    fn a_named_socket_counts_and_else_that_of_the_unit() {
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
    fn what_is_not_understood_is_said_in_one_line() {
        for (words, says) in [
            ("-i site", "what shall be done? COMMAND is reload or status"),
            (
                "-i site dance",
                "unknown command \"dance\": it is reload or status",
            ),
            (
                "reload",
                "which rgunicorn? Name its instance with -i NAME or its control socket with -s PATH",
            ),
            (
                "-i ../x reload",
                "--instance: \"../x\" is no name of an instance",
            ),
            (
                "-i .. reload",
                "--instance: \"..\" is no name of an instance",
            ),
            (
                "-i a -s b reload",
                "--instance <NAME> does not go with --socket <PATH>",
            ),
            (
                "reload reload",
                "\"reload\" is one word too many: COMMAND is given once, and a value that has spaces needs quotes",
            ),
            (
                "--wait reload",
                "unknown option --wait; --help lists those there are",
            ),
        ] {
            assert_eq!(refusal(words), says);
        }
    }

    #[test]
    fn help_names_every_command() {
        let Err(Stop::Say(help)) = parsed("--help", None) else {
            panic!("no help")
        };
        for (name, _, does) in COMMANDS {
            assert!(help.contains(&format!("  {name}  {does}\n")), "{help}");
        }
    }
}
