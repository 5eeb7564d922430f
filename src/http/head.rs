//! The parser of request heads.
//!
//! ```text
//!          whole and good
//! Fresh ────────────────────────────▶ Complete
//!   │ in pieces, or not good             ▲
//!   └──▶ Scanning ── end found ──────────┘
//! ```
//!
//! Most heads arrive whole: httparse splits them, and they are checked at once. All
//! others go through [`Scanner`], line by line, until their end is known. Both ways give
//! the same result: whatever is not plainly good at first is scanned.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};
use memchr::memchr;

use crate::fields::KnownFields;
use crate::limits::Limits;
use crate::permit;
use crate::refusal::Refusal;
use crate::request::{Field, Framing, Span, Version};
use crate::response::ResponseContext;
use crate::scan::Scanner;
use crate::target;

/// The most fields of a head that is parsed without allocating.
const FIELDS_ON_STACK: usize = 128;

/// The fewest bytes of a field line. Slots are allocated for as many fields as the head
/// can hold, because the limit may be any number.
const SHORTEST_FIELD: usize = b"a:\r\n".len();

/// The head of a request. Made once for a connection and used again for each of its
/// requests; all spans belong to the buffer that was given to [`Head::parse`].
#[derive(Debug, Clone)]
pub struct Head {
    pub method: Span,
    /// The request target as the client wrote it.
    pub target: Span,
    /// The path in the target, still percent-encoded; `/` if a URL has none.
    pub path: Span,
    /// The query in the target, without its `?`.
    pub query: Span,
    pub version: Version,
    /// In the order they came.
    pub fields: Vec<Field>,
    pub framing: Framing,
    /// Whether the client allows another request on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for [`CONTINUE`](crate::CONTINUE) before it sends
    /// its body.
    pub expect_continue: bool,
    /// How many bytes of the buffer the head takes, from a leading empty line to
    /// the empty line that ends it.
    pub length: usize,
    /// What the spans belong to, if it is not what the client sent.
    rewritten: Option<Vec<u8>>,
    state: State,
    scanner: Scanner,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No byte was parsed.
    Fresh,
    /// Bytes were parsed that were not a whole good head.
    Scanning,
    /// The head is complete; the next call begins another.
    Complete,
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}

impl Head {
    pub fn new() -> Self {
        Self {
            method: Span::default(),
            target: Span::default(),
            path: Span::default(),
            query: Span::default(),
            version: Version::Http11,
            fields: Vec::new(),
            framing: Framing::None,
            keep_alive: false,
            expect_continue: false,
            length: 0,
            rewritten: None,
            state: State::Fresh,
            scanner: Scanner::default(),
        }
    }

    /// Clears the head, keeps its memory. Needed only to give up an incomplete head: after
    /// a complete one, `parse` begins the next by itself.
    pub fn reset(&mut self) {
        self.fields.clear();
        self.framing = Framing::None;
        self.keep_alive = false;
        self.expect_continue = false;
        self.length = 0;
        self.rewritten = None;
        self.state = State::Fresh;
        self.scanner = Scanner::default();
    }

    /// Parses the head at the start of `buffer`: `true` if it is complete, `false` if
    /// more bytes are needed. Then call again with the same bytes and more.
    pub fn parse(&mut self, buffer: &[u8], limits: &Limits) -> Result<bool, Refusal> {
        let mut slots = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
        let few = &mut slots[..limits.fields.min(FIELDS_ON_STACK)];

        if self.state == State::Complete {
            self.reset();
        }
        if self.state == State::Fresh {
            if buffer.is_empty() {
                return Ok(false);
            }
            let mut request = Request::new(&mut []);
            let outcome = request.parse_with_uninit_headers(buffer, few);
            if let Ok(Status::Complete(length)) = outcome {
                let is_regular =
                    !limits.permit.upper_case_method || !request.method.is_some_and(has_lower_case);
                if is_regular && self.store(buffer, &request, length, limits) {
                    return self.check(buffer, limits).map(|()| true);
                }
            }
            self.state = State::Scanning;
        }

        let Some(length) = self.scanner.find_end(buffer, limits)? else {
            return Ok(false);
        };
        let rewritten = permit::regular(&buffer[..length], limits.permit);
        let sent = rewritten.as_deref().unwrap_or(&buffer[..length]);
        let head = as_known_version(sent);
        let mut slots = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
        let fields = limits.fields.min(length / SHORTEST_FIELD);
        if fields <= FIELDS_ON_STACK {
            self.split(&head, &mut slots[..fields], limits)?;
        } else {
            let mut many = vec![MaybeUninit::uninit(); fields];
            self.split(&head, &mut many, limits)?;
        }
        self.check(sent, limits)?;
        self.rewritten = rewritten;
        Ok(true)
    }

    /// Writes the head into `buffer`, from which it was parsed, as it was understood. To be
    /// called when the head is complete, before its spans are used: what `Permit` lets pass
    /// is read in another form than it was sent in, of the same length.
    pub fn rewrite(&mut self, buffer: &mut [u8]) {
        if let Some(rewritten) = self.rewritten.take() {
            buffer[..rewritten.len()].copy_from_slice(&rewritten);
        }
    }

    /// Splits a complete head that was scanned.
    fn split<'buffer>(
        &mut self,
        head: &'buffer [u8],
        slots: &mut [MaybeUninit<Header<'buffer>>],
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let mut request = Request::new(&mut []);
        match request.parse_with_uninit_headers(head, slots) {
            Ok(Status::Complete(length)) if self.store(head, &request, length, limits) => Ok(()),
            // The scan found an end and httparse another: nothing to build on.
            Ok(Status::Complete(_) | Status::Partial) => Err(Refusal::BadRequestLine),
            Err(error) => Err(reason(head, error)),
        }
    }

    /// Stores what httparse found. `false`: a line is not ended by CR LF (httparse accepts
    /// LF) or exceeds a limit.
    fn store(
        &mut self,
        buffer: &[u8],
        request: &Request<'_, '_>,
        length: usize,
        limits: &Limits,
    ) -> bool {
        let (Some(method), Some(target), Some(version)) =
            (request.method, request.path, request.version)
        else {
            return false;
        };
        if length > limits.head() {
            return false;
        }
        self.length = length;
        self.method = Span::locate(buffer, method.as_bytes());
        self.target = Span::locate(buffer, target.as_bytes());
        self.version = match version {
            0 => Version::Http10,
            _ => Version::Http11,
        };
        self.fields.clear();

        let start = self.method.start();
        let line_end = self.target.end() + " HTTP/1.1".len();
        let mut good = match start {
            0 => true,
            2 => buffer.starts_with(b"\r\n"),
            _ => false,
        };
        good &= line_end - start <= limits.line;

        // Where the line before the current one begins: after the request line at
        // first, so that only field lines are measured.
        let mut line = line_end + 2;
        for header in request.headers.iter() {
            let field = Field {
                name: Span::locate(buffer, header.name.as_bytes()),
                value: Span::locate(buffer, header.value),
            };
            let begin = field.name.start();
            good &= follows_line_break(buffer, begin);
            good &= begin.saturating_sub(line) <= limits.field_size;
            line = begin;
            self.fields.push(field);
        }
        good &= buffer[..length].ends_with(b"\r\n\r\n");
        good &= (length - 2).saturating_sub(line) <= limits.field_size;
        good
    }

    /// Checks what the head says, once its syntax is known to be good.
    fn check(&mut self, buffer: &[u8], limits: &Limits) -> Result<(), Refusal> {
        self.state = State::Complete;
        let method = self.method.of(buffer);
        target::check_words(method, self.target.of(buffer), limits.permit)?;
        let target = target::read(buffer, method, self.target)?;
        self.path = target.path;
        self.query = target.query;

        let mut known = KnownFields::default();
        for field in &self.fields {
            known.add(buffer, field)?;
        }
        known.check_host(buffer, self.version, target.authority)?;
        self.framing = known.framing(self.version, limits)?;
        self.keep_alive = known.keep_alive(self.version);
        self.expect_continue = known.expect_continue(self.version, self.framing)?;
        Ok(())
    }

    /// `keep_alive` in it is what the client allows.
    pub fn response_context(&self, buffer: &[u8]) -> ResponseContext {
        ResponseContext {
            version: self.version,
            head_only: self.method.of(buffer) == b"HEAD",
            keep_alive: self.keep_alive,
        }
    }
}

fn has_lower_case(method: &str) -> bool {
    method.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// `head` with HTTP/1.2 to 1.9 replaced by HTTP/1.1: a higher minor version has to be
/// processed as the highest one we know (RFC 9110, section 2.5), but httparse knows no
/// other. Other major versions, if they are permitted, become the one we know that is
/// nearest. No length changes, so spans of the copy are spans of the original.
fn as_known_version(head: &[u8]) -> Cow<'_, [u8]> {
    let start = if head.starts_with(b"\r\n") { 2 } else { 0 };
    let line_end = memchr(b'\r', &head[start..]).map_or(head.len(), |at| start + at);
    let known = match &head[start..line_end] {
        [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor] => match (major, minor) {
            (b'1', b'0' | b'1') => return Cow::Borrowed(head),
            (b'0', _) => b"1.0",
            (_, _) => b"1.1",
        },
        [..] => return Cow::Borrowed(head),
    };
    let mut copy = head.to_vec();
    copy[line_end - known.len()..line_end].copy_from_slice(known);
    Cow::Owned(copy)
}

/// Whether CR LF is right before `position`.
fn follows_line_break(buffer: &[u8], position: usize) -> bool {
    position >= 2 && buffer.get(position - 2..position) == Some(b"\r\n")
}

/// Why httparse did not accept `head`, whose lines are properly ended and whose request
/// line is good.
fn reason(head: &[u8], error: httparse::Error) -> Refusal {
    use httparse::Error;

    let has_pair =
        |wanted: fn(u8, u8) -> bool| head.windows(2).any(|pair| wanted(pair[0], pair[1]));
    match error {
        Error::NewLine if has_pair(|byte, next| byte == b'\r' && next != b'\n') => {
            Refusal::BareCarriageReturn
        }
        Error::Token | Error::Version | Error::Status | Error::NewLine => Refusal::BadRequestLine,
        Error::HeaderName if has_pair(|byte, next| byte == b'\n' && b" \t".contains(&next)) => {
            Refusal::FoldedField
        }
        Error::HeaderName => Refusal::BadFieldName,
        Error::HeaderValue => Refusal::BadFieldValue,
        Error::TooManyHeaders => Refusal::TooManyFields,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a complete head, whole and byte by byte, with the same result.
    fn parsed(bytes: &[u8], limits: &Limits) -> Result<Head, Refusal> {
        let mut whole = Head::new();
        let outcome = whole.parse(bytes, limits);
        let mut pieces = Head::new();
        let in_pieces = (0..=bytes.len())
            .map(|length| pieces.parse(&bytes[..length], limits))
            .find(|outcome| *outcome != Ok(false))
            .unwrap_or(Ok(false));
        assert_eq!(outcome, in_pieces, "{}", bytes.escape_ascii());
        match outcome {
            Ok(true) => {
                assert_eq!(whole.fields, pieces.fields);
                assert_eq!(whole.length, pieces.length);
                Ok(whole)
            }
            Ok(false) => panic!("not complete: {}", bytes.escape_ascii()),
            Err(refusal) => Err(refusal),
        }
    }

    fn refused(bytes: &[u8], limits: &Limits) -> Option<Refusal> {
        parsed(bytes, limits).err()
    }

    #[test]
    fn a_head_is_parsed_in_place() {
        let bytes =
            b"GET /a%20b?c=d HTTP/1.1\r\nHost: a.b\r\nAccept:  x, y \t\r\nEmpty:\r\n\r\nnext";

        let head = parsed(bytes, &Limits::default()).unwrap();

        assert_eq!(head.method.of(bytes), b"GET");
        assert_eq!(head.target.of(bytes), b"/a%20b?c=d");
        assert_eq!(head.path.of(bytes), b"/a%20b");
        assert_eq!(head.query.of(bytes), b"c=d");
        assert_eq!(head.version, Version::Http11);
        let fields: Vec<(&[u8], &[u8])> = head
            .fields
            .iter()
            .map(|field| (field.name.of(bytes), field.value.of(bytes)))
            .collect();
        assert_eq!(
            fields,
            [
                (&b"Host"[..], &b"a.b"[..]),
                (b"Accept", b"x, y"),
                (b"Empty", b"")
            ]
        );
        assert_eq!(&bytes[head.length..], b"next");
        assert_eq!(head.framing, Framing::None);
        assert!(head.keep_alive);
    }

    #[test]
    fn a_second_head_keeps_nothing_of_the_first() {
        let mut head = Head::new();
        let first = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: b\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
        let second = b"GET /a HTTP/1.0\r\n\r\n";

        assert_eq!(head.parse(first, &Limits::default()), Ok(true));
        assert_eq!(head.parse(&second[..9], &Limits::default()), Ok(false));
        assert_eq!(head.parse(second, &Limits::default()), Ok(true));

        assert_eq!(head.path.of(second), b"/a");
        assert_eq!(head.framing, Framing::None);
        assert!(head.fields.is_empty() && !head.expect_continue && !head.keep_alive);
    }

    #[test]
    fn a_reset_head_starts_anew() {
        let mut head = Head::new();
        assert_eq!(head.parse(b"GET / HT", &Limits::default()), Ok(false));

        head.reset();

        let next = b"PUT / HTTP/1.0\r\n\r\n";
        assert_eq!(head.parse(next, &Limits::default()), Ok(true));
        assert_eq!(head.method.of(next), b"PUT");
    }

    #[test]
    fn limits_hold_to_the_byte() {
        let limits = Limits {
            line: 14,
            fields: 2,
            field_size: 9,
            body: 10,
            ..Limits::default()
        };

        for good in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"\r\nGET / HTTP/1.1\r\nHost: a\r\nb: 3456\r\n\r\n",
        ] {
            assert_eq!(refused(good, &limits), None);
        }
        for (bad, refusal) in [
            (
                &b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"[..],
                Refusal::LineTooLong,
            ),
            (
                b"GET / HTTP/1.1\r\nHost: ab\r\n\r\n",
                Refusal::FieldTooLarge,
            ),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nb:  3456\r\n\r\n",
                Refusal::FieldTooLarge,
            ),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nb:3456 \t\r\n\r\n",
                Refusal::FieldTooLarge,
            ),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nb:c\r\nd:e\r\n\r\n",
                Refusal::TooManyFields,
            ),
        ] {
            assert_eq!(
                refused(bad, &limits),
                Some(refusal),
                "{}",
                bad.escape_ascii()
            );
        }
    }

    #[test]
    fn many_fields_are_read_if_they_are_allowed() {
        let limits = Limits {
            fields: 1000,
            ..Limits::default()
        };
        let mut bytes = b"GET / HTTP/1.0\r\n".to_vec();
        for number in 0..1000 {
            bytes.extend_from_slice(format!("a{number}: b\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");

        assert_eq!(parsed(&bytes, &limits).unwrap().fields.len(), 1000);
        assert_eq!(
            refused(&bytes, &Limits::default()),
            Some(Refusal::TooManyFields)
        );
    }

    #[test]
    fn limits_may_be_any_number() {
        let limits = Limits {
            line: usize::MAX,
            fields: usize::MAX,
            field_size: usize::MAX,
            body: u64::MAX,
            ..Limits::default()
        };

        let head = parsed(b"GET / HTTP/1.2\r\nHost: a\r\nb:\r\n\r\n", &limits).unwrap();

        assert_eq!(head.fields.len(), 2);
    }

    #[test]
    fn fields_too_large_together_are_refused_before_their_end() {
        let limits = Limits::default();
        let mut bytes = b"GET / HTTP/1.0\r\n".to_vec();
        while bytes.len() < limits.head() {
            bytes.extend_from_slice(b"a: ");
            bytes.resize(bytes.len() + 8000, b'b');
            bytes.extend_from_slice(b"\r\n");
        }

        assert_eq!(
            Head::new().parse(&bytes, &limits),
            Err(Refusal::HeadTooLarge)
        );
        assert_eq!(Head::new().parse(&bytes[..60_000], &limits), Ok(false));
    }
}
