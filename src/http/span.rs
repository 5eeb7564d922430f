//! A place in a buffer, so that a parsed head borrows and copies nothing.

/// A range of bytes in the buffer a head was parsed from. Positions fit because
/// [`Limits::head`](crate::Limits::head) keeps a head far below 4 GiB.
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

    /// The bytes, given the buffer the span was made from.
    ///
    /// # Panics
    ///
    /// When `buffer` is shorter than the one that was parsed.
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start()..self.end()]
    }

    /// Whether there is nothing in it.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// How many bytes it covers.
    pub fn len(self) -> usize {
        self.end() - self.start()
    }

    /// Where it begins.
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// Where it ends: the position after the last byte.
    pub fn end(self) -> usize {
        self.end as usize
    }
}
