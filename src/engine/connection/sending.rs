//! How a response is sent, be it the application's or a refusal, and what follows it: the
//! next request, or the end of the connection.

use super::{Connection, MAX_READS_PER_TURN, Next, State, millis};
use crate::access::{Received, ResponseEnd, client};
use crate::buffers::{Outgoing, Pooled, Pools};
use crate::notice::RequestError;
use crate::request::RequestId;
use crate::settings::Settings;
use crate::transport::Moved;
use rgunicorn_http::{ResponseContext, write_error_page};

/// The most bytes that are read and discarded while a connection lingers (RFC 9112,
/// section 9.6).
const MAX_LINGER_BYTES: u32 = 64 * 1024 * 1024;

/// The longest time a connection lingers, in milliseconds.
const MAX_LINGER_MS: u64 = 2000;

/// What follows the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterResponse {
    KeepAlive,
    /// Close when the client does: it may still be sending.
    Linger,
    /// Close: the client asked for it and sends nothing more.
    Close,
    /// Close without sending the rest: the response cannot be completed, and the client
    /// has to see that.
    Abort,
    /// The application has used the connection by itself: say that no more comes, and close
    /// when the client does.
    Leave,
}

impl Connection {
    /// Takes the response of the request that is being answered.
    pub(crate) fn set_response(
        &mut self,
        outgoing: Box<Outgoing>,
        now_ms: u64,
        settings: &Settings,
    ) {
        let is_body_left = self.is_body_left();
        self.streamed_body = None;
        self.reclaim_rest();
        let mut outgoing = outgoing;
        let is_taken = self.is_taken();
        if is_taken {
            outgoing.clear();
        }
        self.after = match outgoing.complete_body() {
            _ if is_taken => AfterResponse::Leave,
            Some(_) if is_body_left => AfterResponse::Linger,
            Some(body) if body.keep_alive => AfterResponse::KeepAlive,
            Some(_) if self.answering.client_closes => AfterResponse::Close,
            Some(_) => AfterResponse::Linger,
            None => AfterResponse::Abort,
        };
        self.outgoing = Some(outgoing);
        self.state = State::Sending;
        self.deadline_ms = now_ms + millis(settings.client_timeout);
    }

    /// Makes an error page the response, and closes the connection after it.
    pub(crate) fn refuse(
        &mut self,
        error: &RequestError,
        now_ms: u64,
        date: &[u8; 29],
        pools: &mut Pools,
    ) {
        self.reclaim_rest();
        let received = self.incoming.as_ref().map(|incoming| &incoming.input[..]);
        let mut context = ResponseContext::of_refused(received.unwrap_or_default());
        if self.state == State::Answering {
            context.head_only = self.answering.head_only;
        }
        if self.entry.is_none() {
            self.begin_record(pools);
        }
        let outgoing = self.outgoing.get_or_insert_with(|| pools.outgoing.take());
        outgoing.discard();
        let output = &mut outgoing.output.buffer;
        self.after = match write_error_page(output, context, error.status(), date) {
            Ok(_) => {
                let facts = &mut outgoing.facts;
                facts.set_error_page(error.status().code(), &outgoing.output.buffer);
                AfterResponse::Linger
            }
            Err(_) => AfterResponse::Abort,
        };
        self.state = State::Sending;
        self.deadline_ms = now_ms + millis(pools.parts.settings.client_timeout);
    }

    /// Sends what is left of the response. `None`: all of it is sent.
    pub(super) fn send(&mut self, now_ms: u64, settings: &Settings) -> Option<Next> {
        if self.after == AfterResponse::Abort {
            return Some(Next::Close);
        }
        let outgoing = self.outgoing.as_mut()?;
        let before = outgoing.output.total();
        match outgoing.output.flush(self.socket.transport()) {
            Ok(true) => None,
            Ok(false) => {
                if outgoing.output.total() > before {
                    self.deadline_ms = now_ms + millis(settings.client_timeout);
                }
                Some(Next::Wait)
            }
            Err(_) => Some(Next::Close),
        }
    }

    /// Begins the record of a request that the application does not see.
    pub(crate) fn begin_record(&mut self, pools: &mut Pools) {
        let (Some(access), Some(incoming)) = (&mut pools.access, &self.incoming) else {
            return;
        };
        let received = match self.state {
            State::ReadingBody | State::Ready => {
                let (head, bytes) = incoming.request();
                Received::Head(head, bytes)
            }
            State::Idle
            | State::ReadingHead
            | State::Answering
            | State::Sending
            | State::Lingering => Received::Bytes(&incoming.input),
        };
        let id = RequestId {
            connection: self.token,
            stream: self.stream.wrapping_add(1),
        };
        let header = self.proxied.header();
        let peer = client(self.peer(), header.as_deref());
        self.entry = access.begin(&received, peer, incoming.ready_at, Some(id));
    }

    /// Writes the record of the request whose response has ended.
    pub(crate) fn finish_record(&mut self, end: ResponseEnd, pools: &mut Pools) {
        if self.entry.is_some() {
            pools.finish_record(&mut self.entry, self.outgoing.as_deref(), end);
        }
    }

    /// Goes on as `after` says, now that the response is sent.
    pub(super) fn finish_response(&mut self, now_ms: u64, pools: &mut Pools) -> Option<Next> {
        if self.after == AfterResponse::Leave {
            // As in Gunicorn: what the application said to its client is not known.
            if let (Some(entry), Some(access)) = (self.entry.take(), &mut pools.access) {
                access.discard(entry);
            }
        }
        self.finish_record(ResponseEnd::Complete, pools);
        match self.after {
            AfterResponse::KeepAlive => {
                if let Some(outgoing) = self.outgoing.take() {
                    pools.outgoing.put_back(outgoing);
                }
                self.state = State::Idle;
                self.is_served = true;
                self.deadline_ms = now_ms + millis(pools.parts.settings.keepalive);
                None
            }
            AfterResponse::Linger | AfterResponse::Leave => {
                self.transport().shutdown_write();
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
    pub(super) fn linger(&mut self) -> Next {
        for _ in 0..MAX_READS_PER_TURN {
            if self.lingered >= MAX_LINGER_BYTES {
                return Next::Close;
            }
            match self.transport().discard() {
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
}
