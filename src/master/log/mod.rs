//! The log: every record of master, fork servers, workers and applications is
//! written here, to the journal with fields or as lines on stderr.
//!
//! ```text
//! tracing macros ──▶ Log ──▶ Journal    datagrams of the native protocol
//!      ▲                └──▶ Console    lines on stderr
//!  events.rs
//!      ▲
//!  Assembler ◀── bytes of an application's stdout and stderr
//! ```
//!
//! Writing a record never blocks for long and never fails: what nobody takes is
//! dropped, counted, and told with the next record that gets through.

mod app_output;
mod console;
pub mod events;
mod journal;
mod layer;
mod priority;
mod queue;
mod record;
mod sink;
#[cfg(test)]
mod tests;
mod writer;

pub use app_output::{AppRecord, Assembler};
pub use layer::{Handle, Log, init};
pub use priority::Priority;
pub use sink::Sink;
