//! What the fields of a request mean to the server: where the body ends, whether
//! the connection stays, whether the client waits for a word.

use crate::head::{Field, Framing, Version};
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::span::Span;
use crate::syntax::{decimal, elements};
use crate::target::is_host;

/// The fields that matter here, collected one by one and judged together.
#[derive(Debug, Default)]
pub(crate) struct Meaning {
    pub(crate) host: Option<Span>,
    pub(crate) content_type: Option<Span>,
    length: Option<u64>,
    coding: Option<Coding>,
    pub(crate) connection: Connection,
    expects: Option<Expectation>,
}

/// The options of all `Connection` fields together.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Connection {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
}

/// What a Transfer-Encoding says.
#[derive(Debug, Clone, Copy)]
enum Coding {
    /// `chunked`, and nothing else.
    Chunked,
    /// Something we do not know.
    Unknown,
}

/// What an Expect says.
#[derive(Debug, Clone, Copy)]
enum Expectation {
    Continue,
    Unknown,
}

impl Meaning {
    /// Takes note of `field`.
    pub(crate) fn note(&mut self, buffer: &[u8], field: &Field) -> Result<(), Refusal> {
        let name = field.name.of(buffer);
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is(b"host") => self.note_host(buffer, field.value),
            6 if is(b"expect") => {
                self.note_expectation(field.value.of(buffer));
                Ok(())
            }
            10 if is(b"connection") => {
                self.connection.note(field.value.of(buffer));
                Ok(())
            }
            12 if is(b"content-type") => match self.content_type.replace(field.value) {
                None => Ok(()),
                Some(_) => Err(Refusal::RepeatedContentType),
            },
            14 if is(b"content-length") => self.note_length(field.value.of(buffer)),
            17 if is(b"transfer-encoding") => self.note_coding(field.value.of(buffer)),
            _ => Ok(()),
        }
    }

    fn note_host(&mut self, buffer: &[u8], value: Span) -> Result<(), Refusal> {
        if self.host.replace(value).is_some() {
            return Err(Refusal::RepeatedHost);
        }
        if is_host(value.of(buffer)) {
            Ok(())
        } else {
            Err(Refusal::BadHost)
        }
    }

    /// RFC 9112, section 6.3, lets a recipient merge equal values. Nobody needs it,
    /// and another reader may not.
    fn note_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let length = decimal(value).ok_or(Refusal::BadContentLength)?;
        match self.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Refusal::RepeatedContentLength),
        }
    }

    fn note_coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let coding = if value.eq_ignore_ascii_case(b"chunked") {
            Coding::Chunked
        } else {
            let mut chunked = false;
            for element in elements(value) {
                if chunked || element.is_empty() {
                    return Err(Refusal::BadTransferEncoding);
                }
                chunked = element.eq_ignore_ascii_case(b"chunked");
            }
            Coding::Unknown
        };
        match self.coding.replace(coding) {
            None => Ok(()),
            Some(_) => Err(Refusal::BadTransferEncoding),
        }
    }

    fn note_expectation(&mut self, value: &[u8]) {
        let known = elements(value)
            .filter(|element| !element.is_empty())
            .all(|element| element.eq_ignore_ascii_case(b"100-continue"));
        match (known, self.expects) {
            (true, None | Some(Expectation::Continue)) => {
                self.expects = Some(Expectation::Continue);
            }
            (false, _) | (true, Some(Expectation::Unknown)) => {
                self.expects = Some(Expectation::Unknown);
            }
        }
    }

    /// How the body is delimited (RFC 9112, section 6.3).
    pub(crate) fn framing(&self, version: Version, limits: &Limits) -> Result<Framing, Refusal> {
        match (self.coding, self.length) {
            (None, None) => Ok(Framing::None),
            (None, Some(length)) if length > limits.body => Err(Refusal::BodyTooLarge),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (Some(_), Some(_)) => Err(Refusal::LengthAndCoding),
            (Some(coding), None) => match (version, coding) {
                (Version::Http10, _) => Err(Refusal::CodingBefore11),
                (Version::Http11, Coding::Chunked) => Ok(Framing::Chunked),
                (Version::Http11, Coding::Unknown) => Err(Refusal::UnknownCoding),
            },
        }
    }

    /// Whether the client allows another request on its connection
    /// (RFC 9112, section 9.3).
    pub(crate) fn keep_alive(&self, version: Version) -> bool {
        match version {
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
            Version::Http11 => !self.connection.close,
        }
    }

    /// Whether the client waits for `100 Continue` before it sends its body
    /// (RFC 9110, section 10.1.1).
    pub(crate) fn expect_continue(
        &self,
        version: Version,
        framing: Framing,
    ) -> Result<bool, Refusal> {
        match (version, self.expects) {
            (Version::Http10, _) | (Version::Http11, None) => Ok(false),
            (Version::Http11, Some(Expectation::Unknown)) => Err(Refusal::UnknownExpectation),
            (Version::Http11, Some(Expectation::Continue)) => Ok(framing.has_body()),
        }
    }
}

impl Connection {
    /// Takes note of the options in one `Connection` field.
    pub(crate) fn note(&mut self, value: &[u8]) {
        for option in elements(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}
