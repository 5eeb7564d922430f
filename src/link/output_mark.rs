//! The mark that a worker puts in front of what the application writes while it serves a
//! request, in the same write: it names the request. The master takes it off again.
//!
//! An application that writes one itself only says which request its own line is about.

const START: &[u8] = b"\x01rgunicorn-request=";
const END: u8 = 2;

/// The longest name of a request, in bytes.
const LONGEST: usize = 128;

/// The mark of a request, whose name is visible ASCII.
pub fn of(request: &str) -> Vec<u8> {
    let mut mark = Vec::with_capacity(START.len() + request.len() + 1);
    mark.extend_from_slice(START);
    mark.extend_from_slice(request.as_bytes());
    mark.push(END);
    mark
}

/// The name of the request, and what follows its mark, if `bytes` begin with one.
pub fn take(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(START)?;
    let name = rest
        .iter()
        .take(LONGEST + 1)
        .position(|byte| *byte == END)?;
    let (name, rest) = (&rest[..name], &rest[name + 1..]);
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    std::str::from_utf8(name).ok().map(|name| (name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_taken_off_and_names_its_request() {
        let mut written = of("8c1d-of-the-proxy");
        written.extend_from_slice(b"a line\n");

        assert_eq!(
            take(&written),
            Some(("8c1d-of-the-proxy", &b"a line\n"[..]))
        );
    }

    #[test]
    fn what_only_looks_like_a_mark_is_text() {
        let long = of(&"x".repeat(LONGEST + 1));
        for bytes in [
            &b"a line\n"[..],
            b"",
            b"\x01rgunicorn-request=",
            b"\x01rgunicorn-request=\x02a line\n",
            b"\x01rgunicorn-request=two words\x02a line\n",
            b"\x01rgunicorn-request=\xff\x02a line\n",
            &long,
        ] {
            assert_eq!(take(bytes), None, "{bytes:?}");
        }
    }
}
