//! What the fuzz targets share: an input with the limits and the pieces to read it in, the
//! engine's way to read a request, and a second reading of HTTP/1 to compare with.
//!
//! The first four bytes of an input say how the others are read. Any bytes will do, so
//! that libFuzzer can change them freely, and a seed can be written with a text editor:
//! `0!!!GET / HTTP/1.1` reads with the default limits and in pieces of 34 bytes.

use rgunicorn_http::Limits;

#[path = "../../src/http/tests/reader.rs"]
pub mod reader;
pub mod reference;

/// The limits that an input can choose, by its first byte. The small ones are there to
/// be exceeded by short inputs.
const LIMITS: [Limits; 6] = [
    // The default, at `0` in ASCII.
    Limits {
        line: 4094,
        fields: 100,
        field_size: 8190,
        body: 1 << 30,
    },
    Limits {
        line: 24,
        fields: 2,
        field_size: 16,
        body: 20,
    },
    Limits {
        line: 64,
        fields: 4,
        field_size: 40,
        body: 200,
    },
    // More fields than the parser has room for on its stack.
    Limits {
        line: 4094,
        fields: 200,
        field_size: 8190,
        body: 1 << 30,
    },
    Limits {
        line: 0,
        fields: 0,
        field_size: 0,
        body: 0,
    },
    Limits {
        line: usize::MAX,
        fields: usize::MAX,
        field_size: usize::MAX,
        body: u64::MAX,
    },
];

/// An input of a fuzz target.
#[derive(Debug)]
pub struct Input<'data> {
    pub limits: Limits,
    /// The length of each piece, less one; used again and again.
    sizes: [u8; 3],
    /// What a client sent.
    pub bytes: &'data [u8],
}

impl<'data> Input<'data> {
    /// `None` when there are no bytes to read.
    pub fn new(data: &'data [u8]) -> Option<Self> {
        let [limits, a, b, c, bytes @ ..] = data else {
            return None;
        };
        Some(Self {
            limits: LIMITS[usize::from(*limits) % LIMITS.len()],
            sizes: [*a, *b, *c],
            bytes,
        })
    }

    /// Where the pieces end that `length` bytes arrive in, the last one excluded.
    pub fn cuts(&self, length: usize) -> Vec<usize> {
        let mut cuts = Vec::new();
        let mut end = 0;
        for size in self.sizes.iter().cycle() {
            end += usize::from(*size) + 1;
            if end >= length {
                break;
            }
            cuts.push(end);
        }
        cuts
    }
}
