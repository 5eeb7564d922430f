//! What the stories are made of: a server in a folder of its own, clients that
//! control every byte, and the state of processes from `/proc`.
//!
//! Nothing here knows how the server works inside. Everything waits for a fact
//! with a long deadline, and shows what the server said when it is exceeded.

pub mod client;
pub mod debian;
pub mod example;
pub mod exchange;
pub mod files;
pub mod haproxy;
pub mod log_server;
pub mod nginx;
pub mod notices;
pub mod pause;
pub mod processes;
pub mod program;
pub mod rotation;
pub mod running;
pub mod server;
pub mod sockets;
pub mod traffic;
pub mod wait;

pub use client::{Broken, Connection, Response};
pub use log_server::LogServer;
pub use pause::let_pass;
pub use program::{Outcome, Program};
pub use running::Running;
pub use server::Server;
pub use traffic::{Closing, Failure, Load};
pub use wait::{holds_within, wait_until};
