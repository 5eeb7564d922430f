//! The body of a response: how much of it goes out, and in which frame.

use crate::syntax::write_hexadecimal;

/// How the body of a response is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFraming {
    /// No body goes out, whatever the application gives.
    Nothing,
    /// So many bytes are still to go out.
    Length(u64),
    /// Each piece goes out as a chunk.
    Chunked,
    /// The end of the connection ends the body.
    UntilClose,
}

/// What remains to be sent of a response whose head is written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Sending {
    /// How the body is delimited.
    pub framing: ResponseFraming,
    /// Whether another request may follow on this connection.
    pub keep_alive: bool,
}

/// How a response body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As announced.
    Complete,
    /// So many bytes were announced and never came. The connection must be closed:
    /// the client still waits for them.
    Short(u64),
}

impl Sending {
    /// Goes after the data of each chunk.
    pub const CHUNK_END: &[u8] = b"\r\n";

    /// Goes after the last chunk, if the application did not fail.
    pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

    /// How much of a piece of `length` bytes goes out. The rest is more than was
    /// announced, or no body goes out at all.
    pub fn frame(&mut self, length: usize) -> usize {
        match &mut self.framing {
            ResponseFraming::Nothing => 0,
            ResponseFraming::Length(left) => {
                let taken = usize::try_from(*left).map_or(length, |left| left.min(length));
                *left -= taken as u64;
                taken
            }
            ResponseFraming::Chunked | ResponseFraming::UntilClose => length,
        }
    }

    /// Appends what goes before the data of a chunk. `length` is not 0: an empty
    /// chunk is the last one.
    pub fn write_chunk_head(out: &mut Vec<u8>, length: usize) {
        debug_assert!(length > 0);
        write_hexadecimal(out, length as u64);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends a piece of the body, clipped and framed. Returns how much of it goes
    /// out.
    pub fn write(&mut self, out: &mut Vec<u8>, piece: &[u8]) -> usize {
        let taken = self.frame(piece.len());
        if taken == 0 {
            return 0;
        }
        match self.framing {
            ResponseFraming::Chunked => {
                out.reserve(taken + 32);
                Self::write_chunk_head(out, taken);
                out.extend_from_slice(&piece[..taken]);
                out.extend_from_slice(Self::CHUNK_END);
            }
            ResponseFraming::Nothing | ResponseFraming::Length(_) | ResponseFraming::UntilClose => {
                out.extend_from_slice(&piece[..taken]);
            }
        }
        taken
    }

    /// Appends what ends a body that the application completed. Not to be called
    /// when it failed on the way: then the connection is closed, and the client sees
    /// by the missing end that something is missing.
    pub fn write_end(&mut self, out: &mut Vec<u8>) -> End {
        match self.framing {
            ResponseFraming::Chunked => out.extend_from_slice(Self::LAST_CHUNK),
            ResponseFraming::Nothing | ResponseFraming::Length(_) | ResponseFraming::UntilClose => {
            }
        }
        self.end()
    }

    /// Whether the body is as announced, now that the application gave all it has. If
    /// not, the connection cannot be kept.
    pub fn end(&mut self) -> End {
        match self.framing {
            ResponseFraming::Length(left) if left > 0 => {
                self.keep_alive = false;
                End::Short(left)
            }
            ResponseFraming::Nothing
            | ResponseFraming::Length(_)
            | ResponseFraming::Chunked
            | ResponseFraming::UntilClose => End::Complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sending(framing: ResponseFraming) -> Sending {
        Sending {
            framing,
            keep_alive: true,
        }
    }

    fn sent(mut sending: Sending, pieces: &[&[u8]]) -> (Vec<u8>, End, bool) {
        let mut out = Vec::new();
        for piece in pieces {
            sending.write(&mut out, piece);
        }
        let end = sending.write_end(&mut out);
        (out, end, sending.keep_alive)
    }

    #[test]
    fn a_body_is_clipped_at_its_length() {
        let sent = sent(sending(ResponseFraming::Length(5)), &[b"abc", b"def", b"g"]);

        assert_eq!(sent, (b"abcde".to_vec(), End::Complete, true));
    }

    #[test]
    fn a_body_shorter_than_announced_closes_the_connection() {
        let sent = sent(sending(ResponseFraming::Length(5)), &[b"abc"]);

        assert_eq!(sent, (b"abc".to_vec(), End::Short(2), false));
    }

    #[test]
    fn pieces_become_chunks_and_empty_ones_do_not() {
        let sent = sent(
            sending(ResponseFraming::Chunked),
            &[b"abc", b"", &[b'x'; 17]],
        );

        let expected = b"3\r\nabc\r\n11\r\nxxxxxxxxxxxxxxxxx\r\n0\r\n\r\n";
        assert_eq!(sent, (expected.to_vec(), End::Complete, true));
    }

    #[test]
    fn where_no_body_belongs_none_goes_out() {
        let sent = sent(sending(ResponseFraming::Nothing), &[b"abc"]);

        assert_eq!(sent, (Vec::new(), End::Complete, true));
    }

    #[test]
    fn a_body_until_close_goes_out_as_it_is() {
        let sent = sent(sending(ResponseFraming::UntilClose), &[b"abc", b"d"]);

        assert_eq!(sent.0, b"abcd");
    }
}
