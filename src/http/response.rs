//! The head of a response: the one place where its framing is decided.

use crate::fields::ConnectionOptions;
use crate::request::Version;
use crate::response_body::{ResponseBody, ResponseFraming};
use crate::syntax::{decimal, is_token, is_value, trim, write_decimal};

/// What a response depends on in its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseContext {
    pub version: Version,
    /// The method is HEAD: no body goes out.
    pub head_only: bool,
    /// Both client and server allow another request.
    pub keep_alive: bool,
}

impl ResponseContext {
    /// For a request that is refused; `received` are its first bytes, which may be
    /// malformed or incomplete.
    pub fn of_refused(received: &[u8]) -> Self {
        let line = received.strip_prefix(b"\r\n").unwrap_or(received);
        Self {
            version: Version::Http11,
            // RFC 9110, section 9.3.2: no content in a response to HEAD.
            head_only: line.starts_with(b"HEAD "),
            keep_alive: false,
        }
    }
}

/// What a client that sent `Expect: 100-continue` waits for.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Why the head of a response is not sent. The application is at fault: the client gets
/// a 500, and the log says this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    #[error("status \"{0}\" is not three digits and a reason")]
    BadStatus(String),
    /// 1xx.
    #[error("status \"{0}\" is not a final one")]
    InterimStatus(String),
    #[error("header name \"{0}\" is not a token")]
    BadName(String),
    /// Header injection, as a rule: the value came from a client unchecked.
    #[error("header {0} has a control character in its value")]
    BadValue(String),
    #[error("Content-Length \"{0}\" is not a number below 2^63")]
    BadLength(String),
    /// Even when both are equal.
    #[error("Content-Length is given twice")]
    RepeatedLength,
}

/// Writes the head of a response that leaves the connection to another protocol (RFC 9110,
/// section 15.2.2). `fields` has to have an Upgrade.
pub fn write_switching_protocols(
    out: &mut Vec<u8>,
    fields: &[(&[u8], &[u8])],
) -> Result<(), ResponseError> {
    for (name, value) in fields {
        check_field(name, value)?;
    }
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n");
    for (name, value) in fields {
        // The others say how a body is framed, and there is none.
        if owner(name) == Owner::Application || name.eq_ignore_ascii_case(b"upgrade") {
            write_field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Writes what a client may begin with before the response (RFC 8297, section 2). Fields that
/// are the server's have no place in it. On an error nothing is written.
pub fn write_early_hints(
    out: &mut Vec<u8>,
    fields: &[(&[u8], &[u8])],
) -> Result<(), ResponseError> {
    for (name, value) in fields {
        check_field(name, value)?;
    }
    out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
    for (name, value) in fields {
        if owner(name) == Owner::Application {
            write_field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(trim(value));
    out.extend_from_slice(b"\r\n");
}

/// `bytes` for an error message: one line, not too long.
fn escaped(bytes: &[u8]) -> String {
    const MAX: usize = 80;
    let cut = &bytes[..bytes.len().min(MAX)];
    let dots = if cut.len() < bytes.len() { "..." } else { "" };
    format!("{}{dots}", cut.escape_ascii())
}

/// A response head, being written to the end of a connection's output. Dropped before
/// [`finish`](Self::finish), it removes what it wrote.
#[derive(Debug)]
pub struct ResponseHead<'out> {
    out: &'out mut Vec<u8>,
    /// The length of the output before.
    start: usize,
    context: ResponseContext,
    body_rule: BodyRule,
    /// The Content-Length of the application.
    length: Option<u64>,
    /// The application asked to close the connection.
    close: bool,
    finished: bool,
}

/// What a status allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyRule {
    /// A body, perhaps an empty one.
    Body,
    /// 204: no body, no Content-Length (RFC 9110, section 8.6).
    None,
    /// 304: no body, but a Content-Length may say what a 200 would have had.
    LengthOnly,
}

/// Who decides about a field of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Sent as the application gave it.
    Application,
    /// Content-Length: the framing depends on it.
    Framing,
    /// Connection: the server decides, the application may ask to close.
    Connection,
    /// What the application gave is dropped.
    Server,
}

impl<'out> ResponseHead<'out> {
    /// Begins a response. `status` is code and reason: `200 OK`.
    pub fn begin(
        out: &'out mut Vec<u8>,
        context: ResponseContext,
        status: &[u8],
    ) -> Result<Self, ResponseError> {
        let bad = || Err(ResponseError::BadStatus(escaped(status)));
        let (code, reason) = match status {
            [a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
            [a, b, c] => ([*a, *b, *c], &b""[..]),
            [..] => return bad(),
        };
        if !code.iter().all(u8::is_ascii_digit) || !is_value(reason) {
            return bad();
        }
        let body_rule = match &code {
            [b'1', ..] => return Err(ResponseError::InterimStatus(escaped(status))),
            [b'0' | b'6'..=b'9', ..] => return bad(),
            b"204" => BodyRule::None,
            b"304" => BodyRule::LengthOnly,
            [..] => BodyRule::Body,
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
            context,
            body_rule,
            length: None,
            close: false,
            finished: false,
        })
    }

    /// Adds a field of the application's, unless the server decides about it.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        let value = trim(value);
        match check_field(name, value)? {
            Owner::Application => {
                self.out.extend_from_slice(name);
                self.out.extend_from_slice(b": ");
                self.out.extend_from_slice(value);
                self.out.extend_from_slice(b"\r\n");
            }
            Owner::Framing => {
                // Many clients and proxies keep a length in 63 bits.
                let length = decimal(value)
                    .filter(|length| i64::try_from(*length).is_ok())
                    .ok_or_else(|| ResponseError::BadLength(escaped(value)))?;
                if self.length.replace(length).is_some() {
                    return Err(ResponseError::RepeatedLength);
                }
            }
            Owner::Connection => {
                let mut options = ConnectionOptions::default();
                options.add(value);
                self.close |= options.close;
            }
            Owner::Server => {}
        }
        Ok(())
    }

    /// Decides how the body is framed and ends the head. `known` is the length of the
    /// whole body, if the server knows it; the application's Content-Length wins.
    pub fn finish(mut self, known: Option<u64>, date: &[u8; 29]) -> ResponseBody {
        let (announced, framing) = self.framing(known);
        let keep_alive = self.context.keep_alive
            && !self.close
            && match framing {
                ResponseFraming::UntilClose => false,
                ResponseFraming::NoBody | ResponseFraming::Length(_) | ResponseFraming::Chunked => {
                    true
                }
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
        out.extend_from_slice(match (keep_alive, self.context.version) {
            (false, _) => b"\r\nConnection: close\r\n\r\n",
            (true, Version::Http10) => b"\r\nConnection: keep-alive\r\n\r\n",
            (true, Version::Http11) => b"\r\n\r\n",
        });
        self.finished = true;
        ResponseBody {
            framing,
            keep_alive,
        }
    }

    /// The Content-Length to announce and the framing (RFC 9112, section 6).
    fn framing(&self, known: Option<u64>) -> (Option<u64>, ResponseFraming) {
        match (self.body_rule, self.context.head_only) {
            (BodyRule::None, _) => (None, ResponseFraming::NoBody),
            (BodyRule::LengthOnly, _) => (self.length, ResponseFraming::NoBody),
            // An application that returns nothing for HEAD may return something for
            // GET: no length is better than a wrong one.
            (BodyRule::Body, true) => {
                let known = known.filter(|length| *length > 0);
                (self.length.or(known), ResponseFraming::NoBody)
            }
            (BodyRule::Body, false) => match (self.length.or(known), self.context.version) {
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
fn check_field(name: &[u8], value: &[u8]) -> Result<Owner, ResponseError> {
    if !is_token(name) {
        return Err(ResponseError::BadName(escaped(name)));
    }
    if !is_value(value) {
        return Err(ResponseError::BadValue(escaped(name)));
    }
    Ok(owner(name))
}

/// Who decides about the field called `name`: hop-by-hop fields belong to the
/// connection, and the connection to the server (RFC 9110, section 7.6.1).
fn owner(name: &[u8]) -> Owner {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    match name.len() {
        2 if is(b"te") => Owner::Server,
        4 if is(b"date") => Owner::Server,
        6 if is(b"server") => Owner::Server,
        7 if is(b"trailer") || is(b"upgrade") => Owner::Server,
        8 if is(b"trailers") => Owner::Server,
        10 if is(b"connection") => Owner::Connection,
        10 if is(b"keep-alive") => Owner::Server,
        14 if is(b"content-length") => Owner::Framing,
        16 if is(b"proxy-connection") => Owner::Server,
        17 if is(b"transfer-encoding") => Owner::Server,
        18 if is(b"proxy-authenticate") => Owner::Server,
        19 if is(b"proxy-authorization") => Owner::Server,
        _ => Owner::Application,
    }
}
