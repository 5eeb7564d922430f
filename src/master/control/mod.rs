//! The control socket: what `rgunicornctl` asks of a running master.

mod access;
mod client;
mod server;
mod terminal;

pub use rgunicorn_control::protocol;

pub use access::{Access, READER};
pub use client::Awaited;
pub use server::{Asked, MOST_CLIENTS, Server};
