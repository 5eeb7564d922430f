//! The control socket: what `rgunicornctl` asks of a running master.

pub mod message;
mod server;

pub use server::{Asked, Server};
