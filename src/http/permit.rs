//! What of a request may deviate from HTTP/1.1, and how it is rewritten then.
//!
//! A rewritten head is as long as before, so that it takes the place of what the client
//! sent: parsers behind this one, and whoever uses the spans of a [`Head`](crate::Head),
//! know only the regular form.

use memchr::memchr;

/// Deviations that are let pass. All of them are refused by default: proxies differ on
/// them, which is what request smuggling lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own, and any of them can be set"
)]
pub struct Permit {
    /// A field over several lines (RFC 9112, section 5.2). The lines are joined by a space.
    pub folded_fields: bool,
    /// Blanks between a field's name and its colon (RFC 9112, section 5.1). They are
    /// removed.
    pub blanks_before_colon: bool,
    /// Methods with lower-case letters or `#`, shorter than 3 characters or longer than 20.
    pub any_method: bool,
    /// Versions with another major number than 1: 0 is read as HTTP/1.0, all others as
    /// HTTP/1.1.
    pub any_version: bool,
    /// Methods become upper case. Those with lower-case letters come only with `any_method`.
    pub upper_case_method: bool,
}

impl Default for Permit {
    fn default() -> Self {
        Self::NOTHING
    }
}

impl Permit {
    pub const NOTHING: Self = Self {
        folded_fields: false,
        blanks_before_colon: false,
        any_method: false,
        any_version: false,
        upper_case_method: false,
    };

    /// Whether a head may have to be rewritten.
    pub(crate) fn rewrites(self) -> bool {
        self.folded_fields || self.blanks_before_colon || self.upper_case_method
    }
}

/// The head in its regular form; `None` if it has that already. `head` is complete, and
/// each of its lines ends with CR LF.
pub(crate) fn regular(head: &[u8], permit: Permit) -> Option<Vec<u8>> {
    if !permit.rewrites() {
        return None;
    }
    let mut regular = head.to_vec();
    let start = if head.starts_with(b"\r\n") { 2 } else { 0 };
    let fields = line_end(head, start);
    if permit.upper_case_method {
        let method = memchr(b' ', &head[start..fields]).unwrap_or(0);
        regular[start..start + method].make_ascii_uppercase();
    }
    if permit.blanks_before_colon {
        for_each_line(head, fields, |begin, end| {
            move_colon(&mut regular[begin..end]);
        });
    }
    if permit.folded_fields {
        unfold(&mut regular, fields);
    }
    (regular != head).then_some(regular)
}

/// Where the line at `start` ends, with its line break.
fn line_end(head: &[u8], start: usize) -> usize {
    memchr(b'\n', &head[start..]).map_or(head.len(), |at| start + at + 1)
}

fn for_each_line(head: &[u8], start: usize, mut visit: impl FnMut(usize, usize)) {
    let mut begin = start;
    while begin < head.len() {
        let end = line_end(head, begin);
        visit(begin, end);
        begin = end;
    }
}

/// `Name : value` becomes `Name:  value`. A line that begins with a blank belongs to the one
/// before it, and has no name.
fn move_colon(line: &mut [u8]) {
    let Some(colon) = memchr(b':', line) else {
        return;
    };
    if line.first().copied().is_some_and(is_blank) {
        return;
    }
    let name = &line[..colon];
    let blanks = name.iter().rev().take_while(|byte| is_blank(**byte));
    let end = colon - blanks.count();
    line[colon] = b' ';
    line[end] = b':';
}

/// Joins the lines of each field, one space between them, and pads the field with blanks to
/// its former length. What has no colon in its first line is no field, and stays.
fn unfold(head: &mut [u8], fields: usize) {
    let original = head.to_vec();
    let mut begin = fields;
    while begin < original.len() {
        let first_end = line_end(&original, begin);
        let mut end = first_end;
        while original.get(end).copied().is_some_and(is_blank) {
            end = line_end(&original, end);
        }
        if end > first_end && memchr(b':', &original[begin..first_end]).is_some() {
            let mut at = begin;
            for_each_line(&original[..end], begin, |line, line_end| {
                let part = trim_line(&original[line..line_end], line > begin);
                if line > begin {
                    head[at] = b' ';
                    at += 1;
                }
                head[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            });
            head[at..end - 2].fill(b' ');
        }
        begin = end;
    }
}

/// A line without its line break and the blanks before that, and without leading blanks if
/// it goes on with a field.
fn trim_line(line: &[u8], goes_on: bool) -> &[u8] {
    let mut part = line.strip_suffix(b"\r\n").unwrap_or(line);
    while let [rest @ .., b' ' | b'\t'] = part {
        part = rest;
    }
    while let ([b' ' | b'\t', rest @ ..], true) = (part, goes_on) {
        part = rest;
    }
    part
}

pub(crate) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDED: Permit = Permit {
        folded_fields: true,
        ..Permit::NOTHING
    };
    const BLANKS: Permit = Permit {
        blanks_before_colon: true,
        ..Permit::NOTHING
    };
    #[track_caller]
    fn assert_regular(permit: Permit, fields: &str, expected: &str) {
        let head = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n").into_bytes();
        let before = head(fields);
        let after = regular(&before, permit).unwrap_or_else(|| before.clone());
        assert_eq!(
            String::from_utf8_lossy(&after),
            String::from_utf8_lossy(&head(expected))
        );
    }

    #[test]
    fn the_lines_of_a_field_are_joined_by_one_space() {
        assert_regular(FOLDED, "a: b\r\n c\r\n", "a: b c  \r\n");
        assert_regular(
            FOLDED,
            "a: b \t\r\n\t c\r\n d\r\ne: f\r\n",
            "a: b c d       \r\ne: f\r\n",
        );
        assert_regular(FOLDED, "a:\r\n b\r\n", "a: b  \r\n");
        assert_regular(FOLDED, "a: b\r\n \r\n", "a: b   \r\n");
    }

    #[test]
    fn lines_that_go_on_with_nothing_stay() {
        for fields in [" a: b\r\n", "a\r\n b: c\r\n", "a: b\r\nc: d\r\n", ""] {
            assert_regular(FOLDED, fields, fields);
        }
    }

    #[test]
    fn blanks_go_from_before_the_colon_to_behind_it() {
        assert_regular(
            BLANKS,
            "a : b\r\nc\t :d\r\n",
            "a:  b\r\nc:\t d\r\n".replace('\t', " ").as_str(),
        );
        assert_regular(BLANKS, "a: b : c\r\n", "a: b : c\r\n");
        assert_regular(BLANKS, "a b : c\r\n", "a b:  c\r\n");
        for fields in [" a : b\r\n", "a b\r\n", "a:b\r\n", ": b\r\n"] {
            assert_regular(BLANKS, fields, fields);
        }
    }

    #[test]
    fn without_a_permission_nothing_is_rewritten() {
        let head = b"get / HTTP/1.1\r\na : b\r\n c\r\n\r\n";

        assert_eq!(regular(head, Permit::NOTHING), None);
    }

    #[test]
    fn the_method_alone_becomes_upper_case() {
        let permit = Permit {
            upper_case_method: true,
            ..Permit::NOTHING
        };

        assert_eq!(
            regular(b"\r\nget /a HTTP/1.1\r\na: b\r\n\r\n", permit).as_deref(),
            Some(&b"\r\nGET /a HTTP/1.1\r\na: b\r\n\r\n"[..])
        );
        assert_eq!(regular(b"GET /a HTTP/1.1\r\n\r\n", permit), None);
    }
}
