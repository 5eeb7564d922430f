//! What goes over the control socket: one request and one answer, each a line
//! of JSON. `rgunicornctl` and the master may be of different versions
//! for as long as an upgrade takes, so names here do not change.
//!
//! ```text
//! → {"command":"reload"}
//! ← {"done":"generation 8 serves"}          or {"failed":"…"}
//! ```

use rgunicorn_link::shorten;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Request {
    /// Answered when the reload has ended.
    Reload,
    /// Answered with one line about the state of the server.
    Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// With the result.
    Done(String),
    /// With the reason.
    Failed(String),
}

/// The longest line that either side takes, in bytes.
pub const LONGEST_LINE: usize = 64 * 1024;

/// What an [`Answer`] takes in its line besides its text.
const ENVELOPE: usize = 64;

impl Answer {
    /// This answer, cut so that its line is not longer than [`LONGEST_LINE`]: an error
    /// message may quote a value of any length.
    #[must_use]
    pub fn shortened(&self) -> Self {
        let fitting = |text: &String| shorten(text.clone(), LONGEST_LINE - ENVELOPE);
        match self {
            Self::Done(result) => Self::Done(fitting(result)),
            Self::Failed(reason) => Self::Failed(fitting(reason)),
        }
    }
}

/// A message as JSON, with its line break.
#[expect(
    clippy::missing_panics_doc,
    reason = "strings and names always serialize"
)]
pub fn line(message: &impl Serialize) -> String {
    let mut line = serde_json::to_string(message).expect("strings and names always serialize");
    line.push('\n');
    line
}

/// The message in a line, with or without its line break.
pub fn parse<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str(line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_documented() {
        assert_eq!(line(&Request::Reload), "{\"command\":\"reload\"}\n");
        assert_eq!(line(&Request::Status), "{\"command\":\"status\"}\n");
        assert_eq!(
            line(&Answer::Failed("a\nb".into())),
            "{\"failed\":\"a\\nb\"}\n"
        );
        assert_eq!(line(&Answer::Done("x".into())), "{\"done\":\"x\"}\n");
        assert_eq!(line(&Answer::Failed("x".into())), "{\"failed\":\"x\"}\n");
    }

    #[test]
    fn a_written_message_can_be_read() {
        assert_eq!(
            parse::<Request>(&line(&Request::Reload)).ok(),
            Some(Request::Reload)
        );
        let answer = Answer::Failed("no".into());
        assert_eq!(parse::<Answer>(&line(&answer)).ok(), Some(answer));
    }

    #[test]
    fn an_unknown_message_is_an_error() {
        assert!(parse::<Request>("").is_err());
        assert!(parse::<Request>("{\"command\":\"dance\"}").is_err());
        assert!(parse::<Answer>("{\"perhaps\":\"x\"}").is_err());
    }
}
