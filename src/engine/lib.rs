//! The HTTP engine: all sockets, buffers and timers of a worker behind one epoll
//! descriptor. It knows no Python; a worker class is a short loop around it.
//!
//! ```text
//!  listeners ─▶ accept ─▶ Connection ─▶ next_request() ─▶ Request    ─▶ the application
//!  handover  ─▶ take ──▶      │                           Responder ◀─┘
//!                             │ receive head and body         │ head, push, flush,
//!                             │                               │ send_file, end
//!               Engine::turn() ◀──── finish() ◀───────────────┤ in this thread
//!                             ◀──── Completions ◀─────────────┘ in another
//! ```
//!
//! Connections stay here. A request is handed out as a value that owns its bytes, with a
//! handle that sends the response by itself, from any thread and over any number of turns.
//! By default a request is handed out only when it is complete, and the part of a response
//! that the client has not taken is kept in memory, then in a file: neither a client that
//! sends slowly nor one that reads slowly blocks the application.
//!
//! | file                                      | subject                                     |
//! | ----------------------------------------- | ------------------------------------------- |
//! | `engine.rs`                               | the turn: events, deadlines                 |
//! | `engine/accept.rs`                        | new connections, and which worker takes them|
//! | `engine/answering.rs`                     | requests handed out and given back          |
//! | `engine/moving.rs`, `handover.rs`         | connections that go to other workers        |
//! | `connection.rs`, `connection/`            | the states of one connection                |
//! | `client.rs`                               | its socket, and what handles share with it  |
//! | `transport.rs`                            | the only calls that receive and send        |
//! | `trusted_peers.rs`                        | who is believed when he speaks for others   |
//! | `request.rs`, `responder.rs`              | what the application gets                   |
//! | `completions.rs`                          | what other threads give back                |
//! | `streamed_body.rs`, `upgraded.rs`         | bodies in parts; connections that leave HTTP|
//! | `client_socket.rs`, `relay.rs`            | connections that the application takes      |
//! | `buffers.rs`, `spool.rs`, `output.rs`     | what is received, and what is to be sent    |
//! | `balance.rs`                              | when requests should move                   |
//! | `access.rs`, `access/`                    | records of the access log                   |

mod access;
mod balance;
mod buffers;
mod client;
mod client_socket;
mod clock;
pub mod close_on_fork;
mod completions;
mod connection;
mod engine;
mod handover;
mod listener;
mod notice;
mod output;
mod relay;
mod request;
mod responder;
mod settings;
mod spool;
mod standard_streams;
mod streamed_body;
#[cfg(test)]
mod tests;
mod transport;
mod trusted_peers;
mod upgraded;

pub use access::{AccessForm, AccessOutput, AccessSettings, RequestMetrics};
pub use balance::Balance;
pub use client_socket::{ClientSocket, Taken};
pub use clock::Clock;
pub use engine::{Engine, Neighbours, RequestEvent, TimeOut, Token};
pub use notice::{Notice, RequestError, Unserved};
pub use output::{Flow, SendError};
pub use relay::Relay;
pub use request::{Request, RequestBody, RequestId};
pub use responder::{Responder, ResponderHead};
pub use rgunicorn_http as http;
pub use rgunicorn_link::HandoverSockets;
pub use settings::{Absence, BodyDelivery, ProxyProtocol, Settings};
pub use streamed_body::{BodyEnd, BodyPart};
pub use transport::Peer;
pub use trusted_peers::TrustedPeers;
pub use upgraded::Upgraded;
