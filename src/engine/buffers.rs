//! The buffers of a request and of its response, and the pools they come from.

use crate::access::{AccessLog, Entry, ResponseEnd, ResponseFacts};
use crate::notice::RequestError;
use crate::output::Output;
use crate::request::RequestBody;
use crate::responder::EngineParts;
use crate::spool::Spool;
use rgunicorn_http::{BodyDecoder, Head, ResponseBody, ResponseContext, Status, write_error_page};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// The size of the receive buffer in bytes: most requests arrive in one piece.
pub(crate) const RECEIVE_SIZE: usize = 16 * 1024;

/// The size of the receive buffer while a large body is written to its file.
pub(crate) const RECEIVE_BODY_SIZE: usize = 64 * 1024;

/// The most buffers of a kind that are kept.
const MAX_POOLED: usize = 64;

/// Where the body of a request is stored.
#[derive(Debug)]
pub(crate) enum BodyStorage {
    /// `input`, behind the head, as it came; also when there is no body.
    InPlace,
    /// The spool, decoded.
    Spooled(BodyDecoder),
    /// Elsewhere: it comes in parts.
    Streamed,
}

/// What is received of one request.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// What was received, from the first byte of the request on.
    pub(crate) input: Vec<u8>,
    pub(crate) head: Head,
    pub(crate) body_storage: BodyStorage,
    /// Bytes of `input` that belong to the request: head and body in place.
    pub(crate) length: usize,
    pub(crate) spool: Spool,
    /// Since when the request waits for the application; 0 before it is complete.
    pub(crate) ready_since_ms: u64,
    /// The same, exactly, for the access log if there is one.
    pub(crate) ready_at: Option<Instant>,
}

impl Default for Incoming {
    fn default() -> Self {
        Self {
            input: Vec::with_capacity(RECEIVE_SIZE),
            head: Head::new(),
            body_storage: BodyStorage::InPlace,
            length: 0,
            spool: Spool::default(),
            ready_since_ms: 0,
            ready_at: None,
        }
    }
}

impl Incoming {
    /// The head of the request, and the bytes its spans point into.
    pub(crate) fn request(&self) -> (&Head, &[u8]) {
        (&self.head, &self.input[..self.head.length])
    }

    pub(crate) fn body(&self) -> RequestBody<'_> {
        match (&self.body_storage, self.spool.file()) {
            (BodyStorage::InPlace, _) => {
                RequestBody::Memory(&self.input[self.head.length..self.length])
            }
            (BodyStorage::Spooled(_), None) => RequestBody::Memory(self.spool.memory()),
            (BodyStorage::Spooled(_), Some(file)) => RequestBody::File(file, self.spool.len()),
            (BodyStorage::Streamed, _) => RequestBody::Streamed,
        }
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.input.capacity() + self.spool.capacity()
    }

    /// Moves what was received behind the request to `next`.
    pub(crate) fn split_rest(&mut self, next: &mut Self) {
        next.input.extend_from_slice(&self.input[self.length..]);
        self.input.truncate(self.length);
    }
}

impl Pooled for Incoming {
    fn clear(&mut self) {
        self.input.clear();
        self.input.shrink_to(RECEIVE_SIZE);
        self.length = 0;
        self.head.reset();
        self.body_storage = BodyStorage::InPlace;
        self.spool.clear();
        self.ready_since_ms = 0;
        self.ready_at = None;
    }
}

/// What is to be sent of one response.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) output: Output,
    /// What the response depends on in its request.
    pub(crate) context: ResponseContext,
    /// Present once the head is written.
    pub(crate) body: Option<ResponseBody>,
    /// The body is complete.
    pub(crate) is_ended: bool,
    /// The response cannot be completed.
    pub(crate) is_broken: bool,
    /// It is a 101: another protocol follows.
    pub(crate) is_upgrade: bool,
    pub(crate) facts: ResponseFacts,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self {
            output: Output::default(),
            context: ResponseContext::of_refused(b""),
            body: None,
            is_ended: false,
            is_broken: false,
            is_upgrade: false,
            facts: ResponseFacts::default(),
        }
    }
}

impl Outgoing {
    /// Whether bytes of the response were sent.
    pub(crate) fn is_committed(&self) -> bool {
        self.output.total() > 0
    }

    /// Discards the response, unless bytes of it were sent.
    pub(crate) fn discard(&mut self) {
        if !self.is_committed() {
            self.output.clear(RECEIVE_SIZE);
            self.body = None;
            self.is_ended = false;
            self.facts.status = 0;
            self.facts.body = 0;
        }
    }

    /// Makes an error page the response, or breaks it off if bytes of another were sent.
    pub(crate) fn respond_with_error(&mut self, status: Status, date: &[u8; 29]) {
        self.discard();
        if self.is_committed() {
            self.is_broken = true;
            return;
        }
        match write_error_page(&mut self.output.buffer, self.context, status, date) {
            Ok(body) => {
                self.body = Some(body);
                self.is_ended = true;
                self.facts
                    .set_error_page(status.code(), &self.output.buffer);
            }
            Err(_) => self.is_broken = true,
        }
    }

    /// The response that cannot be replaced any more; `None` if it has to be broken off.
    pub(crate) fn complete_body(&self) -> Option<&ResponseBody> {
        let is_complete = self.is_ended && !self.is_broken;
        self.body.as_ref().filter(|_| is_complete)
    }
}

impl Pooled for Outgoing {
    fn clear(&mut self) {
        self.output.clear(RECEIVE_BODY_SIZE);
        self.body = None;
        self.is_ended = false;
        self.is_broken = false;
        self.is_upgrade = false;
        self.facts.clear();
    }
}

/// What a pool keeps.
pub(crate) trait Pooled: Default {
    /// Removes everything, and frees memory that is not usually needed.
    fn clear(&mut self);
}

/// Buffers for the next requests: an idle connection has none.
#[derive(Debug)]
pub(crate) struct Pool<T>(Vec<Box<T>>);

impl<T: Pooled> Pool<T> {
    #[expect(
        clippy::unnecessary_box_returns,
        reason = "boxes are moved, not their several hundred bytes"
    )]
    pub(crate) fn take(&mut self) -> Box<T> {
        self.0.pop().unwrap_or_default()
    }

    pub(crate) fn put_back(&mut self, mut buffers: Box<T>) {
        if self.0.len() < MAX_POOLED {
            buffers.clear();
            self.0.push(buffers);
        }
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// What all connections of an engine use: its settings, pools of buffers, and the access log.
#[derive(Debug)]
pub(crate) struct Pools {
    pub(crate) parts: Arc<EngineParts>,
    pub(crate) incoming: Pool<Incoming>,
    pub(crate) outgoing: Pool<Outgoing>,
    pub(crate) access: Option<Box<AccessLog>>,
}

impl Pools {
    pub(crate) fn new(parts: Arc<EngineParts>) -> Self {
        Self {
            parts,
            incoming: Pool::default(),
            outgoing: Pool::default(),
            access: None,
        }
    }

    /// Writes the record of a request whose response has ended.
    pub(crate) fn finish_record(
        &mut self,
        entry: &mut Option<Box<Entry>>,
        outgoing: Option<&Outgoing>,
        end: ResponseEnd,
    ) {
        if let (Some(entry), Some(access)) = (entry.take(), &mut self.access) {
            access.finish(entry, outgoing.map(|outgoing| &outgoing.facts), end);
        }
    }
}

/// Moves the part of a body that `input` holds from `start` on into the spool.
///
/// The data of all chunks is put together in `input` first: a client may send chunks
/// of one byte, and each push may be a system call.
pub(crate) fn decode_body(
    body: &mut BodyDecoder,
    input: &mut Vec<u8>,
    start: usize,
    spool: &mut Spool,
    in_memory: usize,
    directory: Option<&Path>,
) -> Result<bool, RequestError> {
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
            .push(&input[data], in_memory, directory)
            .map_err(RequestError::Storage)?;
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
        let mut body = BodyDecoder::new(Framing::Chunked, &Limits::default());
        let mut expected = Vec::new();
        let mut input = b"head".to_vec();

        for byte in 0..=255 {
            for _ in 0..1000 {
                input.extend_from_slice(b"1\r\n");
                input.push(byte);
                input.extend_from_slice(b"\r\n");
            }
            expected.resize(expected.len() + 1000, byte);
            assert!(!decode_body(&mut body, &mut input, 4, &mut spool, 100, None).unwrap());
            assert_eq!(input, b"head");
        }
        input.extend_from_slice(b"5;a\r\nhello\r\n0\r\n\r\nGET");
        assert!(decode_body(&mut body, &mut input, 4, &mut spool, 100, None).unwrap());

        expected.extend_from_slice(b"hello");
        assert_eq!(input, b"headGET");
        let mut bytes = vec![0; expected.len()];
        assert_eq!(spool.len(), bytes.len() as u64);
        spool.file().unwrap().read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == expected);
        assert_eq!(spool.writes, 257, "one for each call");
    }
}
