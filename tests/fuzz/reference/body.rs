//! A body in chunks (RFC 9112, section 7.1).

use std::str;

use rgunicorn_http::Limits;

use super::{Verdict, field, is_value, line, trim};

/// Fields that have to be known before the body.
const NO_TRAILERS: [&str; 11] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A decoded body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    pub data: Vec<u8>,
    /// How many bytes of the input it took.
    pub length: usize,
}

/// Decodes the body at the start of `bytes`.
pub fn chunked(bytes: &[u8], limits: &Limits) -> Verdict<Body> {
    match try_chunked(bytes, limits) {
        Ok(Some(body)) => Verdict::Complete(body),
        Ok(None) => Verdict::Incomplete,
        Err(Refused) => Verdict::Refused,
    }
}

struct Refused;

fn try_chunked(bytes: &[u8], limits: &Limits) -> Result<Option<Body>, Refused> {
    let mut rest = bytes;
    let mut data = Vec::new();
    let mut announced = 0_u64;
    let mut overhead = 0_u64;
    loop {
        let Some((size_line, after)) = line(rest) else {
            return Ok(None);
        };
        let size = chunk_size(size_line).ok_or(Refused)?;
        let free = size.saturating_mul(2).saturating_add(16);
        overhead = (overhead + size_line.len() as u64 + 2).saturating_sub(free);
        announced = announced.checked_add(size).ok_or(Refused)?;
        if overhead > 16 * 1024 || announced > limits.body {
            return Err(Refused);
        }
        if size == 0 {
            let rest = trailers(after, limits)?;
            return Ok(rest.map(|rest| Body {
                data,
                length: bytes.len() - rest.len(),
            }));
        }
        let Some((chunk, after)) = usize::try_from(size)
            .ok()
            .and_then(|size| after.split_at_checked(size))
        else {
            return Ok(None);
        };
        data.extend_from_slice(chunk);
        rest = match after {
            [b'\r', b'\n', rest @ ..] => rest,
            [] | [b'\r'] => return Ok(None),
            [..] => return Err(Refused),
        };
    }
}

/// The size in a line like `1f ; extension`.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let (digits, extension) = match line.iter().position(|byte| *byte == b';') {
        Some(at) => (trim(&line[..at]), &line[at + 1..]),
        None => (line, &b""[..]),
    };
    let is_size = line.first()?.is_ascii_hexdigit()
        && digits.iter().all(u8::is_ascii_hexdigit)
        && digits.len() <= 16;
    if !is_size || !is_value(extension) || line.len() > 16 + 256 {
        return None;
    }
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// What follows the trailers, if they are complete.
fn trailers<'bytes>(bytes: &'bytes [u8], limits: &Limits) -> Result<Option<&'bytes [u8]>, Refused> {
    let mut rest = bytes;
    for number in 0.. {
        let Some((trailer, after)) = line(rest) else {
            return Ok(None);
        };
        if trailer.is_empty() {
            return Ok(Some(after));
        }
        let (name, _) = field(trailer).ok_or(Refused)?;
        let is_forbidden = NO_TRAILERS
            .iter()
            .any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()));
        if is_forbidden || number == limits.fields || trailer.len() + 2 > limits.field_size {
            return Err(Refused);
        }
        rest = after;
    }
    Ok(None)
}
