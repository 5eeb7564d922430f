//! HTTP/1 requests once more, after RFC 9110 and 9112 and the rules that the HTTP crate
//! adds: on whole inputs, without a care for speed or early refusals, and sharing no code
//! with the crate. Where the two disagree, one of them has a fault.

mod body;
mod head;
pub mod proxy;

pub use body::{Body, chunked};
pub use head::{Head, head};

/// What a reader makes of its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<T> {
    Complete(T),
    /// More bytes are needed. The reader under test may know already that it will refuse
    /// them.
    Incomplete,
    Refused,
}

/// The line at the start of `bytes` and what follows its CR LF.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&bytes[..at], &bytes[at + 2..]))
}

pub fn is_token(bytes: &[u8]) -> bool {
    let others = b"!#$%&'*+-.^_`|~";
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || others.contains(byte))
}

pub fn is_value(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

/// `bytes` without spaces and tabs at both ends.
pub fn trim(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().take_while(|byte| is_blank(byte)).count();
    let rest = &bytes[start..];
    let end = rest.iter().rev().take_while(|byte| is_blank(byte)).count();
    &rest[..rest.len() - end]
}

/// The name and the value of a field line without its line break.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    (is_token(name) && is_value(value)).then(|| (name, trim(value)))
}
