//! The real program with real sockets, and servers that are made up.
#![allow(
    clippy::unwrap_used,
    reason = "in a test a surprise is a failure, and a panic says where"
)]

mod machine;
mod metrics;
mod page;
mod service;
