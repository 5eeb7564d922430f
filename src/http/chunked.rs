//! The chunked transfer coding (RFC 9112, section 7.1).
//!
//! ```text
//! Size ──▶ SizeBlank ──▶ Extension ──▶ SizeEnd ──▶ Data ──▶ DataCr ──▶ DataLf
//!  ▲ └──────────────────────┴────────────▲ │                              │
//!  └───────────────────────────────────────┼──────────────────────────────┘
//!                                          │ size 0
//!       ┌──────────────────────────────────┘
//!       ▼
//!  TrailerStart ──▶ TrailerName ──▶ TrailerValue ──▶ TrailerEnd
//!   │     ▲                                              │
//!   │     └──────────────────────────────────────────────┘
//!   └──▶ End ──▶ Complete
//! ```
//!
//! Each byte of framing is parsed once, data not at all. httparse has a parser of chunk
//! sizes, but takes an empty line for the last chunk and accepts bare line feeds.

use crate::body::Decoded;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::syntax::{hexadecimal, is_token_byte, is_value_byte};
use serde::{Deserialize, Serialize};

/// As many as a `u64` has.
const MAX_DIGITS: usize = 16;

/// The most bytes of a size line beyond `MAX_DIGITS`, without its line break.
const MAX_EXTENSION: usize = 256;

/// How many bytes of framing a body may have beyond 16 for each chunk and 2 for each byte
/// of data, so that no client makes us read 300 bytes for each byte of a body.
const MAX_OVERHEAD: u64 = 16 * 1024;

/// The fields that decide about framing, routing or access: they have to be known before
/// the body (RFC 9110, section 6.5.1). All trailers are discarded, but a client that sends
/// these expects some reader to act on them.
const FORBIDDEN: [&[u8]; 11] = [
    b"authorization",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"expect",
    b"host",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// Longer than all of them.
const NAME: usize = 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Chunked {
    state: State,
    /// The size of the current chunk, as far as it was read.
    size: u64,
    /// Bytes in the current line of framing.
    line: usize,
    /// Bytes of data that may still come.
    allowed: u64,
    /// Bytes of framing beyond the allowance of each chunk.
    overhead: u64,
    /// The name of the current trailer, in lower case, cut to fit.
    name: [u8; NAME],
    /// How many trailers may still come.
    trailers: usize,
    /// The most bytes of each.
    trailer_size: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// In the digits of a chunk size.
    Size,
    /// In blanks after them, which only a `;` may end.
    SizeBlank,
    /// In an extension.
    Extension,
    /// Before the LF of a size line.
    SizeEnd,
    /// In data, of which `size` bytes are left.
    Data,
    /// Before the CR after data.
    DataCr,
    /// Before the LF after data.
    DataLf,
    /// At the start of a line after the last chunk.
    TrailerStart,
    /// In the name of a trailer.
    TrailerName,
    /// In its value.
    TrailerValue,
    /// Before the LF of a trailer line.
    TrailerEnd,
    /// Before the last LF of all.
    End,
    /// After it.
    Complete,
}

impl Chunked {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            state: State::Size,
            size: 0,
            line: 0,
            allowed: limits.body,
            overhead: 0,
            name: [0; NAME],
            trailers: limits.fields,
            trailer_size: limits.field_size,
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Decodes up to the second range of data or the end of the input.
    pub(crate) fn decode(&mut self, input: &[u8]) -> Result<Decoded, Refusal> {
        let mut data = 0..0;
        let mut at = 0;
        while at < input.len() && self.state != State::Complete {
            if self.state == State::Data {
                if !data.is_empty() {
                    break;
                }
                let there = input.len() - at;
                let length = usize::try_from(self.size).map_or(there, |size| size.min(there));
                data = at..at + length;
                at += length;
                self.size -= length as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.state = self.step(input[at])?;
                at += 1;
            }
        }
        Ok(Decoded {
            consumed: at,
            data,
            complete: self.is_complete(),
        })
    }

    /// Where one byte of framing leads.
    fn step(&mut self, byte: u8) -> Result<State, Refusal> {
        self.line += 1;
        match (self.state, byte) {
            (State::Size, b'\r' | b';' | b' ' | b'\t') if self.line == 1 => {
                Err(Refusal::BadChunkSize)
            }
            (State::Size | State::Extension, b'\r') => Ok(State::SizeEnd),
            (State::Size | State::SizeBlank, b';') => self.extension(State::Extension),
            // RFC 9112 has "bad" blanks before an extension, and only there.
            (State::Size | State::SizeBlank, b' ' | b'\t') => self.extension(State::SizeBlank),
            (State::Size, digit) => {
                let digit = hexadecimal(digit).ok_or(Refusal::BadChunkSize)?;
                if self.line > MAX_DIGITS {
                    return Err(Refusal::BadChunkSize);
                }
                self.size = (self.size << 4) | u64::from(digit);
                Ok(State::Size)
            }
            (State::Extension, byte) if is_value_byte(byte) => self.extension(State::Extension),
            (State::Extension, _) => Err(Refusal::BadChunkExtension),
            (State::SizeEnd, b'\n') => self.begin_chunk(),
            (State::SizeBlank | State::SizeEnd, _) => Err(Refusal::BadChunkSize),

            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.line = 0;
                self.size = 0;
                Ok(State::Size)
            }
            // `decode` takes data and the end without looking at bytes.
            (State::DataCr | State::DataLf | State::Data | State::Complete, _) => {
                Err(Refusal::BadChunkEnd)
            }

            (State::TrailerStart, b'\r') => Ok(State::End),
            (State::TrailerStart | State::TrailerName, byte) => self.trailer_name(byte),
            (State::TrailerValue, b'\r') => Ok(State::TrailerEnd),
            (State::TrailerValue, byte) if is_value_byte(byte) => {
                if self.line + 2 > self.trailer_size {
                    return Err(Refusal::TrailersTooLarge);
                }
                Ok(State::TrailerValue)
            }
            (State::TrailerEnd, b'\n') => {
                self.line = 0;
                Ok(State::TrailerStart)
            }
            (State::End, b'\n') => Ok(State::Complete),
            (State::TrailerValue | State::TrailerEnd | State::End, _) => Err(Refusal::BadTrailer),
        }
    }

    /// One byte more after the digits of a size.
    fn extension(&self, state: State) -> Result<State, Refusal> {
        if self.line > MAX_DIGITS + MAX_EXTENSION {
            return Err(Refusal::BadChunkExtension);
        }
        Ok(state)
    }

    /// A size line is complete.
    fn begin_chunk(&mut self) -> Result<State, Refusal> {
        let allowance = self.size.saturating_mul(2).saturating_add(16);
        self.overhead = (self.overhead + self.line as u64).saturating_sub(allowance);
        if self.overhead > MAX_OVERHEAD {
            return Err(Refusal::BadChunkExtension);
        }
        self.allowed = self
            .allowed
            .checked_sub(self.size)
            .ok_or(Refusal::BodyTooLarge)?;
        self.line = 0;
        Ok(if self.size == 0 {
            State::TrailerStart
        } else {
            State::Data
        })
    }

    /// One byte more of a trailer's name, or the colon after it.
    fn trailer_name(&mut self, byte: u8) -> Result<State, Refusal> {
        let length = self.line - 1;
        if length == 0 {
            self.trailers = self
                .trailers
                .checked_sub(1)
                .ok_or(Refusal::TrailersTooLarge)?;
        }
        let is_colon = byte == b':' && length > 0;
        if !is_colon && !is_token_byte(byte) {
            return Err(Refusal::BadTrailer);
        }
        if self.line + 2 > self.trailer_size {
            return Err(Refusal::TrailersTooLarge);
        }
        if is_colon {
            let forbidden = self
                .name
                .get(..length)
                .is_some_and(|name| FORBIDDEN.contains(&name));
            return if forbidden {
                Err(Refusal::ForbiddenTrailer)
            } else {
                Ok(State::TrailerValue)
            };
        }
        if let Some(slot) = self.name.get_mut(length) {
            *slot = byte.to_ascii_lowercase();
        }
        Ok(State::TrailerName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits {
        permit: crate::permit::Permit::NOTHING,
        line: 0,
        fields: 2,
        field_size: 16,
        body: 100,
    };

    /// The body and what follows it, or `None` while it is not complete.
    type Outcome<'input> = Result<Option<(Vec<u8>, &'input [u8])>, Refusal>;

    fn decoded(input: &[u8]) -> Outcome<'_> {
        let at_once = in_pieces(input, input.len().max(1));
        let byte_by_byte = in_pieces(input, 1);
        assert_eq!(at_once, byte_by_byte);
        at_once
    }

    fn in_pieces(input: &[u8], size: usize) -> Outcome<'_> {
        let mut chunked = Chunked::new(&SMALL);
        let mut body = Vec::new();
        let mut at = 0;
        let mut end = 0;
        while end < input.len() {
            end = input.len().min(end + size);
            while at < end {
                let decoded = chunked.decode(&input[at..end])?;
                body.extend_from_slice(&input[at..end][decoded.data]);
                at += decoded.consumed;
                if decoded.complete {
                    return Ok(Some((body, &input[at..])));
                }
                assert!(decoded.consumed > 0);
            }
        }
        Ok(None)
    }

    #[track_caller]
    fn assert_body(input: &[u8], body: &[u8], rest: &[u8]) {
        assert_eq!(decoded(input), Ok(Some((body.to_vec(), rest))));
    }

    #[track_caller]
    fn assert_refused(input: &[u8], refusal: Refusal) {
        assert_eq!(decoded(input), Err(refusal), "{}", input.escape_ascii());
    }

    #[test]
    fn chunks_add_up_to_the_body() {
        assert_body(b"0\r\n\r\nnext", b"", b"next");
        assert_body(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde", b"");
        assert_body(b"00A\r\n0123456789\r\n000\r\n\r\n", b"0123456789", b"");
        assert_body(
            b"a\r\n\r\n0\r\n\r\n!!!\r\n0\r\n\r\n",
            b"\r\n0\r\n\r\n!!!",
            b"",
        );
        assert_eq!(decoded(b"3\r\nabc\r\n0\r\n"), Ok(None));
    }

    #[test]
    fn extensions_are_ignored() {
        assert_body(b"1;a=b\r\nx\r\n0;c=\"d;e\"\r\n\r\n", b"x", b"");
        assert_body(b"1 \t;a\r\nx\r\n0 ; b\r\n\r\n", b"x", b"");
        assert_body(b"1;\r\nx\r\n0\r\n\r\n", b"x", b"");
    }

    #[test]
    fn extensions_are_bounded() {
        let mut long = b"1;".to_vec();
        long.resize(400, b'a');
        assert_refused(&long, Refusal::BadChunkExtension);

        // A size line has at most 272 bytes, a `;` at its end included.
        for (blanks, fits) in [(270, true), (271, false)] {
            let input = format!("1{:blanks$};\r\nx\r\n0\r\n\r\n", "");
            if fits {
                assert_body(input.as_bytes(), b"x", b"");
            } else {
                assert_refused(input.as_bytes(), Refusal::BadChunkExtension);
            }
        }

        let mut many = Vec::new();
        for _ in 0..90 {
            many.extend_from_slice(b"1;");
            many.resize(many.len() + 250, b'a');
            many.extend_from_slice(b"\r\nx\r\n");
        }
        assert_refused(&many, Refusal::BadChunkExtension);
    }

    #[test]
    fn sizes_are_hexadecimal_digits_and_nothing_else() {
        for size in [
            "",
            " 1",
            "+1",
            "-1",
            "0x1",
            "1_0",
            "g",
            "1 ",
            "1\t",
            "1 1",
            "\u{b2}",
            "00000000000000001",
        ] {
            assert_refused(format!("{size}\r\n").as_bytes(), Refusal::BadChunkSize);
        }
        assert_refused(b";a\r\n", Refusal::BadChunkSize);
    }

    #[test]
    fn lines_end_with_both_characters() {
        assert_refused(b"1\nx\r\n", Refusal::BadChunkSize);
        assert_refused(b"1\rx\r\n", Refusal::BadChunkSize);
        assert_refused(b"1;a\nx\r\n", Refusal::BadChunkExtension);
        assert_refused(b"1;a\rb\r\n", Refusal::BadChunkSize);
        assert_refused(b"1\r\nx\n0\r\n\r\n", Refusal::BadChunkEnd);
        assert_refused(b"1\r\nx\r0\r\n\r\n", Refusal::BadChunkEnd);
        assert_refused(b"0\r\n\n", Refusal::BadTrailer);
        assert_refused(b"0\r\na:b\n\r\n", Refusal::BadTrailer);
        assert_refused(b"0\r\na:b\rc\r\n", Refusal::BadTrailer);
        assert_refused(b"0\r\n\rX", Refusal::BadTrailer);
    }

    #[test]
    fn a_chunk_is_as_long_as_it_says() {
        assert_refused(b"1\r\nxy\r\n", Refusal::BadChunkEnd);
        assert_refused(b"3\r\nx\r\n0\r\n\r\n", Refusal::BadChunkEnd);
    }

    #[test]
    fn a_body_over_the_limit_is_refused_before_its_data() {
        assert_refused(b"65\r\n", Refusal::BodyTooLarge);
        assert_refused(b"ffffffffffffffff\r\n", Refusal::BodyTooLarge);

        let mut two = b"64\r\n".to_vec();
        two.resize(two.len() + 100, b'x');
        two.extend_from_slice(b"\r\n1\r\n");
        assert_refused(&two, Refusal::BodyTooLarge);
    }

    #[test]
    fn trailers_are_discarded() {
        assert_body(b"0\r\nVary: *\r\nETag:\"a\"\r\n\r\n", b"", b"");
        assert_body(b"0\r\na:\r\n\r\nnext", b"", b"next");
    }

    #[test]
    fn trailers_are_field_lines() {
        for trailer in [
            "a\r\n",
            ":b\r\n",
            " a:b\r\n",
            "a :b\r\n",
            "a:b\0\r\n",
            "a:b\x7f\r\n",
        ] {
            let input = format!("0\r\n{trailer}\r\n");
            assert_refused(input.as_bytes(), Refusal::BadTrailer);
        }
    }

    #[test]
    fn what_must_precede_the_body_is_no_trailer() {
        for name in FORBIDDEN {
            let name = String::from_utf8(name.to_vec()).unwrap().to_uppercase();
            let input = format!("0\r\n{name}: x\r\n\r\n");
            let limits = Limits {
                field_size: 100,
                ..SMALL
            };

            let outcome = Chunked::new(&limits).decode(input.as_bytes());

            assert_eq!(outcome, Err(Refusal::ForbiddenTrailer), "{name}");
            assert!(name.len() < NAME);
        }
    }

    #[test]
    fn trailers_are_bounded() {
        assert_refused(b"0\r\na:b\r\nc:d\r\ne:f\r\n\r\n", Refusal::TrailersTooLarge);
        assert_refused(b"0\r\naaaaaaaaaaaaaaaaaaaaaaa", Refusal::TrailersTooLarge);
        assert_refused(b"0\r\na:bbbbbbbbbbbbbbbbbbbbb", Refusal::TrailersTooLarge);
        assert_body(b"0\r\na:34567890123\r\n\r\n", b"", b"");
        // The colon counts, too.
        assert_body(b"0\r\nabcdefghijklm:\r\n\r\n", b"", b"");
        assert_refused(b"0\r\nabcdefghijklmn:\r\n\r\n", Refusal::TrailersTooLarge);
    }

    #[test]
    fn one_call_takes_the_framing_around_its_data() {
        let mut chunked = Chunked::new(&SMALL);

        let decoded = chunked.decode(b"3\r\nabc\r\n0\r\n\r\nnext").unwrap();

        assert_eq!(
            decoded,
            Decoded {
                consumed: 13,
                data: 3..6,
                complete: true
            }
        );
    }
}
