//! Properties that hold for all requests and responses.

use std::mem::MaybeUninit;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rgunicorn_http::{
    BodyDecoder, Framing, Head, Limits, Permit, ResponseBody, ResponseContext, ResponseFraming,
    ResponseHead, Version, percent_decode,
};

use crate::reader::{Outcome, read};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// Small, so that random requests meet them.
const LIMITS: Limits = Limits {
    permit: Permit::NOTHING,
    line: 40,
    fields: 4,
    field_size: 40,
    body: 60,
};

/// Concatenated pieces of good and bad requests: they reach more code than random bytes.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let known = select(vec![
        &b"GET"[..],
        b"POST",
        b"HEAD",
        b"OPTIONS",
        b"get",
        b" ",
        b" ",
        b" ",
        b"/",
        b"/a?b#c",
        b"*",
        b"http://a",
        b"HTTP/1.1",
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"HTTP/1.2",
        b"HTTP/2.0",
        b"HTTP/0.9",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\t",
        b"\0",
        b":",
        b": ",
        b"Host: a\r\n",
        b"Host: b\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding",
        b"chunked",
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"0\r\n\r\n",
        b"3\r\nabc\r\n",
        b"abc",
        b"5;a=b\r\nhello\r\n",
        b"X: y\r\n",
        b" y\r\n",
        b"X : y\r\n",
        b"\xe9",
        b",",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    ])
    .prop_map(<[u8]>::to_vec);
    let word = prop_oneof![20 => known, 1 => vec(any::<u8>(), 0..20)];
    vec(word, 0..14).prop_map(|words| words.concat())
}

/// Good requests with a few bytes changed, put in or left out.
fn near_misses() -> impl Strategy<Value = Vec<u8>> {
    let good = select(vec![
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"\r\nGET http://a/?b HTTP/1.1\r\nX:\r\nHost: a \r\n\r\n",
        b"PUT / HTTP/1.0\r\n\r\nGET",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nX: y\r\n\r\nGET",
    ]);
    let byte = select(b"\r\n\n \t\0:;,/%1aA\x7f\x80\xff".to_vec());
    let edit = (any::<Index>(), 0..3, byte);
    (good, vec(edit, 0..4)).prop_map(|(good, edits)| {
        let mut bytes = good.to_vec();
        for (place, kind, byte) in edits {
            let place = place.index(bytes.len());
            match kind {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => drop(bytes.remove(place)),
            }
        }
        bytes
    })
}

fn permit() -> impl Strategy<Value = Permit> {
    any::<[bool; 5]>().prop_map(|[a, b, c, d, e]| Permit {
        folded_fields: a,
        blanks_before_colon: b,
        any_method: c,
        any_version: d,
        upper_case_method: e,
    })
}

/// Places to cut `bytes`, in order.
fn cuts(bytes: &[u8], places: &[Index]) -> Vec<usize> {
    let mut cuts: Vec<usize> = places
        .iter()
        .map(|place| place.index(bytes.len() + 1))
        .collect();
    cuts.sort_unstable();
    cuts
}

fn chunked(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut body = ResponseBody {
        framing: ResponseFraming::Chunked,
        keep_alive: true,
    };
    let mut out = sent(&mut body, pieces);
    out.extend_from_slice(body.end().unwrap());
    out
}

/// The pieces as they go out.
fn sent(body: &mut ResponseBody, pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        body.write(piece, &mut out);
    }
    out
}

fn context() -> impl Strategy<Value = ResponseContext> {
    let version = select(vec![Version::Http10, Version::Http11]);
    (version, any::<bool>(), any::<bool>()).prop_map(|(version, head_only, keep_alive)| {
        ResponseContext {
            version,
            head_only,
            keep_alive,
        }
    })
}

fn status() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        select(vec![
            &b"200 OK"[..],
            b"204 No Content",
            b"304 Not Modified",
            b"500 \xe9"
        ])
        .prop_map(<[u8]>::to_vec),
        vec(any::<u8>(), 0..10),
    ]
}

fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = prop_oneof![
        8 => select(vec![
            &b"Content-Type"[..], b"X-A", b"Set-Cookie", b"Content-Length", b"content-length",
            b"Transfer-Encoding", b"Connection", b"Server", b"Date", b"Trailer", b"Upgrade", b"TE",
            b"Keep-Alive",
        ])
        .prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..6),
    ];
    let value = prop_oneof![
        3 => select(vec![
            &b"text/plain"[..], b"", b"chunked", b"close", b"5", b"05", b"keep-alive", b" a ",
            b"a\r\nTransfer-Encoding: chunked", b"a\nb", b"a\r\n\r\nb",
        ])
        .prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..8),
    ];
    (name, value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_of_any_kind_are_read_the_same_in_one_piece_and_in_many(
        bytes in prop_oneof![words(), near_misses(), vec(any::<u8>(), 0..100)],
        places in vec(any::<Index>(), 0..6),
        permit in permit(),
    ) {
        let limits = Limits { permit, ..LIMITS };
        let whole = read(&bytes, &[], &limits);
        let each: Vec<usize> = (0..bytes.len()).collect();

        prop_assert_eq!(&read(&bytes, &cuts(&bytes, &places), &limits), &whole);
        prop_assert_eq!(&read(&bytes, &each, &limits), &whole);
    }

    /// A head that needs no permission is read as it is without any, but for the case of its
    /// method, which is upper case then.
    #[test]
    fn what_is_regular_is_read_the_same_whatever_is_permitted(
        bytes in prop_oneof![words(), near_misses()],
        permit in permit(),
    ) {
        let strict = read(&bytes, &[], &LIMITS);
        if matches!(strict, Outcome::Complete(_)) {
            prop_assert_eq!(read(&bytes, &[], &Limits { permit, ..LIMITS }), strict);
        }
    }

    #[test]
    fn what_is_accepted_is_what_httparse_reads_with_proper_line_breaks(
        bytes in prop_oneof![words(), near_misses()],
    ) {
        let mut head = Head::new();
        if head.parse(&bytes, &LIMITS) == Ok(true) {
            // httparse knows no minor version above 1.
            let mut bytes = bytes;
            let minor = &mut bytes[head.target.end() + " HTTP/1.".len()];
            *minor = (*minor).min(b'1');
            let mut slots = [MaybeUninit::uninit(); 16];
            let mut request = httparse::Request::new(&mut []);
            let length = request.parse_with_uninit_headers(&bytes, &mut slots).unwrap().unwrap();

            prop_assert_eq!(head.length, length);
            let text = &bytes[..length];
            prop_assert!(text.ends_with(b"\r\n\r\n"));
            for (at, byte) in text.iter().enumerate() {
                match byte {
                    b'\r' => prop_assert_eq!(text[at + 1], b'\n'),
                    b'\n' => prop_assert_eq!(text[at - 1], b'\r'),
                    0..b' ' => prop_assert_eq!(*byte, b'\t'),
                    _ => {}
                }
            }
            let names: Vec<&[u8]> = head.fields.iter().map(|field| field.name.of(&bytes)).collect();
            let expected: Vec<&[u8]> = request.headers.iter().map(|header| header.name.as_bytes()).collect();
            prop_assert_eq!(names, expected);
        }
    }

    #[test]
    fn a_head_used_again_reads_as_a_new_one_does(first in words(), second in words()) {
        let mut used = Head::new();
        match used.parse(&first, &LIMITS) {
            Ok(true) => {}
            Ok(false) | Err(_) => used.reset(),
        }
        let mut new = Head::new();

        let outcome = new.parse(&second, &LIMITS);
        prop_assert_eq!(used.parse(&second, &LIMITS), outcome);
        if outcome == Ok(true) {
            prop_assert_eq!(format!("{used:?}"), format!("{new:?}"));
        }
    }

    #[test]
    fn pipelined_requests_do_not_touch_each_other(count in 1_usize..5, body in vec(any::<u8>(), 0..30)) {
        let mut one = format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        one.extend_from_slice(&body);
        let mut rest = one.repeat(count);

        for left in (0..count).rev() {
            let Outcome::Complete(reading) = read(&rest, &[], &LIMITS) else {
                return Err(TestCaseError::fail("not complete"));
            };
            prop_assert_eq!(&reading.body, &body);
            prop_assert_eq!(reading.rest.len(), left * one.len());
            rest = reading.rest;
        }
    }

    #[test]
    fn what_was_chunked_comes_out_again(
        pieces in vec(vec(any::<u8>(), 0..40), 0..8),
        places in vec(any::<Index>(), 0..6),
    ) {
        let mut bytes = chunked(&pieces);
        let length = bytes.len();
        bytes.extend_from_slice(b"GET /");
        let mut body = BodyDecoder::new(Framing::Chunked, &Limits::default());
        let mut data = Vec::new();
        let mut at = 0;
        let mut complete = false;
        for end in cuts(&bytes, &places).into_iter().chain([bytes.len()]) {
            while !complete {
                let decoded = body.decode(&bytes[at..end]).unwrap();
                data.extend_from_slice(&bytes[at..end][decoded.data]);
                at += decoded.consumed;
                complete = decoded.complete;
                if decoded.consumed == 0 {
                    break;
                }
            }
        }

        prop_assert!(complete);
        prop_assert_eq!(at, length);
        prop_assert_eq!(data, pieces.concat());
    }

    #[test]
    fn an_answer_is_what_it_says_or_nothing(
        context in context(),
        status in status(),
        fields in vec(field(), 0..4),
        known in select(vec![None, Some(0), Some(3)]),
    ) {
        let mut out = b"before".to_vec();
        let outcome = (|| {
            let mut head = ResponseHead::begin(&mut out, context, &status)?;
            for (name, value) in &fields {
                head.field(name, value)?;
            }
            Ok::<_, rgunicorn_http::ResponseError>(head.finish(known, DATE))
        })();
        let Ok(body) = outcome else {
            prop_assert_eq!(out, b"before");
            return Ok(());
        };

        let bytes = &out[b"before".len()..];
        let mut slots = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut slots);
        prop_assert_eq!(response.parse(bytes), Ok(httparse::Status::Complete(bytes.len())));
        let values = |name: &str| -> Vec<&[u8]> {
            response.headers.iter()
                .filter(|header| header.name.eq_ignore_ascii_case(name))
                .map(|header| header.value)
                .collect()
        };
        // Everything is from the server, or exactly as given.
        let own = ["server", "date", "content-length", "transfer-encoding", "connection"];
        for header in response.headers.iter() {
            let given = fields.iter().any(|(name, value)| {
                header.name.as_bytes() == name && header.value == value.trim_ascii()
            });
            prop_assert!(given || own.contains(&&*header.name.to_lowercase()), "{}", header.name);
        }
        prop_assert_eq!(values("server"), [b"rgunicorn"]);
        prop_assert_eq!(values("date"), [&DATE[..]]);
        for name in ["te", "trailer", "upgrade", "keep-alive"] {
            prop_assert!(values(name).is_empty());
        }
        // Never two ways to find the end of the body, and always one to keep the connection.
        let lengths = values("content-length");
        let codings = values("transfer-encoding");
        prop_assert!(lengths.len() + codings.len() <= 1);
        match body.framing {
            ResponseFraming::NoBody => prop_assert!(codings.is_empty()),
            ResponseFraming::Length(length) => {
                let length = length.to_string();
                prop_assert_eq!(lengths, [length.as_bytes()]);
            }
            ResponseFraming::Chunked => {
                prop_assert_eq!(codings, [b"chunked"]);
                prop_assert_eq!(context.version, Version::Http11);
            }
            ResponseFraming::UntilClose => {
                prop_assert!(lengths.is_empty() && codings.is_empty());
                prop_assert!(!body.keep_alive);
            }
        }
        prop_assert!(context.keep_alive || !body.keep_alive);
        match (body.keep_alive, context.version) {
            (false, _) => prop_assert_eq!(values("connection"), [b"close"]),
            (true, Version::Http10) => prop_assert_eq!(values("connection"), [b"keep-alive"]),
            (true, Version::Http11) => prop_assert!(values("connection").is_empty()),
        }
    }

    #[test]
    fn a_body_goes_out_as_announced_or_the_connection_closes(
        length in 0_u64..60,
        pieces in vec(vec(any::<u8>(), 0..20), 0..6),
    ) {
        let mut body = ResponseBody { framing: ResponseFraming::Length(length), keep_alive: true };
        let out = sent(&mut body, &pieces);

        if let Ok(end) = body.end() {
            prop_assert_eq!(out.len() as u64, length);
            prop_assert!(end.is_empty());
        } else {
            prop_assert!((out.len() as u64) < length);
            prop_assert_eq!(out.len(), pieces.concat().len());
            prop_assert!(!body.keep_alive);
        }
        prop_assert!(pieces.concat().starts_with(&out));
    }

    #[test]
    fn what_was_escaped_comes_out_again(bytes in vec(any::<u8>(), 0..40)) {
        let escaped = bytes.iter().fold(String::new(), |escaped, byte| escaped + &format!("%{byte:02x}"));
        let mut out = Vec::new();

        percent_decode(escaped.as_bytes(), &mut out);

        prop_assert_eq!(out, bytes);
    }
}
