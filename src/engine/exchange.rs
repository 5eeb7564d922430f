//! A request and its answer, in the hands of whoever answers it.
//!
//! An exchange owns its connection until it is given back, so it can be
//! answered in another thread, and the engine cannot touch it meanwhile.

use crate::connection::{Connection, Peer};
use crate::output::{Flow, SendError};
use crate::work::{RECEIVE, Work};
use rgunicorn_http::{Answering, End, Fault, Head, ResponseFraming, ResponseHead, Sending};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::fs::File;
use std::io;

/// A request's body as it lies ready.
#[derive(Debug)]
pub enum RequestBody<'a> {
    /// In memory; empty where there is none.
    Memory(&'a [u8]),
    /// In an unlinked file, from 0 to this length.
    File(&'a File, u64),
}

/// A complete request, and the way to answer it:
/// [`start`](Self::start), then [`push`](Self::push) and [`flush`](Self::flush) or
/// [`send_file`](Self::send_file), then [`end`](Self::end).
#[derive(Debug)]
pub struct Exchange {
    pub(crate) connection: Box<Connection>,
    pub(crate) work: Box<Work>,
    /// No request after this one.
    pub(crate) last: bool,
}

impl Exchange {
    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.connection.peer
    }

    /// Which of the engine's listeners it came by, counted from 0.
    pub fn listener(&self) -> usize {
        self.connection.listener
    }

    /// The request's head, and the bytes its spans point into.
    pub fn request(&self) -> (&Head, &[u8]) {
        self.work.request()
    }

    /// The request's body.
    pub fn body(&self) -> RequestBody<'_> {
        self.work.body()
    }

    /// Makes this the connection's last request, if its answer is not started yet.
    pub fn make_last(&mut self) {
        self.last = true;
    }

    /// Begins the head of the answer; `status` is like `200 OK`. Nothing is sent
    /// yet, and what is dropped before it is finished was never written.
    pub fn head(&mut self, status: &[u8]) -> Result<AnswerHead<'_>, Fault> {
        let answering = self.answering();
        let work = &mut *self.work;
        Ok(AnswerHead {
            head: ResponseHead::begin(&mut work.output.buffer, answering, status)?,
            sending: &mut work.sending,
        })
    }

    fn answering(&self) -> Answering {
        let (head, bytes) = self.work.request();
        let answering = head.answering(bytes);
        Answering {
            keep_alive: answering.keep_alive
                && !self.last
                && !self.connection.settings.keepalive.is_zero(),
            ..answering
        }
    }

    /// Whether the head of the answer is written.
    pub fn is_started(&self) -> bool {
        self.work.sending.is_some()
    }

    /// Whether bytes of the answer have reached the client's socket already.
    pub fn is_committed(&self) -> bool {
        self.work.output.total() > 0
    }

    /// How the rest of the body goes out; `None` before the head is written.
    pub fn framing(&self) -> Option<ResponseFraming> {
        self.work.sending.as_ref().map(|sending| sending.framing)
    }

    /// Takes back what was written of the answer, as long as nothing was sent.
    pub fn restart(&mut self) {
        if !self.is_committed() {
            self.work.output.clear(RECEIVE);
            self.work.sending = None;
        }
    }

    /// Adds a piece of the body; it is sent at the latest by [`Self::flush`].
    /// What exceeds the announced length, or may not have a body, is left out.
    pub fn push(&mut self, piece: &[u8]) -> Result<Flow, SendError> {
        let work = &mut *self.work;
        let settings = &*self.connection.settings;
        let Some(sending) = &mut work.sending else {
            work.broken = true;
            return Ok(Flow::Open);
        };
        let count = sending.frame(piece.len());
        if count > 0 {
            let socket = &self.connection.socket;
            let is_chunked = sending.framing == ResponseFraming::Chunked;
            if is_chunked {
                work.output.append_with(settings, |line| {
                    Sending::write_chunk_head(line, count);
                })?;
            }
            work.output.push(socket, &piece[..count], settings)?;
            if is_chunked {
                work.output.append(Sending::CHUNK_END, settings)?;
            }
        }
        Ok(work.output.flow(settings))
    }

    /// Sends what the client takes.
    pub fn flush(&mut self) -> Result<Flow, SendError> {
        self.work.output.flush(&self.connection.socket)?;
        Ok(self.work.output.flow(&self.connection.settings))
    }

    /// Lets the body, `length` bytes of it, come from `file` at `position`.
    pub fn send_file(&mut self, file: File, position: u64, length: u64) {
        match &mut self.work.sending {
            Some(sending) => {
                // The body's length was announced with the head, so it is never chunked.
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let length = sending.frame(length) as u64;
                self.work.output.send_file(file, position, length);
            }
            None => self.work.broken = true,
        }
    }

    /// Waits until the client takes more, at most the client's time-out, or until
    /// a signal comes.
    pub fn wait_writable(&self) -> Result<(), SendError> {
        let timeout = Timespec::try_from(self.connection.settings.client_timeout).ok();
        let mut poll = [PollFd::new(&self.connection.socket, PollFlags::OUT)];
        match rustix::event::poll(&mut poll, timeout.as_ref()) {
            Ok(0) => Err(SendError::Gone(io::ErrorKind::TimedOut.into())),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(SendError::Gone(error.into())),
        }
    }

    /// The body is complete. `false`: it is shorter than announced, and the
    /// connection will be closed so that the client can tell.
    pub fn end(&mut self) -> bool {
        let work = &mut *self.work;
        let Some(sending) = &mut work.sending else {
            work.broken = true;
            return false;
        };
        match sending.end() {
            End::Complete => {
                if sending.framing == ResponseFraming::Chunked {
                    let settings = &*self.connection.settings;
                    let ended = work.output.append(Sending::LAST_CHUNK, settings);
                    work.broken |= ended.is_err();
                }
                !work.broken
            }
            End::Short(_) => {
                // What is there goes out, as far as it does at once; that the rest
                // is missing is told by the close.
                let _ = work.output.flush(&self.connection.socket);
                work.broken = true;
                false
            }
        }
    }

    /// Ends the connection without another byte: the answer cannot be completed.
    pub fn abandon(&mut self) {
        self.work.broken = true;
    }

    /// Bytes of this answer that the client's socket has taken so far, and those that wait.
    pub fn bytes(&self) -> u64 {
        self.work.output.total() + self.work.output.waiting()
    }
}

/// The head of an answer, being written.
#[derive(Debug)]
pub struct AnswerHead<'a> {
    head: ResponseHead<'a>,
    sending: &'a mut Option<Sending>,
}

impl AnswerHead<'_> {
    /// Adds a field, unless it is the server's to decide.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.head.field(name, value)
    }

    /// Ends the head. `length` is the body's, where it is known.
    pub fn finish(self, length: Option<u64>, date: &[u8; 29]) {
        *self.sending = Some(self.head.finish(length, date));
    }
}
