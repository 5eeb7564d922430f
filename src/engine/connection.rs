//! One client's connection: it receives a complete request, hands it out, and sends the
//! response.
//!
//! ```text
//!            first byte          head complete         body complete    next_request
//!     Idle ─────────────▶ ReadingHead ──────▶ ReadingBody ─────▶ Ready ────────▶ (lent)
//!      ▲                      └────── no body ───────────────────▲                 │
//!      │ kept alive                                              │ pipelined       │ finish
//!      ├─────────────────────────────────────────────────────────┘                 ▼
//!      └──────────────────────────── all sent ◀──────────────────────────────── Sending
//!                                       │ not kept alive
//!                                       ▼
//!                                   Lingering ──▶ closed
//! ```
//!
//! The buffers of a request and its response come from a pool when the first byte arrives
//! and go back when the response is sent, so an idle connection costs a descriptor and a
//! few hundred bytes.

use crate::buffers::{
    BodyStorage, BufferPool, Buffers, RECEIVE_BODY_SIZE, RECEIVE_SIZE, decode_body,
};
use crate::close_on_fork::CloseOnFork;
use crate::notice::RequestError;
use crate::settings::Settings;
use rgunicorn_http::{BodyDecoder, CONTINUE, Framing, ResponseContext, write_error_page};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, SocketAddrAny};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// How often one connection may receive in one turn: a client that sends fast must not
/// keep the others waiting.
const MAX_READS_PER_TURN: u32 = 16;

/// The most bytes that are read and discarded while a connection lingers (RFC 9112,
/// section 9.6).
const MAX_LINGER_BYTES: usize = 64 * 1024 * 1024;

/// The longest time a connection lingers, in milliseconds.
const MAX_LINGER_MS: u64 = 2000;

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
    Unix,
}

impl Peer {
    pub(crate) fn from_tcp(address: SocketAddrAny) -> Self {
        SocketAddr::try_from(address).map_or(Self::Unix, Self::Tcp)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Waiting for the first byte of a request.
    Idle,
    ReadingHead,
    ReadingBody,
    /// The request is complete.
    Ready,
    /// The response is complete, but not all of it is sent.
    Sending,
    /// The response is sent and our side shut down; the client may still be sending.
    Lingering,
}

/// What the engine does with a connection after [`Connection::progress`].
#[derive(Debug)]
pub(crate) enum Next {
    /// Waits for an event.
    Wait,
    /// Goes on in the next turn: it has used up its reads for this one.
    Yield,
    /// Hands out the request, which is complete.
    Request,
    Close,
}

/// What follows the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterResponse {
    KeepAlive,
    /// Close when the client does: it may still be sending.
    Linger,
    /// Close: the client asked for it and sends nothing more.
    Close,
    /// Close without sending the rest: the response cannot be completed, and the client
    /// has to see that.
    Abort,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: CloseOnFork,
    pub(crate) peer: Peer,
    pub(crate) listener: usize,
    pub(crate) settings: Arc<Settings>,
    pub(crate) token: u64,
    pub(crate) state: State,
    pub(crate) deadline_ms: u64,
    /// What is registered with epoll; `None` before it is registered.
    pub(crate) interest: Option<Interest>,
    readiness: Readiness,
    after: AfterResponse,
    /// At least one response was sent.
    is_served: bool,
    /// It is in the engine's list for the next turn.
    pub(crate) is_scheduled: bool,
    /// Bytes that were discarded while it lingered.
    lingered: usize,
    buffers: Option<Box<Buffers>>,
}

/// What is known of the socket from events and from the last `recv`.
#[derive(Debug)]
struct Readiness {
    /// It may hold more than was received.
    readable: bool,
    /// The client has shut down its side: there will be no more edges.
    half_closed: bool,
}

/// The epoll events that a connection is registered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Reading,
    ReadingAndWriting,
}

impl Connection {
    pub(crate) fn new(
        socket: OwnedFd,
        peer: Peer,
        listener: usize,
        settings: Arc<Settings>,
        token: u64,
        deadline_ms: u64,
    ) -> Self {
        Self {
            socket: socket.into(),
            peer,
            listener,
            settings,
            token,
            state: State::Idle,
            deadline_ms,
            interest: None,
            readiness: Readiness {
                readable: true,
                half_closed: false,
            },
            after: AfterResponse::Close,
            is_served: false,
            is_scheduled: false,
            lingered: 0,
            buffers: None,
        }
    }

    pub(crate) fn is_kept_alive(&self) -> bool {
        self.state == State::Idle && self.is_served
    }

    /// Whether it may be closed to make room for another: it is idle, and was served or
    /// had a second to begin a request.
    pub(crate) fn is_evictable(&self, now_ms: u64) -> bool {
        const GRACE_MS: u64 = 1000;
        let accepted_ms = self
            .deadline_ms
            .saturating_sub(millis(self.settings.client_timeout));
        self.state == State::Idle
            && !self.is_scheduled
            && (self.is_served || accepted_ms + GRACE_MS <= now_ms)
    }

    pub(crate) fn wanted_interest(&self) -> Interest {
        match self.state {
            State::Sending => Interest::ReadingAndWriting,
            State::Idle
            | State::ReadingHead
            | State::ReadingBody
            | State::Ready
            | State::Lingering => Interest::Reading,
        }
    }

    /// The buffers, if they hold nothing that is needed.
    pub(crate) fn release_buffers(&mut self) -> Option<Box<Buffers>> {
        match self.state {
            State::Idle | State::Lingering => self.buffers.take(),
            State::ReadingHead | State::ReadingBody | State::Ready | State::Sending => None,
        }
    }

    pub(crate) fn into_buffers(mut self) -> Option<Box<Buffers>> {
        self.buffers.take()
    }

    /// Records an event.
    pub(crate) fn set_readiness(&mut self, readable: bool, half_closed: bool) {
        self.readiness.readable |= readable;
        self.readiness.half_closed |= half_closed;
    }

    /// Does all that can be done without blocking.
    pub(crate) fn progress(
        &mut self,
        now_ms: u64,
        pool: &mut BufferPool,
    ) -> Result<Next, RequestError> {
        let mut reads_left = MAX_READS_PER_TURN;
        loop {
            match self.state {
                State::Ready => return Ok(Next::Request),
                State::Lingering => return Ok(self.linger()),
                State::Sending => {
                    if let Some(next) = self.send(now_ms).or_else(|| self.finish_response(now_ms)) {
                        return Ok(next);
                    }
                }
                State::Idle | State::ReadingHead | State::ReadingBody => {
                    if self.parse(now_ms)? {
                        return Ok(Next::Request);
                    }
                    match self.receive(now_ms, pool) {
                        Received::Bytes if reads_left == 0 => return Ok(Next::Yield),
                        Received::Bytes => reads_left -= 1,
                        Received::WouldBlock => {
                            self.send_continue();
                            return Ok(Next::Wait);
                        }
                        Received::Closed => return Ok(Next::Close),
                    }
                }
            }
        }
    }

    /// Parses what was received. `true`: the request is complete.
    fn parse(&mut self, now_ms: u64) -> Result<bool, RequestError> {
        let Some(buffers) = &mut self.buffers else {
            return Ok(false);
        };
        if buffers.input.is_empty() {
            return Ok(false);
        }
        if self.state == State::Idle {
            self.state = State::ReadingHead;
            self.deadline_ms = now_ms + millis(self.settings.client_timeout);
        }
        if self.state == State::ReadingHead {
            if !buffers.head.parse(&buffers.input, &self.settings.limits)? {
                return Ok(false);
            }
            let head = buffers.head.length;
            (buffers.length, buffers.body_storage) = match buffers.head.framing {
                Framing::None => (head, BodyStorage::InPlace),
                Framing::Length(length) if length <= self.settings.body_in_memory as u64 => {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    (head + length, BodyStorage::InPlace)
                }
                framing @ (Framing::Length(_) | Framing::Chunked) => {
                    let decoder = BodyDecoder::new(framing, &self.settings.limits);
                    (head, BodyStorage::Spooled(decoder))
                }
            };
            self.state = State::ReadingBody;
        }
        let complete = match &mut buffers.body_storage {
            BodyStorage::InPlace => buffers.input.len() >= buffers.length,
            BodyStorage::Spooled(decoder) => {
                let in_memory = self.settings.body_in_memory;
                decode_body(
                    decoder,
                    &mut buffers.input,
                    buffers.length,
                    &mut buffers.spool,
                    in_memory,
                )?
            }
        };
        if complete {
            self.state = State::Ready;
            self.deadline_ms = u64::MAX;
        }
        Ok(complete)
    }

    /// One `recv`, unless the socket is known to be empty.
    fn receive(&mut self, now_ms: u64, pool: &mut BufferPool) -> Received {
        if !self.readiness.readable {
            return Received::WouldBlock;
        }
        let buffers = self.buffers.get_or_insert_with(|| pool.take());
        let wanted = match buffers.body_storage {
            BodyStorage::InPlace => buffers.length.saturating_sub(buffers.input.len()).max(1),
            BodyStorage::Spooled(_) => RECEIVE_BODY_SIZE,
        };
        if buffers.input.capacity() - buffers.input.len() < wanted {
            buffers
                .input
                .reserve(wanted.clamp(RECEIVE_SIZE, RECEIVE_BODY_SIZE));
        }
        let room = buffers.input.capacity() - buffers.input.len();
        loop {
            let buffer = spare_capacity(&mut buffers.input);
            match rustix::net::recv(&self.socket, buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Received::Closed,
                Ok((count, _)) => {
                    // Less than asked for: the socket is empty until the next edge.
                    self.readiness.readable = count == room || self.readiness.half_closed;
                    if self.state == State::ReadingBody {
                        self.deadline_ms = now_ms + millis(self.settings.client_timeout);
                    }
                    return Received::Bytes;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.readiness.readable = false;
                    return Received::WouldBlock;
                }
                Err(_) => return Received::Closed,
            }
        }
    }

    /// Sends `100 Continue` to a client that waits for it (RFC 9110, section 10.1.1).
    fn send_continue(&mut self) {
        let Some(buffers) = &mut self.buffers else {
            return;
        };
        if self.state == State::ReadingBody && buffers.head.expect_continue {
            buffers.head.expect_continue = false;
            let nothing_yet = match &buffers.body_storage {
                BodyStorage::InPlace => buffers.input.len() == buffers.head.length,
                BodyStorage::Spooled(_) => buffers.spool.len() == 0,
            };
            if nothing_yet {
                // If this fails, the next read or the time-out closes the connection.
                let flags = rustix::net::SendFlags::NOSIGNAL | rustix::net::SendFlags::DONTWAIT;
                let _ = rustix::net::send(&self.socket, CONTINUE, flags);
            }
        }
    }

    /// Sends what is left of the response. `None`: all of it is sent.
    fn send(&mut self, now_ms: u64) -> Option<Next> {
        if self.after == AfterResponse::Abort {
            return Some(Next::Close);
        }
        let buffers = self.buffers.as_mut()?;
        let before = buffers.output.total();
        match buffers.output.flush(&self.socket) {
            Ok(true) => None,
            Ok(false) => {
                if buffers.output.total() > before {
                    self.deadline_ms = now_ms + millis(self.settings.client_timeout);
                }
                Some(Next::Wait)
            }
            Err(_) => Some(Next::Close),
        }
    }

    /// Goes on as `after` says, now that the response is sent.
    fn finish_response(&mut self, now_ms: u64) -> Option<Next> {
        match self.after {
            AfterResponse::KeepAlive => {
                if let Some(buffers) = &mut self.buffers {
                    buffers.start_next();
                }
                self.state = State::Idle;
                self.is_served = true;
                self.deadline_ms = now_ms + millis(self.settings.keepalive);
                None
            }
            AfterResponse::Linger => {
                // On an error the client is gone, and `linger` closes the connection.
                let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
                self.state = State::Lingering;
                self.readiness.readable = true;
                self.deadline_ms = now_ms + MAX_LINGER_MS;
                None
            }
            AfterResponse::Close | AfterResponse::Abort => Some(Next::Close),
        }
    }

    /// Discards what the client still sends: closing a socket with unread data resets
    /// the connection, and the client would lose the response.
    fn linger(&mut self) -> Next {
        let mut discarded = [0; 4096];
        for _ in 0..MAX_READS_PER_TURN {
            if self.lingered >= MAX_LINGER_BYTES {
                return Next::Close;
            }
            match rustix::net::recv(&self.socket, &mut discarded, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Next::Close,
                Ok((_, count)) => self.lingered += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Next::Wait,
                Err(_) => return Next::Close,
            }
        }
        Next::Yield
    }

    /// Makes an error page the response, and closes the connection after it.
    pub(crate) fn refuse(&mut self, error: &RequestError, now_ms: u64, date: &[u8; 29]) {
        let Some(buffers) = &mut self.buffers else {
            return;
        };
        buffers.output.clear(RECEIVE_BODY_SIZE);
        let context = ResponseContext::of_refused(&buffers.input);
        let output = &mut buffers.output.buffer;
        self.after = match write_error_page(output, context, error.status(), date) {
            Ok(_) => AfterResponse::Linger,
            Err(_) => AfterResponse::Abort,
        };
        self.state = State::Sending;
        self.deadline_ms = now_ms + millis(self.settings.client_timeout);
    }

    /// What to refuse the request with when the deadline has passed; `None`: there is no
    /// request, the connection is closed.
    pub(crate) fn timeout_error(&self) -> Option<RequestError> {
        match self.state {
            State::ReadingHead | State::ReadingBody => Some(RequestError::Timeout),
            State::Idle | State::Ready | State::Sending | State::Lingering => None,
        }
    }

    /// Takes out the buffers with the request. `None`: there is no complete request.
    pub(crate) fn lend(&mut self) -> Option<Box<Buffers>> {
        if self.state == State::Ready {
            self.is_scheduled = false;
            self.buffers.take()
        } else {
            None
        }
    }

    /// Takes the buffers back, with the response in them.
    pub(crate) fn set_response(&mut self, buffers: Box<Buffers>, now_ms: u64) {
        self.after = match &buffers.response_body {
            Some(body) if !buffers.is_broken => {
                if body.keep_alive {
                    AfterResponse::KeepAlive
                } else if !buffers.head.keep_alive && buffers.length == buffers.input.len() {
                    AfterResponse::Close
                } else {
                    AfterResponse::Linger
                }
            }
            Some(_) | None => AfterResponse::Abort,
        };
        self.buffers = Some(buffers);
        self.state = State::Sending;
        self.deadline_ms = now_ms + millis(self.settings.client_timeout);
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

enum Received {
    Bytes,
    WouldBlock,
    Closed,
}

/// The engine counts time in milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}
