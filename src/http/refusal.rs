//! Every reason to refuse a request: what the log says, which status the client
//! sees, and the small answer it gets before the connection is closed.

use std::fmt;

use crate::syntax::write_decimal;

/// Why a request is refused. After a refusal nothing more can be read from the
/// connection: what follows has no agreed beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Not three words with one space between them (RFC 9112, section 3).
    #[error("the request line is not METHOD target HTTP/x.y")]
    BadRequestLine,
    /// Not an upper-case token of 3 to 20 characters.
    #[error("the method is not an upper-case token of 3 to 20 characters")]
    BadMethod,
    /// Neither a path nor an http URL; or `*` outside OPTIONS; or with bytes that
    /// a target cannot hold (RFC 9112, section 3.2).
    #[error("the request target is malformed")]
    BadTarget,
    /// Something else where `HTTP/1.1` should be.
    #[error("the HTTP version is malformed")]
    BadVersion,
    /// A well-formed version that is neither 1.0 nor 1.1.
    #[error("the HTTP version is neither 1.0 nor 1.1")]
    UnsupportedVersion,
    /// Tunnels are not what an application server is for (RFC 9110, section 9.3.6).
    #[error("CONNECT is not supported")]
    Connect,
    /// The request line exceeds `Limits::line`.
    #[error("the request line is longer than limit_request_line")]
    LineTooLong,

    /// RFC 9112, section 2.2, lets a recipient take a lone LF; proxies differ on it.
    #[error("a line of the head ends with a bare line feed")]
    BareLineFeed,
    /// RFC 9112, section 2.2.
    #[error("a carriage return is not followed by a line feed")]
    BareCarriageReturn,
    /// Empty, not a token, or followed by a space (RFC 9112, section 5.1).
    #[error("a field name is malformed")]
    BadFieldName,
    /// RFC 9112, section 5.2.
    #[error("a field is folded over several lines")]
    FoldedField,
    /// Control characters (RFC 9110, section 5.5).
    #[error("a field value holds a control character")]
    BadFieldValue,
    /// One field line exceeds `Limits::field_size`.
    #[error("a header field is larger than limit_request_field_size")]
    FieldTooLarge,
    /// More fields than `Limits::fields`.
    #[error("there are more header fields than limit_request_fields")]
    TooManyFields,
    /// The whole head exceeds `Limits::head`.
    #[error("the header fields together are larger than 64 KiB")]
    HeadTooLarge,

    /// RFC 9112, section 3.2.
    #[error("an HTTP/1.1 request has no Host")]
    MissingHost,
    /// RFC 9112, section 3.2.
    #[error("Host is given twice")]
    RepeatedHost,
    /// RFC 9110, section 7.2: `uri-host [ ":" port ]`.
    #[error("Host is malformed")]
    BadHost,
    /// RFC 9112, section 3.2.2, tells the client to send the same in both places.
    #[error("Host is another than the one in the request target")]
    OtherHost,
    /// Two types: the application would see either.
    #[error("Content-Type is given twice")]
    RepeatedContentType,
    /// Not one number, or one that no `u64` holds (RFC 9110, section 8.6).
    #[error("Content-Length is not a number")]
    BadContentLength,
    /// Even when both are equal.
    #[error("Content-Length is given twice")]
    RepeatedContentLength,
    /// RFC 9112, section 6.3: smuggling or splitting.
    #[error("both Content-Length and Transfer-Encoding are given")]
    LengthAndCoding,
    /// `chunked` twice, or not last, or an empty list (RFC 9112, section 6.1).
    #[error("Transfer-Encoding is malformed")]
    BadTransferEncoding,
    /// A coding other than `chunked` (RFC 9112, section 6.1).
    #[error("Transfer-Encoding names a coding other than chunked")]
    UnknownCoding,
    /// RFC 9112, section 6.1.
    #[error("an HTTP/1.0 request has a Transfer-Encoding")]
    CodingBefore11,
    /// RFC 9110, section 10.1.1.
    #[error("an expectation other than 100-continue")]
    UnknownExpectation,

    /// The body exceeds `Limits::body`.
    #[error("the body is larger than limit_request_body")]
    BodyTooLarge,
    /// Not 1 to 16 hexadecimal digits, or not followed by `;` or a line break
    /// (RFC 9112, section 7.1).
    #[error("a chunk size is malformed")]
    BadChunkSize,
    /// Control characters in a chunk extension, or too much of it.
    #[error("a chunk extension is malformed or too long")]
    BadChunkExtension,
    /// The data of a chunk is not followed by a line break.
    #[error("a chunk is longer than its size says")]
    BadChunkEnd,
    /// A trailer that is no field line.
    #[error("a trailer is malformed")]
    BadTrailer,
    /// RFC 9110, section 6.5.1: a field that must come before the body.
    #[error("a trailer is one of the fields that cannot be trailers")]
    ForbiddenTrailer,
    /// More trailers, or larger ones, than the limits for fields.
    #[error("the trailers exceed limit_request_fields or limit_request_field_size")]
    TrailersTooLarge,
}

impl Refusal {
    /// What the client is told.
    pub fn status(&self) -> Status {
        match self {
            Self::BadRequestLine
            | Self::BadMethod
            | Self::BadTarget
            | Self::BadVersion
            | Self::BareLineFeed
            | Self::BareCarriageReturn
            | Self::BadFieldName
            | Self::FoldedField
            | Self::BadFieldValue
            | Self::MissingHost
            | Self::RepeatedHost
            | Self::BadHost
            | Self::OtherHost
            | Self::RepeatedContentType
            | Self::BadContentLength
            | Self::RepeatedContentLength
            | Self::LengthAndCoding
            | Self::BadTransferEncoding
            | Self::CodingBefore11
            | Self::BadChunkSize
            | Self::BadChunkExtension
            | Self::BadChunkEnd
            | Self::BadTrailer
            | Self::ForbiddenTrailer => Status::BAD_REQUEST,
            Self::BodyTooLarge => Status::CONTENT_TOO_LARGE,
            Self::LineTooLong => Status::URI_TOO_LONG,
            Self::UnknownExpectation => Status::EXPECTATION_FAILED,
            Self::FieldTooLarge
            | Self::TooManyFields
            | Self::HeadTooLarge
            | Self::TrailersTooLarge => Status::FIELDS_TOO_LARGE,
            Self::Connect | Self::UnknownCoding => Status::NOT_IMPLEMENTED,
            Self::UnsupportedVersion => Status::VERSION_NOT_SUPPORTED,
        }
    }
}

/// A status code with its reason phrase, for the answers the server gives itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status {
    code: u16,
    reason: &'static str,
}

impl Status {
    /// 400
    pub const BAD_REQUEST: Self = Self::new(400, "Bad Request");
    /// 403
    pub const FORBIDDEN: Self = Self::new(403, "Forbidden");
    /// 408
    pub const REQUEST_TIMEOUT: Self = Self::new(408, "Request Timeout");
    /// 413
    pub const CONTENT_TOO_LARGE: Self = Self::new(413, "Content Too Large");
    /// 414
    pub const URI_TOO_LONG: Self = Self::new(414, "URI Too Long");
    /// 417
    pub const EXPECTATION_FAILED: Self = Self::new(417, "Expectation Failed");
    /// 431
    pub const FIELDS_TOO_LARGE: Self = Self::new(431, "Request Header Fields Too Large");
    /// 500
    pub const INTERNAL_SERVER_ERROR: Self = Self::new(500, "Internal Server Error");
    /// 501
    pub const NOT_IMPLEMENTED: Self = Self::new(501, "Not Implemented");
    /// 502
    pub const BAD_GATEWAY: Self = Self::new(502, "Bad Gateway");
    /// 503
    pub const SERVICE_UNAVAILABLE: Self = Self::new(503, "Service Unavailable");
    /// 504
    pub const GATEWAY_TIMEOUT: Self = Self::new(504, "Gateway Timeout");
    /// 505
    pub const VERSION_NOT_SUPPORTED: Self = Self::new(505, "HTTP Version Not Supported");

    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }

    /// The three digits.
    pub fn code(self) -> u16 {
        self.code
    }

    /// The words after them.
    pub fn reason(self) -> &'static str {
        self.reason
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        refusal.status()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

/// How much of the server's own answer goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Head and body.
    Whole,
    /// The head alone: the request was a HEAD (RFC 9110, section 9.3.2).
    HeadOnly,
}

impl Page {
    /// What may go out to the client that sent `received`: the first bytes of a
    /// request, which may be malformed or incomplete.
    pub fn for_request(received: &[u8]) -> Self {
        let line = received.strip_prefix(b"\r\n").unwrap_or(received);
        if line.starts_with(b"HEAD ") {
            Self::HeadOnly
        } else {
            Self::Whole
        }
    }
}

/// Appends a complete answer of the server's own (to a refused request, after a
/// time-out, for an application that failed). It announces the end of the
/// connection, and says no more than the status: the reason is for the log.
pub fn write_refusal(out: &mut Vec<u8>, status: impl Into<Status>, page: Page, date: &[u8; 29]) {
    const BEFORE: &[u8] = b"<!doctype html>\n<html><head><title>";
    const BETWEEN: &[u8] = b"</title></head>\n<body><h1>";
    const AFTER: &[u8] = b"</h1></body></html>\n";

    let status = status.into();
    let title = "400 ".len() + status.reason.len();
    let length = BEFORE.len() + title + BETWEEN.len() + status.reason.len() + AFTER.len();
    out.reserve(256 + length);
    out.extend_from_slice(b"HTTP/1.1 ");
    write_title(out, status);
    out.extend_from_slice(b"\r\nServer: rgunicorn\r\nDate: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: ");
    write_decimal(out, length as u64);
    out.extend_from_slice(b"\r\n\r\n");
    match page {
        Page::HeadOnly => {}
        Page::Whole => {
            out.extend_from_slice(BEFORE);
            write_title(out, status);
            out.extend_from_slice(BETWEEN);
            out.extend_from_slice(status.reason.as_bytes());
            out.extend_from_slice(AFTER);
        }
    }
}

fn write_title(out: &mut Vec<u8>, status: Status) {
    write_decimal(out, u64::from(status.code));
    out.push(b' ');
    out.extend_from_slice(status.reason.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn the_answer_to_a_refused_request_is_complete_and_closes() {
        let mut out = Vec::new();

        write_refusal(&mut out, Refusal::BadHost, Page::Whole, DATE);

        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            head,
            format!(
                "HTTP/1.1 400 Bad Request\r\nServer: rgunicorn\r\n\
                 Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n\
                 Content-Type: text/html\r\nContent-Length: {}",
                body.len()
            )
        );
        assert!(body.contains("<h1>Bad Request</h1>"), "{body}");
    }

    #[test]
    fn a_refused_head_request_gets_the_head_that_a_get_would_have_got() {
        for request in [&b"HEAD / HTTP/1.1\r\n"[..], b"\r\nHEAD "] {
            let mut get = Vec::new();
            write_refusal(&mut get, Status::REQUEST_TIMEOUT, Page::Whole, DATE);
            let mut head = Vec::new();

            let page = Page::for_request(request);
            write_refusal(&mut head, Status::REQUEST_TIMEOUT, page, DATE);

            assert!(head.ends_with(b"\r\n\r\n"));
            assert!(get.starts_with(&head) && get.len() > head.len());
        }
        for request in [&b"HEA"[..], b"HEADER / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n"] {
            assert_eq!(Page::for_request(request), Page::Whole);
        }
    }
}
