//! What the master, the fork servers and the workers share.
//!
//! ```text
//! master ══ Link ══ fork server      ToForkServer, FromForkServer
//! master ══ Link ══ worker           ToWorker, FromWorker
//!    └──── Scoreboard ────┘          shared memory, one row a worker
//! ```
//!
//! Messages are rare (a worker's birth, its readiness, its retirement); what
//! happens with every request goes through the scoreboard and costs a store.

pub mod descriptors;
mod link;
pub mod protocol;
pub mod scoreboard;

pub use link::{Link, Received};
pub use scoreboard::Scoreboard;
