//! What the arbiter does, told one rule at a time.

mod count;
mod deaths;
mod fork_server;
mod heartbeat;
mod reload;
mod stage;
mod start;
mod stop;
