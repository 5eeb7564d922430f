//! Where a head ends, when it does not come in one piece.
//!
//! Lines are checked in the order they arrive, and each byte is scanned once: a client
//! that sends byte by byte costs no more than one that sends all at once. Of field
//! lines only the end and the length are checked here; the rest follows when the head
//! is complete. The request line is checked as soon as it is complete, because what is
//! not HTTP/1 may never send an empty line: an HTTP/0.9 client waits for its answer.
//! Bytes that cannot begin a request (a TLS handshake) are refused at once.

use memchr::memchr;

use crate::limits::Limits;
use crate::permit::is_blank;
use crate::refusal::Refusal;
use crate::target::{check_request_line, is_method_byte};

#[derive(Debug, Clone, Default)]
pub(crate) struct Scanner {
    /// No line feed in the current line before this position.
    position: usize,
    /// Where the current line begins.
    line: usize,
    /// Where the current field begins: in a line before, if it is folded.
    field: usize,
    part: Part,
}

#[derive(Debug, Clone, Copy, Default)]
enum Part {
    /// Possibly an empty line, which RFC 9112, section 2.2, asks to ignore.
    #[default]
    EmptyLine,
    RequestLine,
    /// A field line, after this number of others, or the empty line that ends the head.
    Fields(usize),
}

impl Scanner {
    /// The length of the head in `buffer`, if it is complete. `buffer` must begin
    /// with the bytes of the last call.
    pub(crate) fn find_end(
        &mut self,
        buffer: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, Refusal> {
        loop {
            match self.part {
                Part::EmptyLine => match buffer {
                    [] | [b'\r'] => return Ok(None),
                    [b'\r', b'\n', ..] => self.begin(2, Part::RequestLine),
                    [b'\r', ..] => return Err(Refusal::BareCarriageReturn),
                    [b'\n', ..] => return Err(Refusal::BareLineFeed),
                    [_, ..] => self.begin(0, Part::RequestLine),
                },
                Part::RequestLine => {
                    match buffer.get(self.line) {
                        None => return Ok(None),
                        Some(b'\r' | b'\n') => return Err(Refusal::BadRequestLine),
                        Some(byte) if !is_method_byte(*byte, limits.permit) => {
                            return Err(Refusal::BadMethod);
                        }
                        Some(_) => {}
                    }
                    let most = limits.line.saturating_add(2);
                    match self.line_end(buffer, most, Refusal::LineTooLong, limits)? {
                        None => return Ok(None),
                        Some(end) => {
                            check_request_line(&buffer[self.line..end - 2], limits.permit)?;
                            self.begin(end, Part::Fields(0));
                        }
                    }
                }
                Part::Fields(count) => {
                    let first = buffer.get(self.line).copied();
                    let goes_on =
                        limits.permit.folded_fields && count > 0 && first.is_some_and(is_blank);
                    let mut most = limits.field_size.max(2);
                    if goes_on {
                        most = most.saturating_sub(self.line - self.field);
                    } else if first.is_some() {
                        self.field = self.line;
                    }
                    match self.line_end(buffer, most, Refusal::FieldTooLarge, limits)? {
                        None => return Ok(None),
                        Some(end) if end == self.line + 2 => return Ok(Some(end)),
                        Some(end) if goes_on => self.begin(end, Part::Fields(count)),
                        Some(_) if count == limits.fields => return Err(Refusal::TooManyFields),
                        Some(end) => self.begin(end, Part::Fields(count + 1)),
                    }
                }
            }
        }
    }

    fn begin(&mut self, line: usize, part: Part) {
        self.position = line;
        self.line = line;
        self.part = part;
    }

    /// Where the current line ends, its line break included. It may take `most`
    /// bytes, and must end within the limit for the whole head.
    fn line_end(
        &mut self,
        buffer: &[u8],
        most: usize,
        too_long: Refusal,
        limits: &Limits,
    ) -> Result<Option<usize>, Refusal> {
        let head = limits.head();
        let bound = self.line.saturating_add(most).min(head);
        let window = &buffer[self.position..buffer.len().min(bound)];
        match memchr(b'\n', window) {
            Some(at) => {
                let end = self.position + at;
                if end == self.line || buffer[end - 1] != b'\r' {
                    return Err(Refusal::BareLineFeed);
                }
                Ok(Some(end + 1))
            }
            None if buffer.len() < bound => {
                self.position = buffer.len();
                Ok(None)
            }
            None if bound == head => Err(Refusal::HeadTooLarge),
            None => Err(too_long),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permit::Permit;

    const SMALL: Limits = Limits {
        line: 16,
        fields: 2,
        field_size: 8,
        body: 0,
        permit: Permit::NOTHING,
    };

    /// Scans `bytes` at once and byte by byte, with the same result.
    fn scanned(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let at_once = Scanner::default().find_end(bytes, &SMALL);
        let mut scanner = Scanner::default();
        let byte_by_byte = (0..=bytes.len())
            .map(|length| scanner.find_end(&bytes[..length], &SMALL))
            .find(|outcome| !matches!(outcome, Ok(None)))
            .unwrap_or(Ok(None));
        assert_eq!(at_once, byte_by_byte);
        at_once
    }

    #[test]
    fn the_head_ends_with_the_first_empty_line() {
        assert_eq!(scanned(b"GET / HTTP/1.1\r\n\r\nrest"), Ok(Some(18)));
        assert_eq!(scanned(b"GET / HTTP/1.1\r\na: b\r\n\r\n\r\n"), Ok(Some(24)));
        assert_eq!(scanned(b"GET / HTTP/1.1\r\na: b\r\n"), Ok(None));
    }

    #[test]
    fn one_empty_line_may_precede_it_but_not_two() {
        assert_eq!(scanned(b"\r\nGET / HTTP/1.1\r\n\r\n"), Ok(Some(20)));
        assert_eq!(scanned(b"\r\n\r\nGET"), Err(Refusal::BadRequestLine));
        assert_eq!(scanned(b"\nGET"), Err(Refusal::BareLineFeed));
        assert_eq!(scanned(b"\rGET"), Err(Refusal::BareCarriageReturn));
    }

    #[test]
    fn bare_line_feeds_are_refused_before_the_head_is_complete() {
        assert_eq!(scanned(b"GET / HTTP/1.1\n"), Err(Refusal::BareLineFeed));
        assert_eq!(scanned(b"GET / HTTP/1.1\r\n\n"), Err(Refusal::BareLineFeed));
        assert_eq!(
            scanned(b"GET / HTTP/1.1\r\na\n"),
            Err(Refusal::BareLineFeed)
        );
    }

    #[test]
    fn what_cannot_begin_a_request_is_refused_at_its_first_byte() {
        assert_eq!(scanned(b"\x16\x03\x01"), Err(Refusal::BadMethod));
        assert_eq!(scanned(b"get"), Err(Refusal::BadMethod));
    }

    #[test]
    fn a_request_line_is_judged_as_soon_as_it_is_complete() {
        assert_eq!(scanned(b"GET /\r"), Ok(None));
        assert_eq!(scanned(b"GET /\r\n"), Err(Refusal::BadRequestLine));
        assert_eq!(
            scanned(b"GET / HTTP/2.0\r\n"),
            Err(Refusal::UnsupportedVersion)
        );
    }

    #[test]
    fn a_field_ends_with_its_last_line_if_folding_is_permitted() {
        let limits = Limits {
            permit: Permit {
                folded_fields: true,
                ..Permit::NOTHING
            },
            field_size: 10,
            ..SMALL
        };
        let scanned = |bytes: &[u8]| {
            let at_once = Scanner::default().find_end(bytes, &limits);
            let mut scanner = Scanner::default();
            let byte_by_byte = (0..=bytes.len())
                .map(|length| scanner.find_end(&bytes[..length], &limits))
                .find(|outcome| !matches!(outcome, Ok(None)))
                .unwrap_or(Ok(None));
            assert_eq!(at_once, byte_by_byte);
            at_once
        };

        // Two fields of two lines each; then some that are too large, and one that just fits.
        let two = b"GET / HTTP/1.1\r\na:\r\n b\r\nc:\r\n d\r\n\r\n";
        assert_eq!(scanned(two), Ok(Some(two.len())));
        let thirteen = b"GET / HTTP/1.1\r\na:b\r\n c\r\n d\r\n\r\n";
        assert_eq!(scanned(thirteen), Err(Refusal::FieldTooLarge));
        let eleven = b"GET / HTTP/1.1\r\na:b\r\n \r\n \r\n";
        assert_eq!(scanned(eleven), Err(Refusal::FieldTooLarge));
        assert_eq!(
            scanned(b"GET / HTTP/1.1\r\na:b\r\n cd\r\n\r\n"),
            Ok(Some(28))
        );
    }

    #[test]
    fn lines_may_be_as_long_as_their_limit() {
        assert_eq!(scanned(b"GET /12 HTTP/1.1\r\n\r\n"), Ok(Some(20)));
        assert_eq!(scanned(b"GET /123 HTTP/1.1"), Ok(None));
        assert_eq!(scanned(b"GET /123 HTTP/1.1\r"), Err(Refusal::LineTooLong));
        assert_eq!(scanned(b"GET / HTTP/1.1\r\na:3456\r\n\r\n"), Ok(Some(26)));
        assert_eq!(
            scanned(b"GET / HTTP/1.1\r\na:34567\r\n"),
            Err(Refusal::FieldTooLarge)
        );
    }

    #[test]
    fn fields_may_be_as_many_as_their_limit() {
        assert_eq!(
            scanned(b"GET / HTTP/1.1\r\na:b\r\nc:d\r\n\r\n"),
            Ok(Some(28))
        );
        assert_eq!(
            scanned(b"GET / HTTP/1.1\r\na:b\r\nc:d\r\ne:f\r\n"),
            Err(Refusal::TooManyFields)
        );
    }
}
