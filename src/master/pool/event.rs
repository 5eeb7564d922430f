//! What the arbiter is told.

use super::{GenerationId, Wanted, WorkerId};
use rgunicorn_link::protocol::LoadFailure;
use std::time::Duration;

/// What an operator asked for. A signal and a control command that mean the
/// same thing are the same `Order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Read the configuration and put every worker on the code of today.
    Reload,
    /// Let running requests finish, then exit.
    Stop,
    /// Exit without waiting for requests.
    StopNow,
    /// Want one worker more, until the next reload.
    OneWorkerMore,
    /// Want one worker fewer, until the next reload.
    OneWorkerFewer,
}

/// Something that happened. What is told of a worker or a fork server that the
/// arbiter no longer knows is ignored, so the loop may be late with its news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An operator gave an order.
    Ordered(Order),

    /// The answer to [`Action::ReadConfig`](super::Action::ReadConfig): the
    /// loop keeps the new configuration as the candidate.
    ConfigRead(Wanted),
    /// The other answer: it cannot be used, and why, in one line.
    ConfigRefused(String),

    /// A fork server can fork workers.
    ForkServerReady(GenerationId),
    /// A fork server could not load the application. Its process will exit.
    ForkServerRefused(GenerationId, LoadFailure),
    /// A fork server's process is reaped, or could not be started at all; how
    /// it ended, in words.
    ForkServerGone(GenerationId, String),

    /// A fork server could not fork: there never was such a process, and no
    /// `WorkerGone` follows.
    ForkFailed(WorkerId, String),
    /// A worker's process exists and its pid is known.
    WorkerStarted(WorkerId),
    /// A worker has loaded the application.
    WorkerReady(WorkerId),
    /// A worker could not load the application. Its process will exit.
    WorkerRefused(WorkerId, LoadFailure),
    /// A worker's process is reaped; how it ended, in words. Also the end of a
    /// worker that never started and whose link is closed.
    WorkerGone(WorkerId, String),

    /// The deadline has come. How long each worker of
    /// [`Arbiter::with_heartbeat`](super::Arbiter::with_heartbeat) has been
    /// silent, by the scoreboard.
    Tick(Vec<Heartbeat>),
}

/// How long a worker has been silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Blame.
    pub worker: WorkerId,
    /// Since its last sign of life.
    pub silent: Duration,
}
