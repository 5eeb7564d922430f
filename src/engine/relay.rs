//! A connection that the application has taken, of which some bytes were received before: as
//! nothing can put them back into the socket, the application gets one end of a pair of
//! sockets, and a thread moves what comes between the other end and the client.
//!
//! Rare: the client of a websocket sends nothing before the server has agreed.

use crate::client::Client;
use crate::close_on_fork::CloseOnFork;
use crate::transport::{Moved, Transport};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The most bytes that wait in one direction, beside those that were received before.
const CHUNK: usize = 16 * 1024;

/// The end of a relay that the request holds.
#[derive(Debug)]
pub struct Relay {
    /// Another descriptor of the application's end.
    application: CloseOnFork,
    ended: Arc<Ended>,
}

/// Whether all is sent that the application had to say.
#[derive(Debug, Default)]
struct Ended(Mutex<bool>, Condvar);

impl Relay {
    /// `received` comes first. Returns the application's end of the pair, too.
    pub(crate) fn start(client: &Arc<Client>, received: Vec<u8>) -> io::Result<(OwnedFd, Self)> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let ended = Arc::new(Ended::default());
        let relay = Self {
            application: theirs.try_clone()?.into(),
            ended: Arc::clone(&ended),
        };
        let client = Arc::clone(client);
        thread::Builder::new()
            .name("rgunicorn-relay".to_owned())
            .spawn(move || {
                let ours = Transport::plain(ours);
                // An error means that one of both is gone.
                let _ = run(&client.transport, &ours, received, || ended.set());
                ours.shutdown();
                ended.set();
            })?;
        Ok((theirs, relay))
    }

    /// The application sends nothing more. Waits until the client has taken what it sent, at
    /// most `timeout`.
    pub fn finish(self, timeout: Duration) {
        let _ = shutdown(&self.application, Shutdown::Write);
        self.ended.wait(timeout);
        // The thread ends in any case.
        let _ = shutdown(&self.application, Shutdown::Both);
    }
}

impl Ended {
    fn set(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }

    fn wait(&self, timeout: Duration) {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whether it has ended or not: nobody waits for longer.
        drop(self.1.wait_timeout_while(ended, timeout, |ended| !*ended));
    }
}

/// One way of the bytes.
#[derive(Debug, Default)]
struct Direction {
    waiting: Vec<u8>,
    sent: usize,
    /// Nothing more comes.
    is_at_end: bool,
    /// The other side was told so.
    is_closed: bool,
}

impl Direction {
    fn wants_more(&self) -> bool {
        self.waiting.is_empty() && !self.is_at_end
    }

    fn has_more(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Moves what can be moved without waiting.
    fn progress(&mut self, from: &Transport, to: &Transport) -> io::Result<()> {
        if self.wants_more() {
            self.waiting.reserve(CHUNK);
            if let Moved::Bytes(count) = from.receive(&mut self.waiting)? {
                self.is_at_end = count == 0;
            }
        }
        while self.has_more() {
            match to.send(&self.waiting[self.sent..])? {
                Moved::WouldBlock => break,
                Moved::Bytes(count) => self.sent += count,
            }
            if self.sent == self.waiting.len() {
                self.waiting.clear();
                self.sent = 0;
            }
        }
        if self.is_at_end && !self.has_more() && !self.is_closed {
            self.is_closed = true;
            to.shutdown_write();
        }
        Ok(())
    }
}

/// Moves bytes until both sides have ended. Calls `sent` when the application has ended its
/// side, and all of that is sent.
fn run(
    client: &Transport,
    application: &Transport,
    received: Vec<u8>,
    sent: impl Fn(),
) -> io::Result<()> {
    let mut to_application = Direction {
        waiting: received,
        ..Direction::default()
    };
    let mut to_client = Direction::default();
    loop {
        to_application.progress(client, application)?;
        to_client.progress(application, client)?;
        if to_client.is_closed {
            sent();
            if to_application.is_closed {
                return Ok(());
            }
        }
        let mut fds = Vec::with_capacity(2);
        for (side, incoming, outgoing) in [
            (client, &to_application, &to_client),
            (application, &to_client, &to_application),
        ] {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, incoming.wants_more());
            flags.set(PollFlags::OUT, outgoing.has_more());
            // Else the end of a side from which nothing is wanted would be reported for ever.
            if !flags.is_empty() {
                fds.push(PollFd::new(side, flags));
            }
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
