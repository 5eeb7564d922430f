//! What a request costs here: `cargo run --release -p rgunicorn-http --example bench`.

use std::hint::black_box;
use std::time::Instant;

use rgunicorn_http::{BodyDecoder, Framing, Head, Limits, ResponseHead, percent_decode};

const HELLO: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

const BROWSER: &[u8] = b"GET /wp-content/uploads/2010/03/hello.jpg?width=100 HTTP/1.1\r\n\
Host: www.kittyhell.example\r\n\
User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) Gecko/20100401 Firefox/3.6.3\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: ja,en-us;q=0.7,en;q=0.3\r\n\
Accept-Encoding: gzip,deflate\r\n\
Accept-Charset: Shift_JIS,utf-8;q=0.7,*;q=0.7\r\n\
X-Forwarded-For: 10.1.2.3\r\n\
X-Forwarded-Proto: https\r\n\
Cookie: wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; __utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.x\r\n\
Connection: keep-alive\r\n\
Keep-Alive: 115\r\n\r\n";

const FORM: &[u8] = b"POST /form HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\n\
Content-Length: 14\r\nAccept: */*\r\n\r\n";

fn main() {
    let limits = Limits::default();
    for (name, bytes) in [("hello", HELLO), ("form", FORM), ("browser", BROWSER)] {
        let mut head = Head::new();
        measure(&format!("head, {name}, whole"), || {
            black_box(head.parse(black_box(bytes), &limits)).is_ok()
        });
        let mut head = Head::new();
        let half = bytes.len() / 2;
        measure(&format!("head, {name}, in two pieces"), || {
            head.parse(black_box(&bytes[..half]), &limits) == Ok(false)
                && head.parse(black_box(bytes), &limits) == Ok(true)
        });
    }

    let mut head = Head::new();
    assert_eq!(head.parse(HELLO, &limits), Ok(true));
    let context = head.response_context(HELLO);
    let mut out = Vec::new();
    measure("answer with three fields and a body", || {
        out.clear();
        let Ok(mut answer) = ResponseHead::begin(&mut out, context, b"200 OK") else {
            return false;
        };
        let good = answer
            .field(b"Content-Type", b"text/html; charset=utf-8")
            .is_ok()
            && answer.field(b"X-Frame-Options", b"DENY").is_ok()
            && answer.field(b"Content-Length", b"13").is_ok();
        let mut body = answer.finish(Some(13), b"Sun, 06 Nov 1994 08:49:37 GMT");
        body.write(b"Hello, world!", &mut out);
        black_box(&out);
        good
    });

    let mut path = Vec::new();
    for (name, escaped) in [
        (
            "without escapes",
            &b"/wp-content/uploads/2010/03/hello.jpg"[..],
        ),
        (
            "with two escapes",
            b"/wp-content/uploads/caf%C3%A9/hello.jpg",
        ),
        (
            "of escapes",
            b"/%E3%81%93%E3%82%93%E3%81%AB%E3%81%A1%E3%81%AF",
        ),
    ] {
        measure(&format!("path {name}"), || {
            path.clear();
            percent_decode(black_box(escaped), &mut path);
            !path.is_empty()
        });
    }

    let mut chunks = Vec::new();
    for _ in 0..16 {
        chunks.extend_from_slice(b"1000\r\n");
        chunks.resize(chunks.len() + 4096, b'x');
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    measure("16 chunks of 4 KiB", || {
        let mut body = BodyDecoder::new(Framing::Chunked, &limits);
        let mut at = 0;
        while let Ok(decoded) = body.decode(black_box(&chunks[at..])) {
            at += decoded.consumed;
            if decoded.complete {
                return true;
            }
        }
        false
    });
}

fn measure(name: &str, mut work: impl FnMut() -> bool) {
    const ROUNDS: u32 = 200_000;
    let best = (0..7)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..ROUNDS {
                assert!(work(), "{name}");
            }
            begin.elapsed() / ROUNDS
        })
        .min()
        .unwrap_or_default();
    println!("{:>7} ns  {name}", best.as_nanos());
}
