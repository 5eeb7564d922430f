//! What an engine can be told.

use rgunicorn_http::Limits;
use std::time::Duration;

/// How an engine treats its clients.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a kept-alive connection may be idle; zero closes after each answer.
    pub keepalive: Duration,
    /// How long a client may take for a whole request head, and how long it may
    /// be silent within a body or while an answer waits for it.
    pub client_timeout: Duration,
    /// The most connections held at one time.
    pub connections: usize,
    /// How large the parts of a request may be.
    pub limits: Limits,
    /// A request body up to this many bytes stays in memory, a larger one goes
    /// to an unlinked file.
    pub body_in_memory: usize,
    /// So many bytes of an answer wait for the client in memory, further ones in
    /// an unlinked file.
    pub answer_in_memory: usize,
    /// So many bytes of an answer wait for the client in the file; then the
    /// application has to wait.
    pub answer_on_disk: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keepalive: Duration::from_secs(2),
            client_timeout: Duration::from_secs(30),
            connections: 1000,
            limits: Limits::default(),
            body_in_memory: 128 * 1024,
            answer_in_memory: 256 * 1024,
            answer_on_disk: 1 << 30,
        }
    }
}
