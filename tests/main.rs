//! The stories: black-box tests that start the real binaries with real
//! sockets, real interpreters and real signals, and judge only what an
//! operator or a client can see.
#![allow(
    clippy::unwrap_used,
    reason = "in a test a surprise is a failure, and a panic says where"
)]

mod compare;
mod harness;
mod rooms;
mod stories;
