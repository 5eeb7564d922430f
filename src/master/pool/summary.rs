//! What the loop may ask the arbiter.

use super::arbiter::{Lifecycle, StopMode};
use super::worker_state::{Role, Worker, WorkerId};
use super::{Arbiter, GenerationId};
use std::time::Duration;

/// The pool in a few numbers, for `STATUS=` and `rgunicornctl status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub phase: Phase,
    /// The generation that serves.
    pub generation: GenerationId,
    /// How many workers are wanted.
    pub wanted: usize,
    /// Workers that serve, of any generation.
    pub ready: usize,
    /// Workers that are ordered or loading the application.
    pub starting: usize,
    /// Workers that were asked to leave or killed and are not reaped.
    pub retiring: usize,
}

/// The state of the service, as an operator thinks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first workers are being started.
    Starting,
    /// Serving, and nothing else.
    Serving,
    /// Serving, and a reload is under way.
    Reloading,
    /// Serving for `drain_time`, then stopping.
    Draining,
    /// Every process was asked to leave.
    Stopping,
}

impl Arbiter {
    pub fn summary(&self) -> Summary {
        Summary {
            phase: match self.lifecycle {
                Lifecycle::Starting | Lifecycle::Filling => Phase::Starting,
                Lifecycle::Serving if self.reloads() => Phase::Reloading,
                Lifecycle::Serving => Phase::Serving,
                Lifecycle::Draining { .. } => Phase::Draining,
                Lifecycle::Stopping(..) | Lifecycle::Stopped(..) => Phase::Stopping,
            },
            generation: self.current,
            wanted: self.count,
            ready: self.ready(),
            starting: self.role(Role::Starting),
            retiring: self.role(Role::Leaving),
        }
    }

    /// How long workers have to finish their requests, now that they stop; none
    /// if they are to leave at once.
    pub fn time_to_leave(&self) -> Option<Duration> {
        match self.lifecycle {
            Lifecycle::Stopping(_, StopMode::Quick) | Lifecycle::Stopped(_, StopMode::Quick) => {
                None
            }
            Lifecycle::Stopping(_, StopMode::Graceful)
            | Lifecycle::Stopped(_, StopMode::Graceful)
            | Lifecycle::Starting
            | Lifecycle::Filling
            | Lifecycle::Serving
            | Lifecycle::Draining { .. } => Some(self.wanted.graceful_timeout),
        }
    }

    /// A worker that is not reaped.
    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    /// Every worker that is not reaped, the oldest first.
    pub fn workers(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.workers.iter().map(|(&id, worker)| (id, worker))
    }

    /// The workers whose heartbeats a [`Tick`](super::Event::Tick) has to carry.
    pub fn with_heartbeat(&self) -> impl Iterator<Item = WorkerId> {
        self.workers()
            .filter(|(_, worker)| worker.state.beats_since().is_some())
            .map(|(id, _)| id)
    }

    /// How many workers serve, of any generation.
    pub(super) fn ready(&self) -> usize {
        self.role(Role::Serving)
    }

    fn role(&self, role: Role) -> usize {
        self.workers
            .values()
            .filter(|worker| worker.state.role() == role)
            .count()
    }
}
