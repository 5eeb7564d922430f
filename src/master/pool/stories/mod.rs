//! What the arbiter does, one rule at a time.

mod count;
mod deaths;
mod drain;
mod fixture;
mod heartbeat;
mod lost_fork_server;
mod reload;
mod start;
mod stop;
