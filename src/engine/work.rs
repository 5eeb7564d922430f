//! The memory of a request and its answer, and where it is kept for the next.

use crate::exchange::RequestBody;
use crate::output::Output;
use crate::refused::Refused;
use crate::spool::Spool;
use rgunicorn_http::{Body, Head, Sending};

/// The receive buffer's size in bytes: most requests arrive in one piece.
pub(crate) const RECEIVE: usize = 16 * 1024;

/// The receive buffer's size while a large body streams to its file.
pub(crate) const RECEIVE_BODY: usize = 64 * 1024;

/// The most sets of buffers kept for later.
const POOL: usize = 64;

/// How a body comes in.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// There is none, or it lies in `input` behind the head as it came.
    InPlace,
    /// Decoded into the spool.
    Spooled(Body),
}

/// The memory of one request and its answer.
#[derive(Debug)]
pub(crate) struct Work {
    /// Received bytes from the request's first on.
    pub(crate) input: Vec<u8>,
    pub(crate) head: Head,
    pub(crate) incoming: Incoming,
    /// Bytes of `input` that belong to the request: head and body in place.
    pub(crate) length: usize,
    pub(crate) spool: Spool,
    pub(crate) output: Output,
    /// How the body of the answer is framed, once its head is written.
    pub(crate) sending: Option<Sending>,
    /// The answer cannot be completed.
    pub(crate) broken: bool,
}

impl Work {
    fn new() -> Self {
        Self {
            input: Vec::with_capacity(RECEIVE),
            head: Head::new(),
            incoming: Incoming::InPlace,
            length: 0,
            spool: Spool::default(),
            output: Output::default(),
            sending: None,
            broken: false,
        }
    }

    /// Forgets the request; what was received behind it stays.
    pub(crate) fn next(&mut self) {
        if self.length == self.input.len() {
            self.input.clear();
        } else {
            self.input.drain(..self.length);
        }
        self.length = 0;
        self.head.reset();
        self.incoming = Incoming::InPlace;
        self.spool.clear();
        self.output.clear(RECEIVE_BODY);
        self.sending = None;
        self.broken = false;
    }

    /// The request's head, and the bytes its spans point into.
    pub(crate) fn request(&self) -> (&Head, &[u8]) {
        (&self.head, &self.input[..self.head.length])
    }

    /// The request's body.
    pub(crate) fn body(&self) -> RequestBody<'_> {
        match (&self.incoming, self.spool.file()) {
            (Incoming::InPlace, _) => {
                RequestBody::Memory(&self.input[self.head.length..self.length])
            }
            (Incoming::Spooled(_), None) => RequestBody::Memory(self.spool.memory()),
            (Incoming::Spooled(_), Some(file)) => RequestBody::File(file, self.spool.len()),
        }
    }

    /// Forgets everything but moderate amounts of memory.
    fn clear(&mut self) {
        self.length = self.input.len();
        self.next();
        self.input.shrink_to(RECEIVE);
    }
}

/// Memory that waits for the next request.
#[derive(Debug, Default)]
#[expect(
    clippy::vec_box,
    reason = "boxes are moved, not their several hundred bytes"
)]
pub(crate) struct Pool(Vec<Box<Work>>);

impl Pool {
    pub(crate) fn take(&mut self) -> Box<Work> {
        self.0.pop().unwrap_or_else(|| Box::new(Work::new()))
    }

    pub(crate) fn keep(&mut self, mut work: Box<Work>) {
        if self.0.len() < POOL {
            work.clear();
            self.0.push(work);
        }
    }
}

/// Moves what is body out of `input`, from `start` on, into the spool.
///
/// The data of all chunks is put together in `input` first: a client may send chunks
/// of one byte, and each push may be a system call.
pub(crate) fn decode(
    body: &mut Body,
    input: &mut Vec<u8>,
    start: usize,
    spool: &mut Spool,
    in_memory: usize,
) -> Result<bool, Refused> {
    let mut position = start;
    let mut data = start..start;
    let complete = loop {
        let decoded = body.decode(&input[position..])?;
        let more = position + decoded.data.start..position + decoded.data.end;
        if data.is_empty() {
            data = more;
        } else {
            let length = more.len();
            input.copy_within(more, data.end);
            data.end += length;
        }
        position += decoded.consumed;
        if decoded.complete || decoded.consumed == 0 {
            break decoded.complete;
        }
    };
    if !data.is_empty() {
        spool
            .push(&input[data], in_memory)
            .map_err(Refused::NoRoom)?;
    }
    input.drain(start..position);
    Ok(complete)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rgunicorn_http::{Framing, Limits};
    use std::os::unix::fs::FileExt;

    #[test]
    fn small_chunks_are_written_to_the_file_together() {
        let mut spool = Spool::default();
        let mut body = Body::of(Framing::Chunked, &Limits::default());
        let mut expected = Vec::new();
        let mut input = b"head".to_vec();

        for byte in 0..=255 {
            for _ in 0..1000 {
                input.extend_from_slice(b"1\r\n");
                input.push(byte);
                input.extend_from_slice(b"\r\n");
            }
            expected.resize(expected.len() + 1000, byte);
            assert!(!decode(&mut body, &mut input, 4, &mut spool, 100).unwrap());
            assert_eq!(input, b"head");
        }
        input.extend_from_slice(b"5;a\r\nhello\r\n0\r\n\r\nGET");
        assert!(decode(&mut body, &mut input, 4, &mut spool, 100).unwrap());

        expected.extend_from_slice(b"hello");
        assert_eq!(input, b"headGET");
        let mut bytes = vec![0; expected.len()];
        assert_eq!(spool.len(), bytes.len() as u64);
        spool.file().unwrap().read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == expected);
        assert_eq!(spool.writes, 257, "one for each call");
    }
}
