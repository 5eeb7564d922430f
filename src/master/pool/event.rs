//! The events that the arbiter handles.

use super::{ExitStatus, GenerationId, Wanted, WorkerId};
use rgunicorn_link::protocol::LoadFailure;
use std::fmt;
use std::time::Duration;

/// What an operator asked for. A signal and a control command that mean the
/// same thing are the same `Order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Read the configuration again and replace every worker by one with the
    /// newest code.
    Reload,
    /// Let running requests finish, then exit.
    Stop,
    /// Exit without waiting for requests.
    StopNow,
    /// Run one worker more, until the next reload.
    OneWorkerMore,
    /// Run one worker fewer, until the next reload.
    OneWorkerFewer,
    /// Run this many workers, until the next reload.
    Scale(u16),
    /// Replace this worker, which serves until another does in its place.
    Replace(WorkerId),
    /// Have every worker leave, and run none until the next order about their number, or
    /// the next reload.
    RetireAll,
    /// The same as a reload, by the program that lies where this one did.
    Upgrade,
}

/// Who gave an order. Part of the order, since one may have to wait while others
/// are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    /// Whoever sent this signal.
    Signal(&'static str),
    /// A client of the control socket.
    Control {
        /// The client's process.
        pid: u32,
    },
    /// The master itself: there was no connection for this long.
    Idle(Duration),
    /// The master itself: a file of the application has changed.
    FileChange,
}

impl fmt::Display for Requester {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => to.write_str(name),
            Self::Control { pid } => write!(to, "rgunicornctl, pid {pid}"),
            Self::FileChange => to.write_str("a changed file"),
            Self::Idle(time) => write!(to, "no connection for {} s", time.as_secs()),
        }
    }
}

/// Something that happened. Events about a worker or a fork server that the
/// arbiter no longer knows are ignored, so the loop may be late with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An operator gave an order.
    Ordered(Order, Requester),

    /// The answer to [`Action::ReadConfig`](super::Action::ReadConfig): the
    /// loop keeps the new configuration as the candidate.
    ConfigRead(Wanted),
    /// The other answer: why it cannot be used.
    ConfigRefused(String),

    /// The answer to [`Action::Upgrade`](super::Action::Upgrade): this program goes on, and
    /// why.
    UpgradeRefused(String),

    /// The configuration in Python of a reload's generation has run, and this follows from
    /// it. The loop has told the fork server what to serve.
    ConfigSettled(GenerationId, Wanted),
    /// The configuration in Python that this generation's fork server has run cannot be used:
    /// why.
    ConfigRejected(GenerationId, String),

    /// A fork server can fork workers.
    ForkServerReady(GenerationId),
    /// A fork server could not load the application. Its process will exit.
    ForkServerRefused(GenerationId, LoadFailure),
    /// A fork server has closed its link: it takes no orders. Its process should
    /// be about to exit.
    ForkServerLinkClosed(GenerationId),
    /// A fork server's process is reaped, or could not be started at all. The text
    /// is for the log; nothing is decided by it.
    ForkServerGone(GenerationId, String),

    /// The order for a worker could not be sent, because the link to the fork
    /// server is full or closed. There is no such worker; it is ordered again later.
    SpawnDeferred(WorkerId),
    /// A fork server could not fork: there never was such a process, and no
    /// `WorkerGone` follows.
    ForkFailed(WorkerId, String),
    /// A worker's process exists and its pid is known.
    WorkerStarted(WorkerId),
    /// A worker has loaded the application.
    WorkerReady(WorkerId),
    /// A worker could not load the application. Its process will exit.
    WorkerRefused(WorkerId, LoadFailure),
    /// A worker's process is reaped. Also the end of a worker that never started
    /// and whose link is closed.
    WorkerGone {
        worker: WorkerId,
        exit: ExitStatus,
        /// It had answered a request, or was in one when it ended.
        served: bool,
    },

    /// The answer to [`Action::MeasureMemory`](super::Action::MeasureMemory). One that
    /// is gone or cannot be measured is left out.
    MemoryMeasured(Check, Vec<MemoryUse>),
    /// The answer to [`Action::CountRequests`](super::Action::CountRequests): how many
    /// requests each has answered. One that is gone is left out.
    RequestsCounted(Vec<(WorkerId, u64)>),
    /// The kernel says that processes of the service wait for memory.
    MemoryPressure,
    /// A worker has collected its garbage.
    Collected(WorkerId),

    /// No worker proves that it works ([`works`](super::works)), and the service
    /// manager will end the service: they dump their stacks.
    PoolStuck,

    /// The deadline has come. How long each worker of
    /// [`Arbiter::with_heartbeat`](super::Arbiter::with_heartbeat) has been
    /// silent, by the scoreboard.
    Tick(Vec<Heartbeat>),
}

/// The memory of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    pub worker: WorkerId,
    /// Its own, in bytes: what would be free without it.
    pub own: u64,
    /// No request is under way.
    pub is_idle: bool,
}

/// Why workers are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Each may have so much.
    Limit,
    /// Memory is short.
    Pressure,
}

/// How long a worker has been silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    pub worker: WorkerId,
    /// Since its last heartbeat.
    pub silent: Duration,
}
