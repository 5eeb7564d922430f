//! The log: every record of master, fork servers, workers and applications is
//! written here, to the journal with fields or as lines on stderr.
//!
//! ```text
//! tracing macros ──▶ layer ──┐                     ┌──▶ journal   two crates
//!      ▲                     ├──▶ queue ──▶ thread ─┤
//!  events/                   │                     └──▶ console   lines on stderr
//! bytes of stdout, stderr ──▶ app_output
//! ```
//!
//! Only the log's thread blocks on journald or stderr:
//!
//! - A record is kept until it is taken, in the order in which it came. A journald
//!   that is restarted, or slow, costs none.
//! - While a mebibyte waits, the application's pipes are not read, so the process
//!   that writes too much waits in its `write(2)`; the master and the requests of
//!   other processes go on. The program's own records have room of their own.
//! - When one record has not been taken for five seconds, nothing is waited for any
//!   longer: what finds no room is dropped, and one record says how many were, once
//!   the log goes on. A stopped journald does not stop the site.
//! - With a file for the error log, the file takes the journal's or stderr's place; what
//!   it does not take goes there all the same.
//! - Syslog and StatsD get theirs from threads of their own, which nothing waits for.
//! - At the end of the program all that waits is written, within seconds.
//!
//! What the crates do and what stays ours is told in [`crate::systemd`].

mod app_output;
mod console;
mod error_file;
pub mod events;
mod journal;
mod layer;
mod priority;
mod queue;
mod record;
mod remote;
mod remote_sender;
mod sink;
#[cfg(test)]
mod tests;
mod writer;

pub use app_output::{AppRecord, Assembler};
pub use error_file::ErrorFile;
pub use layer::{Handle, Log, init};
pub use priority::Priority;
pub use sink::Sink;
pub use writer::FINISH;
