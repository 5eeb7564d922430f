//! A client of the control socket: what it has sent, and what it waits for.

use super::access::Access;
use super::protocol::{self, Answer};
use crate::pool::{ReloadId, WorkerId};
use crate::sys::handed_over::HandedOver;
use crate::sys::peer::Peer;
use crate::upgrade::state::{ClientState, WaitsState};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long a client may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: UnixStream,
    /// Of its process, when it connected.
    pub(super) pid: u32,
    pub(super) uid: u32,
    pub(super) access: Access,
    pub(super) state: State,
    /// It asked for the outcome in fields.
    pub(super) fields: bool,
}

#[derive(Debug)]
pub(super) enum State {
    /// Its request is not complete.
    Silent { received: Vec<u8>, until: Instant },
    /// Its request is being carried out by the caller.
    Asked,
    /// It gets its answer when this happens.
    Waiting(Awaited),
}

/// What a client may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The end of this reload.
    Reload(ReloadId),
    /// This worker is asked to leave because another serves in its place.
    Replaced(WorkerId),
    /// The stacks of this worker.
    Stacks(WorkerId),
    /// The end of the server.
    Stop,
}

impl Client {
    /// One that has just connected.
    pub(super) fn new(stream: UnixStream, peer: Peer, access: Access, now: Instant) -> Self {
        Self {
            stream,
            pid: peer.pid,
            uid: peer.uid,
            access,
            state: State::Silent {
                received: Vec::new(),
                until: now + REQUEST_TIMEOUT,
            },
            fields: false,
        }
    }

    /// `None`: it waits for what ends with this program.
    pub(super) fn hand_over<'a>(
        &'a self,
        number: u32,
        fds: &mut HandedOver<'a>,
    ) -> Option<ClientState> {
        let waits = match &self.state {
            State::Silent { received, .. } => WaitsState::Silent(received.clone()),
            State::Waiting(Awaited::Reload(reload)) => WaitsState::Reload(reload.0),
            State::Waiting(Awaited::Replaced(worker)) => WaitsState::Replaced(worker.0),
            State::Waiting(Awaited::Stop) => WaitsState::Stop,
            State::Waiting(Awaited::Stacks(_)) | State::Asked => return None,
        };
        Some(ClientState {
            number,
            stream: fds.add(self.stream.as_fd()),
            pid: self.pid,
            uid: self.uid,
            has_full_access: self.access == Access::Full,
            fields: self.fields,
            waits,
        })
    }

    pub(super) fn adopt(state: ClientState, now: Instant) -> io::Result<Self> {
        let waits = match state.waits {
            WaitsState::Silent(received) => State::Silent {
                received,
                until: now + REQUEST_TIMEOUT,
            },
            WaitsState::Reload(reload) => State::Waiting(Awaited::Reload(ReloadId(reload))),
            WaitsState::Replaced(worker) => State::Waiting(Awaited::Replaced(WorkerId(worker))),
            WaitsState::Stop => State::Waiting(Awaited::Stop),
        };
        Ok(Self {
            stream: state.stream.take()?.into(),
            pid: state.pid,
            uid: state.uid,
            access: if state.has_full_access {
                Access::Full
            } else {
                Access::Figures
            },
            state: waits,
            fields: state.fields,
        })
    }

    pub(super) fn is_silent(&self) -> bool {
        matches!(self.state, State::Silent { .. })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Silent { until, .. } => Some(until),
            State::Asked | State::Waiting(_) => None,
        }
    }

    pub(super) fn send(&self, answer: &Answer) {
        send(&self.stream, &answer.for_client(self.fields));
    }
}

/// The socket's buffer takes an answer whole, unless the client has left.
pub(super) fn send(stream: &UnixStream, answer: &Answer) {
    let line = protocol::line(&answer.shortened());
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    while rustix::net::send(stream, line.as_bytes(), flags) == Err(Errno::INTR) {}
}
