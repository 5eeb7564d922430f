//! The body of a response: how much of it goes out, and in which framing.

use crate::syntax::write_hexadecimal;

/// How the body of a response is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFraming {
    /// No body goes out, whatever the application returns.
    NoBody,
    /// Bytes left; 0 when complete.
    Length(u64),
    /// Each piece goes out as a chunk.
    Chunked,
    /// The end of the connection ends the body.
    UntilClose,
}

/// The state of a response body whose head is written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct ResponseBody {
    pub framing: ResponseFraming,
    /// Whether another request may follow on this connection.
    pub keep_alive: bool,
}

/// How one piece of a body goes out: `prefix`, the first `length` bytes of the piece,
/// `suffix`. With `length` 0 nothing goes out.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    size_line: SizeLine,
    /// Less than the piece has if it exceeds the Content-Length, or has no place in
    /// this response.
    pub length: usize,
    pub suffix: &'static [u8],
}

/// The size of a chunk and its line break, kept on the stack.
#[derive(Debug, Clone, Copy, Default)]
struct SizeLine {
    bytes: [u8; 18],
    length: usize,
}

/// The application completed a body that is shorter than its Content-Length. The
/// connection has to be closed: the client still waits for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyTooShort;

impl Frame {
    pub fn prefix(&self) -> &[u8] {
        &self.size_line.bytes[..self.size_line.length]
    }
}

impl SizeLine {
    fn new(size: usize) -> Self {
        let mut line = Self::default();
        let digits = write_hexadecimal(&mut line.bytes, size as u64);
        line.bytes[digits..digits + 2].copy_from_slice(b"\r\n");
        line.length = digits + 2;
        line
    }
}

impl ResponseBody {
    /// How a piece of `length` bytes goes out.
    pub fn frame(&mut self, length: usize) -> Frame {
        let unframed = |length| Frame {
            size_line: SizeLine::default(),
            length,
            suffix: b"",
        };
        match &mut self.framing {
            ResponseFraming::NoBody => unframed(0),
            ResponseFraming::Length(left) => {
                let allowed = usize::try_from(*left).map_or(length, |left| left.min(length));
                *left -= allowed as u64;
                unframed(allowed)
            }
            // An empty chunk would be the last one.
            ResponseFraming::Chunked if length > 0 => Frame {
                size_line: SizeLine::new(length),
                length,
                suffix: b"\r\n",
            },
            ResponseFraming::Chunked | ResponseFraming::UntilClose => unframed(length),
        }
    }

    /// Appends a piece to `out` in its frame.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let frame = self.frame(piece.len());
        out.extend_from_slice(frame.prefix());
        out.extend_from_slice(&piece[..frame.length]);
        out.extend_from_slice(frame.suffix);
    }

    /// Ends the body: returns the bytes that have to follow. Not to be called when the
    /// application failed midway: the client has to see that the end is missing.
    pub fn end(&mut self) -> Result<&'static [u8], BodyTooShort> {
        match self.framing {
            ResponseFraming::Length(left) if left > 0 => {
                self.keep_alive = false;
                Err(BodyTooShort)
            }
            ResponseFraming::Chunked => Ok(b"0\r\n\r\n"),
            ResponseFraming::NoBody | ResponseFraming::Length(_) | ResponseFraming::UntilClose => {
                Ok(b"")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes out, how the body ended, and whether the connection is kept.
    fn sent(
        framing: ResponseFraming,
        pieces: &[&[u8]],
    ) -> (Vec<u8>, Result<&'static [u8], BodyTooShort>, bool) {
        let mut body = ResponseBody {
            framing,
            keep_alive: true,
        };
        let mut out = Vec::new();
        for piece in pieces {
            body.write(piece, &mut out);
        }
        let end = body.end();
        (out, end, body.keep_alive)
    }

    #[test]
    fn a_body_is_cut_at_its_length() {
        let sent = sent(ResponseFraming::Length(5), &[b"abc", b"def", b"g"]);

        assert_eq!(sent, (b"abcde".to_vec(), Ok(&b""[..]), true));
    }

    #[test]
    fn a_body_shorter_than_its_length_closes_the_connection() {
        let sent = sent(ResponseFraming::Length(5), &[b"abc"]);

        assert_eq!(sent, (b"abc".to_vec(), Err(BodyTooShort), false));
    }

    #[test]
    fn pieces_become_chunks_and_empty_ones_do_not() {
        let sent = sent(ResponseFraming::Chunked, &[b"abc", b"", &[b'x'; 17]]);

        let expected = b"3\r\nabc\r\n11\r\nxxxxxxxxxxxxxxxxx\r\n";
        assert_eq!(sent, (expected.to_vec(), Ok(&b"0\r\n\r\n"[..]), true));
    }

    #[test]
    fn the_longest_chunk_has_a_size_line() {
        let mut body = ResponseBody {
            framing: ResponseFraming::Chunked,
            keep_alive: true,
        };

        assert_eq!(body.frame(usize::MAX).prefix(), b"ffffffffffffffff\r\n");
    }

    #[test]
    fn without_a_body_nothing_goes_out() {
        let sent = sent(ResponseFraming::NoBody, &[b"abc"]);

        assert_eq!(sent, (Vec::new(), Ok(&b""[..]), true));
    }

    #[test]
    fn a_body_until_close_goes_out_as_it_is() {
        let sent = sent(ResponseFraming::UntilClose, &[b"abc", b"d"]);

        assert_eq!(sent.0, b"abcd");
    }
}
