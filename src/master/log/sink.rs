//! Where records go, and what a record is on its way there.

use super::{Console, Journal, Priority, connected_to_journal, console::Style};
use crate::log::events;
use std::io::IsTerminal;

/// One record, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How urgent it is.
    pub priority: Priority,
    /// The sentence; an application's record may have several lines.
    pub message: String,
    /// The named values, in the names of the call site.
    pub fields: Vec<(&'static str, String)>,
    /// The place in the source: file and line.
    pub code: Option<(&'static str, u32)>,
    /// The process that speaks, if it is not this one.
    pub speaker: Option<u32>,
}

impl Entry {
    /// What is said when records were lost.
    pub(super) fn dropped(count: u64, taker: &str) -> Self {
        let s = if count == 1 { " was" } else { "s were" };
        Self {
            priority: Priority::Warning,
            message: format!("{count} log record{s} dropped because {taker} did not take them"),
            fields: vec![
                ("message_id", events::LOG_RECORDS_DROPPED.to_owned()),
                ("dropped", count.to_string()),
            ],
            code: None,
            speaker: None,
        }
    }
}

/// Where records go.
#[derive(Debug)]
pub enum Sink {
    /// The journal, with fields.
    Journal(Journal),
    /// Lines on stderr.
    Console(Console),
}

impl Sink {
    /// The journal if stderr leads there and the journal's own socket can be
    /// reached, else stderr.
    pub fn detect() -> Self {
        let stderr = std::io::stderr();
        if !connected_to_journal(&stderr) {
            let colours = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none();
            return Self::Console(Console::stderr(if colours {
                Style::Coloured
            } else {
                Style::Plain
            }));
        }
        // A service with a root directory of its own may have lost the socket.
        match Journal::open() {
            Ok(journal) if journal.is_reachable() => Self::Journal(journal),
            Ok(_) | Err(_) => Self::Console(Console::stderr(Style::Prefixed)),
        }
    }

    /// Whether records keep their fields here. Then it is worth reading the
    /// application's output through pipes.
    pub fn has_fields(&self) -> bool {
        match self {
            Self::Journal(_) => true,
            Self::Console(_) => false,
        }
    }

    pub(super) fn write(&mut self, entry: &Entry, identifier: &str) {
        match self {
            Self::Journal(journal) => journal.write(entry, identifier),
            Self::Console(console) => console.write(entry),
        }
    }
}
