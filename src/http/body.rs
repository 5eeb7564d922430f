//! The decoder of request bodies. It works in place: data is a range of the input.

use serde::{Deserialize, Serialize};
use std::ops::Range;

use crate::chunked::Chunked;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::request::Framing;

/// The state of a request body. It can be sent to another process that goes on with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BodyDecoder {
    rest: Rest,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Rest {
    /// Bytes left; 0 when complete.
    Bytes(u64),
    /// Chunks.
    Chunks(Chunked),
}

/// What one call of [`BodyDecoder::decode`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// How many bytes of the input were decoded, data included.
    pub consumed: usize,
    /// Which of them are data. May be empty although bytes were consumed.
    pub data: Range<usize>,
    /// Whether the body ended. What follows in the input is the next request.
    pub complete: bool,
}

impl BodyDecoder {
    /// The body that `framing` announces. `limits` bound what chunks may add up to,
    /// and their trailers; a length was checked with the head.
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        let rest = match framing {
            Framing::None => Rest::Bytes(0),
            Framing::Length(length) => Rest::Bytes(length),
            Framing::Chunked => Rest::Chunks(Chunked::new(limits)),
        };
        Self { rest }
    }

    /// Decodes from the start of `input`, which continues where the last call stopped
    /// consuming. To be called until it is complete, or has consumed all there is; a
    /// call consumes everything but what follows its one range of data.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, Refusal> {
        match &mut self.rest {
            Rest::Bytes(left) => {
                let length =
                    usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= length as u64;
                Ok(Decoded {
                    consumed: length,
                    data: 0..length,
                    complete: *left == 0,
                })
            }
            Rest::Chunks(chunks) => chunks.decode(input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_known_length_ends_there() {
        let mut body = BodyDecoder::new(Framing::Length(5), &Limits::default());

        let first = body.decode(b"abc").unwrap();
        let second = body.decode(b"deGET / HTTP").unwrap();

        assert_eq!(
            (first.consumed, first.data, first.complete),
            (3, 0..3, false)
        );
        assert_eq!(
            (second.consumed, second.data, second.complete),
            (2, 0..2, true)
        );
    }

    #[test]
    fn no_body_is_complete_from_the_beginning() {
        let mut body = BodyDecoder::new(Framing::None, &Limits::default());

        let decoded = body.decode(b"GET / HTTP/1.1").unwrap();

        assert_eq!(
            (decoded.consumed, decoded.data, decoded.complete),
            (0, 0..0, true)
        );
    }
}
