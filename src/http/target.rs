//! The parts of a request line: method, target, version; and Host values.

use memchr::{memchr, memchr2};

use crate::permit::Permit;
use crate::refusal::Refusal;
use crate::request::Span;
use crate::syntax::{is_host_byte, is_token_byte};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// All before `?` and `#`.
    pub(crate) path: Span,
    /// All between `?` and `#`.
    pub(crate) query: Span,
    /// Only an absolute URL has one.
    pub(crate) authority: Option<Span>,
}

/// A byte that a method may hold. Gunicorn's rule: a token without lower-case
/// letters and `#`. Methods are case-sensitive (RFC 9110, section 9.1), and none in use
/// has lower-case letters.
pub(crate) fn is_method_byte(byte: u8, permit: Permit) -> bool {
    is_token_byte(byte) && (permit.any_method || !byte.is_ascii_lowercase() && byte != b'#')
}

/// A method has 3 to 20 characters, as with Gunicorn.
fn is_method(method: &[u8], permit: Permit) -> bool {
    let is_length_good = (3..=20).contains(&method.len());
    (is_length_good || permit.any_method && !method.is_empty())
        && method.iter().all(|byte| is_method_byte(*byte, permit))
}

/// Whether `target` consists of visible ASCII characters.
fn is_visible(target: &[u8]) -> bool {
    target.iter().fold(!target.is_empty(), |good, byte| {
        good & byte.is_ascii_graphic()
    })
}

/// Checks `line`, a request line without its line break (RFC 9112, section 3).
pub(crate) fn check_request_line(line: &[u8], permit: Permit) -> Result<(), Refusal> {
    if memchr(b'\r', line).is_some() {
        return Err(Refusal::BareCarriageReturn);
    }
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refusal::BadRequestLine);
    };
    check_words(method, target, permit)?;
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'] => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] if permit.any_version => {
            Ok(())
        }
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Refusal::UnsupportedVersion)
        }
        [..] => Err(Refusal::BadVersion),
    }
}

/// Checks what can be said of a method and a target without knowing the host.
pub(crate) fn check_words(method: &[u8], target: &[u8], permit: Permit) -> Result<(), Refusal> {
    if !is_method(method, permit) {
        return Err(Refusal::BadMethod);
    }
    // In lower case, too: somebody else may take that for the same.
    if method.eq_ignore_ascii_case(b"CONNECT") {
        return Err(Refusal::Connect);
    }
    if !is_visible(target) {
        return Err(Refusal::BadTarget);
    }
    Ok(())
}

/// Reads the request target of `method` (RFC 9112, section 3.2). `target` has to be
/// visible ASCII already.
pub(crate) fn read(buffer: &[u8], method: &[u8], target: Span) -> Result<Target, Refusal> {
    let bytes = target.of(buffer);
    match bytes {
        [b'/', ..] => Ok(split(buffer, target.start(), target.end(), None)),
        b"*" if method == b"OPTIONS" => Ok(Target {
            path: target,
            query: Span::new(target.end(), target.end()),
            authority: None,
        }),
        [..] => absolute(buffer, target),
    }
}

/// `http://authority/path?query`. The scheme is not used: whether TLS is used is
/// known from the connection.
fn absolute(buffer: &[u8], target: Span) -> Result<Target, Refusal> {
    let bytes = target.of(buffer);
    let colon = memchr(b':', bytes).ok_or(Refusal::BadTarget)?;
    let (scheme, rest) = bytes.split_at(colon);
    let is_http = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
    if !is_http || !rest.starts_with(b"://") {
        return Err(Refusal::BadTarget);
    }
    let start = target.start() + colon + "://".len();
    let after = &buffer[start..target.end()];
    let length = after
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(after.len());
    let authority = Span::new(start, start + length);
    // An empty host is no http URL, and user information has no place in one here
    // (RFC 9110, sections 4.2.1 and 4.2.4).
    if length == 0 || after[0] == b':' || !is_host(authority.of(buffer)) {
        return Err(Refusal::BadTarget);
    }
    Ok(split(
        buffer,
        authority.end(),
        target.end(),
        Some(authority),
    ))
}

/// Divides path, query and fragment. A fragment does not belong here; it is cut off,
/// as Gunicorn and nginx do.
fn split(buffer: &[u8], start: usize, end: usize, authority: Option<Span>) -> Target {
    let bytes = &buffer[start..end];
    let mut query = Span::new(end, end);
    let mut path = Span::new(start, end);
    if let Some(at) = memchr2(b'?', b'#', bytes) {
        path = Span::new(start, start + at);
        if bytes[at] == b'?' {
            let after = &bytes[at + 1..];
            let length = memchr(b'#', after).unwrap_or(after.len());
            query = Span::new(start + at + 1, start + at + 1 + length);
        }
    }
    if let Some(authority) = authority.filter(|_| path.is_empty()) {
        // `http://host` means `http://host/` (RFC 9110, section 4.2.3). A span needs a
        // slash to point to: the one before the authority.
        path = Span::new(authority.start() - 1, authority.start());
    }
    Target {
        path,
        query,
        authority,
    }
}

/// Appends `path` to `out`, percent-decoded. What only looks like an escape stays as it
/// is, as in Python's `urllib.parse.unquote_to_bytes`.
pub fn percent_decode(path: &[u8], out: &mut Vec<u8>) {
    match memchr(b'%', path) {
        // Most paths: copied whole, not byte by byte.
        None => out.extend_from_slice(path),
        Some(_) => out.extend(percent_encoding::percent_decode(path)),
    }
}

/// `uri-host [ ":" port ]` (RFC 9110, section 7.2). Empty is allowed: a client whose
/// URL has no authority says so.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let port = if let [b'[', rest @ ..] = value {
        let Some(end) = memchr(b']', rest) else {
            return false;
        };
        let (address, port) = (&rest[..end], &rest[end + 1..]);
        if address.is_empty() || !address.iter().all(|byte| is_address_byte(*byte)) {
            return false;
        }
        port
    } else {
        let end = value
            .iter()
            .position(|byte| !is_host_byte(*byte))
            .unwrap_or(value.len());
        let (name, port) = value.split_at(end);
        if !has_good_escapes(name) {
            return false;
        }
        port
    };
    match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        [..] => false,
    }
}

/// A character of an IPv6 or future address, which may have a zone.
fn is_address_byte(byte: u8) -> bool {
    byte == b':' || is_host_byte(byte)
}

/// Every `%` begins an escape.
fn has_good_escapes(name: &[u8]) -> bool {
    let mut rest = name;
    while let Some(at) = memchr(b'%', rest) {
        match &rest[at + 1..] {
            [high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = after;
            }
            [..] => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(method: &[u8], target: &str) -> Result<(String, String, Option<String>), Refusal> {
        let buffer = target.as_bytes();
        let text = |span: Span| String::from_utf8(span.of(buffer).to_vec()).unwrap();
        let target = read(buffer, method, Span::new(0, buffer.len()))?;
        Ok((
            text(target.path),
            text(target.query),
            target.authority.map(text),
        ))
    }

    #[track_caller]
    fn assert_target(target: &str, path: &str, query: &str, authority: Option<&str>) {
        assert_eq!(
            read_all(b"GET", target),
            Ok((path.into(), query.into(), authority.map(Into::into))),
            "{target}"
        );
    }

    #[test]
    fn a_path_ends_where_its_query_begins() {
        assert_target("/", "/", "", None);
        assert_target("/a/b", "/a/b", "", None);
        assert_target("/a?b=c?d", "/a", "b=c?d", None);
        assert_target("/?", "/", "", None);
        assert_target("//host/a", "//host/a", "", None);
        assert_target("/http://a/b", "/http://a/b", "", None);
    }

    #[test]
    fn a_fragment_is_cut_off() {
        assert_target("/a#b?c", "/a", "", None);
        assert_target("/a?b#c", "/a", "b", None);
    }

    #[test]
    fn of_a_url_path_and_query_remain() {
        assert_target("http://a.b/c?d", "/c", "d", Some("a.b"));
        assert_target("HTTPS://[::1]:8/c", "/c", "", Some("[::1]:8"));
        assert_target("http://a", "/", "", Some("a"));
        assert_target("http://a:80?b", "/", "b", Some("a:80"));
        assert_target("http://a#b", "/", "", Some("a"));
        assert_target("http://a//b", "//b", "", Some("a"));
    }

    #[test]
    fn other_forms_are_refused() {
        for target in [
            "*",
            "a",
            "a/b",
            "?a",
            "host:80",
            "http:/a",
            "http:a",
            "http://",
            "http:///a",
            "http://:80/",
            "http://u@a/",
            "http://u:p@a/",
            "http://a:b/",
            "ftp://a/",
            "://a/",
            "http//a",
            "*/a",
            "http://a\\b/",
        ] {
            assert_eq!(
                read_all(b"GET", target),
                Err(Refusal::BadTarget),
                "{target}"
            );
        }
    }

    #[test]
    fn the_server_itself_can_be_asked_for_its_options() {
        let asked = read_all(b"OPTIONS", "*");

        assert_eq!(asked, Ok(("*".into(), String::new(), None)));
        assert_eq!(read_all(b"OPTIONS", "*a"), Err(Refusal::BadTarget));
    }

    #[test]
    fn only_what_is_an_escape_is_decoded_and_only_once() {
        for (path, decoded) in [
            (&b"/plain/path"[..], &b"/plain/path"[..]),
            (b"/caf%C3%a9%20", b"/caf\xc3\xa9 "),
            (b"%00%0D%0a", b"\0\r\n"),
            (b"%2541", b"%41"),
            (b"%%341", b"%41"),
            (b"/100%", b"/100%"),
            (b"%4", b"%4"),
            (b"%zz/%4g%u0041%%", b"%zz/%4g%u0041%%"),
        ] {
            let mut out = b">".to_vec();

            percent_decode(path, &mut out);

            assert_eq!(out[1..], *decoded, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_an_optional_port() {
        for host in [
            "",
            "a",
            "a.example",
            "a_b",
            "xn--a",
            "1.2.3.4",
            "a:80",
            "a:",
            "[::1]",
            "[::1]:80",
            "[fe80::1%25eth0]",
            "a%20b",
            "a.",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "a b", "a/b", "a@b", "a:b", "a:80:80", "a:+80", "a:123456", "[::1", "::1", "[]",
            "[::1]a", "a%2", "a%zz", "a\\b", "a\"", "a#", "a?", "\u{e9}", "a\tb", "<a>", "[[::1]]",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn methods_are_upper_case_tokens_of_3_to_20() {
        for method in ["GET", "M-SEARCH", "-BLARGH", "ABCDEFGHIJKLMNOPQRST", "A1_"] {
            assert!(is_method(method.as_bytes(), Permit::NOTHING), "{method}");
        }
        for method in [
            "",
            "GE",
            "get",
            "GEt",
            "GE#",
            "G T",
            "G(T",
            "ABCDEFGHIJKLMNOPQRSTU",
        ] {
            assert!(!is_method(method.as_bytes(), Permit::NOTHING), "{method}");
        }
    }
}
