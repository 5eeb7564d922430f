//! What a client sends on one connection: however it is cut, the same requests come out,
//! each begins where the one before ends, and the reference finds the same ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rgunicorn_fuzz::Input;
use rgunicorn_fuzz::reader::{Outcome, read};
use rgunicorn_fuzz::reference::{self, Verdict};
use rgunicorn_http::{Framing, Limits};

/// More take time and show nothing new.
const MOST_REQUESTS: usize = 20;

fuzz_target!(|data: &[u8]| {
    if let Some(input) = Input::new(data) {
        check(&input);
    }
});

fn check(input: &Input) {
    let mut bytes = input.bytes.clone();
    for _ in 0..MOST_REQUESTS {
        let whole = read(&bytes, &[], &input.limits);
        for cuts in input.cuts(bytes.len()) {
            assert_eq!(read(&bytes, &cuts, &input.limits), whole);
        }

        let end = reference_end(&bytes, &input.limits);
        match whole {
            Outcome::Complete(reading) => {
                let read = bytes.len() - reading.rest.len();
                assert_eq!(end, Verdict::Complete(read));
                assert!(reading.body.len() as u64 <= input.limits.body);
                bytes = reading.rest;
            }
            Outcome::Incomplete => return assert_eq!(end, Verdict::Incomplete),
            Outcome::Refused(_) => return assert!(!matches!(end, Verdict::Complete(_))),
        }
    }
}

/// Where the first request in `bytes` ends.
fn reference_end(bytes: &[u8], limits: &Limits) -> Verdict<usize> {
    let head = match reference::head(bytes, limits) {
        Verdict::Complete(head) => head,
        Verdict::Incomplete => return Verdict::Incomplete,
        Verdict::Refused => return Verdict::Refused,
    };
    let body = &bytes[head.length..];
    let length = match head.framing {
        Framing::None => 0,
        Framing::Length(length) if length > body.len() as u64 => return Verdict::Incomplete,
        Framing::Length(length) => usize::try_from(length).expect("less than what is there"),
        Framing::Chunked => match reference::chunked(body, limits) {
            Verdict::Complete(body) => body.length,
            Verdict::Incomplete => return Verdict::Incomplete,
            Verdict::Refused => return Verdict::Refused,
        },
    };
    Verdict::Complete(head.length + length)
}
