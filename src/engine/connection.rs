//! One client's connection: it receives a complete request, hands it out, and sends the
//! response.
//!
//! ```text
//!            first byte          head complete         body complete    hand_out
//!     Idle ─────────────▶ ReadingHead ──────▶ ReadingBody ─────▶ Ready ────────▶ Answering
//!      ▲                      └────── no body ───────────────────▲                 │
//!      │ kept alive                                              │ pipelined       │ set_response
//!      ├─────────────────────────────────────────────────────────┘                 ▼
//!      └──────────────────────────── all sent ◀──────────────────────────────── Sending
//!                                       │ not kept alive
//!                                       ▼
//!                                   Lingering ──▶ closed
//! ```
//!
//! While a request is answered its connection stays here, and remembers what epoll reports;
//! only the sending half is the handle's.
//!
//! The buffers of a request and its response come from a pool when the first byte arrives
//! and go back when the response is sent. Where there are many connections, what is shared
//! with handles is there only as long as there are any: an idle one costs a descriptor and
//! 128 bytes.
//!
//! | file                      | subject                                                |
//! | ------------------------- | ------------------------------------------------------ |
//! | `connection/receiving.rs` | a request is received                                  |
//! | `connection/proxied.rs`   | whom the proxy speaks for, at the start                |
//! | `connection/answering.rs` | the application has it, and its body comes in parts    |
//! | `connection/sending.rs`   | the response is sent, and what follows it              |
//! | `connection/moving.rs`    | another worker goes on with the connection             |

use crate::access::Entry;
use crate::buffers::{Incoming, Outgoing, Pools};
use crate::client::{Client, Socket};
use crate::notice::RequestError;
use crate::settings::Settings;
use crate::streamed_body::StreamedBody;
use crate::transport::{Closed, CompactPeer, Peer, Transport};
use answering::Answering;
pub(crate) use proxied::Proxied;
use receiving::Received;
use sending::AfterResponse;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod answering;
mod moving;
mod proxied;
mod receiving;
mod sending;

/// How often one connection may receive in one turn: a client that sends fast must not
/// keep the others waiting.
const MAX_READS_PER_TURN: u32 = 16;

/// A request that waits for less than this is not looked at again before it is handed out,
/// in milliseconds.
const MIN_CHECK_MS: u64 = 10;

/// A client that has shut down its side, and then waited for this long, is taken for one
/// that is gone; in milliseconds.
const HALF_CLOSED_MS: u64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Waiting for the first byte of a request.
    Idle,
    ReadingHead,
    ReadingBody,
    /// The request is complete.
    Ready,
    /// The request is handed out: its handle sends.
    Answering,
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

#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    peer: CompactPeer,
    /// The number of the listener it came by.
    listener: u32,
    pub(crate) token: u64,
    pub(crate) deadline_ms: u64,
    incoming: Option<Box<Incoming>>,
    outgoing: Option<Box<Outgoing>>,
    /// The body of the request that is ready or answered, if it comes in parts.
    streamed_body: Option<Box<StreamedBody>>,
    /// The number of the request that was handed out last, from 1.
    stream: u32,
    /// Bytes that were discarded while it lingered.
    lingered: u32,
    pub(crate) state: State,
    /// What is registered with epoll; `None` before it is registered.
    pub(crate) interest: Option<Interest>,
    readiness: Readiness,
    after: AfterResponse,
    pub(crate) answering: Answering,
    /// At least one response was sent.
    is_served: bool,
    /// It is in the engine's list for the next turn.
    pub(crate) is_scheduled: bool,
    /// The record of the request that is being answered.
    pub(crate) entry: Option<Box<Entry>>,
    proxied: Proxied,
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
        transport: Transport,
        peer: Peer,
        listener: u32,
        token: u64,
        deadline_ms: u64,
        proxied: Proxied,
    ) -> Self {
        Self {
            socket: Socket::Own(transport),
            peer: peer.into(),
            listener,
            token,
            deadline_ms,
            incoming: None,
            outgoing: None,
            streamed_body: None,
            stream: 0,
            lingered: 0,
            state: State::Idle,
            interest: None,
            readiness: Readiness {
                readable: true,
                half_closed: false,
            },
            after: AfterResponse::Close,
            answering: Answering::default(),
            is_served: false,
            is_scheduled: false,
            entry: None,
            proxied,
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer.into()
    }

    pub(crate) fn transport(&self) -> &Transport {
        self.socket.transport()
    }

    /// What it shares with the handles of its requests, if there are any.
    pub(crate) fn client(&self) -> Option<&Arc<Client>> {
        self.socket.client()
    }

    /// Whether a response was sent on it.
    pub(crate) fn is_served(&self) -> bool {
        self.is_served
    }

    /// Whether the application has taken it.
    pub(crate) fn is_taken(&self) -> bool {
        let client = self.client();
        client.is_some_and(|client| client.claim.is_for_application(self.stream))
    }

    pub(crate) fn is_kept_alive(&self) -> bool {
        self.state == State::Idle && self.is_served
    }

    /// Whether it may be closed to make room for another: it is idle, and was served or
    /// had a second to begin a request.
    pub(crate) fn is_evictable(&self, now_ms: u64, settings: &Settings) -> bool {
        const GRACE_MS: u64 = 1000;
        let accepted_ms = self
            .deadline_ms
            .saturating_sub(millis(settings.client_timeout));
        self.state == State::Idle
            && !self.is_scheduled
            && (self.is_served || accepted_ms + GRACE_MS <= now_ms)
    }

    pub(crate) fn wanted_interest(&self) -> Interest {
        match self.state {
            State::Sending => Interest::ReadingAndWriting,
            State::Answering if self.answering.awaits_writable => Interest::ReadingAndWriting,
            State::Idle
            | State::ReadingHead
            | State::ReadingBody
            | State::Ready
            | State::Answering
            | State::Lingering => Interest::Reading,
        }
    }

    /// Gives the buffers back that hold nothing that is needed.
    pub(crate) fn release_buffers(&mut self, pools: &mut Pools) {
        match self.state {
            State::Idle | State::Lingering => self.release_all_buffers(pools),
            State::ReadingHead
            | State::ReadingBody
            | State::Ready
            | State::Answering
            | State::Sending => {}
        }
    }

    /// Gives up what it shared with handles, if it is idle and none is left. One that lingers
    /// has to know whether the application has taken it.
    pub(crate) fn stop_sharing(&mut self) {
        if self.state == State::Idle {
            self.socket.stop_sharing();
        }
    }

    pub(crate) fn release_all_buffers(&mut self, pools: &mut Pools) {
        if let Some(incoming) = self.incoming.take() {
            pools.incoming.put_back(incoming);
        }
        if let Some(outgoing) = self.outgoing.take() {
            pools.outgoing.put_back(outgoing);
        }
    }

    /// Bytes of memory that its buffers take.
    pub(crate) fn buffered(&self) -> usize {
        let incoming = self.incoming.as_ref().map_or(0, |it| it.memory());
        let outgoing = self.outgoing.as_ref().map_or(0, |it| it.output.memory());
        let body = self.streamed_body.as_ref().map_or(0, |it| it.memory());
        incoming + outgoing + body
    }

    /// Bytes of the response that are not sent yet.
    pub(crate) fn waiting(&self) -> u64 {
        let outgoing = self.outgoing.as_ref();
        outgoing.map_or(0, |outgoing| outgoing.output.waiting())
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
        pools: &mut Pools,
    ) -> Result<Next, RequestError> {
        let mut reads_left = MAX_READS_PER_TURN;
        loop {
            match self.state {
                State::Ready => return Ok(Next::Request),
                State::Answering => return self.receive_streamed_body(now_ms, pools),
                State::Lingering => return Ok(self.linger()),
                State::Sending => {
                    let next = self.send(now_ms, &pools.parts.settings);
                    if let Some(next) = next.or_else(|| self.finish_response(now_ms, pools)) {
                        return Ok(next);
                    }
                }
                State::Idle | State::ReadingHead | State::ReadingBody => {
                    if self.parse(now_ms, &pools.parts.settings)? {
                        return Ok(Next::Request);
                    }
                    match self.receive(now_ms, pools) {
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

    /// The request is complete, and waits for the application since `since_ms`.
    fn set_ready(&mut self, since_ms: u64, settings: &Settings) {
        self.state = State::Ready;
        let timeout = settings.request_timeout;
        self.deadline_ms = timeout.map_or(u64::MAX, |timeout| since_ms + millis(timeout));
        if let Some(incoming) = &mut self.incoming {
            incoming.ready_since_ms = since_ms;
            if settings.access_log && incoming.ready_at.is_none() {
                incoming.ready_at = Some(Instant::now());
            }
        }
    }

    /// Why the request, which is complete, does not go to the application.
    pub(crate) fn why_unserved(&self, now_ms: u64) -> Option<WhyUnserved> {
        let since_ms = self.incoming.as_ref()?.ready_since_ms;
        let waited_ms = now_ms.saturating_sub(since_ms);
        if self.state != State::Ready || waited_ms < MIN_CHECK_MS {
            return None;
        }
        let is_gone = match self.transport().closed_by_client() {
            Closed::Both => true,
            Closed::Sending => waited_ms >= HALF_CLOSED_MS,
            Closed::Nothing => false,
        };
        if is_gone {
            return Some(WhyUnserved::Abandoned);
        }
        (self.deadline_ms <= now_ms).then_some(WhyUnserved::TimedOut)
    }

    /// What to refuse the request with when the deadline has passed; `None`: there is no
    /// request, the connection is closed.
    pub(crate) fn timeout_error(&self) -> Option<RequestError> {
        match self.state {
            State::ReadingHead | State::ReadingBody => Some(RequestError::Timeout),
            State::Idle | State::Ready | State::Answering | State::Sending | State::Lingering => {
                None
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport().as_fd()
    }
}

/// Why a request does not go to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhyUnserved {
    TimedOut,
    /// The client is gone.
    Abandoned,
}

/// The engine counts time in milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thousands of connections may be idle. What is needed only while a request is received
    /// or answered belongs behind a pointer.
    #[test]
    fn a_connection_takes_128_bytes_and_its_place_in_the_table_nothing_more() {
        /// As in the table.
        #[expect(dead_code, reason = "only its size is asked for")]
        enum Place {
            Vacant(usize),
            Occupied(Connection),
        }

        assert!(size_of::<Place>() <= 128);
    }
}
