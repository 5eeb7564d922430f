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
//! and go back when the response is sent, so an idle connection costs a descriptor and a
//! few hundred bytes.

use crate::buffers::{
    BodyStorage, Incoming, Outgoing, Pools, RECEIVE_BODY_SIZE, RECEIVE_SIZE, decode_body,
};
use crate::handover::{Arrival, Departure, Header, Stage};
use crate::notice::RequestError;
use crate::request::{Request, RequestId};
use crate::responder::{Client, Responder};
use crate::settings::BodyDelivery;
use crate::spool::Spool;
use crate::streamed_body::{BodyPart, StreamedBody};
use crate::transport::{Closed, Moved};
use rgunicorn_http::{BodyDecoder, CONTINUE, Framing, ResponseContext, write_error_page};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

/// How often one connection may receive in one turn: a client that sends fast must not
/// keep the others waiting.
const MAX_READS_PER_TURN: u32 = 16;

/// The most bytes that are read and discarded while a connection lingers (RFC 9112,
/// section 9.6).
const MAX_LINGER_BYTES: u32 = 64 * 1024 * 1024;

/// A request that waits for less than this is not looked at again before it is handed out,
/// in milliseconds.
const MIN_CHECK_MS: u64 = 10;

/// A client that has shut down its side, and then waited for this long, is taken for one
/// that is gone; in milliseconds.
const HALF_CLOSED_MS: u64 = 1000;

/// The longest time a connection lingers, in milliseconds.
const MAX_LINGER_MS: u64 = 2000;

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
    pub(crate) client: Arc<Client>,
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
}

/// What is known of the request that is being answered.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each looked at in one place"
)]
pub(crate) struct Answering {
    /// The client sends nothing more after it.
    client_closes: bool,
    /// Its response has no body.
    head_only: bool,
    /// Its handle waits until it can send.
    pub(crate) awaits_writable: bool,
    /// The engine has reported that the client left.
    pub(crate) has_left: bool,
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
    pub(crate) fn new(client: Client, token: u64, deadline_ms: u64) -> Self {
        Self {
            client: Arc::new(client),
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
        }
    }

    /// Whether a response was sent on it.
    pub(crate) fn is_served(&self) -> bool {
        self.is_served
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
            .saturating_sub(millis(self.client.engine.settings.client_timeout));
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
                    let next = self.send(now_ms);
                    if let Some(next) = next.or_else(|| self.finish_response(now_ms, pools)) {
                        return Ok(next);
                    }
                }
                State::Idle | State::ReadingHead | State::ReadingBody => {
                    if self.parse(now_ms)? {
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

    /// Parses what was received. `true`: the request is complete.
    fn parse(&mut self, now_ms: u64) -> Result<bool, RequestError> {
        let Some(incoming) = &mut self.incoming else {
            return Ok(false);
        };
        if incoming.input.is_empty() {
            return Ok(false);
        }
        let settings = &self.client.engine.settings;
        if self.state == State::Idle {
            self.state = State::ReadingHead;
            self.deadline_ms = now_ms + millis(settings.client_timeout);
        }
        if self.state == State::ReadingHead {
            if !incoming.head.parse(&incoming.input, &settings.limits)? {
                return Ok(false);
            }
            let head = incoming.head.length;
            (incoming.length, incoming.body_storage) = match incoming.head.framing {
                Framing::None | Framing::Length(0) => (head, BodyStorage::InPlace),
                Framing::Length(length)
                    if length <= settings.body_in_memory as u64
                        && settings.body_delivery == BodyDelivery::Whole =>
                {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    (head + length, BodyStorage::InPlace)
                }
                framing @ (Framing::Length(_) | Framing::Chunked)
                    if settings.body_delivery == BodyDelivery::AsReceived =>
                {
                    let decoder = BodyDecoder::new(framing, &settings.limits);
                    self.streamed_body = Some(Box::new(StreamedBody::new(decoder)));
                    (head, BodyStorage::Streamed)
                }
                framing @ (Framing::Length(_) | Framing::Chunked) => {
                    let decoder = BodyDecoder::new(framing, &settings.limits);
                    (head, BodyStorage::Spooled(decoder))
                }
            };
            self.state = State::ReadingBody;
        }
        let complete = match &mut incoming.body_storage {
            BodyStorage::InPlace => incoming.input.len() >= incoming.length,
            BodyStorage::Streamed => true,
            BodyStorage::Spooled(decoder) => {
                let in_memory = settings.body_in_memory;
                decode_body(
                    decoder,
                    &mut incoming.input,
                    incoming.length,
                    &mut incoming.spool,
                    in_memory,
                )?
            }
        };
        if complete {
            self.set_ready(now_ms);
        }
        Ok(complete)
    }

    /// The request is complete, and waits for the application since `since_ms`.
    fn set_ready(&mut self, since_ms: u64) {
        self.state = State::Ready;
        let timeout = self.client.engine.settings.request_timeout;
        self.deadline_ms = timeout.map_or(u64::MAX, |timeout| since_ms + millis(timeout));
        if let Some(incoming) = &mut self.incoming {
            incoming.ready_since_ms = since_ms;
        }
    }

    /// Why the request, which is complete, does not go to the application.
    pub(crate) fn why_unserved(&self, now_ms: u64) -> Option<WhyUnserved> {
        let since_ms = self.incoming.as_ref()?.ready_since_ms;
        let waited_ms = now_ms.saturating_sub(since_ms);
        if self.state != State::Ready || waited_ms < MIN_CHECK_MS {
            return None;
        }
        let is_gone = match self.client.transport.closed_by_client() {
            Closed::Both => true,
            Closed::Sending => waited_ms >= HALF_CLOSED_MS,
            Closed::Nothing => false,
        };
        if is_gone {
            return Some(WhyUnserved::Abandoned);
        }
        (self.deadline_ms <= now_ms).then_some(WhyUnserved::TimedOut)
    }

    /// One `recv`, unless the socket is known to be empty.
    fn receive(&mut self, now_ms: u64, pools: &mut Pools) -> Received {
        if !self.readiness.readable {
            return Received::WouldBlock;
        }
        let incoming = self.incoming.get_or_insert_with(|| pools.incoming.take());
        let wanted = match incoming.body_storage {
            BodyStorage::InPlace => incoming.length.saturating_sub(incoming.input.len()).max(1),
            BodyStorage::Spooled(_) | BodyStorage::Streamed => RECEIVE_BODY_SIZE,
        };
        if incoming.input.capacity() - incoming.input.len() < wanted {
            incoming
                .input
                .reserve(wanted.clamp(RECEIVE_SIZE, RECEIVE_BODY_SIZE));
        }
        let room = incoming.input.capacity() - incoming.input.len();
        match self.client.transport.receive(&mut incoming.input) {
            Ok(Moved::Bytes(0)) | Err(_) => Received::Closed,
            Ok(Moved::Bytes(count)) => {
                // Less than asked for: the socket is empty until the next edge.
                self.readiness.readable = count == room || self.readiness.half_closed;
                if matches!(self.state, State::ReadingBody | State::Answering) {
                    self.deadline_ms = now_ms + millis(self.client.engine.settings.client_timeout);
                }
                Received::Bytes
            }
            Ok(Moved::WouldBlock) => {
                self.readiness.readable = false;
                Received::WouldBlock
            }
        }
    }

    /// Sends `100 Continue` to a client that waits for it (RFC 9110, section 10.1.1).
    fn send_continue(&mut self) {
        let Some(incoming) = &mut self.incoming else {
            return;
        };
        if self.state == State::ReadingBody && incoming.head.expect_continue {
            incoming.head.expect_continue = false;
            let nothing_yet = match &incoming.body_storage {
                BodyStorage::InPlace => incoming.input.len() == incoming.head.length,
                BodyStorage::Spooled(_) => incoming.spool.len() == 0,
                BodyStorage::Streamed => false,
            };
            if nothing_yet {
                // If this fails, the next read or the time-out closes the connection.
                let _ = self.client.transport.send(CONTINUE);
            }
        }
    }

    /// Receives more of a body that comes in parts, as long as the application takes them.
    fn receive_streamed_body(
        &mut self,
        now_ms: u64,
        pools: &mut Pools,
    ) -> Result<Next, RequestError> {
        let mut reads_left = MAX_READS_PER_TURN;
        loop {
            let Some(body) = &mut self.streamed_body else {
                return Ok(Next::Wait);
            };
            if let Some(incoming) = &mut self.incoming {
                let decoded = body.decode(incoming);
                let is_over = body.is_complete() || decoded.is_err();
                if is_over && !self.answering.awaits_writable {
                    self.deadline_ms = u64::MAX;
                }
                decoded?;
            }
            if !body.wants_more() {
                if !self.answering.awaits_writable {
                    self.deadline_ms = u64::MAX;
                }
                return Ok(Next::Wait);
            }
            if self.deadline_ms == u64::MAX {
                self.deadline_ms = now_ms + millis(self.client.engine.settings.client_timeout);
            }
            match self.receive(now_ms, pools) {
                Received::Bytes if reads_left == 0 => return Ok(Next::Yield),
                Received::Bytes => reads_left -= 1,
                Received::WouldBlock => return Ok(Next::Wait),
                Received::Closed => {
                    self.break_off_body();
                    return Ok(Next::Wait);
                }
            }
        }
    }

    /// Sends what is left of the response. `None`: all of it is sent.
    fn send(&mut self, now_ms: u64) -> Option<Next> {
        if self.after == AfterResponse::Abort {
            return Some(Next::Close);
        }
        let outgoing = self.outgoing.as_mut()?;
        let before = outgoing.output.total();
        match outgoing.output.flush(&self.client.transport) {
            Ok(true) => None,
            Ok(false) => {
                if outgoing.output.total() > before {
                    self.deadline_ms = now_ms + millis(self.client.engine.settings.client_timeout);
                }
                Some(Next::Wait)
            }
            Err(_) => Some(Next::Close),
        }
    }

    /// Goes on as `after` says, now that the response is sent.
    fn finish_response(&mut self, now_ms: u64, pools: &mut Pools) -> Option<Next> {
        match self.after {
            AfterResponse::KeepAlive => {
                if let Some(outgoing) = self.outgoing.take() {
                    pools.outgoing.put_back(outgoing);
                }
                self.state = State::Idle;
                self.is_served = true;
                self.deadline_ms = now_ms + millis(self.client.engine.settings.keepalive);
                None
            }
            AfterResponse::Linger => {
                self.client.transport.shutdown_write();
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
        for _ in 0..MAX_READS_PER_TURN {
            if self.lingered >= MAX_LINGER_BYTES {
                return Next::Close;
            }
            match self.client.transport.discard() {
                Ok(Moved::Bytes(0)) | Err(_) => return Next::Close,
                Ok(Moved::Bytes(count)) => {
                    let count = u32::try_from(count).unwrap_or(u32::MAX);
                    self.lingered = self.lingered.saturating_add(count);
                }
                Ok(Moved::WouldBlock) => return Next::Wait,
            }
        }
        Next::Yield
    }

    /// Makes an error page the response, and closes the connection after it.
    pub(crate) fn refuse(
        &mut self,
        error: &RequestError,
        now_ms: u64,
        date: &[u8; 29],
        pools: &mut Pools,
    ) {
        let received = self.incoming.as_ref().map(|incoming| &incoming.input[..]);
        let mut context = ResponseContext::of_refused(received.unwrap_or_default());
        if self.state == State::Answering {
            context.head_only = self.answering.head_only;
        }
        let outgoing = self.outgoing.get_or_insert_with(|| pools.outgoing.take());
        outgoing.discard();
        let output = &mut outgoing.output.buffer;
        self.after = match write_error_page(output, context, error.status(), date) {
            Ok(_) => AfterResponse::Linger,
            Err(_) => AfterResponse::Abort,
        };
        self.state = State::Sending;
        self.deadline_ms = now_ms + millis(self.client.engine.settings.client_timeout);
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

    /// The request and the handle to answer it, if it is complete and was not handed out
    /// yet. `is_last`: the connection is closed after the response.
    pub(crate) fn hand_out(
        &mut self,
        pools: &mut Pools,
        is_last: bool,
    ) -> Option<(Request, Responder)> {
        if self.state != State::Ready {
            return None;
        }
        let mut incoming = self.incoming.take()?;
        if incoming.input.len() > incoming.length {
            let mut next = pools.incoming.take();
            incoming.split_rest(&mut next);
            self.incoming = Some(next);
        }
        let (head, bytes) = incoming.request();
        let mut outgoing = pools.outgoing.take();
        outgoing.context = head.response_context(bytes);
        let is_all = self.incoming.is_none() && self.streamed_body.is_none();
        self.answering = Answering {
            client_closes: !outgoing.context.keep_alive && is_all,
            head_only: outgoing.context.head_only,
            ..Answering::default()
        };
        outgoing.context.keep_alive &= !is_last && !self.client.engine.settings.keepalive.is_zero();
        self.state = State::Answering;
        self.deadline_ms = u64::MAX;
        self.stream = self.stream.wrapping_add(1);
        self.client.claim.open(self.stream);
        let id = self.request_id();
        let request = Request {
            id,
            peer: self.client.peer,
            listener: self.client.listener,
            incoming,
        };
        let responder = Responder {
            client: Arc::clone(&self.client),
            id,
            outgoing: Some(outgoing),
        };
        Some((request, responder))
    }

    /// What another worker needs to go on with it. `None`: a request is being answered, or
    /// the connection is about to be closed.
    pub(crate) fn departure(&self, now_ms: u64) -> Option<Departure<'_>> {
        match self.state {
            State::Idle | State::ReadingHead | State::ReadingBody | State::Ready => {}
            State::Answering | State::Sending | State::Lingering => return None,
        }
        if self.streamed_body.is_some() {
            return None;
        }
        let settings = &self.client.engine.settings;
        let latest_ms = now_ms + millis(settings.client_timeout.max(settings.keepalive));
        let deadline_ms = self.deadline_ms.min(latest_ms);
        let (client, incoming) = (&*self.client, self.incoming.as_deref());
        let stage = match (self.state, incoming.map(|incoming| &incoming.body_storage)) {
            (State::ReadingBody | State::Ready, Some(BodyStorage::Spooled(decoder))) => {
                let spool = incoming.map(|incoming| &incoming.spool)?;
                Stage::Spooling {
                    decoder: decoder.clone(),
                    is_complete: self.state == State::Ready,
                    length: spool.len(),
                    in_file: spool.file().is_some(),
                }
            }
            _ if incoming.is_some_and(|incoming| !incoming.input.is_empty()) => Stage::Received,
            _ => Stage::Idle,
        };
        let mut header = Header::new(client.listener, client.peer, deadline_ms, stage);
        if self.state == State::Ready {
            header.ready_since_ms = incoming.map_or(0, |incoming| incoming.ready_since_ms);
        }
        header.is_served = self.is_served;
        header.is_continued = self.state == State::ReadingBody
            && incoming.is_some_and(|incoming| !incoming.head.expect_continue);
        Some(Departure {
            header,
            socket: client.transport.as_fd(),
            input: incoming.map_or(&[], |incoming| &incoming.input),
            body: incoming.map_or(&[], |incoming| incoming.spool.memory()),
            body_file: incoming.and_then(|incoming| incoming.spool.file()),
        })
    }

    /// Goes on where another worker stopped. `true`: the request is complete.
    pub(crate) fn arrive(
        &mut self,
        arrival: Arrival,
        now_ms: u64,
        pools: &mut Pools,
    ) -> Result<bool, RequestError> {
        let Arrival {
            header,
            input,
            body,
            body_file,
            ..
        } = arrival;
        self.is_served = header.is_served;
        let mut incoming = pools.incoming.take();
        incoming.input.extend_from_slice(&input);
        let is_complete = match header.stage {
            Stage::Idle => {
                pools.incoming.put_back(incoming);
                return Ok(false);
            }
            Stage::Received => {
                self.state = State::ReadingHead;
                self.incoming = Some(incoming);
                self.parse(now_ms)?
            }
            Stage::Spooling {
                decoder,
                is_complete,
                length,
                ..
            } => {
                let limits = &self.client.engine.settings.limits;
                let parsed = incoming.head.parse(&incoming.input, limits);
                incoming.length = incoming.head.length;
                incoming.body_storage = BodyStorage::Spooled(decoder);
                incoming.spool = Spool::restore(body, body_file, length);
                self.incoming = Some(incoming);
                parsed?;
                self.state = State::ReadingBody;
                is_complete
            }
        };
        if is_complete {
            self.set_ready(match header.ready_since_ms {
                0 => now_ms,
                since_ms => since_ms.min(now_ms),
            });
        }
        if let Some(incoming) = self.incoming.as_mut().filter(|_| header.is_continued) {
            incoming.head.expect_continue = false;
        }
        Ok(is_complete)
    }

    /// Whether this request is being answered.
    pub(crate) fn is_answering(&self, id: RequestId) -> bool {
        self.state == State::Answering && self.request_id() == id
    }

    /// Takes what has come of the body. `None`: it does not come in parts.
    pub(crate) fn take_body(&mut self) -> Option<BodyPart> {
        self.streamed_body.as_mut().map(|body| body.take())
    }

    /// Whether a body that comes in parts has changed since `waited` bytes waited.
    pub(crate) fn has_news_of_body(&mut self, waited: u64) -> bool {
        let body = self.streamed_body.as_mut();
        body.is_some_and(|body| body.has_news(waited))
    }

    /// Bytes of a body that wait for the application.
    pub(crate) fn body_waiting(&self) -> u64 {
        let body = self.streamed_body.as_ref();
        body.map_or(0, |body| body.waiting())
    }

    /// What was received behind the request that is being answered.
    pub(crate) fn take_received(&mut self) -> Vec<u8> {
        let incoming = self.incoming.take();
        incoming.map(|incoming| incoming.input).unwrap_or_default()
    }

    /// Nothing more comes of a body.
    pub(crate) fn break_off_body(&mut self) {
        // It stays if the client has to take the response.
        if !self.answering.awaits_writable {
            self.deadline_ms = u64::MAX;
        }
        if let Some(body) = &mut self.streamed_body {
            body.break_off();
        }
    }

    /// The request that was handed out last.
    pub(crate) fn request_id(&self) -> RequestId {
        RequestId {
            connection: self.token,
            stream: self.stream,
        }
    }

    /// Whether a body that comes in parts is not complete.
    pub(crate) fn is_body_left(&self) -> bool {
        let body = self.streamed_body.as_ref();
        body.is_some_and(|body| !body.is_complete())
    }

    /// Takes the response of the request that is being answered.
    pub(crate) fn set_response(&mut self, outgoing: Box<Outgoing>, now_ms: u64) {
        let is_body_left = self.is_body_left();
        self.streamed_body = None;
        self.after = match outgoing.complete_body() {
            Some(_) if is_body_left => AfterResponse::Linger,
            Some(body) if body.keep_alive => AfterResponse::KeepAlive,
            Some(_) if self.answering.client_closes => AfterResponse::Close,
            Some(_) => AfterResponse::Linger,
            None => AfterResponse::Abort,
        };
        self.outgoing = Some(outgoing);
        self.state = State::Sending;
        self.deadline_ms = now_ms + millis(self.client.engine.settings.client_timeout);
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.transport.as_fd()
    }
}

/// Why a request does not go to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhyUnserved {
    TimedOut,
    /// The client is gone.
    Abandoned,
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
