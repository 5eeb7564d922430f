//! What goes over the control socket: one request, then answers, each one
//! line of JSON. `rgunicornctl` and the master may be of different versions
//! for as long as an upgrade takes, so names here do not change.
//!
//! ```text
//! → {"command":"reload"}
//! ← {"progress":"generation 8: 1 of 4 workers ready"}
//! ← {"done":"generation 8 serves"}          or {"failed":"…"}
//! ```

use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Request {
    /// Bring new code and configuration; answered when that is done.
    Reload,
    /// Say in one line how it stands.
    Status,
}

/// One line of an answer. [`Answer::Done`] and [`Answer::Failed`] are the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// How far it is.
    Progress(String),
    /// It is done; says what came of it.
    Done(String),
    /// It cannot be done, for this reason.
    Failed(String),
}

/// The longest line that either side takes, in bytes.
pub const LONGEST_LINE: usize = 64 * 1024;

/// A message as it goes over the socket, with its line break.
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
    fn the_wire_is_as_it_is_documented() {
        assert_eq!(line(&Request::Reload), "{\"command\":\"reload\"}\n");
        assert_eq!(line(&Request::Status), "{\"command\":\"status\"}\n");
        assert_eq!(
            line(&Answer::Progress("a\nb".into())),
            "{\"progress\":\"a\\nb\"}\n"
        );
        assert_eq!(line(&Answer::Done("x".into())), "{\"done\":\"x\"}\n");
        assert_eq!(line(&Answer::Failed("x".into())), "{\"failed\":\"x\"}\n");
    }

    #[test]
    fn what_was_written_can_be_read() {
        assert_eq!(
            parse::<Request>(&line(&Request::Reload)).ok(),
            Some(Request::Reload)
        );
        let answer = Answer::Failed("no".into());
        assert_eq!(parse::<Answer>(&line(&answer)).ok(), Some(answer));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(parse::<Request>("").is_err());
        assert!(parse::<Request>("{\"command\":\"dance\"}").is_err());
        assert!(parse::<Answer>("{\"perhaps\":\"x\"}").is_err());
    }
}
