//! What the arbiter does, one rule at a time.

mod count;
mod deaths;
mod drain;
mod fixture;
mod heartbeat;
mod lost_fork_server;
mod memory;
mod pressure;
mod recycling;
mod reload;
mod start;
mod stop;
mod upgrade;
