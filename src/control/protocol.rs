//! What goes over the control socket: one request and one answer, each a line
//! of JSON. `rgunicornctl` and the master may be of different versions
//! for as long as an upgrade takes, so names here do not change: a field that is
//! added has a default, and one that is not known is ignored.
//!
//! ```text
//! → {"command":"reload"}
//! ← {"done":"generation 8 serves"}          or {"failed":"…"}
//! → {"command":"workers"}
//! ← {"workers":{"master_pid":70,"workers":[{"worker":1, …}],"next":null}}
//! → {"command":"reload","fields":true}
//! ← {"outcome":{"message":"generation 8 serves","generation":8, …}}
//! ```
//!
//! A list that is longer than a line is answered in parts: `next` is what to ask `from`
//! for the following one, in a connection of its own.

pub use crate::rows::{
    Listener, Listeners, Outcome, ReloadCounts, Setting, Settings, Stacks, Summary, Worker,
    Workers, exit_cause,
};
use rgunicorn_link::shorten;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// Answered when the reload has ended.
    Reload,
    /// Have the program that lies where the master's does take over. Answered when its
    /// workers serve.
    Upgrade,
    /// Answered with one line about the state of the server.
    Status,
    /// The same in fields: answered with [`Answer::Summary`].
    Summary,
    /// Answered with [`Answer::Workers`].
    Workers {
        /// The number of the first worker that is wanted.
        #[serde(default)]
        from: u32,
    },
    /// Answered with [`Answer::Listeners`].
    Listeners {
        /// How many listeners are passed over.
        #[serde(default)]
        from: u32,
    },
    /// Answered with [`Answer::Settings`].
    Config {
        /// How many settings are passed over.
        #[serde(default)]
        from: u32,
    },
    /// Answered with [`Answer::Stacks`] when the worker has written them.
    Stacks {
        /// The worker's number, or else its pid.
        id: u32,
    },
    /// Run this many workers until the next reload. Answered with how many are wanted now.
    Scale { workers: u32 },
    /// The same, from how many there are wanted now.
    ScaleBy { workers: i32 },
    /// Replace a worker. Answered when another serves in its place and it was asked to leave.
    RestartWorker {
        /// The worker's number, or else its pid.
        id: u32,
    },
    /// Let running requests finish, then exit. Answered when every other process is gone;
    /// then the connection closes with the end of the master.
    Stop,
}

impl Request {
    /// What follows `"command":` in a request, whatever its other fields are.
    pub fn command_in(line: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Named {
            command: String,
        }
        parse::<Named>(line).ok().map(|named| named.command)
    }
}

/// The line of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    #[serde(flatten)]
    pub request: Request,
    /// An order is answered with an [`Answer::Outcome`]: it would be with [`Answer::Done`],
    /// as one to a master that does not know this yet is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fields: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// With the result.
    Done(String),
    /// With the reason.
    Failed(String),
    /// What an order has come to, only for a client that asks for fields.
    Outcome(Outcome),
    Summary(Summary),
    Workers(Workers),
    Listeners(Listeners),
    Settings(Settings),
    Stacks(Stacks),
}

/// The longest line that either side takes, in bytes.
pub const LONGEST_LINE: usize = 64 * 1024;

/// What an [`Answer`] takes in its line besides its text or its rows.
const ENVELOPE: usize = 128;

/// As many of `rows`, which are numbered, as fit into one answer, and the number of the
/// first that does not.
pub fn fitting<T: Serialize>(rows: impl Iterator<Item = (u32, T)>) -> (Vec<T>, Option<u32>) {
    let mut room = LONGEST_LINE - ENVELOPE;
    let mut taken = Vec::new();
    for (number, row) in rows {
        // Its line break stands for the comma behind it.
        match room.checked_sub(line(&row).len()) {
            Some(rest) => room = rest,
            None => return (taken, Some(number)),
        }
        taken.push(row);
    }
    (taken, None)
}

/// The same of all rows but the first `from`.
pub fn fitting_from<T: Serialize>(
    from: u32,
    rows: impl IntoIterator<Item = T>,
) -> (Vec<T>, Option<u32>) {
    fitting((0..).zip(rows).filter(|(number, _)| *number >= from))
}

impl Answer {
    /// This answer as a client wants it that asked for fields, or did not.
    #[must_use]
    pub fn for_client(&self, fields: bool) -> Self {
        match self {
            Self::Outcome(outcome) if !fields => Self::Done(outcome.message.clone()),
            other => other.clone(),
        }
    }

    /// This answer, cut so that its line is not longer than [`LONGEST_LINE`]: an error
    /// message may quote a value of any length.
    #[must_use]
    pub fn shortened(&self) -> Self {
        let fitting = |text: &String| shorten(text.clone(), LONGEST_LINE - ENVELOPE);
        match self {
            Self::Done(result) => Self::Done(fitting(result)),
            Self::Failed(reason) => Self::Failed(fitting(reason)),
            Self::Summary(summary) => {
                // The rest of it takes less than 1 KiB.
                let shorter = |text: &String| shorten(text.clone(), LONGEST_LINE - 1024);
                let last_reload_failure = summary.last_reload_failure.as_ref().map(shorter);
                Self::Summary(Summary {
                    last_reload_failure,
                    ..summary.clone()
                })
            }
            Self::Stacks(stacks) => {
                // The rest of it takes less than 1 KiB.
                let text = shorten(stacks.stacks.clone(), LONGEST_LINE - 1024);
                Self::Stacks(Stacks {
                    stacks: text,
                    ..stacks.clone()
                })
            }
            Self::Outcome(_) | Self::Workers(_) | Self::Listeners(_) | Self::Settings(_) => {
                self.clone()
            }
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
            line(&Request::Scale { workers: 3 }),
            "{\"command\":\"scale\",\"workers\":3}\n"
        );
        assert_eq!(
            line(&Request::ScaleBy { workers: -1 }),
            "{\"command\":\"scale-by\",\"workers\":-1}\n"
        );
        assert_eq!(
            line(&Request::RestartWorker { id: 7 }),
            "{\"command\":\"restart-worker\",\"id\":7}\n"
        );
        assert_eq!(
            line(&Request::Stacks { id: 7 }),
            "{\"command\":\"stacks\",\"id\":7}\n"
        );
        assert_eq!(line(&Request::Stop), "{\"command\":\"stop\"}\n");
        let asked = |fields| Line {
            request: Request::Scale { workers: 3 },
            fields,
        };
        assert_eq!(line(&asked(false)), line(&asked(false).request));
        assert_eq!(
            line(&asked(true)),
            "{\"command\":\"scale\",\"workers\":3,\"fields\":true}\n"
        );
        assert_eq!(
            line(&Answer::Outcome(Outcome::of("x".into()))),
            "{\"outcome\":{\"message\":\"x\"}}\n"
        );
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
    fn fields_are_sent_only_to_a_client_that_asks_for_them() {
        let answer = Answer::Outcome(Outcome {
            generation: Some(2),
            ..Outcome::of("x".into())
        });
        assert_eq!(answer.for_client(true), answer);
        assert_eq!(answer.for_client(false), Answer::Done("x".into()));

        for (text, fields) in [
            ("{\"command\":\"reload\"}\n", false),
            ("{\"command\":\"reload\",\"fields\":true}\n", true),
        ] {
            let request = Request::Reload;
            assert_eq!(parse::<Line>(text).ok(), Some(Line { request, fields }));
            // A master that knows nothing of them.
            assert_eq!(parse::<Request>(text).ok(), Some(request));
        }
        assert!(parse::<Line>("{\"command\":\"dance\"}").is_err());
    }

    #[test]
    fn a_field_that_a_later_version_added_does_no_harm() {
        let workers = parse::<Request>("{\"command\":\"workers\",\"of\":\"shop\"}\n").ok();
        assert_eq!(workers, Some(Request::Workers { from: 0 }));

        let answer =
            "{\"listeners\":{\"listeners\":[{\"address\":\":80\",\"colour\":1}],\"more\":2}}";
        let listener = Listener {
            address: ":80".into(),
            ..Listener::default()
        };
        assert_eq!(
            parse::<Answer>(answer).ok(),
            Some(Answer::Listeners(Listeners {
                listeners: vec![listener],
                next: None
            }))
        );
    }

    #[test]
    fn a_long_list_is_answered_in_parts_that_fit_into_a_line() {
        let worker = |number| Worker {
            worker: number,
            pid: Some(u32::MAX),
            sent_bytes: u64::MAX,
            ..Worker::default()
        };
        let mut from = Some(1);
        let mut seen = Vec::new();

        while let Some(first) = from {
            let rows = (first..=2048).map(|number| (number, worker(number)));
            let (workers, next) = fitting(rows);
            seen.extend(workers.iter().map(|worker| worker.worker));
            let answer = Answer::Workers(Workers {
                master_pid: u32::MAX,
                workers,
                next,
            });
            assert!(line(&answer).len() <= LONGEST_LINE);
            assert!(next > from || next.is_none());
            from = next;
        }

        assert_eq!(seen, (1..=2048).collect::<Vec<_>>());
    }

    #[test]
    fn a_summary_with_a_long_error_fits_into_a_line() {
        let answer = Answer::Summary(Summary {
            last_reload_failure: Some("\n".repeat(LONGEST_LINE)),
            ..Summary::default()
        });

        assert!(line(&answer.shortened()).len() <= LONGEST_LINE);
    }

    #[test]
    fn stacks_of_any_length_fit_into_a_line() {
        let answer = Answer::Stacks(Stacks {
            worker: u32::MAX,
            pid: u32::MAX,
            busy_ms: Some(u64::MAX),
            request: Some("%ff".repeat(200)),
            stacks: "\x01".repeat(LONGEST_LINE),
        });

        assert!(line(&answer.shortened()).len() <= LONGEST_LINE);
    }

    #[test]
    fn the_command_of_an_unknown_request_is_known() {
        let command = Request::command_in("{\"command\":\"dance\",\"for\":3}");
        assert_eq!(command.as_deref(), Some("dance"));
        assert_eq!(Request::command_in("GET / HTTP/1.1"), None);
    }

    #[test]
    fn an_unknown_message_is_an_error() {
        assert!(parse::<Request>("").is_err());
        assert!(parse::<Request>("{\"command\":\"dance\"}").is_err());
        assert!(parse::<Answer>("{\"perhaps\":\"x\"}").is_err());
    }
}
