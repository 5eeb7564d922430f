//! The HTTP engine: all of a worker's sockets, buffers and timers behind one
//! descriptor. It knows no Python; a worker class is a short loop around it.
//!
//! ```text
//!  listeners ─▶ accept ─▶ Connection ─▶ next_request() ─▶ the application
//!                  ▲          │                                 │
//!                  │      receive: head and body, whole         │ push, flush,
//!                  │          │                                 │ send_file
//!               Engine::turn() ◀───────── give_back() ◀─────────┘
//! ```
//!
//! A request is handed out only when it is here as a whole, and what a client
//! does not take of an answer waits in memory, then in a file, so neither a slow
//! sender nor a slow reader ever holds the application.

mod clock;
pub mod close_on_fork;
mod connection;
mod engine;
mod exchange;
mod listener;
mod output;
mod refused;
mod settings;
mod spool;
#[cfg(test)]
mod tests;
mod work;

pub use clock::Clock;
pub use connection::Peer;
pub use engine::{Engine, Notice, Token};
pub use exchange::{AnswerHead, Exchange, RequestBody};
pub use output::{Flow, SendError};
pub use refused::Refused;
pub use rgunicorn_http as http;
pub use settings::Settings;
