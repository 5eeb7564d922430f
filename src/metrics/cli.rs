//! The command line.

use clap::error::ErrorKind;
use clap::{Arg, Command, value_parser};
use rgunicorn_control::instances;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub idle_exit: Duration,
    /// Where the servers have their folders.
    pub folder: PathBuf,
}

/// Why there are no options.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// They were asked for: the help, or the version.
    Help(String),
    /// One line.
    UsageError(String),
}

/// Reads `words`, the first of which is the program's name.
pub fn parse_from<I>(words: I) -> Result<Options, Stop>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let matches = command()
        .try_get_matches_from(words)
        .map_err(|error| stop(&error))?;
    let seconds = matches.get_one("idle-exit").copied();
    Ok(Options {
        idle_exit: Duration::from_secs(seconds.unwrap_or(IDLE_EXIT)),
        folder: (matches.get_one("directory").cloned())
            .unwrap_or_else(|| PathBuf::from(instances::FOLDER)),
    })
}

/// Longer than Prometheus usually waits from one scrape to the next.
const IDLE_EXIT: u64 = 120;

fn command() -> Command {
    Command::new(crate::PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serve the metrics of all rgunicorn servers of this machine over HTTP, on the sockets that systemd has opened")
        .arg(
            Arg::new("idle-exit")
                .long("idle-exit")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64).range(1..=86_400))
                .help("Exit when nobody has connected for that long [default: 120]"),
        )
        .arg(
            Arg::new("directory")
                .long("directory")
                .value_name("PATH")
                .value_parser(value_parser!(PathBuf))
                .help("Where the servers have their runtime directories [default: /run/rgunicorn]"),
        )
}

fn stop(error: &clap::Error) -> Stop {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Help(text),
        _ => {
            let line = text.lines().next().unwrap_or_default();
            let line = line.strip_prefix("error: ").unwrap_or(line);
            Stop::UsageError(format!("{line}; see {} --help", crate::PROGRAM))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, Stop> {
        parse_from([&["rgunicorn-metrics"], words].concat())
    }

    #[test]
    fn options_are_read_and_have_defaults() {
        let options = parse(&["--idle-exit", "5", "--directory", "/run/user/1/rgunicorn"]);
        assert_eq!(
            options,
            Ok(Options {
                idle_exit: Duration::from_secs(5),
                folder: "/run/user/1/rgunicorn".into(),
            })
        );
        let options = parse(&[]).unwrap();
        assert_eq!(options.idle_exit, Duration::from_secs(120));
        assert_eq!(options.folder, PathBuf::from("/run/rgunicorn"));
    }

    #[test]
    fn a_mistake_is_one_line_with_the_remedy() {
        for words in [&["--idle-exit", "0"][..], &["--port", "80"], &["shop"]] {
            let Err(Stop::UsageError(line)) = parse(words) else {
                panic!("{words:?}");
            };
            assert!(line.contains(words[0]), "{line}");
            assert!(line.ends_with("see rgunicorn-metrics --help"), "{line}");
            assert_eq!(line.lines().count(), 1);
        }
        assert!(matches!(parse(&["--help"]), Err(Stop::Help(_))));
    }

    #[test]
    fn the_manual_page_has_every_option() {
        let page = include_str!("../../man/rgunicorn-metrics.8");
        for argument in command().get_arguments() {
            let name = argument.get_long().unwrap_or_default().replace('-', "\\-");
            assert!(page.contains(&format!("\\-\\-{name}")), "{name}");
        }
    }
}
