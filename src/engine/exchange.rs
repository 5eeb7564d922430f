//! A request and its response, as they are handed to the worker.
//!
//! An exchange owns its connection until [`Engine::finish`](crate::Engine::finish), so it
//! can be answered in another thread, and the engine cannot touch it meanwhile.

use crate::buffers::{Buffers, RECEIVE_SIZE};
use crate::connection::{Connection, Peer};
use crate::output::{Flow, SendError};
use rgunicorn_http::{
    Head, ResponseBody, ResponseContext, ResponseError, ResponseFraming, ResponseHead, Status,
    write_error_page,
};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::fs::File;
use std::io;

/// The complete body of a request.
#[derive(Debug)]
pub enum RequestBody<'a> {
    /// In memory; empty where there is none.
    Memory(&'a [u8]),
    /// In an unlinked file, from 0 to this length.
    File(&'a File, u64),
}

/// The number of an exchange's connection, for [`Engine::forget`](crate::Engine::forget).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExchangeId(pub(crate) u64);

/// A complete request. It is answered by [`head`](Self::head), then [`push`](Self::push)
/// and [`flush`](Self::flush) or [`send_file`](Self::send_file), then [`end`](Self::end).
#[derive(Debug)]
pub struct Exchange {
    pub(crate) connection: Box<Connection>,
    pub(crate) buffers: Box<Buffers>,
    /// The connection is closed after the response.
    pub(crate) last: bool,
}

impl Exchange {
    pub fn id(&self) -> ExchangeId {
        ExchangeId(self.connection.token)
    }

    pub fn peer(&self) -> Peer {
        self.connection.peer
    }

    /// The engine's listener it came by, counted from 0.
    pub fn listener(&self) -> usize {
        self.connection.listener
    }

    /// The head of the request, and the bytes its spans point into.
    pub fn request(&self) -> (&Head, &[u8]) {
        self.buffers.request()
    }

    pub fn body(&self) -> RequestBody<'_> {
        self.buffers.body()
    }

    /// Closes the connection after the response, if its head is not written yet.
    pub fn close_after(&mut self) {
        self.last = true;
    }

    /// Begins the head of the response; `status` is like `200 OK`. Nothing is sent yet,
    /// and a head that is dropped before it is finished leaves nothing behind.
    pub fn head(&mut self, status: &[u8]) -> Result<ExchangeHead<'_>, ResponseError> {
        let context = self.context();
        let buffers = &mut *self.buffers;
        Ok(ExchangeHead {
            head: ResponseHead::begin(&mut buffers.output.buffer, context, status)?,
            body: &mut buffers.response_body,
        })
    }

    fn context(&self) -> ResponseContext {
        let (head, bytes) = self.buffers.request();
        let context = head.response_context(bytes);
        ResponseContext {
            keep_alive: context.keep_alive
                && !self.last
                && !self.connection.settings.keepalive.is_zero(),
            ..context
        }
    }

    /// Whether the head of the response is written.
    pub fn is_started(&self) -> bool {
        self.buffers.response_body.is_some()
    }

    /// Whether bytes of the response were sent.
    pub fn is_committed(&self) -> bool {
        self.buffers.output.total() > 0
    }

    /// How the rest of the body goes out; `None` before the head is written.
    pub fn framing(&self) -> Option<ResponseFraming> {
        self.buffers.response_body.as_ref().map(|body| body.framing)
    }

    /// Discards the response, unless bytes of it were sent.
    pub(crate) fn discard_response(&mut self) {
        if !self.is_committed() {
            self.buffers.output.clear(RECEIVE_SIZE);
            self.buffers.response_body = None;
        }
    }

    /// Answers with an error page, in place of what was written so far. When bytes of
    /// that were sent already, the connection is closed before the end of the response,
    /// so that the client can tell.
    pub fn respond_with_error(&mut self, status: Status, date: &[u8; 29]) {
        self.discard_response();
        if self.is_committed() {
            return self.abort();
        }
        let context = self.context();
        let output = &mut self.buffers.output.buffer;
        match write_error_page(output, context, status, date) {
            Ok(body) => self.buffers.response_body = Some(body),
            Err(_) => self.abort(),
        }
    }

    /// Adds a piece of the body; it is sent by [`Self::flush`] at the latest. What exceeds
    /// the Content-Length, or has no place in this response, is left out.
    pub fn push(&mut self, piece: &[u8]) -> Result<Flow, SendError> {
        let buffers = &mut *self.buffers;
        let settings = &*self.connection.settings;
        let Some(body) = &mut buffers.response_body else {
            buffers.is_broken = true;
            return Ok(Flow::Open);
        };
        let frame = body.frame(piece.len());
        if frame.length > 0 {
            buffers.output.append(frame.prefix(), settings)?;
            let piece = &piece[..frame.length];
            buffers
                .output
                .push(&self.connection.socket, piece, settings)?;
            buffers.output.append(frame.suffix, settings)?;
        }
        Ok(buffers.output.flow(settings))
    }

    /// Sends as much as the socket takes.
    pub fn flush(&mut self) -> Result<Flow, SendError> {
        self.buffers.output.flush(&self.connection.socket)?;
        Ok(self.buffers.output.flow(&self.connection.settings))
    }

    /// Sends `length` bytes from `position` of `file` as the rest of the body. Not
    /// possible in a chunked body: nothing can follow the file, so the chunk would have
    /// no end, and the client would take the next response for it.
    pub fn send_file(&mut self, file: File, position: u64, length: u64) {
        match &mut self.buffers.response_body {
            Some(body) if body.framing != ResponseFraming::Chunked => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let length = body.frame(length).length as u64;
                self.buffers.output.send_file(file, position, length);
            }
            Some(_) | None => self.buffers.is_broken = true,
        }
    }

    /// Waits until the socket takes more, at most `client_timeout`, or until a signal
    /// comes.
    pub fn wait_writable(&self) -> Result<(), SendError> {
        let timeout = Timespec::try_from(self.connection.settings.client_timeout).ok();
        let mut poll = [PollFd::new(&self.connection.socket, PollFlags::OUT)];
        match rustix::event::poll(&mut poll, timeout.as_ref()) {
            Ok(0) => Err(SendError::Gone(io::ErrorKind::TimedOut.into())),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(SendError::Gone(error.into())),
        }
    }

    /// Ends the body. `false`: it is shorter than its Content-Length, and the connection
    /// will be closed so that the client can tell.
    pub fn end(&mut self) -> bool {
        let buffers = &mut *self.buffers;
        let Some(body) = &mut buffers.response_body else {
            buffers.is_broken = true;
            return false;
        };
        let Ok(end) = body.end() else {
            // Whether this succeeds or not: the connection is closed.
            let _ = buffers.output.flush(&self.connection.socket);
            buffers.is_broken = true;
            return false;
        };
        let appended = buffers.output.append(end, &self.connection.settings);
        buffers.is_broken |= appended.is_err();
        !buffers.is_broken
    }

    /// Closes the connection without sending more: the response cannot be completed.
    pub fn abort(&mut self) {
        self.buffers.is_broken = true;
    }

    /// The bytes of this response, sent and still to be sent.
    pub fn bytes(&self) -> u64 {
        self.buffers.output.total() + self.buffers.output.waiting()
    }
}

/// The head of a response, being written.
#[derive(Debug)]
pub struct ExchangeHead<'a> {
    head: ResponseHead<'a>,
    body: &'a mut Option<ResponseBody>,
}

impl ExchangeHead<'_> {
    /// Adds a field, unless the server decides about it.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        self.head.field(name, value)
    }

    /// Ends the head. `length` is the length of the body, if it is known.
    pub fn finish(self, length: Option<u64>, date: &[u8; 29]) {
        *self.body = Some(self.head.finish(length, date));
    }
}
