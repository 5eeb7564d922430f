//! What the arbiter wants done, and the reasons it gives.

use super::{Check, ExitStatus, GenerationId, LEFT_BY_ITSELF, Requester, WorkerId};
use rgunicorn_link::protocol::LoadFailure;
use std::fmt;
use std::time::Duration;

/// Something for the loop to do. Actions are carried out in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The order to reload that was just given belongs to this reload: whoever
    /// gave it gets that one's [`ReloadFinished`](Action::ReloadFinished).
    ReloadAccepted(ReloadId),
    /// Read the configuration again and answer with
    /// [`ConfigRead`](super::Event::ConfigRead) or
    /// [`ConfigRefused`](super::Event::ConfigRefused).
    ReadConfig,
    /// Have the new program take over, as long as
    /// [`is_upgrading`](super::Arbiter::is_upgrading); else answer with
    /// [`UpgradeRefused`](super::Event::UpgradeRefused).
    Upgrade,
    /// The candidate configuration is the current one from here on.
    AdoptConfig,
    /// Forget the candidate configuration.
    DropConfig,
    /// The reload is over: every worker wanted is of this generation, or why not.
    /// The loop answers those who wait; the journal has its own
    /// [`Report`](Action::Report).
    ReloadFinished(ReloadId, Result<GenerationId, Reason>),

    /// Start a generation's fork server; from the candidate configuration if
    /// there is one, else from the current.
    StartForkServer(GenerationId),
    /// Close its link, upon which it exits.
    StopForkServer(GenerationId),
    /// SIGABRT: it took too long to load and dumps its stacks.
    AbortForkServer(GenerationId),
    /// SIGKILL.
    KillForkServer(GenerationId),

    /// Order a worker from a generation's fork server.
    Spawn {
        generation: GenerationId,
        worker: WorkerId,
    },
    /// Measure the memory of these workers, and answer with
    /// [`MemoryMeasured`](super::Event::MemoryMeasured).
    MeasureMemory {
        check: Check,
        workers: Vec<WorkerId>,
        /// Only more than these bytes have to be exact.
        above: u64,
    },
    /// Count the requests that these workers have answered, and answer with
    /// [`RequestsCounted`](super::Event::RequestsCounted).
    CountRequests(Vec<WorkerId>),
    /// Ask it to collect its garbage when it is in no request, and to give memory back
    /// to the system.
    Collect(WorkerId),
    /// Lend it the listeners.
    Lend(WorkerId),
    /// Ask it to leave the listeners, finish its requests and exit.
    Retire {
        worker: WorkerId,
        /// It is killed after that.
        within: Duration,
    },
    /// SIGQUIT: ask it to exit at once.
    Quit(WorkerId),
    /// SIGABRT, and SIGCONT should it be stopped: it is stuck, dumps its stacks and dies.
    Abort(WorkerId),
    /// SIGKILL. For a worker that has not started, and so has no pid: close its
    /// link and report [`WorkerGone`](super::Event::WorkerGone). Should it be
    /// forked later, it finds its link closed and exits.
    Kill(WorkerId),

    /// Tell the service manager; each announcement once, when it becomes true.
    Announce(Announcement),
    /// Log it, once.
    Report(Report),
    /// Every process is gone or left behind. The last action of all.
    Exit(u8),
}

/// What the service manager is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// Requests are answered, and no reload is under way.
    Ready,
    /// A reload began.
    Reloading,
    /// The service began to stop.
    Stopping,
}

/// A reload's number, from 1. Orders that are given while one is under way
/// share the one that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReloadId(pub u32);

/// What an operator may want to find in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The service answers requests for the first time, with this number of
    /// workers.
    Serving(GenerationId, usize),
    /// The first generation could not serve: the service ends.
    StartFailed(Reason),
    /// The service was ordered to stop, and serves on for this long.
    Draining(Requester, Duration),
    /// The service stops. Workers have this long to finish their
    /// requests; `None` if they leave at once.
    Stopping(Requester, Option<Duration>),

    /// A reload's generation is about to be started.
    ReloadBegan(GenerationId, Requester),
    /// Every worker wanted is of this generation.
    ReloadDone(GenerationId),
    /// The reload ended without that.
    ReloadFailed(Reason),
    /// An order changed how many workers are wanted.
    CountChanged {
        from: usize,
        to: usize,
        by: Requester,
    },

    /// A worker serves.
    WorkerServes(WorkerId, GenerationId),
    /// A worker that was asked to leave has left.
    WorkerLeft(WorkerId, ExitStatus),
    /// A worker that served died by itself.
    WorkerDied(WorkerId, ExitStatus),
    /// A worker failed before it served; another is tried.
    WorkerFailed(WorkerId, Reason),
    /// A worker sent no heartbeat for this long and is aborted, so that it dumps its
    /// stacks.
    WorkerTimedOut(WorkerId, Duration),
    /// A worker has more memory of its own than it may, and is replaced.
    WorkerTooLarge {
        worker: WorkerId,
        /// Its own memory, in bytes.
        own: u64,
        /// What it may have.
        max: u64,
        /// Since it was ready.
        age: Duration,
    },
    /// A worker has answered as many requests as it shall, and is replaced.
    WorkerServedEnough { worker: WorkerId, requests: u64 },
    /// A worker is as old as it may be, and is replaced.
    WorkerTooOld { worker: WorkerId, age: Duration },
    /// Memory is short. The kernel has reported it so often since this was reported last.
    MemoryPressure(u32),
    /// Memory stays short, and this worker is replaced, which has so much of its own.
    WorkerRecycled(WorkerId, u64),
    /// A worker did not leave in time and is killed.
    WorkerKilled(WorkerId),
    /// The service stops without waiting for this killed worker any longer.
    WorkerLeftBehind(WorkerId),
    /// The same for a fork server.
    ForkServerLeftBehind(GenerationId),
    /// Workers fail one after the other: the next is tried after this pause.
    RespawnDelayed(Duration),

    /// The fork server of the serving generation is lost. Its workers go on; the
    /// next generation replaces them.
    ForkServerLost(GenerationId, Reason),
    /// The generation that was to replace one without a fork server failed.
    /// Another is tried.
    ReplacementFailed(GenerationId, Reason),
}

/// Why a generation, a worker or a reload failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Why the configuration cannot be used.
    Config(String),
    /// Why the new program cannot take over.
    Upgrade(String),
    /// The application could not be loaded.
    Load(LoadFailure),
    /// The application took longer than this to load.
    Late(Duration),
    /// A worker died.
    WorkerDied(ExitStatus),
    /// A worker sent no heartbeat for this long.
    TimedOut(Duration),
    /// The fork server died; how, in words.
    ForkServerDied(String),
    /// The fork server closed its link and went on running.
    ForkServerLinkClosed,
    /// The fork server did not fork within its time, 10 s.
    ForkServerStuck,
    /// The operating system refused to fork; its error message.
    Fork(String),
    /// The generation serves, but its workers fail or requests crash them, and the
    /// reload is given up. Workers are still replaced one by one.
    GaveUp {
        failures: u32,
        /// The last one's reason.
        last: Box<Reason>,
    },
    /// The service is being stopped.
    Stopping,
}

impl Reason {
    /// The exit status of a service that could not start for this reason.
    pub fn status(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Upgrade(_) => 78,
            Self::Load(failure) => failure.status,
            Self::Fork(_) => 71,
            Self::GaveUp { last, .. } => last.status(),
            Self::Late(_)
            | Self::WorkerDied(_)
            | Self::TimedOut(_)
            | Self::ForkServerDied(_)
            | Self::ForkServerLinkClosed
            | Self::ForkServerStuck
            | Self::Stopping => 3,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(why) | Self::Upgrade(why) => to.write_str(why),
            Self::Load(failure) => to.write_str(&failure.summary),
            Self::Late(after) => write!(
                to,
                "the application was not loaded after {} s",
                after.as_secs_f64()
            ),
            Self::WorkerDied(ExitStatus::Code(0)) => write!(to, "a worker left: {LEFT_BY_ITSELF}"),
            Self::WorkerDied(exit) => write!(to, "a worker died: {exit}"),
            Self::TimedOut(silent) => {
                write!(to, "a worker sent no heartbeat for {} s", silent.as_secs())
            }
            Self::ForkServerDied(how) => write!(to, "the fork server died: {how}"),
            Self::ForkServerLinkClosed => {
                to.write_str("the fork server closed its link and did not exit")
            }
            Self::ForkServerStuck => to.write_str("the fork server forked no worker for 10 s"),
            Self::Fork(why) => write!(to, "cannot fork a worker: {why}"),
            Self::GaveUp { failures, last } => {
                write!(
                    to,
                    "{failures} new workers failed; the last failure: {last}"
                )
            }
            Self::Stopping => to.write_str("the service is being stopped"),
        }
    }
}
