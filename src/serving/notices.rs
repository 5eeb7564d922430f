//! What the log says of the engine's notices.

use crate::reporter::Reporter;
use rgunicorn_engine::{Notice, Peer, Unserved};
use rgunicorn_link::protocol::{Level, Site};

/// Logs how many requests the application never saw. Under overload there are many, so
/// they are counted over a while.
#[derive(Default)]
pub struct UnservedLog {
    /// Not logged yet.
    counts: Unserved,
    last_ms: Option<u64>,
}

impl UnservedLog {
    const INTERVAL_MS: u64 = 10_000;

    pub fn add(&mut self, more: Unserved) {
        self.counts.timed_out += more.timed_out;
        self.counts.abandoned += more.abandoned;
    }

    /// Logs the counts, unless that was done a short time ago.
    pub fn log_if_due(&mut self, now_ms: u64, reporter: &Reporter) {
        let is_due = self
            .last_ms
            .is_none_or(|last_ms| now_ms >= last_ms + Self::INTERVAL_MS);
        if is_due && self.counts != Unserved::default() {
            self.last_ms = Some(now_ms);
            self.log(reporter);
        }
    }

    pub fn log(&mut self, reporter: &Reporter) {
        let Unserved {
            timed_out,
            abandoned,
        } = std::mem::take(&mut self.counts);
        if timed_out > 0 {
            let text = format!(
                "Answered {timed_out} requests with 503: they had waited for the application \
                 longer than request_timeout"
            );
            reporter.log(Level::Warning, text);
        }
        if abandoned > 0 {
            let text = format!(
                "Dropped {abandoned} requests: their clients had closed the connection before \
                 the application could take them"
            );
            reporter.log(Level::Warning, text);
        }
    }
}

/// Logs them, and how many more were dropped.
pub fn log(reporter: &Reporter, site: &Site, notices: Vec<Notice>, dropped: u64) {
    for notice in notices {
        let (level, text) = describe(site, notice);
        reporter.log(level, text);
    }
    if dropped > 0 {
        let text = format!("{dropped} more events were not logged");
        reporter.log(Level::Warning, text);
    }
}

fn describe(site: &Site, notice: Notice) -> (Level, String) {
    match notice {
        Notice::Refused(peer, refusal) => {
            let status = refusal.status();
            let peer = name(peer);
            let text = format!("Refused a request from {peer} with {status}: {refusal}");
            (Level::Warning, text)
        }
        Notice::NotAnswered(peer) => {
            let peer = name(peer);
            let text = format!("The application gave up a request from {peer} without an answer");
            (Level::Error, text)
        }
        Notice::CannotAccept(error) => {
            let text = format!("Cannot accept connections, trying again in 0.2 s: {error}");
            (Level::Error, text)
        }
        Notice::CannotWatch(error) => {
            let text = format!("Closed a connection, as it cannot be watched for events: {error}");
            (Level::Error, text)
        }
        Notice::CannotHandOver(error) => {
            let text = format!("Cannot hand a connection over to another worker: {error}");
            (Level::Error, text)
        }
        Notice::ConnectionLimit => {
            let text = format!(
                "All {} connections of each worker (worker_connections) are in use; new ones wait",
                site.worker_connections
            );
            (Level::Warning, text)
        }
    }
}

fn name(peer: Peer) -> String {
    match peer {
        Peer::Tcp(address) => address.to_string(),
        Peer::Unix => "a unix socket".to_owned(),
    }
}
