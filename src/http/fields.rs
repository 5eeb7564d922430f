//! The request fields that the server acts on: they decide where the body ends, whether
//! the connection is kept, whether the client waits for `100 Continue`.

use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::request::{Field, Framing, Span, Version};
use crate::syntax::{decimal, elements};
use crate::target::is_host;

/// Collected field by field, judged together at the end of the head.
#[derive(Debug, Default)]
pub(crate) struct KnownFields {
    host: Option<Span>,
    has_content_type: bool,
    length: Option<u64>,
    coding: Option<Coding>,
    connection: ConnectionOptions,
    expects: Option<Expectation>,
}

/// The options of all `Connection` fields together.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct ConnectionOptions {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
}

#[derive(Debug, Clone, Copy)]
enum Coding {
    /// `chunked`, and nothing else.
    Chunked,
    Unknown,
}

#[derive(Debug, Clone, Copy)]
enum Expectation {
    Continue,
    Unknown,
}

impl KnownFields {
    pub(crate) fn add(&mut self, buffer: &[u8], field: &Field) -> Result<(), Refusal> {
        let name = field.name.of(buffer);
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is(b"host") => self.add_host(buffer, field.value),
            6 if is(b"expect") => {
                self.add_expectation(field.value.of(buffer));
                Ok(())
            }
            10 if is(b"connection") => {
                self.connection.add(field.value.of(buffer));
                Ok(())
            }
            12 if is(b"content-type") => self.add_content_type(),
            14 if is(b"content-length") => self.add_length(field.value.of(buffer)),
            17 if is(b"transfer-encoding") => self.add_coding(field.value.of(buffer)),
            _ => Ok(()),
        }
    }

    fn add_host(&mut self, buffer: &[u8], value: Span) -> Result<(), Refusal> {
        if self.host.replace(value).is_some() {
            return Err(Refusal::RepeatedHost);
        }
        if is_host(value.of(buffer)) {
            Ok(())
        } else {
            Err(Refusal::BadHost)
        }
    }

    fn add_content_type(&mut self) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.has_content_type, true) {
            return Err(Refusal::RepeatedContentType);
        }
        Ok(())
    }

    /// Whether Host is there if it has to be, and names the same as the URL in the
    /// request line if that has an authority.
    pub(crate) fn check_host(
        &self,
        buffer: &[u8],
        version: Version,
        authority: Option<Span>,
    ) -> Result<(), Refusal> {
        match (self.host, authority) {
            (None, _) if version == Version::Http11 => Err(Refusal::MissingHost),
            (Some(host), Some(authority))
                if !authority.of(buffer).eq_ignore_ascii_case(host.of(buffer)) =>
            {
                Err(Refusal::OtherHost)
            }
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    /// RFC 9112, section 6.3, lets a recipient merge equal values. No client needs
    /// that, and a proxy before us may read them otherwise.
    fn add_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let length = decimal(value).ok_or(Refusal::BadContentLength)?;
        match self.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Refusal::RepeatedContentLength),
        }
    }

    fn add_coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
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

    fn add_expectation(&mut self, value: &[u8]) {
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

impl ConnectionOptions {
    /// Adds the options of one `Connection` field.
    pub(crate) fn add(&mut self, value: &[u8]) {
        for option in elements(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}
