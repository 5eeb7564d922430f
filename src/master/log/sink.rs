//! Where records go: to the journal with fields, or to stderr as lines.

use super::console::{Console, Style};
use super::journal::{self, Journal};
use super::record::Record;
use libsystemd::logging::connected_to_journal;
use std::io::{self, IsTerminal};

/// Where records go. Writing may wait for whoever takes them.
#[derive(Debug)]
pub enum Sink {
    Journal(Journal),
    Console(Console),
    /// For tests of what stands before it.
    #[cfg(test)]
    Test(super::tests::TestSink),
}

/// Why a record was not written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody is there to take it at the moment.
    Absent,
    /// It cannot be written, and waiting does not help.
    Refused,
}

impl Sink {
    /// The journal if stderr leads there and the journal's own socket can be
    /// reached, else stderr. Records bear the name `identifier` in the journal.
    pub fn detect(identifier: &'static str) -> Self {
        if !connected_to_journal() {
            let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            return Self::Console(Console::stderr(if colours {
                Style::Coloured
            } else {
                Style::Plain
            }));
        }
        // A service with a root directory of its own may have lost the socket.
        if journal::is_present() {
            Self::Journal(Journal::new(identifier))
        } else {
            Self::Console(Console::stderr(Style::Prefixed))
        }
    }

    /// Whether records keep their fields here. Then it is worth reading the
    /// application's output through pipes.
    pub(super) fn has_fields(&self) -> bool {
        match self {
            Self::Journal(_) => true,
            Self::Console(_) => false,
            #[cfg(test)]
            Self::Test(_) => true,
        }
    }

    pub(super) fn write(&mut self, record: &Record) -> Result<(), Failure> {
        match self {
            Self::Journal(journal) => journal.write(record),
            Self::Console(console) => console.write(record),
            #[cfg(test)]
            Self::Test(sink) => sink.write(record),
        }
    }
}
