//! New connections: which worker accepts them, and which idle connection is closed when
//! there are too many.

use super::{Engine, LISTENER, SEQUENCE, WAKE};
use crate::connection::{Connection, millis};
use crate::listener::{Accepted, Listener};
use crate::notice::Notice;
use crate::responder::Client;
use crate::transport::{Peer, Transport};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// How long accepting pauses when there is no descriptor or memory for a connection.
const ACCEPT_PAUSE_MS: u64 = 200;

#[derive(Default)]
pub(super) struct AcceptState {
    /// More connections may wait than this worker has accepted.
    more_waiting: bool,
    /// The last connection was left to other workers, because there were requests.
    deferred: bool,
    /// A notice says that no connection can be accepted, and none was accepted since.
    is_full: bool,
}

impl Engine {
    /// Accepts connections from `socket`, which has to be non-blocking. `number` is what
    /// [`Request::listener`](crate::Request::listener) will say.
    pub fn listen(&mut self, socket: OwnedFd, number: u32) -> io::Result<()> {
        let mut listener = Listener::new(socket, number);
        let data = EventData::new_u64(LISTENER | self.listeners.len() as u64);
        listener.watch(self.epoll.as_fd(), data)?;
        self.listeners.push(listener);
        Ok(())
    }

    /// Accepts connections also when `wake_fd`, an eventfd that all workers share, becomes
    /// readable. That wakes only one of them.
    pub fn set_wake_fd(&mut self, wake_fd: OwnedFd) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
        epoll::add(&self.epoll, &wake_fd, EventData::new_u64(WAKE), flags)?;
        self.wake_fd = Some(wake_fd.into());
        Ok(())
    }

    /// Accepts connections only while `check` returns true. It is called right before each
    /// system call, so that an order to retire counts also when it came after the turn
    /// began.
    pub fn accept_while(&mut self, check: impl Fn() -> bool + Send + 'static) {
        self.accept_check = Some(Box::new(check));
    }

    /// Whether more connections may have come since the last call than this worker has
    /// accepted: then [`Self::wake_another`] wakes a worker that sleeps.
    pub fn take_more_waiting(&mut self) -> bool {
        std::mem::take(&mut self.accept_state.more_waiting)
    }

    /// Accepts a connection without an event: the kernel may have woken another worker for
    /// it, which is busy. To be called before the worker sleeps. `true`: there was one.
    pub fn try_accept(&mut self) -> io::Result<bool> {
        let before = self.connections.len();
        self.accept_state.deferred = false;
        for number in 0..self.listeners.len() {
            self.accept(number)?;
        }
        Ok(self.connections.len() > before || !self.ready.is_empty())
    }

    /// Wakes another worker if connections wait. The kernel woke one worker for all that
    /// came while it slept (`EPOLLEXCLUSIVE`); while that one is busy with the first, the
    /// others would wait.
    pub fn wake_another(&self) -> io::Result<()> {
        let Some(wake_fd) = &self.wake_fd else {
            return Ok(());
        };
        let mut waiting: Vec<_> = self.listeners.iter().map(Listener::poll).collect();
        if rustix::event::poll(&mut waiting, Some(&Timespec::default()))? > 0 {
            rustix::io::write(wake_fd, &1_u64.to_ne_bytes())?;
        }
        Ok(())
    }

    /// Another worker has more connections than it can accept.
    pub(super) fn handle_wake(&mut self) -> io::Result<()> {
        if let Some(wake_fd) = &self.wake_fd {
            // Another worker may have read it first.
            match rustix::io::read(wake_fd, &mut [0; 8]) {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for number in 0..self.listeners.len() {
            self.accept(number)?;
        }
        Ok(())
    }

    /// Accepts one connection. A worker with an order from the master leaves it to the
    /// others; one with a request does so only every other time, as all workers may have
    /// requests all the time.
    pub(super) fn accept(&mut self, number: usize) -> io::Result<()> {
        if self.retiring.is_some() {
            return Ok(());
        }
        if !self.watched.is_empty() {
            self.accept_state.more_waiting = true;
            return Ok(());
        }
        if !self.ready.is_empty() && !self.accept_state.deferred {
            self.accept_state.deferred = true;
            self.accept_state.more_waiting = true;
            return Ok(());
        }
        self.accept_state.deferred = false;
        if self.connections.len() >= self.parts.settings.connections
            && !self.evict_idle_connection()
        {
            return self.pause_accepting(Notice::ConnectionLimit);
        }
        let Some(listener) = self.listeners.get(number) else {
            return Ok(());
        };
        if self.accept_check.as_ref().is_some_and(|check| !check()) {
            return Ok(());
        }
        let listener_number = listener.number;
        match listener.accept()? {
            Accepted::Connection(socket, peer) => {
                self.accept_state.is_full = false;
                self.accept_state.more_waiting = true;
                let token = self.insert(socket, peer, listener_number);
                self.progress(token);
                Ok(())
            }
            Accepted::Nothing => Ok(()),
            Accepted::NoResources(error) => self.pause_accepting(Notice::CannotAccept(error)),
        }
    }

    pub(super) fn insert(&mut self, socket: OwnedFd, peer: Peer, listener: u32) -> u64 {
        self.sequence = (self.sequence + 1) & SEQUENCE;
        let entry = self.connections.vacant_entry();
        let token = (self.sequence << 32) | entry.key() as u64;
        let deadline_ms = self.clock.now_ms() + millis(self.parts.settings.client_timeout);
        let client = Client {
            transport: Transport::plain(socket),
            peer,
            listener,
            engine: Arc::clone(&self.parts),
        };
        entry.insert(Box::new(Connection::new(client, token, deadline_ms)));
        token
    }

    /// Closes the kept-alive connection with the earliest deadline, or else the one that
    /// was accepted first and has sent nothing. `false`: there is none; connections with a
    /// request and new ones are not closed.
    pub(super) fn evict_idle_connection(&mut self) -> bool {
        /// How many connections may turn out not to be idle.
        const TRIES: usize = 4;
        let now_ms = self.clock.now_ms();
        for _ in 0..TRIES {
            let idle = self
                .connections
                .iter()
                .map(|(_, connection)| connection)
                .filter(|connection| connection.is_evictable(now_ms))
                .min_by_key(|connection| (!connection.is_kept_alive(), connection.deadline_ms))
                .map(|connection| connection.token);
            let Some(token) = idle else {
                return false;
            };
            self.read_before_expiry(token);
            match self.connection(token) {
                Some(connection) if connection.is_evictable(now_ms) => {
                    self.close(token);
                    return true;
                }
                Some(_) => {}
                None => return true,
            }
        }
        false
    }

    pub(super) fn pause_accepting(&mut self, notice: Notice) -> io::Result<()> {
        if !std::mem::replace(&mut self.accept_state.is_full, true) {
            self.notices.push(notice);
        }
        self.resume_accepting_ms = Some(self.clock.now_ms() + ACCEPT_PAUSE_MS);
        // Other workers may be able to accept.
        self.accept_state.more_waiting = true;
        self.unwatch_listeners()
    }

    pub(super) fn watch_listeners(&mut self) -> io::Result<()> {
        if self.retiring.is_some() {
            return Ok(());
        }
        let epoll = self.epoll.as_fd();
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            listener.watch(epoll, EventData::new_u64(LISTENER | number as u64))?;
        }
        Ok(())
    }

    pub(super) fn unwatch_listeners(&mut self) -> io::Result<()> {
        let epoll = self.epoll.as_fd();
        self.listeners
            .iter_mut()
            .try_for_each(|listener| listener.unwatch(epoll))
    }
}
