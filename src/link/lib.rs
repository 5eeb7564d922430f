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

pub mod descriptors;
mod link;
pub mod protocol;
mod roster;
pub mod scoreboard;
pub mod seqpacket;
mod shorten;

pub use link::{FORK_SERVER_FD, Link, Received};
pub use scoreboard::Scoreboard;
pub use seqpacket::HandoverSockets;
pub use shorten::shorten;
