//! Connections that move between the workers of a pool.

use super::{Engine, HANDOVER, find, index};
use crate::connection::State;
use crate::handover::{Arrival, Handover};
use crate::notice::Notice;
use rgunicorn_link::HandoverSockets;
use rustix::event::epoll::{self, EventData, EventFlags};
use std::io;
use std::os::fd::OwnedFd;

/// The most connections that are taken in one turn, so that the others get their share.
const MAX_TAKEN: usize = 4;

/// What the other workers do, as far as it matters to where connections go.
pub trait Neighbours: Send {
    /// Whether this worker may accept connections now. Asked right before each system call,
    /// and after it, so that an order to retire counts also when it came after the turn began.
    fn may_accept(&self) -> bool;

    /// Of the workers that are in no request, the fewest connections that one holds; `None`:
    /// all are busy, or there is no other.
    fn fewest_connections_idle(&self) -> Option<usize>;

    /// Whether another worker serves that can hold more connections.
    fn have_room(&self) -> bool;

    /// Whether the whole pool was told to stop.
    fn are_stopping(&self) -> bool;
}

impl Engine {
    /// Gives connections away to the workers that share these sockets, and takes theirs.
    pub fn set_handover(&mut self, sockets: HandoverSockets) -> io::Result<()> {
        self.handover = Some(Handover::new(sockets));
        self.start_taking()
    }

    pub(super) fn start_taking(&mut self) -> io::Result<()> {
        if self.has_left_listeners {
            return Ok(());
        }
        if let Some(handover) = self.handover.as_mut().filter(|it| !it.is_watched) {
            // Of all workers that sleep, one is woken for a connection.
            let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
            let data = EventData::new_u64(HANDOVER);
            epoll::add(&self.epoll, &*handover, data, flags)?;
            handover.is_watched = true;
        }
        Ok(())
    }

    /// Goes on taking connections after it was full.
    pub(super) fn take_again_if_there_is_room(&mut self) -> io::Result<()> {
        let is_paused = self.handover.as_ref().is_some_and(|it| !it.is_watched);
        if is_paused && !self.is_intake_suspended && !self.is_full() {
            self.start_taking()?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.connections.len() >= self.pools.parts.settings.connections
    }

    /// Leaves what others give away to others.
    pub(super) fn stop_taking(&mut self) -> io::Result<()> {
        if let Some(handover) = self.handover.as_mut().filter(|it| it.is_watched) {
            epoll::delete(&self.epoll, &*handover)?;
            handover.is_watched = false;
        }
        Ok(())
    }

    /// Gives complete requests away, with their connections: the last ones first, at most
    /// `count`. Returns how many went.
    pub fn give_requests_away(&mut self, count: usize) -> usize {
        let mut given = 0;
        while given < count {
            let Some(token) = self.ready.pop_back() else {
                break;
            };
            if !self.give_away(token) {
                if find(&mut self.connections, token).is_some() {
                    self.ready.push_back(token);
                }
                break;
            }
            given += 1;
        }
        given
    }

    /// Gives all connections away that wait for a request or for the rest of one, and those
    /// with a complete request if `requests_too`. Returns how many went; some may be left
    /// because the other workers have not taken enough yet.
    pub fn give_connections_away(&mut self, requests_too: bool) -> usize {
        let movable: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| match connection.state {
                State::Idle | State::ReadingHead | State::ReadingBody => true,
                State::Ready => requests_too,
                State::Answering | State::Sending | State::Lingering => false,
            })
            .map(|(_, connection)| connection.token)
            .collect();
        let mut given = 0;
        for token in movable {
            if !self.give_away(token) {
                break;
            }
            given += 1;
        }
        let connections = &mut self.connections;
        self.ready
            .retain(|token| find(connections, *token).is_some());
        given
    }

    /// `false`: it stays.
    fn give_away(&mut self, token: u64) -> bool {
        let now_ms = self.clock.now_ms();
        let (Some(handover), Some(connection)) =
            (&mut self.handover, find(&mut self.connections, token))
        else {
            return false;
        };
        let Some(departure) = connection.departure(now_ms, &self.pools.parts.settings) else {
            return false;
        };
        match handover.give(departure) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                self.notices.push(Notice::CannotHandOver(error));
                return false;
            }
        }
        let Some(mut connection) = self.connections.try_remove(index(token)) else {
            return true;
        };
        if connection.interest.is_some() {
            // The registration is the socket's, which lives on; this descriptor is open,
            // so this cannot fail.
            let _ = epoll::delete(&self.epoll, &connection);
        }
        connection.release_all_buffers(&mut self.pools);
        true
    }

    /// Takes connections that others gave away, unless it has enough to do.
    pub(super) fn take_connections(&mut self) -> io::Result<()> {
        for _ in 0..MAX_TAKEN {
            if self.is_full() {
                self.accept_state.more_waiting = true;
                // It would be woken again and again.
                return self.stop_taking();
            }
            if !self.ready.is_empty() || !self.watched.is_empty() {
                // The kernel may have woken only this worker.
                self.accept_state.more_waiting = true;
                return Ok(());
            }
            if !self.may_accept() {
                return Ok(());
            }
            let Some(handover) = &mut self.handover else {
                return Ok(());
            };
            match handover.take() {
                Ok(Some((socket, arrival))) => {
                    self.arrive(socket, arrival);
                    self.pass_on_if_retired();
                }
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.notices.push(Notice::CannotHandOver(error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// To be called when a connection has come. The order to retire may have come meanwhile,
    /// since this worker was allowed to accept: whoever connects after a reload is done must
    /// not get the old code, however long the kernel has kept this process from running.
    pub(super) fn pass_on_if_retired(&mut self) {
        let neighbours = self.neighbours.as_ref();
        if neighbours.is_some_and(|all| !all.may_accept() && !all.are_stopping()) {
            self.give_connections_away(true);
        }
    }

    /// Takes whatever others gave away: the pool stops, and nobody else will.
    pub fn take_all(&mut self) -> io::Result<()> {
        while let Some((socket, arrival)) =
            self.handover.as_mut().map_or(Ok(None), Handover::take)?
        {
            self.arrive(socket, arrival);
        }
        Ok(())
    }

    fn arrive(&mut self, socket: OwnedFd, arrival: Arrival) {
        let listener = arrival.header.listener;
        if self.listeners.iter().all(|known| known.number != listener) {
            let error = io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it came by listener {listener}, which this worker does not have"),
            );
            return self.notices.push(Notice::CannotHandOver(error));
        }
        let (peer, deadline_ms) = (arrival.header.peer, arrival.header.deadline_ms);
        let token = self.insert(socket, peer, listener, deadline_ms);
        let now_ms = self.clock.now_ms();
        let Some(connection) = find(&mut self.connections, token) else {
            return;
        };
        match connection.arrive(arrival, now_ms, &mut self.pools) {
            Ok(true) => self.push_ready(token),
            Ok(false) => self.progress(token),
            Err(error) => self.refuse(token, error),
        }
    }
}
