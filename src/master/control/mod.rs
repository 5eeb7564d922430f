//! The control socket: what `rgunicornctl` asks of a running master.

pub mod protocol;
mod rows;
mod server;

pub use server::{Asked, Awaited, MOST_CLIENTS, Server};
