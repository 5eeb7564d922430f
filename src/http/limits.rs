//! How large a request may be.

/// The most a client may ask us to hold. There are no magic values: who wants no
/// limit writes a large number.
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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 4094,
            fields: 100,
            field_size: 8190,
            body: 1 << 30,
        }
    }
}

impl Limits {
    /// The fields of a head may take this much together, or one field of
    /// `field_size` if that is more.
    const FIELDS_TOGETHER: usize = 64 * 1024;

    /// What no setting can exceed, so that positions fit a [`Span`](crate::Span).
    const CEILING: usize = 1 << 30;

    /// The most bytes a whole head may take, from a leading empty line to the last.
    ///
    /// `fields * field_size` alone would let every client pin 800 kB, so all fields
    /// together are held to 64 KiB (or to one field, should that be allowed more).
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
    fn a_head_is_held_to_64_kib_beside_its_request_line() {
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
