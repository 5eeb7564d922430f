//! What is known of a server after it was asked.

use crate::memory::Memory;
use crate::protocol::{Listener, Summary, Worker};
use crate::queue_length::Queues;
use std::collections::BTreeSet;

/// A server.
pub struct Site {
    /// The name of its instance, if it has one.
    pub name: Option<String>,
    pub state: State,
}

pub enum State {
    Answered(Box<Scrape>),
    /// It did not answer.
    Silent(Silence),
    /// It does not run, and its socket waits for a connection.
    Waiting,
}

/// Why a server did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// Not in time.
    NoAnswer,
    /// For a reason that the server or the system has given.
    Reason(String),
}

impl From<String> for Silence {
    fn from(reason: String) -> Self {
        Self::Reason(reason)
    }
}

impl From<&str> for Silence {
    fn from(reason: &str) -> Self {
        Self::Reason(reason.to_owned())
    }
}

/// What a server says of itself.
pub struct Scrape {
    pub summary: Summary,
    pub master: Memory,
    pub workers: Vec<(Worker, Memory)>,
    /// The address of each listener, and how many connections wait there, if that is known.
    pub queues: Vec<(String, Option<u64>)>,
}

impl Scrape {
    /// `master` and the memory of the workers: as far as it may be read.
    pub fn new(
        summary: Summary,
        master: Memory,
        workers: Vec<(Worker, Memory)>,
        listeners: Vec<Listener>,
        waiting: &Queues,
    ) -> Self {
        let mut counted = BTreeSet::new();
        let queue = |listener: Listener| {
            let length = waiting.length(&listener.kind, listener.inode);
            // A socket has one address, so that one under many names makes no more series.
            let length = length.filter(|_| counted.insert(listener.inode));
            (listener.address, length)
        };
        Self {
            summary,
            master,
            workers,
            queues: listeners.into_iter().map(queue).collect(),
        }
    }
}
