//! The buffers of a request and its response, and the pool they come from.

use crate::exchange::RequestBody;
use crate::notice::RequestError;
use crate::output::Output;
use crate::spool::Spool;
use rgunicorn_http::{BodyDecoder, Head, ResponseBody};

/// The size of the receive buffer in bytes: most requests arrive in one piece.
pub(crate) const RECEIVE_SIZE: usize = 16 * 1024;

/// The size of the receive buffer while a large body is written to its file.
pub(crate) const RECEIVE_BODY_SIZE: usize = 64 * 1024;

/// The most sets of buffers that are kept.
const MAX_POOLED: usize = 64;

/// Where the body of a request is stored.
#[derive(Debug)]
pub(crate) enum BodyStorage {
    /// `input`, behind the head, as it came; also when there is no body.
    InPlace,
    /// The spool, decoded.
    Spooled(BodyDecoder),
}

/// The buffers of one request and its response.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// What was received, from the first byte of the request on.
    pub(crate) input: Vec<u8>,
    pub(crate) head: Head,
    pub(crate) body_storage: BodyStorage,
    /// Bytes of `input` that belong to the request: head and body in place.
    pub(crate) length: usize,
    pub(crate) spool: Spool,
    pub(crate) output: Output,
    /// Present once the head of the response is written.
    pub(crate) response_body: Option<ResponseBody>,
    /// The response cannot be completed.
    pub(crate) is_broken: bool,
}

impl Buffers {
    fn new() -> Self {
        Self {
            input: Vec::with_capacity(RECEIVE_SIZE),
            head: Head::new(),
            body_storage: BodyStorage::InPlace,
            length: 0,
            spool: Spool::default(),
            output: Output::default(),
            response_body: None,
            is_broken: false,
        }
    }

    /// Removes the request; what was received behind it stays.
    pub(crate) fn start_next(&mut self) {
        if self.length == self.input.len() {
            self.input.clear();
        } else {
            self.input.drain(..self.length);
        }
        self.length = 0;
        self.head.reset();
        self.body_storage = BodyStorage::InPlace;
        self.spool.clear();
        self.output.clear(RECEIVE_BODY_SIZE);
        self.response_body = None;
        self.is_broken = false;
    }

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
        }
    }

    /// Removes everything, and frees memory that a usual request does not need.
    fn clear(&mut self) {
        self.length = self.input.len();
        self.start_next();
        self.input.shrink_to(RECEIVE_SIZE);
    }
}

/// Buffers for the next requests: an idle connection has none.
#[derive(Debug, Default)]
#[expect(
    clippy::vec_box,
    reason = "boxes are moved, not their several hundred bytes"
)]
pub(crate) struct BufferPool(Vec<Box<Buffers>>);

impl BufferPool {
    pub(crate) fn take(&mut self) -> Box<Buffers> {
        self.0.pop().unwrap_or_else(|| Box::new(Buffers::new()))
    }

    pub(crate) fn put_back(&mut self, mut buffers: Box<Buffers>) {
        if self.0.len() < MAX_POOLED {
            buffers.clear();
            self.0.push(buffers);
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
            .push(&input[data], in_memory)
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
            assert!(!decode_body(&mut body, &mut input, 4, &mut spool, 100).unwrap());
            assert_eq!(input, b"head");
        }
        input.extend_from_slice(b"5;a\r\nhello\r\n0\r\n\r\nGET");
        assert!(decode_body(&mut body, &mut input, 4, &mut spool, 100).unwrap());

        expected.extend_from_slice(b"hello");
        assert_eq!(input, b"headGET");
        let mut bytes = vec![0; expected.len()];
        assert_eq!(spool.len(), bytes.len() as u64);
        spool.file().unwrap().read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == expected);
        assert_eq!(spool.writes, 257, "one for each call");
    }
}
