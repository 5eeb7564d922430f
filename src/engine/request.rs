//! A request, as it is handed out: owned, and independent of the connection it came by.

use crate::buffers::Incoming;
use crate::transport::Peer;
use rgunicorn_http::{Head, ProxyHeader};
use std::fmt;
use std::fs::File;

/// The field by which a client or a proxy gives a request an id.
pub(crate) const ID_FIELD: &[u8] = b"x-request-id";

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

impl RequestId {
    /// How logs name the request: by the id that the client or a proxy gave it, so that their
    /// logs and ours agree, else by one that no other request of the process `pid` has.
    pub fn name(self, pid: u32, sent: &[u8]) -> String {
        /// In bytes.
        const LONGEST: usize = 128;
        let is_sound = (1..=LONGEST).contains(&sent.len()) && sent.iter().all(u8::is_ascii_graphic);
        if is_sound {
            String::from_utf8_lossy(sent).into_owned()
        } else {
            format!("{pid}-{self}")
        }
    }
}

/// The value of the first field with this name.
pub(crate) fn first_field<'b>(head: &Head, bytes: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    (head.fields.iter())
        .find(|field| field.name.of(bytes).eq_ignore_ascii_case(name))
        .map(|field| field.value.of(bytes))
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
    pub(crate) proxy_header: Option<Box<ProxyHeader>>,
    pub(crate) incoming: Box<Incoming>,
}

impl Request {
    pub fn id(&self) -> RequestId {
        self.id
    }

    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Whom the peer speaks for, if it is a proxy that said so when it connected.
    pub fn proxy_header(&self) -> Option<&ProxyHeader> {
        self.proxy_header.as_deref()
    }

    /// How logs name it, in a worker with this pid.
    pub fn name(&self, pid: u32) -> String {
        self.id.name(pid, self.field(ID_FIELD).unwrap_or_default())
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
        first_field(head, bytes, name)
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
