//! Log records on their way to the master, which writes all logs.

use rgunicorn_link::protocol::{FromForkServer, FromWorker, Level, Record, RequestInfo};
use rgunicorn_link::{Link, shorten};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The longest text in bytes of JSON: several records have to fit on the link.
const LONGEST: usize = 48 * 1024;

/// Sends log records; never waits. Records that a full link does not take are
/// counted, and the next one that it takes carries the count.
#[derive(Debug, Clone)]
pub struct Reporter {
    link: Arc<Link>,
    level: Level,
    sender: Sender,
    dropped: Arc<AtomicU64>,
}

/// At whose end of a link the reporter is.
#[derive(Debug, Clone, Copy)]
pub enum Sender {
    ForkServer,
    Worker,
}

impl Reporter {
    /// Records below `level` are not sent.
    pub fn new(link: Arc<Link>, level: Level, sender: Sender) -> Self {
        Self {
            link,
            level,
            sender,
            dropped: Arc::default(),
        }
    }

    /// Logs `text`, which may have several lines.
    pub fn log(&self, level: Level, text: String) {
        self.send(level, text, None);
    }

    /// Logs `text`, which is about a request.
    pub fn log_request(&self, level: Level, text: String, request: RequestInfo) {
        self.send(level, text, Some(request));
    }

    fn send(&self, level: Level, text: String, request: Option<RequestInfo>) {
        if level < self.level {
            return;
        }
        let dropped = self.dropped.swap(0, Relaxed);
        let record = Record {
            level,
            text: shorten(text, LONGEST),
            dropped,
            request,
        };
        let sent = match self.sender {
            Sender::ForkServer => self.link.send(&FromForkServer::Log(record), &[]),
            Sender::Worker => self.link.send(&FromWorker::Log(record), &[]),
        };
        if sent.is_err() {
            self.dropped.fetch_add(dropped + 1, Relaxed);
        }
    }
}
