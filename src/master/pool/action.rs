//! What the arbiter wants done, and the reasons it gives.

use super::{GenerationId, WorkerId};
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
    /// SIGABRT: it took too long to load and shall say where it is.
    AbortForkServer(GenerationId),
    /// SIGKILL.
    KillForkServer(GenerationId),

    /// Order a worker from a generation's fork server.
    Spawn {
        /// Of whose fork server.
        generation: GenerationId,
        /// The worker's number.
        worker: WorkerId,
    },
    /// Lend it the listeners.
    Lend(WorkerId),
    /// Ask it to leave the listeners, finish its requests and exit.
    Retire {
        /// Whom.
        worker: WorkerId,
        /// It is killed after that.
        within: Duration,
    },
    /// SIGQUIT: ask it to exit at once.
    Quit(WorkerId),
    /// SIGABRT: it is stuck and shall say where, then die.
    Abort(WorkerId),
    /// SIGKILL. For a worker that never started, and so has no pid: close its
    /// link, upon which it exits should it ever come to exist, and say
    /// [`WorkerGone`](super::Event::WorkerGone).
    Kill(WorkerId),

    /// Tell the service manager. Each once, when it becomes true.
    Announce(Announcement),
    /// Log it, once.
    Report(Fact),
    /// Nothing is left to do nor to wait for. The last action of all.
    Exit(u8),
}

/// What the service manager is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// Requests are answered, and no reload is under way.
    Ready,
    /// A reload began.
    Reloading,
    /// The end began.
    Stopping,
}

/// A reload's number, from 1. Orders that are given while one is under way
/// share the one that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReloadId(pub u32);

/// What an operator may want to find in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The service answers requests for the first time, with so many workers.
    Serving(GenerationId, usize),
    /// The first generation could not serve: the service ends.
    StartFailed(Reason),
    /// Every worker wanted is of this generation.
    ReloadDone(GenerationId),
    /// The reload ended without that.
    ReloadFailed(Reason),
    /// The count of workers wanted was changed by an order.
    CountChanged {
        /// Before.
        from: usize,
        /// Now.
        to: usize,
    },

    /// A worker serves.
    WorkerServes(WorkerId, GenerationId),
    /// A worker that was asked to leave did; how, in words.
    WorkerLeft(WorkerId, String),
    /// A worker that served died by itself; how, in words.
    WorkerDied(WorkerId, String),
    /// A worker came to nothing; another is tried.
    WorkerFailed(WorkerId, Reason),
    /// A worker gave no sign of life for so long and is told to die.
    WorkerTimedOut(WorkerId, Duration),
    /// A worker had its time and is killed.
    WorkerKilled(WorkerId),
    /// Workers fail one after the other: the next is tried after this pause.
    RespawnDelayed(Duration),

    /// The fork server of the serving generation is lost. Its workers go on; the
    /// next generation follows them.
    ForkServerLost(GenerationId, Reason),
    /// The generation that should follow a dead fork server came to nothing.
    /// Another is tried.
    ReplacementFailed(GenerationId, Reason),
}

/// Why a generation, a worker or a reload came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The configuration cannot be used; why, in one line.
    Config(String),
    /// The application could not be loaded.
    Load(LoadFailure),
    /// The application took longer than this to load.
    Late(Duration),
    /// A worker died; how, in words.
    WorkerDied(String),
    /// A worker gave no sign of life for so long.
    TimedOut(Duration),
    /// The fork server died; how, in words.
    ForkServerDied(String),
    /// The fork server did not fork when it was told to.
    ForkServerStuck,
    /// The operating system gave no process; why, in its words.
    Fork(String),
    /// The generation serves, but too many of its workers failed to wait for
    /// the last; the rest is tried on and on.
    GaveUp {
        /// How many failed.
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
            Self::Config(_) => 78,
            Self::Load(failure) => failure.status,
            Self::Fork(_) => 71,
            Self::GaveUp { last, .. } => last.status(),
            Self::Late(_)
            | Self::WorkerDied(_)
            | Self::TimedOut(_)
            | Self::ForkServerDied(_)
            | Self::ForkServerStuck
            | Self::Stopping => 3,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(why) => to.write_str(why),
            Self::Load(failure) => to.write_str(&failure.summary),
            Self::Late(after) => write!(
                to,
                "the application was not loaded after {} s",
                after.as_secs_f64()
            ),
            Self::WorkerDied(how) => write!(to, "a worker died: {how}"),
            Self::TimedOut(silent) => {
                write!(to, "a worker was silent for {} s", silent.as_secs())
            }
            Self::ForkServerDied(how) => write!(to, "the fork server died: {how}"),
            Self::ForkServerStuck => to.write_str("the fork server does not fork"),
            Self::Fork(why) => write!(to, "cannot fork a worker: {why}"),
            Self::GaveUp { failures, last } => {
                write!(to, "{failures} new workers failed, the last because {last}")
            }
            Self::Stopping => to.write_str("the service is being stopped"),
        }
    }
}
