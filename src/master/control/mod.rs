//! The control socket: what `rgunicornctl` asks of a running master.

mod access;
mod server;
mod terminal;

pub use rgunicorn_control::protocol;

pub use access::{Access, READER};
pub use server::{Asked, Awaited, MOST_CLIENTS, Server};
