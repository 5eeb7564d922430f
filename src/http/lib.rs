//! HTTP/1 for a server, without I/O and without a clock: it parses requests from bytes
//! and writes the heads and the framing of responses.
//!
//! | file               | subject                                                       |
//! | ------------------ | ------------------------------------------------------------- |
//! | `request.rs`       | what a request head is made of: spans, fields, framing        |
//! | `head.rs`          | the parser of request heads                                   |
//! | `scan.rs`          | where a head ends, line by line, when it comes in pieces      |
//! | `target.rs`        | methods, request targets, Host values                         |
//! | `fields.rs`        | the fields the server acts on: framing, Connection, Expect    |
//! | `body.rs`          | request bodies; `chunked.rs` decodes those in chunks          |
//! | `limits.rs`        | how large a request may be                                    |
//! | `permit.rs`        | which deviations from HTTP/1.1 are let pass, and how          |
//! | `proxy_header.rs`  | whom a proxy speaks for, at the start of a connection         |
//! | `refusal.rs`       | every reason to refuse a request, its status and error page   |
//! | `response.rs`      | the head of a response, where its framing is decided          |
//! | `response_body.rs` | the body of a response in that framing                        |
//! | `syntax.rs`        | character classes and numbers                                 |
//!
//! httparse splits heads into words. Everything else is checked here, strictly: what two
//! readers could understand differently is refused.
#![forbid(unsafe_code)]

mod body;
mod chunked;
mod fields;
mod head;
mod limits;
mod permit;
mod proxy_header;
mod refusal;
mod request;
mod response;
mod response_body;
mod scan;
mod syntax;
mod target;

pub use body::{BodyDecoder, Decoded};
pub use head::Head;
pub use limits::Limits;
pub use permit::Permit;
pub use proxy_header::{ProxyHeader, ProxyVersions, Start};
pub use refusal::{Refusal, Status, write_error_page};
pub use request::{Field, Framing, Span, Version};
pub use response::{
    CONTINUE, ResponseContext, ResponseError, ResponseHead, write_early_hints,
    write_switching_protocols,
};
pub use response_body::{BodyTooShort, Frame, ResponseBody, ResponseFraming};
pub use target::percent_decode;
