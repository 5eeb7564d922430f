//! HTTP/1 as a server speaks it, without I/O and without a clock: bytes in,
//! judgements and spans out; facts in, framed bytes out.
//!
//! | file          | subject                                                        |
//! | ------------- | -------------------------------------------------------------- |
//! | `head.rs`     | one request head: the way from bytes to [`Head`]               |
//! | `scan.rs`     | where a head ends, line by line, when it comes in pieces       |
//! | `fields.rs`   | what the fields mean: framing, Host, Connection, Expect        |
//! | `target.rs`   | methods, request targets, Host values                          |
//! | `body.rs`     | request bodies, and `chunked.rs` for those in chunks           |
//! | `response.rs` | the head of a response, where its framing is decided           |
//! | `sending.rs`  | the body of a response, as it was framed                       |
//! | `refusal.rs`  | every reason to refuse a request, its status and its answer    |
//! | `fault.rs`    | every reason to distrust a response of the application         |
//!
//! httparse splits heads into words; every judgement is made here, and a strict
//! one: what two readers could understand differently is refused.
#![forbid(unsafe_code)]

mod body;
mod chunked;
mod fault;
mod fields;
mod head;
mod interim;
mod limits;
mod refusal;
mod response;
mod scan;
mod sending;
mod span;
mod syntax;
mod target;

pub use body::{Body, Decoded};
pub use fault::Fault;
pub use head::{Field, Framing, Head, Version};
pub use interim::{CONTINUE, write_early_hints};
pub use limits::Limits;
pub use refusal::{Page, Refusal, Status, write_refusal};
pub use response::{Answering, ResponseHead};
pub use sending::{End, ResponseFraming, Sending};
pub use span::Span;
pub use target::percent_decode;
