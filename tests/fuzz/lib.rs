//! What the fuzz targets share: an input with the limits and the pieces to read it in, the
//! engine's way to read a request, and a second reading of HTTP/1 to compare with.
//!
//! The first four bytes of an input say how the others are read. Any bytes will do, so
//! that libFuzzer can change them freely, and a seed can be written with a text editor:
//! `0!!!GET / HTTP/1.1` reads with the default limits and in pieces of 34 bytes.
//!
//! What stands between two bytes 0xff is there 100 times: limits of many thousand bytes
//! are in the reach of short inputs, which are mutated and run much faster than long ones.

use rgunicorn_http::{Limits, Permit};

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
        permit: Permit::NOTHING,
    },
    Limits {
        line: 24,
        fields: 2,
        field_size: 16,
        body: 20,
        permit: Permit::NOTHING,
    },
    Limits {
        line: 64,
        fields: 4,
        field_size: 40,
        body: 200,
        permit: Permit::NOTHING,
    },
    // More fields than the parser has room for on its stack.
    Limits {
        line: 4094,
        fields: 200,
        field_size: 8190,
        body: 1 << 30,
        permit: Permit::NOTHING,
    },
    Limits {
        line: 0,
        fields: 0,
        field_size: 0,
        body: 0,
        permit: Permit::NOTHING,
    },
    Limits {
        line: usize::MAX,
        fields: usize::MAX,
        field_size: usize::MAX,
        body: u64::MAX,
        permit: Permit::NOTHING,
    },
];

/// What is permitted besides, also by the first byte: with the digits `0` to `5`, nothing.
fn permit(first: u8) -> Permit {
    let switches = (first / 6) ^ (b'0' / 6);
    let is_set = |number: u8| (switches >> number) & 1 == 1;
    Permit {
        folded_fields: is_set(0),
        blanks_before_colon: is_set(1),
        any_method: is_set(2),
        any_version: is_set(3),
        upper_case_method: is_set(4),
    }
}

/// Stands before and after bytes that are repeated.
const REPEAT: u8 = 0xff;
const REPETITIONS: usize = 100;

/// More than the default limits allow in a head, and in the framing of a body's chunks.
const LONGEST: usize = 80_000;

/// What is longer is not cut after each byte, as that takes too long.
const LONGEST_BYTE_BY_BYTE: usize = 1500;

/// An input of a fuzz target.
#[derive(Debug)]
pub struct Input {
    pub limits: Limits,
    /// The length of each piece, less one; used again and again.
    sizes: [u8; 3],
    /// What a client sent.
    pub bytes: Vec<u8>,
}

impl Input {
    /// `None` when `data` has no bytes to read.
    pub fn new(data: &[u8]) -> Option<Self> {
        let [limits, a, b, c, text @ ..] = data else {
            return None;
        };
        let mut bytes = Vec::new();
        for (number, part) in text.split(|byte| *byte == REPEAT).enumerate() {
            let is_repeated = number % 2 == 1;
            let times = if is_repeated { REPETITIONS } else { 1 };
            let fitting = (LONGEST - bytes.len()) / part.len().max(1);
            bytes.extend_from_slice(&part.repeat(times.min(fitting)));
        }
        Some(Self {
            limits: Limits {
                permit: permit(*limits),
                ..LIMITS[usize::from(*limits) % LIMITS.len()]
            },
            sizes: [*a, *b, *c],
            bytes,
        })
    }

    /// Ways to cut `length` bytes in pieces, besides not at all: where the pieces end, the
    /// last one excluded.
    pub fn cuts(&self, length: usize) -> Vec<Vec<usize>> {
        let mut cuts = vec![in_pieces(&self.sizes, length)];
        if length <= LONGEST_BYTE_BY_BYTE {
            cuts.push(in_pieces(&[0], length));
        }
        cuts
    }
}

/// The first piece is empty: a reader may be called before anything has come.
fn in_pieces(sizes: &[u8], length: usize) -> Vec<usize> {
    let mut ends = vec![0];
    let mut end = 0;
    for size in sizes.iter().cycle() {
        end += usize::from(*size) + 1;
        if end >= length {
            break;
        }
        ends.push(end);
    }
    ends
}
