//! `rgunicornctl`: asks a running rgunicorn to do something, and waits until
//! it is done. What goes over the socket is in [`crate::control::message`].

mod cli;
mod client;

pub use cli::{Target, command};
pub use client::main;
