//! Requests on their way through the application: handed out, answered, given back.

use super::{Engine, find, index};
use crate::access::ResponseEnd;
use crate::buffers::Outgoing;
use crate::completions::Completion;
use crate::connection::{Next, WhyUnserved, millis};
use crate::notice::{Notice, RequestError, Unserved};
use crate::request::{Request, RequestId};
use crate::responder::Responder;
use crate::streamed_body::BodyPart;
use crate::upgraded::Upgraded;
use rgunicorn_http::Status;
use rustix::event::epoll::{self, EventFlags};
use std::sync::Arc;

/// What happens to a request while it is answered over several turns. Recorded if
/// [`Settings::across_turns`](crate::Settings::across_turns) is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestEvent {
    /// More of its body has come, or its end.
    Body(RequestId),
    /// What its handle has left may be sent now.
    Writable(RequestId),
    /// The client has closed the connection, or at least its side of it.
    ClientLeft(RequestId),
}

/// What became of a request that took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeOut {
    /// The client was answered 503.
    Answered,
    /// A part of the response was sent: the connection was closed.
    BrokenOff,
    /// It was answered before, the client is gone, or the application has taken the connection.
    Over,
}

impl Engine {
    /// How many requests are complete. A worker answers these between two turns, and no
    /// others: finishing one may make the next of the same connection complete, and a few
    /// clients that send many at once would keep all others waiting.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The next complete request, and the handle to answer it.
    pub fn next_request(&mut self) -> Option<(Request, Responder)> {
        let is_last = self.is_stopping();
        while let Some(token) = self.ready.pop_front() {
            let now_ms = self.clock.now_ms();
            if let Some(connection) = find(&mut self.connections, token) {
                if let Some(why) = connection.why_unserved(now_ms) {
                    self.leave_unserved(token, why);
                    continue;
                }
                let handed_out = connection.hand_out(&mut self.pools, is_last);
                if let (Some(access), Some((request, _))) = (&mut self.pools.access, &handed_out) {
                    connection.entry = access.begin_handed_out(request);
                }
                if handed_out.is_some() {
                    if self.pools.parts.settings.across_turns {
                        // Without an event nobody would know that the client leaves.
                        self.progress(token);
                    }
                    return handed_out;
                }
            }
        }
        None
    }

    /// Ends the connection of a request that the application will not see.
    pub(super) fn leave_unserved(&mut self, token: u64, why: WhyUnserved) {
        match why {
            WhyUnserved::Abandoned => {
                self.unserved.abandoned += 1;
                if let Some(connection) = find(&mut self.connections, token) {
                    connection.begin_record(&mut self.pools);
                }
                self.close(token);
            }
            WhyUnserved::TimedOut => {
                self.unserved.timed_out += 1;
                self.answer_too_late(token);
            }
        }
    }

    /// How many requests the application has not seen since the last call.
    pub fn take_unserved(&mut self) -> Unserved {
        std::mem::take(&mut self.unserved)
    }

    fn answer_too_late(&mut self, token: u64) {
        let now_ms = self.clock.now_ms();
        if let Some(connection) = find(&mut self.connections, token) {
            let (error, date) = (RequestError::TooLate, self.clock.date());
            connection.refuse(&error, now_ms, date, &mut self.pools);
            self.progress(token);
        }
    }

    /// Ends a request that takes too long: answers 503 in place of its handle, whose
    /// response is discarded then, or breaks off what the handle has begun to send.
    pub fn time_out(&mut self, id: RequestId) -> TimeOut {
        let Some(connection) = find(&mut self.connections, id.connection) else {
            return TimeOut::Over;
        };
        if !connection.is_answering(id) {
            return TimeOut::Over;
        }
        if connection.is_taken() {
            return TimeOut::Over;
        }
        let client = connection.client();
        if !client.is_some_and(|client| client.claim.take_for_engine(id.stream)) {
            connection.transport().shutdown();
            return TimeOut::BrokenOff;
        }
        self.answer_too_late(id.connection);
        TimeOut::Answered
    }

    /// Takes an answered request's handle back, sends the rest of the response and goes on
    /// with the connection.
    pub fn finish(&mut self, mut responder: Responder) {
        if let Some(outgoing) = responder.outgoing.take() {
            let id = responder.id;
            // The connection has its socket for itself then.
            drop(responder);
            self.take_response(id, outgoing);
        }
    }

    /// The same, but sends the response only with [`Self::send_held`] or in the next turn:
    /// each response that is sent wakes a client, which then competes for the processor
    /// with the application's next request. The first response of a connection is sent at
    /// once: if the application crashes, no client that comes for the first time shall
    /// suffer for it.
    pub fn finish_later(&mut self, mut responder: Responder) {
        let Some(outgoing) = responder.outgoing.take() else {
            return;
        };
        let id = responder.id;
        drop(responder);
        let token = id.connection;
        if self.set_response(id, outgoing) {
            let is_served = find(&mut self.connections, token).is_some_and(|it| it.is_served());
            if is_served {
                self.held.push(token);
            } else {
                self.progress(token);
            }
        }
    }

    /// Takes a request back that the application has not seen, and that was handed out whole:
    /// it is the next one again, and can go to another worker.
    pub fn put_back(&mut self, request: Request, mut responder: Responder) {
        let token = request.id.connection;
        let result = match find(&mut self.connections, token) {
            Some(connection) => connection.take_back(request, &mut self.pools),
            None => Err(request),
        };
        match result {
            Ok(()) => {
                if let Some(outgoing) = responder.outgoing.take() {
                    self.pools.outgoing.put_back(outgoing);
                }
                self.ready.push_front(token);
                if let Some(connection) = find(&mut self.connections, token) {
                    self.next_deadline_ms = self.next_deadline_ms.min(connection.deadline_ms);
                }
            }
            // The engine has answered in its place; the handle that is dropped frees its place.
            Err(request) => self.recycle(request),
        }
    }

    /// Sends the responses that were held back.
    pub fn send_held(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        for token in held.drain(..) {
            self.progress(token);
        }
        self.held = held;
    }

    /// Ends the connection of a request whose handle is still in another thread's hands:
    /// that one notices, and gives the handle back or drops it.
    pub fn abort(&mut self, id: RequestId) {
        if let Some(connection) = find(&mut self.connections, id.connection) {
            if connection.is_answering(id) {
                connection.transport().shutdown();
            }
        }
    }

    /// Takes the buffers of a request that nobody needs any more.
    pub fn recycle(&mut self, request: Request) {
        self.pools.incoming.put_back(request.incoming);
    }

    fn take_response(&mut self, id: RequestId, outgoing: Box<Outgoing>) {
        if self.set_response(id, outgoing) {
            self.progress(id.connection);
        }
    }

    /// `false`: nobody waits for the response any more.
    pub(super) fn set_response(&mut self, id: RequestId, outgoing: Box<Outgoing>) -> bool {
        let now_ms = self.clock.now_ms();
        match find(&mut self.connections, id.connection) {
            Some(connection) if connection.is_answering(id) => {
                connection.set_response(outgoing, now_ms, &self.pools.parts.settings);
                true
            }
            _ => {
                self.pools.outgoing.put_back(outgoing);
                false
            }
        }
    }

    /// Goes on with what other threads have given back.
    pub(super) fn handle_completions(&mut self) {
        for completion in self.pools.parts.completions.take() {
            match completion {
                Completion::Finished(id, outgoing) => self.take_response(id, outgoing),
                Completion::Dropped(id, mut outgoing) => {
                    if outgoing.complete_body().is_none() && !self.is_taken(id) {
                        self.note_not_answered(id);
                        let status = Status::INTERNAL_SERVER_ERROR;
                        outgoing.respond_with_error(status, self.clock.date());
                    }
                    self.take_response(id, outgoing);
                }
                Completion::AwaitsWritable(id) => self.await_writable(id),
            }
        }
    }

    /// Whether the application has taken the connection of this request.
    pub fn is_taken(&mut self, id: RequestId) -> bool {
        find(&mut self.connections, id.connection)
            .is_some_and(|it| it.request_id() == id && it.is_taken())
    }

    fn note_not_answered(&mut self, id: RequestId) {
        if let Some(connection) = find(&mut self.connections, id.connection)
            .filter(|connection| connection.is_answering(id))
        {
            self.notices.push(Notice::NotAnswered(connection.peer()));
        }
    }

    /// What happened since the last call to requests that are being answered.
    pub fn take_request_events(&mut self) -> Vec<RequestEvent> {
        std::mem::take(&mut self.request_events)
    }

    /// Takes what has come of a body, in [`BodyDelivery::AsReceived`]. `None`: the request
    /// has no such body, or is over.
    ///
    /// [`BodyDelivery::AsReceived`]: crate::BodyDelivery::AsReceived
    pub fn take_body(&mut self, id: RequestId) -> Option<BodyPart> {
        let connection = find(&mut self.connections, id.connection)?;
        if !connection.is_answering(id) {
            return None;
        }
        let part = connection.take_body();
        // There is room again.
        self.schedule(id.connection);
        part
    }

    /// Takes a connection out of the engine once its response is a
    /// [`switch_protocols`](Responder::switch_protocols). `None`: it is not, the body of the
    /// request is not complete, or the client is gone.
    pub fn upgrade(&mut self, mut responder: Responder) -> Option<Upgraded> {
        let id = responder.id;
        let mut outgoing = responder.outgoing.take()?;
        // Else what was received would be body, and no other protocol.
        let can_leave = find(&mut self.connections, id.connection)
            .is_some_and(|connection| connection.is_answering(id) && !connection.is_body_left());
        if !outgoing.is_upgrade || !can_leave {
            self.take_response(id, outgoing);
            return None;
        }
        let mut connection = self.connections.try_remove(index(id.connection))?;
        if connection.interest.is_some() {
            // It is open, so this cannot fail.
            let _ = epoll::delete(&self.epoll, &connection);
        }
        let received = connection.take_received();
        let entry = &mut connection.entry;
        self.pools
            .finish_record(entry, Some(&outgoing), ResponseEnd::Complete);
        let sent = outgoing.output.flush(connection.transport());
        self.pools.outgoing.put_back(outgoing);
        // The send buffer is empty at that point: what does not fit was never read.
        matches!(sent, Ok(true)).then(|| Upgraded::new(Arc::clone(&responder.client), received))
    }

    /// An event of a connection whose request is being answered.
    pub(super) fn handle_event_while_answering(&mut self, token: u64, flags: EventFlags) {
        let Some(connection) = find(&mut self.connections, token) else {
            return;
        };
        let id = connection.request_id();
        if !self.pools.parts.settings.across_turns {
            // Its turn comes when the response is there.
            if connection.is_taken() {
                // What the application and its client send each other wakes nobody else.
                let _ = epoll::delete(&self.epoll, &*connection);
                connection.interest = None;
            }
            return;
        }
        if flags.contains(EventFlags::OUT)
            && std::mem::take(&mut connection.answering.awaits_writable)
        {
            connection.deadline_ms = u64::MAX;
            self.request_events.push(RequestEvent::Writable(id));
        }
        let ended = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        self.progress(token);
        if flags.intersects(ended) {
            self.report_left(token);
        }
    }

    fn report_left(&mut self, token: u64) {
        if let Some(connection) = find(&mut self.connections, token) {
            if !std::mem::replace(&mut connection.answering.has_left, true) {
                let id = connection.request_id();
                self.request_events.push(RequestEvent::ClientLeft(id));
            }
        }
    }

    /// Lets a connection whose request is being answered receive its body.
    pub(super) fn progress_answering(&mut self, token: u64) {
        let now_ms = self.clock.now_ms();
        let Some(connection) = find(&mut self.connections, token) else {
            return;
        };
        let waited = connection.body_waiting();
        let progress = connection.progress(now_ms, &mut self.pools);
        if connection.has_news_of_body(waited) {
            let id = connection.request_id();
            self.request_events.push(RequestEvent::Body(id));
        }
        match progress {
            Ok(Next::Yield) => self.schedule(token),
            Ok(Next::Wait | Next::Request | Next::Close) => self.wait_for_events(token),
            Err(error) => {
                let peer = connection.peer();
                self.notices.push(Notice::Refused(peer, error));
                self.wait_for_events(token);
            }
        }
    }

    /// A client took nothing of its response, or sent nothing of its body, for too long.
    pub(super) fn expire_answering(&mut self, token: u64) {
        if let Some(connection) = find(&mut self.connections, token) {
            connection.break_off_body();
            connection.deadline_ms = u64::MAX;
            connection.transport().shutdown();
            self.report_left(token);
        }
    }

    /// Reports when the socket takes more of a response.
    fn await_writable(&mut self, id: RequestId) {
        let timeout_ms = millis(self.pools.parts.settings.client_timeout);
        let deadline_ms = self.clock.now_ms() + timeout_ms;
        let Some(connection) = find(&mut self.connections, id.connection) else {
            return;
        };
        if connection.is_answering(id) {
            connection.answering.awaits_writable = true;
            connection.deadline_ms = deadline_ms;
            // Registered again even if nothing changes: it may be writable already.
            self.register(id.connection);
        }
    }
}
