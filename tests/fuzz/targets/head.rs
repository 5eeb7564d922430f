//! Request heads: the same verdict in one piece and in many, the verdict of the reference
//! and of httparse, and nothing larger than the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rgunicorn_fuzz::Input;
use rgunicorn_fuzz::reader::parse_head;
use rgunicorn_fuzz::reference::{self, Verdict};
use rgunicorn_http::{Head, Limits, Permit, Span, Version};

fuzz_target!(|data: &[u8]| {
    if let Some(input) = Input::new(data) {
        check(&input);
    }
});

fn check(input: &Input) {
    let (bytes, limits) = (&input.bytes, &input.limits);
    let mut head = Head::new();
    let whole = head.parse(bytes, limits);
    let sent = bytes;
    let mut bytes = sent.clone();
    head.rewrite(&mut bytes);
    let bytes = &bytes;
    let says = (whole == Ok(true)).then(|| owned(&head, bytes));

    for cuts in input.cuts(bytes.len()) {
        let mut pieces = Head::new();
        let ends = cuts.into_iter().chain([bytes.len()]);
        let parsed = parse_head(&mut pieces, sent, ends, limits);
        assert_eq!(parsed.map(|end| end.is_some()), whole);
        if let Some(says) = &says {
            let mut bytes = sent.clone();
            pieces.rewrite(&mut bytes);
            assert_eq!(owned(&pieces, &bytes), *says);
        }
    }

    match reference::head(sent, limits) {
        Verdict::Complete(expected) => assert_eq!(says, Some(expected), "{whole:?}"),
        Verdict::Incomplete => assert_ne!(whole, Ok(true)),
        Verdict::Refused => assert!(whole.is_err(), "{whole:?}"),
    }
    match whole {
        Ok(true) => {
            check_sizes(&head, limits);
            check_with_httparse(&head, bytes);
            check_regular(&head, bytes, limits);
            check_next(head, &sent[says.map_or(0, |says| says.length)..], limits);
        }
        Ok(false) => {
            assert!(bytes.len() < limits.head());
            head.reset();
            check_next(head, sent, limits);
        }
        Err(_) => {
            head.reset();
            check_next(head, sent, limits);
        }
    }
}

fn check_sizes(head: &Head, limits: &Limits) {
    assert!(head.length <= limits.head());
    assert!(head.fields.len() <= limits.fields);
    // A vector at most doubles when it grows, and begins with 4.
    assert!(head.fields.capacity() <= 4.max(2 * head.fields.len()));
}

/// Everything that is accepted, httparse accepts and splits in the same way.
fn check_with_httparse(head: &Head, bytes: &[u8]) {
    let mut bytes = bytes[..head.length].to_vec();
    // httparse knows no other versions.
    let version = head.target.end() + " HTTP/".len();
    bytes[version..version + 3].copy_from_slice(match head.version {
        Version::Http10 => b"1.0",
        Version::Http11 => b"1.1",
    });
    let mut slots = vec![httparse::EMPTY_HEADER; head.fields.len()];
    let mut request = httparse::Request::new(&mut slots);

    let parsed = request.parse(&bytes);

    assert_eq!(parsed, Ok(httparse::Status::Complete(bytes.len())));
    assert_eq!(
        request.method.map(str::as_bytes),
        Some(head.method.of(&bytes))
    );
    assert_eq!(
        request.path.map(str::as_bytes),
        Some(head.target.of(&bytes))
    );
    assert_eq!(request.headers.len(), head.fields.len());
    for (header, field) in request.headers.iter().zip(&head.fields) {
        assert_eq!(header.name.as_bytes(), field.name.of(&bytes));
        assert_eq!(header.value, field.value.of(&bytes));
    }
}

/// What was rewritten needs no permission to be rewritten again, and reads the same.
fn check_regular(head: &Head, bytes: &[u8], limits: &Limits) {
    let permit = Permit {
        any_method: limits.permit.any_method,
        any_version: limits.permit.any_version,
        ..Permit::NOTHING
    };
    let mut again = Head::new();
    let outcome = again.parse(bytes, &Limits { permit, ..*limits });
    assert_eq!(outcome, Ok(true));
    assert_eq!(owned(&again, bytes), owned(head, bytes));
}

/// A head that was used before reads `bytes` as a new one does.
fn check_next(mut used: Head, bytes: &[u8], limits: &Limits) {
    let mut new = Head::new();
    let outcome = new.parse(bytes, limits);
    assert_eq!(used.parse(bytes, limits), outcome);
    if outcome == Ok(true) {
        let (mut one, mut other) = (bytes.to_vec(), bytes.to_vec());
        used.rewrite(&mut one);
        new.rewrite(&mut other);
        assert_eq!(owned(&used, &one), owned(&new, &other));
    }
}

fn owned(head: &Head, bytes: &[u8]) -> reference::Head {
    let owned = |span: Span| span.of(bytes).to_vec();
    reference::Head {
        method: owned(head.method),
        target: owned(head.target),
        path: owned(head.path),
        query: owned(head.query),
        version: head.version,
        fields: head
            .fields
            .iter()
            .map(|field| (owned(field.name), owned(field.value)))
            .collect(),
        framing: head.framing,
        keep_alive: head.keep_alive,
        expect_continue: head.expect_continue,
        length: head.length,
    }
}
