//! The handle by which a request is answered: in the thread that turns the engine, in
//! another one, or over many turns.
//!
//! It sends by itself, as nothing else sends on its connection meanwhile; the engine goes
//! on with the connection when the handle is given back. One that is dropped answers 500,
//! or ends the connection if a part of the response was sent.

use crate::access::ResponseFacts;
use crate::buffers::Outgoing;
use crate::client::Client;
use crate::client_socket::ClientSocket;
use crate::completions::{Completion, Completions};
use crate::output::{Flow, MIN_DIRECT_SEND, SendError};
use crate::request::RequestId;
use crate::settings::Settings;
use crate::transport::Peer;
use rgunicorn_http::{
    CONTINUE, ResponseBody, ResponseError, ResponseFraming, ResponseHead, Status, Version,
    write_early_hints, write_switching_protocols,
};
use std::fs::File;
use std::sync::Arc;

/// What all connections of an engine and all handles use.
#[derive(Debug)]
pub(crate) struct EngineParts {
    pub(crate) settings: Settings,
    pub(crate) completions: Completions,
}

/// Answers one request: by [`head`](Self::head), then [`push`](Self::push) and
/// [`flush`](Self::flush) or [`send_file`](Self::send_file), then [`end`](Self::end). It is
/// given back by [`Engine::finish`](crate::Engine::finish) or [`finish`](Self::finish).
#[derive(Debug)]
pub struct Responder {
    pub(crate) client: Arc<Client>,
    pub(crate) id: RequestId,
    /// `None` once it is given back.
    pub(crate) outgoing: Option<Box<Outgoing>>,
}

impl Responder {
    pub fn id(&self) -> RequestId {
        self.id
    }

    pub fn peer(&self) -> Peer {
        self.client.peer
    }

    /// The client's connection, for an application that wants to use it by itself.
    pub fn socket(&self) -> ClientSocket {
        ClientSocket::new(Arc::clone(&self.client), self.id)
    }

    /// Whether the application uses the connection by itself: nothing more is sent.
    pub fn is_taken(&self) -> bool {
        self.client.claim.is_for_application(self.id.stream)
    }

    fn outgoing(&mut self) -> (&mut Outgoing, &Client) {
        // It is taken only by methods that consume the handle.
        let outgoing = self.outgoing.get_or_insert_default();
        (outgoing, &self.client)
    }

    /// Closes the connection after the response, if its head is not written yet.
    pub fn close_after(&mut self) {
        self.outgoing().0.context.keep_alive = false;
    }

    /// Begins the head of the response; `status` is like `200 OK`. Nothing is sent yet,
    /// and a head that is dropped before it is finished leaves nothing behind.
    pub fn head(&mut self, status: &[u8]) -> Result<ResponderHead<'_>, ResponseError> {
        let (outgoing, client) = self.outgoing();
        let keeps_fields = client.engine.settings.keeps_response_fields;
        let buffer = &mut outgoing.output.buffer;
        let head = ResponseHead::begin(buffer, outgoing.context, status)?;
        // It begins with three digits, else it would have been refused.
        let digits = status.iter().take(3).map(|digit| u16::from(digit & 15));
        outgoing.facts.status = digits.fold(0, |number, digit| number * 10 + digit);
        outgoing.facts.fields.clear();
        Ok(ResponderHead {
            head,
            body: &mut outgoing.body,
            facts: keeps_fields.then_some(&mut outgoing.facts),
        })
    }

    /// Answers 101 and leaves the connection to another protocol: `fields` says which, and
    /// what that needs. To be followed by [`Engine::upgrade`](crate::Engine::upgrade).
    pub fn switch_protocols(&mut self, fields: &[(&[u8], &[u8])]) -> Result<(), ResponseError> {
        let (outgoing, _) = self.outgoing();
        write_switching_protocols(&mut outgoing.output.buffer, fields)?;
        outgoing.is_upgrade = true;
        outgoing.facts.status = 101;
        Ok(())
    }

    /// Sends `100 Continue` (RFC 9110, section 10.1.1), if no response was begun.
    pub fn send_continue(&mut self) {
        if !self.is_started() && self.client.may_send(self.id).is_ok() {
            // If this fails, so will the response.
            let _ = self.client.transport.send(CONTINUE);
        }
    }

    /// Tells the client at once what it may begin with before the response is there (RFC 8297),
    /// unless that is begun, or the client cannot know about it (RFC 9110, section 15.2). The
    /// response can still be an error page.
    pub fn send_early_hints(&mut self, fields: &[(&[u8], &[u8])]) -> Result<(), ResponseError> {
        let mut bytes = Vec::new();
        write_early_hints(&mut bytes, fields)?;
        let id = self.id;
        let may_send = !self.is_started() && self.waiting() == 0;
        let (outgoing, client) = self.outgoing();
        let is_understood = outgoing.context.version == Version::Http11;
        if may_send && is_understood && client.may_send(id).is_ok() {
            // If this fails, so will the response.
            let _ = outgoing.output.send_before(&client.transport, &bytes);
        }
        Ok(())
    }

    /// The values of the environ variables that the access log has, in the order of its format.
    pub fn set_access_variables(&mut self, values: Vec<Option<Vec<u8>>>) {
        self.outgoing().0.facts.variables = values;
    }

    /// Whether the head of the response is written.
    pub fn is_started(&self) -> bool {
        self.framing().is_some()
    }

    /// How the rest of the body goes out; `None` before the head is written.
    pub fn framing(&self) -> Option<ResponseFraming> {
        let body = self.outgoing.as_ref()?.body.as_ref()?;
        Some(body.framing)
    }

    /// Answers with an error page, in place of what was written so far. When bytes of
    /// that were sent already, the connection is closed before the end of the response,
    /// so that the client can tell.
    pub fn respond_with_error(&mut self, status: Status, date: &[u8; 29]) {
        self.outgoing().0.respond_with_error(status, date);
    }

    /// Adds a piece of the body; it is sent by [`Self::flush`] at the latest. What exceeds
    /// the Content-Length, or has no place in this response, is left out.
    pub fn push(&mut self, piece: &[u8]) -> Result<Flow, SendError> {
        if piece.len() >= MIN_DIRECT_SEND {
            self.client.may_send(self.id)?;
        }
        let (outgoing, client) = self.outgoing();
        let settings = &client.engine.settings;
        let Some(body) = &mut outgoing.body else {
            outgoing.is_broken = true;
            return Ok(Flow::Open);
        };
        let frame = body.frame(piece.len());
        if frame.length > 0 {
            let output = &mut outgoing.output;
            let pushed = output
                .append(frame.prefix(), settings)
                .and_then(|()| output.push(&client.transport, &piece[..frame.length], settings))
                .and_then(|()| output.append(frame.suffix, settings));
            outgoing.facts.body += frame.length as u64;
            // What was announced is missing: nothing may follow.
            outgoing.is_broken |= pushed.is_err();
            pushed?;
        }
        Ok(outgoing.output.flow(settings))
    }

    /// Sends as much as the socket takes.
    pub fn flush(&mut self) -> Result<Flow, SendError> {
        if self.waiting() > 0 {
            self.client.may_send(self.id)?;
        }
        let (outgoing, client) = self.outgoing();
        outgoing.output.flush(&client.transport)?;
        Ok(outgoing.output.flow(&client.engine.settings))
    }

    /// Sends `length` bytes from `position` of `file` as the rest of the body. Not
    /// possible in a chunked body: nothing can follow the file, so the chunk would have
    /// no end, and the client would take the next response for it.
    pub fn send_file(&mut self, file: File, position: u64, length: u64) {
        let (outgoing, _) = self.outgoing();
        match &mut outgoing.body {
            Some(body) if body.framing != ResponseFraming::Chunked => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let length = body.frame(length).length as u64;
                outgoing.facts.body += length;
                outgoing.output.send_file(file, position, length);
            }
            Some(_) | None => outgoing.is_broken = true,
        }
    }

    /// Waits until the socket takes more, at most `client_timeout`, or until a signal
    /// comes.
    pub fn wait_writable(&self) -> Result<(), SendError> {
        let timeout = self.client.engine.settings.client_timeout;
        let waited = self.client.transport.wait_writable(timeout);
        waited.map_err(SendError::Gone)
    }

    /// Asks the engine for [`RequestEvent::Writable`](crate::RequestEvent::Writable): what
    /// is left has to be flushed then.
    pub fn notify_writable(&self) {
        let completions = &self.client.engine.completions;
        completions.push(Completion::AwaitsWritable(self.id));
    }

    /// Ends the body. `false`: it is shorter than its Content-Length, and the connection
    /// will be closed so that the client can tell.
    pub fn end(&mut self) -> bool {
        let id = self.id;
        let (outgoing, client) = self.outgoing();
        let output = &mut outgoing.output;
        let Some(body) = &mut outgoing.body else {
            outgoing.is_broken = true;
            return false;
        };
        let Ok(end) = body.end() else {
            // Whether this succeeds or not: the connection is closed.
            if client.may_send(id).is_ok() {
                let _ = output.flush(&client.transport);
            }
            outgoing.is_broken = true;
            return false;
        };
        let appended = output.append(end, &client.engine.settings);
        outgoing.is_broken |= appended.is_err();
        outgoing.is_ended = !outgoing.is_broken;
        outgoing.is_ended
    }

    /// Closes the connection without sending more: the response cannot be completed.
    pub fn abort(&mut self) {
        self.outgoing().0.is_broken = true;
    }

    /// The bytes of this response, sent and still to be sent.
    pub fn bytes(&self) -> u64 {
        let output = self.outgoing.as_ref().map(|outgoing| &outgoing.output);
        output.map_or(0, |output| output.total() + output.waiting())
    }

    /// Bytes that are not sent yet.
    pub fn waiting(&self) -> u64 {
        let outgoing = self.outgoing.as_ref();
        outgoing.map_or(0, |outgoing| outgoing.output.waiting())
    }

    /// Sends what the client takes and gives the connection back, from any thread.
    /// The engine sends the rest.
    pub fn finish(mut self) {
        let Some(mut outgoing) = self.outgoing.take() else {
            return;
        };
        if !outgoing.is_broken && self.client.may_send(self.id).is_ok() {
            // The engine meets the same error when it goes on.
            let _ = outgoing.output.flush(&self.client.transport);
        }
        let completion = Completion::Finished(self.id, outgoing);
        let engine = Arc::clone(&self.client.engine);
        // Before the engine goes on with the connection, which has its socket for itself then.
        drop(self);
        engine.completions.push(completion);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(outgoing) = self.outgoing.take() {
            let completion = Completion::Dropped(self.id, outgoing);
            self.client.engine.completions.push(completion);
        }
    }
}

/// The head of a response, being written.
#[derive(Debug)]
pub struct ResponderHead<'a> {
    head: ResponseHead<'a>,
    body: &'a mut Option<ResponseBody>,
    /// If the access log needs the fields.
    facts: Option<&'a mut ResponseFacts>,
}

impl ResponderHead<'_> {
    /// Adds a field, unless the server decides about it.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        self.head.field(name, value)?;
        if let Some(facts) = &mut self.facts {
            let parts = [name, b":", value, b"\n"];
            facts.fields.extend(parts.into_iter().flatten());
        }
        Ok(())
    }

    /// Ends the head. `length` is the length of the body, if it is known.
    pub fn finish(self, length: Option<u64>, date: &[u8; 29]) {
        *self.body = Some(self.head.finish(length, date));
    }
}
