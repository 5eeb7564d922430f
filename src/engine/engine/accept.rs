//! New connections: which worker accepts them, and which idle connection is closed when
//! there are too many.

use super::{Engine, LISTENER, Neighbours, SEQUENCE, WAKE, find};
use crate::connection::{Connection, Proxied, millis};
use crate::handover::Handover;
use crate::listener::{Accepted, Listener};
use crate::notice::Notice;
use crate::transport::{Peer, Transport};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, Timespec};
use rustix::io::{Errno, retry_on_intr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// How long accepting pauses when there is no descriptor or memory for a connection.
const ACCEPT_PAUSE_MS: u64 = 200;

/// How many of these are ready.
fn poll_now(descriptors: &mut [PollFd<'_>]) -> io::Result<usize> {
    // A signal may interrupt it although it does not wait.
    let poll = || rustix::event::poll(descriptors, Some(&Timespec::default()));
    Ok(retry_on_intr(poll)?)
}

/// How much of what waits at a listener is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    All,
    /// Until there is a complete request.
    OneRequest,
}

/// What is compared before a connection is accepted.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Requests that wait in this worker.
    ready: usize,
    /// Connections of this worker.
    connections: usize,
    /// The fewest connections of another worker that is in no request; `None`: all are.
    fewest_idle: Option<usize>,
}

/// How often in a row connections are left to others that could take them.
const MAX_DEFERRED: u8 = 1;

/// What to do about a new connection.
#[derive(Debug, PartialEq, Eq)]
enum Newcomer {
    Accept,
    /// The requests that are ready come first, and another worker is idle.
    NextTurn,
    /// An idle worker holds fewer connections.
    LeaveToOthers,
}

/// `deferred`: how often in a row it was not accepted.
fn newcomer(load: Load, deferred: u8) -> Newcomer {
    let has_more = load
        .fewest_idle
        .is_some_and(|fewest| load.connections > fewest + 1 + fewest / 8);
    if has_more && deferred < MAX_DEFERRED {
        Newcomer::LeaveToOthers
    } else if load.ready > 0 && load.fewest_idle.is_some() && deferred == 0 {
        Newcomer::NextTurn
    } else {
        Newcomer::Accept
    }
}

/// Whether the next connection should go to another worker.
fn is_ahead(load: Load) -> bool {
    load.fewest_idle
        .is_some_and(|fewest| load.connections >= fewest)
}

#[derive(Default)]
pub(super) struct AcceptState {
    /// More connections may wait than this worker has accepted or taken.
    pub(super) more_waiting: bool,
    /// Connections wait until requests are answered.
    pub(super) waits: bool,
    /// How often in a row connections were left to other workers.
    deferred: u8,
    /// A notice says that no connection can be accepted, and none was accepted since.
    is_full: bool,
}

impl Engine {
    /// Accepts connections from `socket`, which has to be non-blocking. `number` is what
    /// [`Request::listener`](crate::Request::listener) will say.
    pub fn listen(&mut self, socket: OwnedFd, number: u32) -> io::Result<()> {
        let mut listener = Listener::new(socket, number);
        let data = EventData::new_u64(LISTENER | self.listeners.len() as u64);
        if !self.has_left_listeners {
            listener.watch(self.epoll.as_fd(), data)?;
        }
        self.listeners.push(listener);
        Ok(())
    }

    /// Accepts connections also when `wake_fd`, an eventfd that all workers share, becomes
    /// readable. That wakes only one of them.
    pub fn set_wake_fd(&mut self, wake_fd: OwnedFd) -> io::Result<()> {
        if self.has_left_listeners {
            return Ok(());
        }
        self.wake_fd = Some(wake_fd.into());
        self.watch_wake_fd()
    }

    /// Serves `socket`, a connected stream socket that is non-blocking, as if it had been
    /// accepted from the listener with this number.
    pub fn adopt(&mut self, socket: OwnedFd, peer: Peer, listener: u32) {
        let deadline_ms = self.clock.now_ms() + millis(self.pools.parts.settings.client_timeout);
        let token = self.insert(socket, peer, listener, deadline_ms);
        self.progress(token);
    }

    /// Asks `neighbours` before it accepts or closes connections.
    pub fn set_neighbours(&mut self, neighbours: impl Neighbours + 'static) {
        self.neighbours = Some(Box::new(neighbours));
    }

    /// Whether more connections may have come since the last call than this worker has
    /// accepted: then [`Self::wake_another`] wakes a worker that sleeps.
    pub fn take_more_waiting(&mut self) -> bool {
        std::mem::take(&mut self.accept_state.more_waiting)
    }

    /// Accepts a connection without an event: the kernel may have woken another worker for
    /// it, which is busy. To be called before the worker sleeps. `true`: there was one.
    pub fn try_accept(&mut self) -> io::Result<bool> {
        // Who looks only before it sleeps must not leave connections to others, and wake up
        // for it again, when there are none.
        let mut waiting: Vec<_> = self.listeners.iter().filter_map(Listener::poll).collect();
        if poll_now(&mut waiting)? == 0 {
            return Ok(!self.ready.is_empty());
        }
        let before = self.connections.len();
        for number in 0..self.listeners.len() {
            self.accept(number)?;
        }
        Ok(self.connections.len() > before || !self.ready.is_empty())
    }

    /// Accepts all connections that wait, as far as there is room for them, although their
    /// requests may have to wait here.
    pub fn accept_all(&mut self) -> io::Result<()> {
        for index in 0..self.listeners.len() {
            self.empty_listener(index, Share::All)?;
        }
        Ok(())
    }

    /// Accepts what waits at a listener that is served no longer, and closes it then. `false`:
    /// more waits than one request, and it has to be tried again: other workers that close it
    /// share what waits there, and nobody can be given any of it afterwards.
    pub fn close_listener(&mut self, number: u32) -> io::Result<bool> {
        for index in 0..self.listeners.len() {
            if self.listeners[index].number != number || self.listeners[index].is_closed() {
                continue;
            }
            if !self.empty_listener(index, Share::OneRequest)? {
                return Ok(false);
            }
            self.listeners[index].close();
        }
        Ok(true)
    }

    /// `false`: there may be more, for which there is no room or which is not ours.
    fn empty_listener(&mut self, index: usize, share: Share) -> io::Result<bool> {
        while let Some(listener) = self.listeners.get(index) {
            if self.connections.len() >= self.pools.parts.settings.connections {
                return Ok(false);
            }
            if share == Share::OneRequest && !self.ready.is_empty() {
                return Ok(false);
            }
            let number = listener.number;
            match listener.accept()? {
                Accepted::Connection(socket, peer) => self.adopt(socket, peer, number),
                Accepted::Nothing => break,
                Accepted::NoResources(error) => {
                    self.note_full(Notice::CannotAccept(error));
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Wakes another worker if connections wait, new ones or some that were given away. The
    /// kernel woke one worker for all that came while it slept (`EPOLLEXCLUSIVE`); while that
    /// one is busy with the first, the others would wait.
    pub fn wake_another(&self) -> io::Result<()> {
        let Some(wake_fd) = &self.wake_fd else {
            return Ok(());
        };
        let mut waiting: Vec<_> = self.listeners.iter().filter_map(Listener::poll).collect();
        waiting.extend(self.handover.as_ref().map(Handover::poll));
        if poll_now(&mut waiting)? > 0 {
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
            self.handle_listener(number)?;
        }
        if self.handover.as_ref().is_some_and(|it| it.is_watched) {
            self.take_connections()?;
        }
        Ok(())
    }

    /// A listener has connections. They are accepted one by one, each when the last one's
    /// request is answered: requests that wait here are lost if the application crashes.
    pub(super) fn handle_listener(&mut self, index: usize) -> io::Result<()> {
        if self.ready.is_empty() {
            self.accept(index)
        } else {
            self.accept_state.waits = true;
            self.accept_state.more_waiting = true;
            Ok(())
        }
    }

    /// Accepts a connection, if one waits, while requests of others are answered. Its own,
    /// if it is there already, comes next: so as many requests of new connections are
    /// answered as of those that are here for long.
    pub fn accept_between_requests(&mut self) -> io::Result<()> {
        if !self.accept_state.waits {
            return Ok(());
        }
        let (ready, connections) = (self.ready.len(), self.connections.len());
        for index in 0..self.listeners.len() {
            self.accept(index)?;
            if self.connections.len() > connections {
                if self.ready.len() > ready {
                    self.ready.rotate_right(1);
                }
                return Ok(());
            }
        }
        self.accept_state.waits = false;
        Ok(())
    }

    /// Whether the master lets this worker accept and take connections at this moment.
    pub(super) fn may_accept(&self) -> bool {
        let neighbours = self.neighbours.as_ref();
        neighbours.is_none_or(|all| all.may_accept())
    }

    fn fewest_connections_idle(&self) -> Option<usize> {
        let neighbours = self.neighbours.as_ref();
        neighbours.and_then(|all| all.fewest_connections_idle())
    }

    /// Accepts one connection. A worker with an order from the master leaves it to the
    /// others; one with requests, or with more connections than an idle worker, does so once,
    /// as the others may have to do as much.
    pub(super) fn accept(&mut self, index: usize) -> io::Result<()> {
        let is_paused = self.is_intake_suspended || self.resume_accepting_ms.is_some();
        if self.has_left_listeners || is_paused {
            return Ok(());
        }
        if !self.watched.is_empty() {
            self.accept_state.more_waiting = true;
            return Ok(());
        }
        let fewest_idle = self.fewest_connections_idle();
        let load = Load {
            ready: self.ready.len(),
            connections: self.connections.len(),
            fewest_idle,
        };
        match newcomer(load, self.accept_state.deferred) {
            Newcomer::Accept => self.accept_state.deferred = 0,
            Newcomer::NextTurn => {
                self.accept_state.deferred += 1;
                self.accept_state.more_waiting = true;
                return Ok(());
            }
            Newcomer::LeaveToOthers => {
                self.accept_state.deferred += 1;
                self.leave_to_others()?;
                return Ok(());
            }
        }
        let Some(listener) = self.listeners.get(index) else {
            return Ok(());
        };
        let number = listener.number;
        if self.connections.len() >= self.pools.parts.settings.connections {
            // None is closed unless another one really waits.
            let Some(waiting) = listener.poll() else {
                return Ok(());
            };
            if poll_now(&mut [waiting])? == 0 {
                return Ok(());
            }
            if !self.make_room() {
                return self.pause_accepting();
            }
        }
        let Some(listener) = self.listeners.get(index) else {
            return Ok(());
        };
        if !self.may_accept() {
            return Ok(());
        }
        match listener.accept()? {
            Accepted::Connection(socket, peer) => {
                self.accept_state.is_full = false;
                self.accept_state.more_waiting = true;
                if is_ahead(load) {
                    // The kernel wakes the worker that registered first.
                    self.watch_listeners_last()?;
                }
                self.adopt(socket, peer, number);
                self.pass_on_if_retired();
                Ok(())
            }
            Accepted::Nothing => Ok(()),
            Accepted::NoResources(error) => {
                self.note_full(Notice::CannotAccept(error));
                self.pause_accepting()
            }
        }
    }

    /// Whether there is room for another connection, if need be because an idle one is
    /// closed. None is closed as long as another worker has room.
    fn make_room(&mut self) -> bool {
        if self.neighbours.as_ref().is_some_and(|all| all.have_room()) {
            return false;
        }
        let has_room = self.evict_idle_connection();
        if !has_room {
            self.note_full(Notice::ConnectionLimit);
        }
        has_room
    }

    pub(super) fn insert(
        &mut self,
        socket: OwnedFd,
        peer: Peer,
        listener: u32,
        deadline_ms: u64,
    ) -> u64 {
        self.sequence = (self.sequence + 1) & SEQUENCE;
        let entry = self.connections.vacant_entry();
        let token = (self.sequence << 32) | entry.key() as u64;
        let transport = Transport::plain(socket);
        let proxied = match self.pools.parts.settings.proxy_protocol {
            Some(_) => Proxied::Awaited,
            None => Proxied::No,
        };
        entry.insert(Connection::new(
            transport,
            peer,
            listener,
            token,
            deadline_ms,
            proxied,
        ));
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
                .filter(|connection| connection.is_evictable(now_ms, &self.pools.parts.settings))
                .min_by_key(|connection| (!connection.is_kept_alive(), connection.deadline_ms))
                .map(|connection| connection.token);
            let Some(token) = idle else {
                return false;
            };
            self.read_before_expiry(token);
            match find(&mut self.connections, token) {
                Some(connection) if connection.is_evictable(now_ms, &self.pools.parts.settings) => {
                    self.close(token);
                    return true;
                }
                Some(_) => {}
                None => return true,
            }
        }
        false
    }

    /// Reports once that no connection can be accepted.
    fn note_full(&mut self, notice: Notice) {
        if !std::mem::replace(&mut self.accept_state.is_full, true) {
            self.notices.push(notice);
        }
    }

    pub(super) fn pause_accepting(&mut self) -> io::Result<()> {
        self.resume_accepting_ms = Some(self.clock.now_ms() + ACCEPT_PAUSE_MS);
        // Other workers may be able to accept.
        self.accept_state.more_waiting = true;
        self.unwatch_listeners()
    }

    /// Leaves the connections that wait to a worker that sleeps, and gives it the time to
    /// wake up.
    fn leave_to_others(&mut self) -> io::Result<()> {
        /// Longer than it takes on an idle machine.
        const TIME_MS: u64 = 4;
        self.resume_accepting_ms = Some(self.clock.now_ms() + TIME_MS);
        self.unwatch_listeners()?;
        // Else it would be woken itself, and those who sleep would wake each other in turn.
        self.unwatch_wake_fd()?;
        self.wake_another()
    }

    /// Accepts connections when other workers want that.
    fn watch_wake_fd(&mut self) -> io::Result<()> {
        if let Some(wake_fd) = self.wake_fd.as_ref().filter(|_| !self.is_wake_fd_watched) {
            let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
            epoll::add(&self.epoll, wake_fd, EventData::new_u64(WAKE), flags)?;
            self.is_wake_fd_watched = true;
        }
        Ok(())
    }

    pub(super) fn unwatch_wake_fd(&mut self) -> io::Result<()> {
        if let Some(wake_fd) = self.wake_fd.as_ref().filter(|_| self.is_wake_fd_watched) {
            epoll::delete(&self.epoll, wake_fd)?;
            self.is_wake_fd_watched = false;
        }
        Ok(())
    }

    /// Registers for connections behind all other workers.
    fn watch_listeners_last(&mut self) -> io::Result<()> {
        self.unwatch_listeners()?;
        self.watch_listeners()
    }

    pub(super) fn watch_listeners(&mut self) -> io::Result<()> {
        if self.has_left_listeners {
            return Ok(());
        }
        self.watch_wake_fd()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_connection_goes_to_the_worker_with_fewer_of_them() {
        let decide = |ready, connections, fewest_idle, deferred| {
            let load = Load {
                ready,
                connections,
                fewest_idle,
            };
            newcomer(load, deferred)
        };

        assert_eq!(decide(0, 1, Some(0), 0), Newcomer::Accept);
        assert_eq!(decide(0, 2, Some(0), 0), Newcomer::LeaveToOthers);
        assert_eq!(decide(0, 20, None, 0), Newcomer::Accept);
        assert_eq!(decide(0, 102, Some(90), 0), Newcomer::Accept);
        assert_eq!(decide(0, 103, Some(90), 0), Newcomer::LeaveToOthers);
        // Nobody took it.
        assert_eq!(decide(0, 103, Some(90), MAX_DEFERRED), Newcomer::Accept);
        assert_eq!(decide(3, 0, Some(5), 0), Newcomer::NextTurn);
        assert_eq!(decide(3, 0, Some(5), 1), Newcomer::Accept);
        // All are as busy.
        assert_eq!(decide(3, 100, None, 0), Newcomer::Accept);
    }
}
