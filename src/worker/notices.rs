//! What the log says of the engine's notices.

use crate::reporter::Reporter;
use rgunicorn_engine::{Notice, Peer};
use rgunicorn_link::protocol::{Level, Site};

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
