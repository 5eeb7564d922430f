//! Values in a record: one line, and harmless to a terminal.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The most bytes that a record has of one value.
const MAX_VALUE: usize = 8192;

/// What stands for the rest.
const CUT: &[u8] = b"...";

/// Adds a value. A quotation mark gets a backslash in front, as with Gunicorn; so does a
/// backslash, and what is not printable ASCII becomes `\xHH`. So nobody can end a value
/// that stands in quotation marks, and write the rest of the line himself.
pub(super) fn push_escaped(out: &mut Vec<u8>, value: &[u8]) {
    let (value, rest) = match value.split_at_checked(MAX_VALUE) {
        Some((value, rest)) if !rest.is_empty() => (value, CUT),
        Some(_) | None => (value, &b""[..]),
    };
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    // Without a branch for each byte: it is nearly always true.
    if value
        .iter()
        .fold(true, |plain, byte| plain & is_plain(*byte))
    {
        out.extend_from_slice(value);
    } else {
        for &byte in value {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                _ if is_plain(byte) => out.push(byte),
                _ => {
                    let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble & 15)];
                    out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte)]);
                }
            }
        }
    }
    out.extend_from_slice(rest);
}

/// The name of the user in the value of an Authorization field.
pub(super) fn user(authorization: &[u8]) -> Option<Vec<u8>> {
    let (scheme, credentials) = authorization.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut decoded = STANDARD.decode(credentials.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':');
    decoded.truncate(colon.unwrap_or(decoded.len()));
    Some(decoded).filter(|user| !user.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(value: &[u8]) -> String {
        let mut out = Vec::new();
        push_escaped(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_value_can_neither_end_its_line_nor_its_quotation_marks() {
        assert_eq!(escaped(b"plain ~ value"), "plain ~ value");
        assert_eq!(escaped(b"a\"b\\"), r#"a\"b\\"#);
        assert_eq!(escaped(b"a\nb\r\x1b[31m\x7f"), r"a\x0Ab\x0D\x1B[31m\x7F");
        assert_eq!(escaped("é".as_bytes()), r"\xC3\xA9");
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(escaped(&[b'a'; MAX_VALUE]).len(), MAX_VALUE);
        let cut = escaped(&[b'a'; MAX_VALUE + 1]);
        assert_eq!(cut.len(), MAX_VALUE + 3);
        assert!(cut.ends_with("a..."));
    }

    #[test]
    fn the_user_is_the_one_of_basic_authorization() {
        assert_eq!(user(b"Basic dXNlcjpwYXNz"), Some(b"user".to_vec()));
        assert_eq!(user(b"basic  dXNlcg== "), Some(b"user".to_vec()));
        for other in [
            &b"Basic !!!"[..],
            b"Basic",
            b"Bearer dXNlcjpwYXNz",
            b"",
            b"Basic OnBhc3M=",
        ] {
            assert_eq!(user(other), None);
        }
    }
}
