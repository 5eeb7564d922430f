//! What a request head is made of: spans, fields, version, framing.

/// The protocol version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    Http10,
    /// Also what came as a higher minor version.
    Http11,
}

/// How the body of a request is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
}

impl Framing {
    pub fn has_body(self) -> bool {
        match self {
            Self::None | Self::Length(0) => false,
            Self::Length(_) | Self::Chunked => true,
        }
    }
}

/// A header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name, as the client wrote it.
    pub name: Span,
    /// The value, without the blanks around it.
    pub value: Span,
}

/// A range of bytes in the buffer a head was parsed from: a parsed head copies nothing
/// and borrows nothing. Positions fit because [`Limits::head`](crate::Limits::head) keeps
/// a head far below 4 GiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// From `start` up to `end`, both below [`Limits::head`](crate::Limits::head).
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a head is at most 1 GiB long"
    )]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && u32::try_from(end).is_ok());
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// Where `part` lies in `buffer`, of which it is a slice.
    pub(crate) fn locate(buffer: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr() - buffer.as_ptr().addr();
        Self::new(start, start + part.len())
    }

    /// The bytes, from the buffer that was parsed.
    ///
    /// # Panics
    ///
    /// When `buffer` is shorter than the one that was parsed.
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start()..self.end()]
    }

    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub fn len(self) -> usize {
        self.end() - self.start()
    }

    pub fn start(self) -> usize {
        self.start as usize
    }

    /// The position after the last byte.
    pub fn end(self) -> usize {
        self.end as usize
    }
}
