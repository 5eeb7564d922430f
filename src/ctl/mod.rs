//! `rgunicornctl`: asks a running rgunicorn to do something, and waits until
//! it is done. What goes over the socket is in [`crate::control::protocol`].

mod cli;
mod client;

#[cfg(test)]
pub(crate) use cli::COMMANDS;
pub use cli::{Target, command};
pub use client::main;
