//! Request targets and Host values: what is made of them stands in the head, means the
//! same when it is sent again, and decodes as Python decodes it. An input is the target;
//! a Host may follow after a line feed.
#![no_main]

use std::str;

use libfuzzer_sys::fuzz_target;
use rgunicorn_http::{Head, Limits, Refusal, Span, percent_decode};

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    path: Vec<u8>,
    query: Vec<u8>,
    host: Vec<u8>,
}

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    let host = lines.next();
    // Others would not reach the head as one word.
    if !target.iter().all(u8::is_ascii_graphic) {
        return;
    }
    for method in ["GET", "OPTIONS"] {
        check(method, target, host.unwrap_or(b"a"));
    }
    check_decoding(target);
});

fn check(method: &str, target: &[u8], host: &[u8]) {
    let Ok(parts) = parts(method, target, host) else {
        return;
    };
    if target == b"*" {
        assert_eq!((method, &parts.path[..]), ("OPTIONS", &b"*"[..]));
    } else {
        assert!(parts.path.starts_with(b"/"));
        assert!(!parts.path.iter().any(|byte| b"?#".contains(byte)));
    }
    assert!(!parts.query.contains(&b'#'));

    // The target is made of its parts: an authority, the path, the query, a fragment.
    let mut rest = target;
    if !target.starts_with(b"/") && target != b"*" {
        let at = target.windows(3).position(|three| three == b"://");
        rest = &target[at.expect("a scheme") + 3..];
        rest = strip_prefix_ignoring_case(rest, &parts.host).expect("the host");
    }
    // The path of `http://host` is not written.
    rest = rest.strip_prefix(&parts.path[..]).unwrap_or_else(|| {
        assert_eq!(parts.path, b"/");
        rest
    });
    if let Some(after) = rest.strip_prefix(b"?") {
        rest = after.strip_prefix(&parts.query[..]).expect("the query");
    } else {
        assert!(parts.query.is_empty());
    }
    assert!(rest.is_empty() || rest.starts_with(b"#"));

    // Path and query alone, and as an absolute URL, are the same target.
    let mut again = parts.path.clone();
    if !parts.query.is_empty() {
        again.push(b'?');
        again.extend_from_slice(&parts.query);
    }
    assert_eq!(
        self::parts(method, &again, &parts.host).as_ref(),
        Ok(&parts)
    );
    let has_name = !parts.host.is_empty() && !parts.host.starts_with(b":");
    if has_name && target != b"*" {
        let url = [b"http://", &parts.host[..], &again].concat();
        assert_eq!(self::parts(method, &url, &parts.host).as_ref(), Ok(&parts));
    }
}

fn strip_prefix_ignoring_case<'bytes>(bytes: &'bytes [u8], prefix: &[u8]) -> Option<&'bytes [u8]> {
    let (start, rest) = bytes.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Reads a head with `target` and `host` in it.
fn parts(method: &str, target: &[u8], host: &[u8]) -> Result<Parts, Refusal> {
    let head_bytes = [
        method.as_bytes(),
        b" ",
        target,
        b" HTTP/1.1\r\nHost: ",
        host,
        b"\r\n\r\n",
    ]
    .concat();
    let limits = Limits {
        line: usize::MAX,
        field_size: usize::MAX,
        ..Limits::default()
    };
    let mut head = Head::new();
    // A line break in `host` can end the head early, or add fields to it.
    if !head.parse(&head_bytes, &limits)? || head.fields.len() != 1 {
        return Err(Refusal::BadHost);
    }
    let owned = |span: Span| span.of(&head_bytes).to_vec();
    assert_eq!(owned(head.method), method.as_bytes());
    assert_eq!(owned(head.target), target);
    Ok(Parts {
        path: owned(head.path),
        query: owned(head.query),
        host: owned(head.fields[0].value),
    })
}

/// Compares with a plain loop.
fn check_decoding(path: &[u8]) {
    let mut expected = Vec::new();
    let mut rest = path;
    while let [first, after @ ..] = rest {
        let escape = after
            .first_chunk::<2>()
            .filter(|digits| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        expected.push(escape.unwrap_or(*first));
        rest = if escape.is_some() { &after[2..] } else { after };
    }
    let mut decoded = b"before".to_vec();

    percent_decode(path, &mut decoded);

    assert_eq!(decoded.strip_prefix(b"before"), Some(&expected[..]));
}
