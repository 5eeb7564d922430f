//! The settings of an engine.

use crate::trusted_peers::TrustedPeers;
use rgunicorn_http::{Limits, ProxyVersions};
use std::path::PathBuf;
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
    /// Connections may begin with a header of the PROXY protocol. `None`: that is refused as
    /// no HTTP.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// GET and HEAD requests for this path are answered by the engine: 200, or 503 once the
    /// pool stops. As in the request line, percent-encoded.
    pub health_path: Option<String>,
    /// There will be an access log: [`Engine::set_access_log`](crate::Engine::set_access_log).
    pub access_log: bool,
    /// It has header fields of responses.
    pub keeps_response_fields: bool,
    /// The application answers over several turns: what happens to its requests meanwhile
    /// is reported in [`Engine::take_request_events`](crate::Engine::take_request_events).
    pub across_turns: bool,
    pub body_delivery: BodyDelivery,
    /// The most bytes of a request body that is kept in memory; a larger one is written to
    /// an unlinked file.
    pub body_in_memory: usize,
    /// Where that file is; `None`: in `$TMPDIR`, or /tmp.
    pub body_directory: Option<PathBuf>,
    /// The most bytes of a response that wait for the client in memory; further ones wait
    /// in an unlinked file.
    pub response_in_memory: usize,
    /// The most bytes of a response that wait in the file; then the application waits.
    pub response_on_disk: u64,
}

/// How connections begin whose proxies say whom they speak for.
#[derive(Debug, Clone)]
pub struct ProxyProtocol {
    pub versions: ProxyVersions,
    /// Who may send the header.
    pub allowed: TrustedPeers,
    pub absence: Absence,
}

/// What becomes of a connection that does not begin with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// It is served, as that of its peer.
    Served,
    Refused,
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
            proxy_protocol: None,
            health_path: None,
            access_log: false,
            keeps_response_fields: false,
            across_turns: false,
            body_delivery: BodyDelivery::Whole,
            body_in_memory: 128 * 1024,
            body_directory: None,
            response_in_memory: 256 * 1024,
            response_on_disk: 1 << 30,
        }
    }
}
