//! Log records on their way to the master, which writes all logs.

use rgunicorn_link::protocol::{FromForkServer, FromWorker, Level, Record};
use rgunicorn_link::{Link, shorten};
use std::cell::Cell;
use std::rc::Rc;

/// The longest text in bytes of JSON: several records have to fit on the link.
const LONGEST: usize = 48 * 1024;

/// Sends log records; never waits. Records that a full link does not take are
/// counted, and the next one that it takes carries the count.
#[derive(Debug, Clone)]
pub struct Reporter {
    link: Rc<Link>,
    level: Level,
    sender: Sender,
    dropped: Rc<Cell<u64>>,
}

/// At whose end of a link the reporter is.
#[derive(Debug, Clone, Copy)]
pub enum Sender {
    ForkServer,
    Worker,
}

impl Reporter {
    /// Records below `level` are not sent.
    pub fn new(link: Rc<Link>, level: Level, sender: Sender) -> Self {
        Self {
            link,
            level,
            sender,
            dropped: Rc::default(),
        }
    }

    /// Logs `text`, which may have several lines.
    pub fn log(&self, level: Level, text: String) {
        if level < self.level {
            return;
        }
        let record = Record {
            level,
            text: shorten(text, LONGEST),
            dropped: self.dropped.get(),
        };
        let sent = match self.sender {
            Sender::ForkServer => self.link.send(&FromForkServer::Log(record), &[]),
            Sender::Worker => self.link.send(&FromWorker::Log(record), &[]),
        };
        self.dropped.set(match sent {
            Ok(()) => 0,
            Err(_) => self.dropped.get() + 1,
        });
    }
}
