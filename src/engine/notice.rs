//! What an engine reports to its worker, for the log.

use crate::transport::Peer;
use rgunicorn_http::{Refusal, Status};
use std::io;

/// The most notices that are kept until the worker takes them.
const MAX_NOTICES: usize = 32;

/// An event for the log.
#[derive(Debug)]
pub enum Notice {
    /// A request was answered by the engine.
    Refused(Peer, RequestError),
    /// The application dropped a request without an answer.
    NotAnswered(Peer),
    /// The process or the machine has no descriptors or memory left.
    CannotAccept(io::Error),
    /// A connection was closed because no events could be had for it.
    CannotWatch(io::Error),
    /// A connection could not be given to another worker, or not be taken from one.
    CannotHandOver(io::Error),
    /// All connections are in use, and none is idle.
    ConnectionLimit,
}

/// Requests that the application never saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unserved {
    /// Answered 503, as they had waited for longer than `request_timeout`.
    pub timed_out: u64,
    /// Dropped, as the client had closed the connection meanwhile.
    pub abandoned: u64,
}

/// Why the engine answered a request itself and closed the connection.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the client took longer than client_timeout for its request")]
    Timeout,
    #[error("it took longer than request_timeout")]
    TooLate,
    #[error("the body could not be stored: {0}")]
    Storage(#[source] io::Error),
}

impl RequestError {
    pub fn status(&self) -> Status {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::Timeout => Status::REQUEST_TIMEOUT,
            Self::TooLate | Self::Storage(_) => Status::SERVICE_UNAVAILABLE,
        }
    }
}

/// The notices that the worker has not taken yet. Their number is bounded: a flood of
/// bad requests must not become a flood of memory or of log lines.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    kept: Vec<Notice>,
    dropped: u64,
}

impl Notices {
    pub(crate) fn push(&mut self, notice: Notice) {
        if self.kept.len() < MAX_NOTICES {
            self.kept.push(notice);
        } else {
            self.dropped += 1;
        }
    }

    /// The notices, and how many more there were.
    pub(crate) fn take(&mut self) -> (Vec<Notice>, u64) {
        let dropped = std::mem::take(&mut self.dropped);
        (std::mem::take(&mut self.kept), dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_beyond_the_limit_are_counted() {
        let mut notices = Notices::default();
        for _ in 0..MAX_NOTICES + 5 {
            notices.push(Notice::ConnectionLimit);
        }

        let (kept, dropped) = notices.take();

        assert_eq!((kept.len(), dropped), (MAX_NOTICES, 5));
        assert_eq!(notices.take().1, 0);
    }
}
