//! How large a request may be, and what else may be in it.

use crate::permit::Permit;

/// The most that is read of a request. No value means "no limit": a large number does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in the request line, without its line break.
    pub line: usize,
    /// Fields in a head, and again in the trailers of a chunked body.
    pub fields: usize,
    /// Bytes in one field line, with its line break.
    pub field_size: usize,
    /// Bytes in a request body, after decoding.
    pub body: u64,
    /// In heads; the trailers of a body are read strictly.
    pub permit: Permit,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 4094,
            fields: 100,
            field_size: 8190,
            body: 1 << 30,
            permit: Permit::default(),
        }
    }
}

impl Limits {
    /// The most bytes of all fields together, unless `field_size` is more.
    const FIELDS_TOGETHER: usize = 64 * 1024;

    /// The most bytes of a head with any settings: positions have to fit a
    /// [`Span`](crate::Span).
    const CEILING: usize = 1 << 30;

    /// The most bytes of a whole head, from a leading empty line to the last. With the
    /// defaults, `fields * field_size` alone would let each client take 800 kB of memory.
    pub fn head(&self) -> usize {
        let together = Self::FIELDS_TOGETHER.max(self.field_size);
        let fields = self.fields.saturating_mul(self.field_size).min(together);
        let line_breaks = b"\r\n\r\n\r\n".len();
        self.line
            .saturating_add(fields)
            .saturating_add(line_breaks)
            .min(Self::CEILING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_head_are_limited_to_64_kib() {
        assert_eq!(Limits::default().head(), 4094 + 65_536 + 6);
    }

    #[test]
    fn few_small_fields_lower_the_limit_of_a_head() {
        let limits = Limits {
            fields: 3,
            field_size: 100,
            ..Limits::default()
        };

        assert_eq!(limits.head(), 4094 + 300 + 6);
    }

    #[test]
    fn one_large_field_raises_the_limit_of_a_head() {
        let limits = Limits {
            field_size: 100_000,
            ..Limits::default()
        };

        assert_eq!(limits.head(), 4094 + 100_000 + 6);
    }
}
