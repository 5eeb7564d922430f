//! The socket of a client in the hands of the application, which asks for it by
//! `environ["gunicorn.socket"]`.
//!
//! It may look at the socket, and answer as usual. Once it sends or receives by itself it has
//! taken the connection: the engine neither reads nor writes any more, and closes the
//! connection when the request ends. Until then the connection counts like any other whose
//! request is being answered.

use crate::client::Client;
use crate::relay::Relay;
use crate::request::RequestId;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// A client's socket, as long as one of its requests is answered.
#[derive(Debug, Clone)]
pub struct ClientSocket {
    client: Arc<Client>,
    id: RequestId,
}

/// How an application that takes a connection goes on.
#[derive(Debug)]
pub enum Taken {
    /// With the socket that it has.
    Socket,
    /// With this one: bytes of the client's were received before, and come first.
    Relayed(OwnedFd, Relay),
}

impl ClientSocket {
    pub(crate) fn new(client: Arc<Client>, id: RequestId) -> Self {
        Self { client, id }
    }

    /// Another descriptor of the socket. As all of them share one mode, it is non-blocking.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        // Not in the place of a standard stream that was closed.
        const MIN: i32 = 3;
        Ok(rustix::io::fcntl_dupfd_cloexec(
            &self.client.transport,
            MIN,
        )?)
    }

    /// Gives the connection to the application. `None`: the engine has answered the request,
    /// or it is over.
    ///
    /// # Errors
    ///
    /// The connection is the application's, but bytes that were received before are lost.
    pub fn take(&self) -> Option<io::Result<Taken>> {
        if !self.client.claim.take_for_application(self.id.stream) {
            return None;
        }
        let rest = self.client.lock_rest().take();
        Some(match rest {
            Some(rest) if !rest.input.is_empty() => {
                let relayed = Relay::start(&self.client, rest.input);
                relayed.map(|(socket, relay)| Taken::Relayed(socket, relay))
            }
            Some(_) | None => Ok(Taken::Socket),
        })
    }

    pub fn is_taken(&self) -> bool {
        self.client.claim.is_for_application(self.id.stream)
    }

    /// Tells the client that the application sends nothing more.
    pub fn end_sending(&self) {
        self.client.transport.shutdown_write();
    }

    /// Makes the socket what the engine needs, after an application that looked at it.
    pub fn restore(&self) {
        // It is open, so this cannot fail.
        let _ = rustix::io::ioctl_fionbio(self.client.transport.as_fd(), true);
    }
}
