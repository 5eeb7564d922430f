//! The named events: what an operator may wait for, search for, or be woken by.
//!
//! Each has an id that never changes its meaning and a paragraph in
//! `systemd/rgunicorn.catalog`, which `journalctl -x` shows. Values are in
//! fields for machines and in the sentence for people. Events without a name
//! are logged where they happen.

#[cfg(test)]
mod catalog;
mod lifecycle;
mod naming;
mod output;
mod reload;
mod upgrade;
mod workers;

pub use lifecycle::*;
pub use naming::{AppProcess, Stream, Worker, counted};
pub use output::*;
pub use reload::*;
pub use upgrade::*;
pub use workers::*;
