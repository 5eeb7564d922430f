//! A request, as it is handed out: owned, and independent of the connection it came by.

use crate::buffers::Incoming;
use crate::transport::Peer;
use rgunicorn_http::Head;
use std::fmt;
use std::fs::File;

/// Names a request: its connection and, on that, its stream. In HTTP/1 the streams of a
/// connection follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    pub(crate) connection: u64,
    pub(crate) stream: u32,
}

/// Different for each request of an engine.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.connection, self.stream)
    }
}

/// The body of a request.
#[derive(Debug)]
pub enum RequestBody<'a> {
    /// In memory; empty where there is none.
    Memory(&'a [u8]),
    /// In an unlinked file, from 0 to this length.
    File(&'a File, u64),
    /// It comes in parts, taken by [`Engine::take_body`](crate::Engine::take_body).
    Streamed,
}

/// A request. It is answered by its [`Responder`](crate::Responder), and may be dropped
/// before or after that.
#[derive(Debug)]
pub struct Request {
    pub(crate) id: RequestId,
    pub(crate) peer: Peer,
    pub(crate) listener: u32,
    pub(crate) incoming: Box<Incoming>,
}

impl Request {
    pub fn id(&self) -> RequestId {
        self.id
    }

    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The number of the listener it came by.
    pub fn listener(&self) -> u32 {
        self.listener
    }

    /// The head, and the bytes its spans point into.
    pub fn head(&self) -> (&Head, &[u8]) {
        self.incoming.request()
    }

    pub fn method(&self) -> &[u8] {
        let (head, bytes) = self.head();
        head.method.of(bytes)
    }

    /// The request target, as the client wrote it.
    pub fn target(&self) -> &[u8] {
        let (head, bytes) = self.head();
        head.target.of(bytes)
    }

    /// The path, not decoded.
    pub fn path(&self) -> &[u8] {
        let (head, bytes) = self.head();
        head.path.of(bytes)
    }

    /// The value of the first field with this name, which is in lower case.
    pub fn field(&self, name: &[u8]) -> Option<&[u8]> {
        let (head, bytes) = self.head();
        head.fields
            .iter()
            .find(|field| field.name.of(bytes).eq_ignore_ascii_case(name))
            .map(|field| field.value.of(bytes))
    }

    /// Whether the client waits for `100 Continue` before it sends the body, which is
    /// possible only in [`BodyDelivery::AsReceived`](crate::BodyDelivery::AsReceived).
    pub fn expects_continue(&self) -> bool {
        self.incoming.head.expect_continue
    }

    pub fn body(&self) -> RequestBody<'_> {
        self.incoming.body()
    }
}
