//! One client's connection: it receives a request whole, is handed to whoever
//! answers it, and takes the answer.
//!
//! ```text
//!            first byte        head here         body here       next_request
//!     Idle ─────────────▶ Head ─────────▶ Body ──────────▶ Ready ───────────▶ (lent)
//!      ▲                    └──── no body ────────────────▶ ▲                   │
//!      │ kept alive                                         │ pipelined         │ give_back
//!      ├────────────────────────────────────────────────────┘                   ▼
//!      └───────────────────────── all taken by the client ◀──────────────── Sending
//!                                    │ not kept alive
//!                                    ▼
//!                                Lingering ──▶ closed
//! ```
//!
//! The memory of a request and its answer ([`Work`]) comes from a pool when the
//! first byte arrives and goes back when the client has the answer, so an idle
//! connection costs a descriptor and a few hundred bytes.

use crate::close_on_fork::CloseOnFork;
use crate::refused::Refused;
use crate::settings::Settings;
use crate::work::{Incoming, Pool, RECEIVE, RECEIVE_BODY, Work, decode};
use rgunicorn_http::{Body, CONTINUE, Framing, Page, write_refusal};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, SocketAddrAny};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// So many times one connection may receive in one turn: a fast uploader must
/// not keep the others waiting.
const SHARE: u32 = 16;

/// So much of a client's unread data is thrown away while a connection lingers
/// (RFC 9112 §9.6) before it is simply closed.
const LINGER_MOST: usize = 64 * 1024 * 1024;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP client.
    Tcp(SocketAddr),
    /// A client of a unix socket.
    Unix,
}

impl Peer {
    pub(crate) fn from_tcp(address: SocketAddrAny) -> Self {
        SocketAddr::try_from(address).map_or(Self::Unix, Self::Tcp)
    }
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waiting for the first byte of a request.
    Idle,
    /// A part of the head is here.
    Head,
    /// The head is here, a part of the body is missing.
    Body,
    /// The request is here as a whole.
    Ready,
    /// The answer is complete; the client has not taken all of it.
    Sending,
    /// The answer is taken and our side shut down; waiting for the client's end.
    Lingering,
}

/// What is to happen to a connection that was looked after.
#[derive(Debug)]
pub(crate) enum Next {
    /// It waits for the client.
    Wait,
    /// It had its share of this turn; more is waiting.
    Again,
    /// Its request is complete.
    Request,
    /// It is finished with.
    Close,
}

/// What follows the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// The next request.
    KeepAlive,
    /// The end, when the client closes too: it may still be sending.
    Linger,
    /// The end: the client asked for it and has nothing more to send.
    Close,
    /// The end at once: the answer cannot be completed, and the client must see that.
    Abort,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: CloseOnFork,
    pub(crate) peer: Peer,
    pub(crate) listener: usize,
    pub(crate) settings: Arc<Settings>,
    pub(crate) token: u64,
    pub(crate) stage: Stage,
    pub(crate) deadline_ms: u64,
    /// What epoll is asked to tell; `None` before it was asked at all.
    pub(crate) interest: Option<Interest>,
    /// More may be waiting in the socket than was received.
    readable: bool,
    /// The client has shut down its side: the bytes end, and no edge will tell again.
    half_closed: bool,
    after: After,
    /// It has had an answer.
    served: bool,
    lingered: usize,
    work: Option<Box<Work>>,
}

/// What epoll is asked to tell of a connection.
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
            stage: Stage::Idle,
            deadline_ms,
            interest: None,
            readable: true,
            half_closed: false,
            after: After::Close,
            served: false,
            lingered: 0,
            work: None,
        }
    }

    /// Whether it had an answer and waits for a next request.
    pub(crate) fn is_kept_alive(&self) -> bool {
        self.stage == Stage::Idle && self.served
    }

    /// Whether it may be closed to make room: it is idle, and has had an answer or
    /// a second to begin a request.
    pub(crate) fn may_be_given_up(&self, now_ms: u64) -> bool {
        const GRACE_MS: u64 = 1000;
        let came_ms = self
            .deadline_ms
            .saturating_sub(millis(self.settings.client_timeout));
        self.stage == Stage::Idle && (self.served || came_ms + GRACE_MS <= now_ms)
    }

    /// Whether epoll has to tell when the client takes more.
    pub(crate) fn wants(&self) -> Interest {
        match self.stage {
            Stage::Sending => Interest::ReadingAndWriting,
            Stage::Idle | Stage::Head | Stage::Body | Stage::Ready | Stage::Lingering => {
                Interest::Reading
            }
        }
    }

    /// Gives the memory back when nothing needs it.
    pub(crate) fn release_work(&mut self) -> Option<Box<Work>> {
        match self.stage {
            Stage::Idle | Stage::Lingering => self.work.take(),
            Stage::Head | Stage::Body | Stage::Ready | Stage::Sending => None,
        }
    }

    /// Takes the memory whatever the stage: the connection is about to be dropped.
    pub(crate) fn into_work(mut self) -> Option<Box<Work>> {
        self.work.take()
    }

    /// Notes what epoll told.
    pub(crate) fn note(&mut self, readable: bool, half_closed: bool) {
        self.readable |= readable;
        self.half_closed |= half_closed;
    }

    /// Does all that can be done without waiting. `pool` gives memory.
    pub(crate) fn progress(&mut self, now_ms: u64, pool: &mut Pool) -> Result<Next, Refused> {
        let mut share = SHARE;
        loop {
            match self.stage {
                Stage::Ready => return Ok(Next::Request),
                Stage::Lingering => return Ok(self.linger()),
                Stage::Sending => match self.push_out(now_ms) {
                    Some(next) => return Ok(next),
                    None => self.settle(now_ms),
                },
                Stage::Idle | Stage::Head | Stage::Body => {
                    if self.parse(now_ms)? {
                        return Ok(Next::Request);
                    }
                    match self.receive(now_ms, pool) {
                        Receipt::Some if share == 0 => return Ok(Next::Again),
                        Receipt::Some => share -= 1,
                        Receipt::Nothing => {
                            self.ask_to_continue();
                            return Ok(Next::Wait);
                        }
                        Receipt::End => return Ok(Next::Close),
                    }
                }
            }
        }
    }

    /// Looks at what was received: is the request complete?
    fn parse(&mut self, now_ms: u64) -> Result<bool, Refused> {
        let Some(work) = &mut self.work else {
            return Ok(false);
        };
        if work.input.is_empty() {
            return Ok(false);
        }
        if self.stage == Stage::Idle {
            self.stage = Stage::Head;
            self.deadline_ms = now_ms + millis(self.settings.client_timeout);
        }
        if self.stage == Stage::Head {
            if !work.head.parse(&work.input, &self.settings.limits)? {
                return Ok(false);
            }
            let head = work.head.length;
            (work.length, work.incoming) = match work.head.framing {
                Framing::None => (head, Incoming::InPlace),
                Framing::Length(length) if length <= self.settings.body_in_memory as u64 => {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    (head + length, Incoming::InPlace)
                }
                framing @ (Framing::Length(_) | Framing::Chunked) => {
                    let body = Body::of(framing, &self.settings.limits);
                    (head, Incoming::Spooled(body))
                }
            };
            self.stage = Stage::Body;
        }
        let complete = match &mut work.incoming {
            Incoming::InPlace => work.input.len() >= work.length,
            Incoming::Spooled(body) => {
                let in_memory = self.settings.body_in_memory;
                decode(
                    body,
                    &mut work.input,
                    work.length,
                    &mut work.spool,
                    in_memory,
                )?
            }
        };
        if complete {
            self.stage = Stage::Ready;
            self.deadline_ms = u64::MAX;
        }
        Ok(complete)
    }

    /// One `recv`, unless there is nothing to receive.
    fn receive(&mut self, now_ms: u64, pool: &mut Pool) -> Receipt {
        if !self.readable {
            return Receipt::Nothing;
        }
        let work = self.work.get_or_insert_with(|| pool.take());
        let wanted = match work.incoming {
            Incoming::InPlace => work.length.saturating_sub(work.input.len()).max(1),
            Incoming::Spooled(_) => RECEIVE_BODY,
        };
        if work.input.capacity() - work.input.len() < wanted {
            work.input.reserve(wanted.clamp(RECEIVE, RECEIVE_BODY));
        }
        let room = work.input.capacity() - work.input.len();
        loop {
            let buffer = spare_capacity(&mut work.input);
            match rustix::net::recv(&self.socket, buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Receipt::End,
                Ok((count, _)) => {
                    // Less than asked for: the socket is empty, until epoll tells otherwise.
                    self.readable = count == room || self.half_closed;
                    if self.stage == Stage::Body {
                        self.deadline_ms = now_ms + millis(self.settings.client_timeout);
                    }
                    return Receipt::Some;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.readable = false;
                    return Receipt::Nothing;
                }
                Err(_) => return Receipt::End,
            }
        }
    }

    /// Tells a client that waits for it to send the body (RFC 9110 §10.1.1).
    fn ask_to_continue(&mut self) {
        let Some(work) = &mut self.work else { return };
        if self.stage == Stage::Body && work.head.expect_continue {
            work.head.expect_continue = false;
            let nothing_yet = match &work.incoming {
                Incoming::InPlace => work.input.len() == work.head.length,
                Incoming::Spooled(_) => work.spool.len() == 0,
            };
            if nothing_yet {
                // A client that is gone, or whose socket takes not even this,
                // is found out by the next read or by its time-out.
                let flags = rustix::net::SendFlags::NOSIGNAL | rustix::net::SendFlags::DONTWAIT;
                let _ = rustix::net::send(&self.socket, CONTINUE, flags);
            }
        }
    }

    /// Sends what is left of the answer. `None`: all of it is taken.
    fn push_out(&mut self, now_ms: u64) -> Option<Next> {
        if self.after == After::Abort {
            return Some(Next::Close);
        }
        let work = self.work.as_mut()?;
        let before = work.output.total();
        match work.output.flush(&self.socket) {
            Ok(true) => None,
            Ok(false) => {
                if work.output.total() > before {
                    self.deadline_ms = now_ms + millis(self.settings.client_timeout);
                }
                Some(Next::Wait)
            }
            Err(_) => Some(Next::Close),
        }
    }

    /// The client has the whole answer: what now?
    fn settle(&mut self, now_ms: u64) {
        match self.after {
            After::KeepAlive => {
                if let Some(work) = &mut self.work {
                    work.next();
                }
                self.stage = Stage::Idle;
                self.served = true;
                self.deadline_ms = now_ms + millis(self.settings.keepalive);
            }
            After::Linger => {
                // An error means that the client is gone, which `linger` finds out.
                let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
                self.stage = Stage::Lingering;
                self.readable = true;
                self.deadline_ms = now_ms + 2000;
            }
            After::Close | After::Abort => {
                self.stage = Stage::Lingering;
                self.lingered = LINGER_MOST;
            }
        }
    }

    /// Throws away what the client still sends, so that the answer is not lost
    /// to the reset that closing a socket with unread data causes.
    fn linger(&mut self) -> Next {
        let mut waste = [0; 4096];
        while self.lingered < LINGER_MOST {
            match rustix::net::recv(&self.socket, &mut waste, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Next::Close,
                Ok((_, count)) => self.lingered += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Next::Wait,
                Err(_) => return Next::Close,
            }
        }
        Next::Close
    }

    /// Answers a request that is none, and ends.
    pub(crate) fn refuse(&mut self, refused: &Refused, now_ms: u64, date: &[u8; 29]) {
        let Some(work) = &mut self.work else { return };
        work.output.clear(RECEIVE_BODY);
        let status = refused.status();
        write_refusal(&mut work.output.buffer, status, Page::Whole, date);
        self.after = After::Linger;
        self.stage = Stage::Sending;
        self.deadline_ms = now_ms + millis(self.settings.client_timeout);
    }

    /// The time is up: the refusal to be sent, or nothing more to say.
    pub(crate) fn timed_out(&self) -> Option<Refused> {
        match self.stage {
            Stage::Head | Stage::Body => Some(Refused::TooSlow),
            Stage::Idle | Stage::Ready | Stage::Sending | Stage::Lingering => None,
        }
    }

    /// Hands out what is needed to answer. `None`: there is no complete request.
    pub(crate) fn lend(&mut self) -> Option<Box<Work>> {
        if self.stage == Stage::Ready {
            self.work.take()
        } else {
            None
        }
    }

    /// Takes back what was lent and says what follows the answer in it.
    pub(crate) fn answered(&mut self, work: Box<Work>, now_ms: u64) {
        let keep_alive = work
            .sending
            .as_ref()
            .is_some_and(|sending| sending.keep_alive);
        self.after = if work.broken || work.sending.is_none() {
            After::Abort
        } else if keep_alive {
            After::KeepAlive
        } else if !work.head.keep_alive && work.length == work.input.len() {
            After::Close
        } else {
            After::Linger
        };
        self.work = Some(work);
        self.stage = Stage::Sending;
        self.deadline_ms = now_ms + millis(self.settings.client_timeout);
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a `recv` brought.
enum Receipt {
    Some,
    Nothing,
    End,
}

/// A duration in the engine's unit.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}
