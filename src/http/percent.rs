//! Percent-decoding of paths.

use memchr::memchr;

use crate::syntax::hexadecimal;

/// Appends `path` to `out` with every `%HH` replaced by its byte. What only looks
/// like an escape stays as it is, as in Python's `urllib.parse.unquote_to_bytes`.
pub fn percent_decode(path: &[u8], out: &mut Vec<u8>) {
    let mut rest = path;
    while let Some(at) = memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let escaped = match rest {
            [_, high, low, ..] => hexadecimal(*high).zip(hexadecimal(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            out.push(high << 4 | low);
            rest = &rest[3..];
        } else {
            out.push(b'%');
            rest = &rest[1..];
        }
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(path: &[u8]) -> Vec<u8> {
        let mut out = b">".to_vec();
        percent_decode(path, &mut out);
        out
    }

    #[test]
    fn escapes_become_bytes() {
        assert_eq!(decoded(b"/plain/path"), b">/plain/path");
        assert_eq!(decoded(b"/caf%C3%a9%20"), b">/caf\xc3\xa9 ");
        assert_eq!(decoded(b"%00%0D%0a"), b">\0\r\n");
    }

    #[test]
    fn nothing_is_decoded_twice() {
        assert_eq!(decoded(b"%2541"), b">%41");
        assert_eq!(decoded(b"%%341"), b">%41");
    }

    #[test]
    fn what_is_no_escape_stays() {
        for path in [
            &b"%"[..],
            b"/100%",
            b"%4",
            b"%zz/",
            b"%4g",
            b"%u0041",
            b"%%",
        ] {
            let mut expected = b">".to_vec();
            expected.extend_from_slice(path);
            assert_eq!(decoded(path), expected);
        }
    }
}
