//! The public interface: cases from files, properties, and responses as a client reads
//! them.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod answers;
mod cases;
#[path = "../../../tests/requests/files.rs"]
mod files;
mod properties;
mod proxy_headers;
mod reader;
