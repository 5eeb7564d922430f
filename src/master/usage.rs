//! A command line that needs no more than an answer: help, or one line that
//! says what is wrong with it. For `rgunicorn` and `rgunicornctl` alike.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::io::{self, Write};
use std::process::ExitCode;

/// Why there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Help or the version was asked for; here it is.
    Say(String),
    /// The command line is not understood; one line says why.
    Refuse(String),
}

impl Stop {
    /// Says it where it belongs, after the name of the program, and gives the
    /// exit status.
    pub fn finish(&self, program: &str) -> ExitCode {
        const USAGE: u8 = 64;
        // A reader that has gone away is none of our business.
        match self {
            Self::Say(text) => {
                let _ = io::stdout().lock().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Self::Refuse(line) => {
                let _ = writeln!(io::stderr().lock(), "{program}: {line}");
                ExitCode::from(USAGE)
            }
        }
    }
}

/// What clap has to say, in one line. `unknown` says what is wrong with a flag
/// that there is not, `operand` is what the one word without a flag is called.
pub fn one_line(error: &clap::Error, unknown: fn(&str) -> String, operand: &str) -> Stop {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(" ")),
        Some(_) | None => None,
    };
    let argument = said(ContextKind::InvalidArg).map(|word| word.escape_debug().to_string());
    Stop::Refuse(match (error.kind(), argument) {
        (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _) => {
            return Stop::Say(error.to_string());
        }
        (ErrorKind::UnknownArgument, Some(flag)) if flag.starts_with('-') => unknown(&flag),
        (ErrorKind::UnknownArgument, Some(word)) => format!(
            "\"{word}\" is one word too many: {operand} is given once, and a value that has spaces needs quotes"
        ),
        (ErrorKind::InvalidValue, Some(option)) => format!("{option}: a value is missing"),
        (ErrorKind::TooManyValues | ErrorKind::ArgumentConflict, Some(option)) => {
            match said(ContextKind::PriorArg) {
                Some(other) if other != option => format!("{option} does not go with {other}"),
                Some(_) | None => format!("{option}: takes no value"),
            }
        }
        (ErrorKind::InvalidUtf8, _) => "the command line has a word that is no UTF-8".into(),
        (_, _) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    })
}
