//! The head of a response: the one place where its framing is decided.

use crate::fault::{Fault, shown};
use crate::fields::Connection;
use crate::head::Version;
use crate::sending::{ResponseFraming, Sending};
use crate::syntax::{decimal, is_token, is_value, trim, write_decimal};

/// What an answer has to know of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answering {
    /// The version the client speaks.
    pub version: Version,
    /// Whether the method is HEAD: no body goes out.
    pub head_only: bool,
    /// Whether both client and server allow another request.
    pub keep_alive: bool,
}

/// A response head that is being written to the end of a connection's output.
///
/// Dropped before it is finished (because of a [`Fault`], or because the application
/// thought better of it), it takes back all that it wrote.
#[derive(Debug)]
pub struct ResponseHead<'out> {
    out: &'out mut Vec<u8>,
    /// Where the output ended before.
    start: usize,
    answering: Answering,
    content: Content,
    /// The Content-Length the application gave.
    length: Option<u64>,
    /// Whether the application asked to close the connection.
    close: bool,
    finished: bool,
}

/// What a status says about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// There is one, perhaps an empty one.
    Any,
    /// 204: none, and no length of one (RFC 9110, section 8.6).
    None,
    /// 304: none, but fields may describe what a 200 would have had.
    Elsewhere,
}

/// Who decides about a field of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// The application: it is sent as it is.
    Application,
    /// Content-Length: the framing depends on it.
    Length,
    /// Connection: the server decides, the application may ask for the end.
    Connection,
    /// The server: what the application says is dropped.
    Server,
}

impl<'out> ResponseHead<'out> {
    /// Begins a response. `status` is what the application calls it: `200 OK`.
    pub fn begin(
        out: &'out mut Vec<u8>,
        answering: Answering,
        status: &[u8],
    ) -> Result<Self, Fault> {
        let bad = || Err(Fault::BadStatus(shown(status)));
        let (code, reason) = match status {
            [a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
            [a, b, c] => ([*a, *b, *c], &b""[..]),
            [..] => return bad(),
        };
        if !code.iter().all(u8::is_ascii_digit) || !is_value(reason) {
            return bad();
        }
        let content = match &code {
            [b'1', ..] => return Err(Fault::InterimStatus(shown(status))),
            [b'0' | b'6'..=b'9', ..] => return bad(),
            b"204" => Content::None,
            b"304" => Content::Elsewhere,
            [..] => Content::Any,
        };

        let start = out.len();
        out.reserve(512);
        // The server's version, not the client's (RFC 9110, section 6.2).
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(&code);
        out.push(b' ');
        out.extend_from_slice(reason);
        out.extend_from_slice(b"\r\n");
        Ok(Self {
            out,
            start,
            answering,
            content,
            length: None,
            close: false,
            finished: false,
        })
    }

    /// Adds a field of the application, unless it is for the server to decide.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        let value = trim(value);
        match check_field(name, value)? {
            Own::Application => {
                self.out.extend_from_slice(name);
                self.out.extend_from_slice(b": ");
                self.out.extend_from_slice(value);
                self.out.extend_from_slice(b"\r\n");
            }
            Own::Length => {
                let length = decimal(value).ok_or_else(|| Fault::BadLength(shown(value)))?;
                if self.length.replace(length).is_some() {
                    return Err(Fault::RepeatedLength);
                }
            }
            Own::Connection => {
                let mut connection = Connection::default();
                connection.note(value);
                self.close |= connection.close;
            }
            Own::Server => {}
        }
        Ok(())
    }

    /// Decides how the body is framed and ends the head. `known` is the length of the
    /// whole body, if the server knows it; what the application said counts more.
    pub fn finish(mut self, known: Option<u64>, date: &[u8; 29]) -> Sending {
        let (announced, framing) = self.framing(known);
        let keep_alive = self.answering.keep_alive
            && !self.close
            && match framing {
                ResponseFraming::UntilClose => false,
                ResponseFraming::Nothing
                | ResponseFraming::Length(_)
                | ResponseFraming::Chunked => true,
            };

        let out = &mut *self.out;
        out.extend_from_slice(b"Server: rgunicorn\r\nDate: ");
        out.extend_from_slice(date);
        if let Some(length) = announced {
            out.extend_from_slice(b"\r\nContent-Length: ");
            write_decimal(out, length);
        }
        if framing == ResponseFraming::Chunked {
            out.extend_from_slice(b"\r\nTransfer-Encoding: chunked");
        }
        out.extend_from_slice(match (keep_alive, self.answering.version) {
            (false, _) => b"\r\nConnection: close\r\n\r\n",
            (true, Version::Http10) => b"\r\nConnection: keep-alive\r\n\r\n",
            (true, Version::Http11) => b"\r\n\r\n",
        });
        self.finished = true;
        Sending {
            framing,
            keep_alive,
        }
    }

    /// The Content-Length to announce and the framing (RFC 9112, section 6).
    fn framing(&self, known: Option<u64>) -> (Option<u64>, ResponseFraming) {
        match (self.content, self.answering.head_only) {
            (Content::None, _) => (None, ResponseFraming::Nothing),
            (Content::Elsewhere, _) => (self.length, ResponseFraming::Nothing),
            // An application that gives nothing for HEAD may give something for GET:
            // then no length is better than a wrong one.
            (Content::Any, true) => {
                let known = known.filter(|length| *length > 0);
                (self.length.or(known), ResponseFraming::Nothing)
            }
            (Content::Any, false) => match (self.length.or(known), self.answering.version) {
                (Some(length), _) => (Some(length), ResponseFraming::Length(length)),
                (None, Version::Http11) => (None, ResponseFraming::Chunked),
                (None, Version::Http10) => (None, ResponseFraming::UntilClose),
            },
        }
    }
}

impl Drop for ResponseHead<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

/// Whether a field may be sent at all, and who decides about it.
pub(crate) fn check_field(name: &[u8], value: &[u8]) -> Result<Own, Fault> {
    if !is_token(name) {
        return Err(Fault::BadName(shown(name)));
    }
    if !is_value(value) {
        return Err(Fault::BadValue(shown(name)));
    }
    Ok(own(name))
}

/// Who decides about the field called `name`: hop-by-hop fields belong to the
/// connection, and the connection to the server (RFC 9110, section 7.6.1).
fn own(name: &[u8]) -> Own {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    match name.len() {
        2 if is(b"te") => Own::Server,
        4 if is(b"date") => Own::Server,
        6 if is(b"server") => Own::Server,
        7 if is(b"trailer") || is(b"upgrade") => Own::Server,
        8 if is(b"trailers") => Own::Server,
        10 if is(b"connection") => Own::Connection,
        10 if is(b"keep-alive") => Own::Server,
        14 if is(b"content-length") => Own::Length,
        16 if is(b"proxy-connection") => Own::Server,
        17 if is(b"transfer-encoding") => Own::Server,
        18 if is(b"proxy-authenticate") => Own::Server,
        19 if is(b"proxy-authorization") => Own::Server,
        _ => Own::Application,
    }
}
