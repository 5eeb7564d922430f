//! Bodies in chunks: the same data and the same end in one piece and in many, the verdict
//! of the reference, and never much more framing than data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rgunicorn_fuzz::Input;
use rgunicorn_fuzz::reference::{self, Body, Verdict};
use rgunicorn_http::{BodyDecoder, Framing, Limits, Refusal};

fuzz_target!(|data: &[u8]| {
    if let Some(input) = Input::new(data) {
        check(&input);
    }
});

/// What was decoded, and where the body ends if it is complete.
type Outcome = Result<(Vec<u8>, Option<usize>), Refusal>;

fn check(input: &Input) {
    let (bytes, limits) = (&input.bytes, &input.limits);
    let whole = decode(bytes, &[], limits);

    for cuts in input.cuts(bytes.len()) {
        assert_eq!(decode(bytes, &cuts, limits), whole);
    }

    match reference::chunked(bytes, limits) {
        Verdict::Complete(Body { data, length }) => assert_eq!(whole, Ok((data, Some(length)))),
        Verdict::Incomplete => assert!(!matches!(whole, Ok((_, Some(_)))), "{whole:?}"),
        Verdict::Refused => assert!(whole.is_err(), "{whole:?}"),
    }
}

/// Decodes `bytes` as they arrive, cut at `cuts`.
fn decode(bytes: &[u8], cuts: &[usize], limits: &Limits) -> Outcome {
    let mut body = BodyDecoder::new(Framing::Chunked, limits);
    let mut data = Vec::new();
    let mut at = 0;
    let mut chunks = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        while at < end {
            let piece = &bytes[at..end];
            let decoded = body.decode(piece)?;
            assert!(decoded.consumed > 0, "the decoder stands still");
            chunks += usize::from(!decoded.data.is_empty());
            data.extend_from_slice(&piece[decoded.data]);
            at += decoded.consumed;

            assert!(data.len() as u64 <= limits.body);
            assert!(at - data.len() <= most_framing(data.len(), chunks, limits));
            if decoded.complete {
                return Ok((data, Some(at)));
            }
        }
    }
    Ok((data, None))
}

/// The most bytes around `data` bytes of data that came in `chunks` pieces: in the size
/// lines 16 for each chunk and 2 for each byte of data, 16 KiB beyond that; the line of a
/// chunk whose data has not come; a line break after each chunk; trailers, and the line
/// breaks around them.
fn most_framing(data: usize, chunks: usize, limits: &Limits) -> usize {
    let size_lines = 16 * (chunks + 1) + 2 * data + 16 * 1024;
    let pending = 16 + 256 + 2;
    let trailers = limits.fields.saturating_mul(limits.field_size);
    (size_lines + pending + 2 * chunks + 2).saturating_add(trailers)
}
