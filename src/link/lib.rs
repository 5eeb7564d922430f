//! What the master, the fork servers and the workers share.
//!
//! ```text
//! master ══ Link ══ fork server      ToForkServer, FromForkServer
//! master ══ Link ══ worker           ToWorker, FromWorker
//!    └──── Scoreboard ────┘          shared memory, one row for each worker
//! worker ─ HandoverSockets ─ worker  connections that go from one to another
//! ```
//!
//! Messages are rare: a worker has started, is ready, retires. What happens with
//! every request goes through the scoreboard and costs a store.

mod access_filter;
mod access_format;
pub mod descriptors;
mod link;
pub mod log_file;
pub mod output_mark;
pub mod protocol;
pub mod remote;
mod roster;
pub mod scoreboard;
pub mod seqpacket;
mod shorten;
pub mod statsd;
pub mod syslog;

pub use access_filter::AccessFilter;
pub use access_format::{
    AccessFormat, DEFAULT_FORMAT, FormatError, Part, RequestAtom, ResponseAtom,
};
pub use link::{FORK_SERVER_FD, LONGEST, Link, Received};
pub use scoreboard::Scoreboard;
pub use seqpacket::HandoverSockets;
pub use shorten::shorten;
pub use statsd::Statsd;
pub use syslog::Syslog;
