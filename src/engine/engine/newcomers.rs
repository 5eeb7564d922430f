//! Newcomers: who accepts a connection, who leaves it to another worker, and
//! who has to go when there is no room.

use super::{Engine, LISTENER, NUDGE, Notice, USES};
use crate::connection::{Connection, Peer, millis};
use crate::listener::{Accepted, Listener};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// So long no connection is accepted after the system had no room for one, in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 200;

/// How it stands with newcomers.
#[derive(Default)]
pub(super) struct Accepting {
    /// More connections may wait than this worker has taken.
    more_waiting: bool,
    /// Connections were left waiting last time for the sake of requests.
    passed_over: bool,
    /// It was said that there is no room for connections, and there still is none.
    is_full: bool,
}

impl Engine {
    /// Accepts connections from `socket`, which has to be non-blocking, from now on.
    pub fn listen(&mut self, socket: OwnedFd) -> io::Result<()> {
        let mut listener = Listener::new(socket);
        let data = EventData::new_u64(LISTENER | self.listeners.len() as u64);
        listener.watch(self.epoll.as_fd(), data)?;
        self.listeners.push(listener);
        Ok(())
    }

    /// Looks for connections also when `nudge`, an eventfd that several workers
    /// share, is written to. Only one of them is woken by that.
    pub fn listen_for(&mut self, nudge: OwnedFd) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
        epoll::add(&self.epoll, &nudge, EventData::new_u64(NUDGE), flags)?;
        self.nudge = Some(nudge.into());
        Ok(())
    }

    /// Accepts connections only while `gate` says so. It is asked each time, right
    /// before the system call, so that an order to leave counts also when it
    /// came after the turn began.
    pub fn accept_while(&mut self, gate: impl Fn() -> bool + Send + 'static) {
        self.gate = Some(Box::new(gate));
    }

    /// Whether, since the last call, more connections may have come than this
    /// worker has taken: then [`Self::pass_on`] tells a worker that sleeps.
    pub fn take_more_waiting(&mut self) -> bool {
        std::mem::take(&mut self.accepting.more_waiting)
    }

    /// Takes a connection that waits although epoll did not tell: it told another
    /// worker, which turned out to be busy. To be called before falling asleep.
    /// `true`: there was one.
    pub fn look_for_connections(&mut self) -> io::Result<bool> {
        let before = self.connections.len();
        self.accepting.passed_over = false;
        for number in 0..self.listeners.len() {
            self.accept(number)?;
        }
        Ok(self.connections.len() > before || !self.ready.is_empty())
    }

    /// Wakes another worker if further connections wait. The kernel woke one
    /// worker for all that came while it slept (`EPOLLEXCLUSIVE`); if that one is
    /// busy with the first, the others would wait for it.
    pub fn pass_on(&self) -> io::Result<()> {
        let Some(nudge) = &self.nudge else {
            return Ok(());
        };
        let mut waiting: Vec<_> = self.listeners.iter().map(Listener::poll).collect();
        if rustix::event::poll(&mut waiting, Some(&Timespec::default()))? > 0 {
            rustix::io::write(nudge, &1_u64.to_ne_bytes())?;
        }
        Ok(())
    }

    /// Another worker found more connections than it can look after.
    pub(super) fn nudged(&mut self) -> io::Result<()> {
        if let Some(nudge) = &self.nudge {
            // Another one that was woken too may have read it.
            match rustix::io::read(nudge, &mut [0; 8]) {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for number in 0..self.listeners.len() {
            self.accept(number)?;
        }
        Ok(())
    }

    /// Accepts one connection. Whoever has an order to obey leaves it to others,
    /// and so does, every other time, whoever has a request to answer: a worker
    /// under load must not keep newcomers waiting for ever.
    pub(super) fn accept(&mut self, number: usize) -> io::Result<()> {
        if self.retiring.is_some() {
            return Ok(());
        }
        if !self.watched.is_empty() {
            self.accepting.more_waiting = true;
            return Ok(());
        }
        if !self.ready.is_empty() && !self.accepting.passed_over {
            self.accepting.passed_over = true;
            self.accepting.more_waiting = true;
            return Ok(());
        }
        self.accepting.passed_over = false;
        if self.connections.len() >= self.settings.connections && !self.make_room() {
            return self.pause(Notice::Crowded);
        }
        let Some(listener) = self.listeners.get(number) else {
            return Ok(());
        };
        if self.gate.as_ref().is_some_and(|gate| !gate()) {
            return Ok(());
        }
        match listener.accept()? {
            Accepted::Connection(socket, peer) => {
                self.accepting.is_full = false;
                self.accepting.more_waiting = true;
                let token = self.insert(socket, peer, number);
                self.progress(token);
                Ok(())
            }
            Accepted::Nothing => Ok(()),
            Accepted::NoRoom(error) => self.pause(Notice::CannotAccept(error)),
        }
    }

    pub(super) fn insert(&mut self, socket: OwnedFd, peer: Peer, listener: usize) -> u64 {
        self.uses = (self.uses + 1) & USES;
        let entry = self.connections.vacant_entry();
        let token = self.uses << 32 | entry.key() as u64;
        let deadline_ms = self.clock.now_ms() + millis(self.settings.client_timeout);
        let settings = Arc::clone(&self.settings);
        let connection = Connection::new(socket, peer, listener, settings, token, deadline_ms);
        entry.insert(Some(Box::new(connection)));
        token
    }

    /// Closes the kept-alive connection that would be closed next, or else the one
    /// that has been silent for longest since it came. `false`: there is none, as
    /// nobody is given up who has begun to ask, or has just come.
    pub(super) fn make_room(&mut self) -> bool {
        /// So many may turn out not to be idle before this is given up for now.
        const TRIES: usize = 4;
        let now_ms = self.clock.now_ms();
        for _ in 0..TRIES {
            let idle = self
                .connections
                .iter()
                .filter_map(|(_, connection)| connection.as_deref())
                .filter(|connection| connection.may_be_given_up(now_ms))
                .min_by_key(|connection| (!connection.is_kept_alive(), connection.deadline_ms))
                .map(|connection| connection.token);
            let Some(token) = idle else {
                return false;
            };
            self.look_again(token);
            match self.connection(token) {
                Some(connection) if connection.may_be_given_up(now_ms) => {
                    self.close(token);
                    return true;
                }
                Some(_) => {}
                None => return true,
            }
        }
        false
    }

    /// Stops accepting for a moment.
    pub(super) fn pause(&mut self, notice: Notice) -> io::Result<()> {
        if !std::mem::replace(&mut self.accepting.is_full, true) {
            self.notice(notice);
        }
        self.accept_ms = Some(self.clock.now_ms() + ACCEPT_PAUSE_MS);
        // Others may have room.
        self.accepting.more_waiting = true;
        self.ignore_listeners()
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

    pub(super) fn ignore_listeners(&mut self) -> io::Result<()> {
        let epoll = self.epoll.as_fd();
        self.listeners
            .iter_mut()
            .try_for_each(|listener| listener.ignore(epoll))
    }
}
