//! Every reason to refuse a request: what the log says and which status the client
//! gets; and the error pages.

use std::fmt;

use crate::response::{ResponseContext, ResponseError, ResponseHead};
use crate::response_body::ResponseBody;

/// Why a request is refused. After a refusal no more requests can be read from the
/// connection: where the next one begins is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// No PROXY protocol that could be understood, after its first bytes.
    #[error("the PROXY protocol header is malformed")]
    BadProxyHeader,
    #[error(
        "the connection begins without a PROXY protocol header, which proxy_protocol_required asks for"
    )]
    NoProxyHeader,
    #[error("proxy_allow_ips does not have the peer that speaks the PROXY protocol")]
    ForbiddenProxy,

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
    #[error("the HTTP version is malformed")]
    BadVersion,
    /// A well-formed version whose major number is not 1.
    #[error("the HTTP version is not 1.x")]
    UnsupportedVersion,
    /// For tunnels through a proxy (RFC 9110, section 9.3.6).
    #[error("CONNECT is not supported")]
    Connect,
    /// The request line exceeds `Limits::line`.
    #[error("the request line is longer than limit_request_line")]
    LineTooLong,

    /// RFC 9112, section 2.2, lets a recipient accept a lone LF; proxies differ on it.
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
    #[error("Host differs from the host in the request target")]
    OtherHost,
    /// The application would see only one of them.
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
    #[error("Expect is not 100-continue")]
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
    /// A trailer that is not a field line.
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
    pub fn status(&self) -> Status {
        match self {
            Self::BadProxyHeader
            | Self::NoProxyHeader
            | Self::BadRequestLine
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
            Self::ForbiddenProxy => Status::FORBIDDEN,
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
    pub const BAD_REQUEST: Self = Self::new(400, "Bad Request");
    pub const FORBIDDEN: Self = Self::new(403, "Forbidden");
    pub const REQUEST_TIMEOUT: Self = Self::new(408, "Request Timeout");
    pub const CONTENT_TOO_LARGE: Self = Self::new(413, "Content Too Large");
    pub const URI_TOO_LONG: Self = Self::new(414, "URI Too Long");
    pub const EXPECTATION_FAILED: Self = Self::new(417, "Expectation Failed");
    pub const FIELDS_TOO_LARGE: Self = Self::new(431, "Request Header Fields Too Large");
    pub const INTERNAL_SERVER_ERROR: Self = Self::new(500, "Internal Server Error");
    pub const NOT_IMPLEMENTED: Self = Self::new(501, "Not Implemented");
    pub const SERVICE_UNAVAILABLE: Self = Self::new(503, "Service Unavailable");
    pub const VERSION_NOT_SUPPORTED: Self = Self::new(505, "HTTP Version Not Supported");

    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }

    pub fn code(self) -> u16 {
        self.code
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

/// Appends a complete response of the server's own: to a refused request, after a
/// time-out, for an application that failed. The page says no more than the status: the
/// reason is for the log.
pub fn write_error_page(
    out: &mut Vec<u8>,
    context: ResponseContext,
    status: Status,
    date: &[u8; 29],
) -> Result<ResponseBody, ResponseError> {
    let title = status.to_string();
    let page = format!(
        "<!doctype html>\n<html><head><title>{title}</title></head>\n\
         <body><h1>{}</h1></body></html>\n",
        status.reason
    );
    let mut head = ResponseHead::begin(out, context, title.as_bytes())?;
    head.field(b"Content-Type", b"text/html")?;
    if status == Status::SERVICE_UNAVAILABLE {
        // Another process may have room, or this one in a moment.
        head.field(b"Retry-After", b"1")?;
    }
    let mut body = head.finish(Some(page.len() as u64), date);
    body.write(page.as_bytes(), out);
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(context: ResponseContext, status: Status) -> (String, String) {
        let mut out = Vec::new();
        let _ =
            write_error_page(&mut out, context, status, b"Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    #[test]
    fn the_page_for_a_refused_request_is_complete_and_closes() {
        let refused = ResponseContext::of_refused(b"GET / HT");

        let (head, body) = page(refused, Refusal::BadHost.status());

        assert_eq!(
            head,
            format!(
                "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\
                 Server: rgunicorn\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                 Content-Length: {}\r\nConnection: close",
                body.len()
            )
        );
        assert!(body.contains("<h1>Bad Request</h1>"), "{body}");
    }

    #[test]
    fn a_client_is_told_when_to_try_again() {
        let (head, _) = page(
            ResponseContext::of_refused(b""),
            Status::SERVICE_UNAVAILABLE,
        );

        assert!(head.contains("\r\nRetry-After: 1\r\n"), "{head}");
    }

    #[test]
    fn a_refused_head_request_gets_the_head_that_a_get_would_have_got() {
        let status = Status::REQUEST_TIMEOUT;
        let (head_of_get, _) = page(ResponseContext::of_refused(b"GET / HTTP/1.1"), status);

        for request in [&b"HEAD / HTTP/1.1\r\n"[..], b"\r\nHEAD "] {
            let (head, body) = page(ResponseContext::of_refused(request), status);

            assert_eq!((head, body), (head_of_get.clone(), String::new()));
        }
        for request in [&b"HEA"[..], b"HEADER / HTTP/1.1\r\n", b""] {
            assert!(!ResponseContext::of_refused(request).head_only);
        }
    }
}
