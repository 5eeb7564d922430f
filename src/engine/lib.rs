//! The HTTP engine: all sockets, buffers and timers of a worker behind one epoll
//! descriptor. It knows no Python; a worker class is a short loop around it.
//!
//! ```text
//!  listeners ─▶ accept ─▶ Connection ─▶ next_request() ─▶ the application
//!                  ▲          │                                 │
//!                  │      receive head and body                 │ push, flush,
//!                  │          │                                 │ send_file
//!               Engine::turn() ◀────────── finish() ◀───────────┘
//! ```
//!
//! A request is handed out only when it is complete, and the part of a response that the
//! client has not taken is kept in memory, then in a file. So neither a client that sends
//! slowly nor one that reads slowly blocks the application.

mod balance;
mod buffers;
mod clock;
pub mod close_on_fork;
mod completions;
mod connection;
mod engine;
mod handover;
mod listener;
mod notice;
mod output;
mod request;
mod responder;
mod settings;
mod spool;
mod standard_streams;
mod streamed_body;
#[cfg(test)]
mod tests;
mod transport;
mod upgraded;

pub use balance::Balance;
pub use clock::Clock;
pub use engine::{Engine, Neighbours, RequestEvent, TimeOut, Token};
pub use handover::HandoverSockets;
pub use notice::{Notice, RequestError, Unserved};
pub use output::{Flow, SendError};
pub use request::{Request, RequestBody, RequestId};
pub use responder::{Responder, ResponderHead};
pub use rgunicorn_http as http;
pub use settings::{BodyDelivery, Settings};
pub use streamed_body::{BodyEnd, BodyPart};
pub use transport::Peer;
pub use upgraded::Upgraded;
