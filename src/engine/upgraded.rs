//! A connection that has left HTTP.

use crate::client::Client;
use crate::transport::{Moved, Peer};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// A connection after `101 Switching Protocols`: the worker class's own. It is non-blocking
/// and registered nowhere.
#[derive(Debug)]
pub struct Upgraded {
    client: Arc<Client>,
    received: Vec<u8>,
}

impl Upgraded {
    pub(crate) fn new(client: Arc<Client>, received: Vec<u8>) -> Self {
        Self { client, received }
    }

    pub fn peer(&self) -> Peer {
        self.client.peer
    }

    /// Takes what the client sent right behind its request.
    pub fn take_received(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    /// Receives into the spare capacity of `buffer`. Zero bytes: the client has shut down
    /// its side.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is nothing to receive.
    pub fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.client.transport.receive(buffer).and_then(moved)
    }

    /// Sends as much of `bytes` as the socket takes.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when it takes nothing.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.client.transport.send(bytes).and_then(moved)
    }
}

fn moved(moved: Moved<usize>) -> io::Result<usize> {
    match moved {
        Moved::Bytes(count) => Ok(count),
        Moved::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl AsFd for Upgraded {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.transport.as_fd()
    }
}
