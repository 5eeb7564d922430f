//! A command line that ends the program: help, or lines that say what is wrong
//! with it. For `rgunicorn` and `rgunicornctl` alike.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::io::{self, Write};
use std::process::ExitCode;

/// Why the program ends before it has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Help or the version was asked for; here it is.
    Print(String),
    /// What is wrong, a line for each mistake.
    UsageError(Vec<String>),
}

impl Stop {
    pub fn usage_error(line: String) -> Self {
        Self::UsageError(vec![line])
    }

    /// Prints it, after the name of the program, and gives the exit status.
    pub fn finish(&self, program: &str) -> ExitCode {
        const USAGE: u8 = 64;
        // If the reader has closed its end, nobody is left to be told.
        match self {
            Self::Print(text) => {
                let _ = io::stdout().lock().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Self::UsageError(lines) => {
                let mut stderr = io::stderr().lock();
                for line in lines {
                    let _ = writeln!(stderr, "{program}: {line}");
                }
                ExitCode::from(USAGE)
            }
        }
    }
}

/// An error of clap in one line. `unknown` writes the message about a flag that
/// does not exist, `operand` is the name of the only argument without a flag.
pub fn one_line(error: &clap::Error, unknown: fn(&str) -> String, operand: &str) -> Stop {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(" ")),
        Some(_) | None => None,
    };
    let argument = said(ContextKind::InvalidArg).map(|word| word.escape_debug().to_string());
    Stop::usage_error(match (error.kind(), argument) {
        (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _) => {
            return Stop::Print(error.to_string());
        }
        (ErrorKind::UnknownArgument, Some(flag)) if flag.starts_with('-') => unknown(&flag),
        (ErrorKind::UnknownArgument, Some(word)) => format!(
            "unexpected argument \"{word}\": only one {operand} can be given, and a value with spaces needs quotes"
        ),
        (ErrorKind::InvalidValue, Some(option)) => format!("{option} needs a value"),
        (ErrorKind::TooManyValues | ErrorKind::ArgumentConflict, Some(option)) => {
            match said(ContextKind::PriorArg) {
                Some(other) if other != option => format!("{option} cannot be used with {other}"),
                Some(_) | None => format!("{option} takes no value"),
            }
        }
        (ErrorKind::InvalidUtf8, _) => "an argument is not valid UTF-8".into(),
        (_, _) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    })
}
