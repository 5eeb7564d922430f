//! The settings of an engine.

use rgunicorn_http::Limits;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a kept-alive connection may be idle; zero closes after each response.
    pub keepalive: Duration,
    /// How long a client may take for a whole request head, and how long it may send
    /// nothing of a body or take nothing of a response.
    pub client_timeout: Duration,
    /// How long a request may wait for the application, and how long that may take before
    /// it sends; then the client is answered 503. `None`: for ever.
    pub request_timeout: Option<Duration>,
    /// The most connections at one time.
    pub connections: usize,
    pub limits: Limits,
    /// GET and HEAD requests for this path are answered by the engine: 200, or 503 once the
    /// pool stops. As in the request line, percent-encoded.
    pub health_path: Option<String>,
    /// The application answers over several turns: what happens to its requests meanwhile
    /// is reported in [`Engine::take_request_events`](crate::Engine::take_request_events).
    pub across_turns: bool,
    pub body_delivery: BodyDelivery,
    /// The most bytes of a request body that is kept in memory; a larger one is written to
    /// an unlinked file.
    pub body_in_memory: usize,
    /// The most bytes of a response that wait for the client in memory; further ones wait
    /// in an unlinked file.
    pub response_in_memory: usize,
    /// The most bytes of a response that wait in the file; then the application waits.
    pub response_on_disk: u64,
}

/// When a request with a body is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyDelivery {
    /// When all of the body is there.
    Whole,
    /// When its head is complete. The body follows in parts, taken by
    /// [`Engine::take_body`](crate::Engine::take_body).
    AsReceived,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keepalive: Duration::from_secs(2),
            client_timeout: Duration::from_secs(30),
            request_timeout: None,
            connections: 1000,
            limits: Limits::default(),
            health_path: None,
            across_turns: false,
            body_delivery: BodyDelivery::Whole,
            body_in_memory: 128 * 1024,
            response_in_memory: 256 * 1024,
            response_on_disk: 1 << 30,
        }
    }
}
