//! A request that the application has: how it is handed out, and what the connection does
//! until the response is given back, which is to receive a body that comes in parts.

use super::receiving::Received;
use super::{Connection, MAX_READS_PER_TURN, Next, State, millis};
use crate::buffers::Pools;
use crate::notice::RequestError;
use crate::request::{Request, RequestId};
use crate::responder::Responder;
use crate::streamed_body::BodyPart;

/// What is known of the request that is being answered.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each looked at in one place"
)]
pub(crate) struct Answering {
    /// The client sends nothing more after it.
    pub(super) client_closes: bool,
    /// Its response has no body.
    pub(super) head_only: bool,
    /// Its handle waits until it can send.
    pub(crate) awaits_writable: bool,
    /// The engine has reported that the client left.
    pub(crate) has_left: bool,
    /// What was received behind the request is where the application can take it.
    is_rest_offered: bool,
}

impl Connection {
    /// Whether its request is a GET or HEAD of exactly this path.
    pub(crate) fn asks_for(&self, path: &str) -> bool {
        self.incoming.as_ref().is_some_and(|incoming| {
            let (head, bytes) = incoming.request();
            head.path.of(bytes) == path.as_bytes()
                && matches!(head.method.of(bytes), b"GET" | b"HEAD")
        })
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
        let has_rest = incoming.input.len() > incoming.length;
        if has_rest {
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
        if has_rest && !pools.parts.settings.across_turns {
            self.answering.is_rest_offered = true;
        }
        outgoing.context.keep_alive &= !is_last && !pools.parts.settings.keepalive.is_zero();
        self.state = State::Answering;
        self.deadline_ms = u64::MAX;
        self.stream = self.stream.wrapping_add(1);
        let (id, peer) = (self.request_id(), self.peer());
        let client = self.socket.share(peer, &pools.parts);
        client.claim.open(self.stream);
        if self.answering.is_rest_offered {
            // If the application takes the connection, it has to have that, too.
            *client.lock_rest() = self.incoming.take();
        }
        let request = Request {
            id,
            peer,
            listener: self.listener,
            proxy_header: self.proxied.header(),
            incoming,
        };
        let responder = Responder {
            client,
            id,
            outgoing: Some(outgoing),
        };
        Some((request, responder))
    }

    /// Takes a request back that was handed out, if nobody has begun to answer it: it is
    /// complete and waits, as before.
    pub(crate) fn take_back(&mut self, request: Request, pools: &mut Pools) -> Result<(), Request> {
        let client = self.client();
        let is_untouched = self.is_answering(request.id)
            && client.is_some_and(|client| client.claim.is_open(self.stream))
            && self.streamed_body.is_none();
        if !is_untouched {
            return Err(request);
        }
        self.reclaim_rest();
        if let (Some(entry), Some(access)) = (self.entry.take(), &mut pools.access) {
            access.discard(entry);
        }
        let mut incoming = request.incoming;
        if let Some(rest) = self.incoming.take() {
            incoming.input.extend_from_slice(&rest.input);
            pools.incoming.put_back(rest);
        }
        let since_ms = incoming.ready_since_ms;
        self.incoming = Some(incoming);
        self.set_ready(since_ms, &pools.parts.settings);
        Ok(())
    }

    /// Whether this request is being answered.
    pub(crate) fn is_answering(&self, id: RequestId) -> bool {
        self.state == State::Answering && self.request_id() == id
    }

    /// The request that was handed out last.
    pub(crate) fn request_id(&self) -> RequestId {
        RequestId {
            connection: self.token,
            stream: self.stream,
        }
    }

    /// What was received behind the request that is being answered.
    pub(crate) fn take_received(&mut self) -> Vec<u8> {
        self.reclaim_rest();
        let incoming = self.incoming.take();
        incoming.map(|incoming| incoming.input).unwrap_or_default()
    }

    /// Takes back what the application may have had, and did not take.
    pub(super) fn reclaim_rest(&mut self) {
        if std::mem::take(&mut self.answering.is_rest_offered) {
            let client = self.client();
            self.incoming = client.and_then(|client| client.lock_rest().take());
        }
    }

    /// Receives more of a body that comes in parts, as long as the application takes them.
    pub(super) fn receive_streamed_body(
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
                self.deadline_ms = now_ms + millis(pools.parts.settings.client_timeout);
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

    /// Whether a body that comes in parts is not complete.
    pub(crate) fn is_body_left(&self) -> bool {
        let body = self.streamed_body.as_ref();
        body.is_some_and(|body| !body.is_complete())
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
}
