//! Reads a request as the engine does: the head, then the body, from bytes that
//! arrive in any pieces.

use rgunicorn_http::{BodyDecoder, Framing, Head, Limits, Refusal, Version};

/// A whole request, owned, so that two of them can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub path: Vec<u8>,
    pub query: Vec<u8>,
    pub version: &'static str,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub framing: Framing,
    pub keep_alive: bool,
    pub expect_continue: bool,
    pub body: Vec<u8>,
    /// What was not consumed.
    pub rest: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Complete(Box<Reading>),
    Incomplete,
    Refused(Refusal),
}

/// Parses the first `ends[0]` bytes, then the first `ends[1]`, and so on, at last all.
pub fn read(bytes: &[u8], ends: &[usize], limits: &Limits) -> Outcome {
    match try_read(bytes, ends, limits) {
        Ok(Some(reading)) => Outcome::Complete(Box::new(reading)),
        Ok(None) => Outcome::Incomplete,
        Err(refusal) => Outcome::Refused(refusal),
    }
}

/// Parses the first bytes up to each of `ends` until the head is complete. Returns the end
/// at which it is.
pub fn parse_head(
    head: &mut Head,
    bytes: &[u8],
    ends: impl IntoIterator<Item = usize>,
    limits: &Limits,
) -> Result<Option<usize>, Refusal> {
    for end in ends {
        if head.parse(&bytes[..end], limits)? {
            return Ok(Some(end));
        }
    }
    Ok(None)
}

fn try_read(bytes: &[u8], ends: &[usize], limits: &Limits) -> Result<Option<Reading>, Refusal> {
    let mut ends = ends.iter().copied().chain([bytes.len()]);
    let mut head = Head::new();
    let Some(end) = parse_head(&mut head, bytes, &mut ends, limits)? else {
        return Ok(None);
    };
    let mut body = BodyDecoder::new(head.framing, limits);
    let mut data = Vec::new();
    let mut at = head.length;
    for end in [end].into_iter().chain(ends) {
        loop {
            let decoded = body.decode(&bytes[at..end])?;
            data.extend_from_slice(&bytes[at..end][decoded.data]);
            at += decoded.consumed;
            if decoded.complete {
                return Ok(Some(reading(head, bytes, data, at)));
            }
            if decoded.consumed == 0 {
                break;
            }
        }
        assert_eq!(at, end, "what was not complete was not consumed");
    }
    Ok(None)
}

fn reading(mut head: Head, bytes: &[u8], body: Vec<u8>, at: usize) -> Reading {
    let mut rewritten = bytes.to_vec();
    head.rewrite(&mut rewritten);
    let owned = |span: rgunicorn_http::Span| span.of(&rewritten).to_vec();
    Reading {
        method: owned(head.method),
        target: owned(head.target),
        path: owned(head.path),
        query: owned(head.query),
        version: match head.version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        },
        fields: head
            .fields
            .iter()
            .map(|field| (owned(field.name), owned(field.value)))
            .collect(),
        framing: head.framing,
        keep_alive: head.keep_alive,
        expect_continue: head.expect_continue,
        body,
        rest: bytes[at..].to_vec(),
    }
}
