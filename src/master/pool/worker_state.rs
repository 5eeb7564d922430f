//! The states of a worker.
//!
//! ```text
//!           Started           Ready           Retire            (reaped)
//! Ordered ──────────▶ Starting ──────▶ Serving ──────▶ Retiring ────────▶ gone
//!    │                  │    │            │  │           │  │              ▲
//!    │  Refused, asked  ▼    │ late       │  ▼ Quit      │  ▼ Quit         │
//!    │               Leaving │            │  Leaving     │  Leaving ───────┤
//!    │                  │    ▼            ▼ stuck        ▼ stuck           │
//!    │                  │   Aborted ◀─────┴──────────────┘ ────────────────┤
//!    │ given up         ▼ late  ▼ late                                     │
//!    └───────────────▶ Killed ◀─┴──────── (Retiring, late) ────────────────┘
//! ```
//!
//! A worker is only ever *asked* to leave, and killed if it has not left in time.
//! One that is stuck does not read what it is asked: SIGABRT makes it dump its
//! stacks and die.

use super::GenerationId;
use super::respawn::Cause;
use std::fmt;
use std::time::{Duration, Instant};

/// How long the fork server may take to fork one worker.
const FORK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a worker may take to exit that was asked to at once, or was aborted.
pub(super) const QUICK: Duration = Duration::from_secs(2);
/// A killed process that is not reaped after this is killed again. It hangs in the
/// kernel (uninterruptible sleep), and there is nothing else to do but wait.
pub(super) const KILL_AGAIN: Duration = Duration::from_secs(10);
/// A stop does not wait for a process that was killed more often than this.
pub(super) const MOST_KILLS: u32 = 2;

/// Counts up from 1 for as long as the master lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u32);

impl fmt::Display for WorkerId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(to)
    }
}

/// A worker that was ordered and is not reaped.
#[derive(Debug, Clone)]
pub struct Worker {
    pub generation: GenerationId,
    pub state: State,
    pub(super) cause: Cause,
    /// Another is ordered in its place; it serves until that one is ready.
    pub(super) to_be_replaced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The fork server was ordered to fork it. There may be no process yet.
    Ordered {
        /// Then the fork server is stuck.
        until: Instant,
    },
    /// Loading the application. Holds no socket yet.
    Starting {
        /// Then it has taken too long.
        until: Option<Instant>,
    },
    /// Accepting requests.
    Serving {
        /// When it was ready.
        since: Instant,
    },
    /// Finishing the requests it has.
    Retiring {
        /// When it was ready.
        since: Instant,
        /// Then it is killed.
        until: Instant,
    },
    /// Asked to exit at once, or about to exit because it could not load.
    Leaving {
        /// Then it is killed.
        until: Instant,
    },
    /// Sent SIGABRT, upon which it dumps its stacks and dies.
    Aborted {
        /// Then it is killed.
        until: Instant,
    },
    /// Sent SIGKILL. Nothing leads out: the process has to be reaped.
    Killed {
        /// How often.
        times: u32,
        /// Then it is sent another.
        until: Instant,
    },
}

/// What can happen to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// Its process exists, and may load the application for this long; `None` for ever.
    Started(Option<Duration>),
    /// The fork server has just forked another worker: it works, so this one gets
    /// the full time again.
    Queued,
    /// It has loaded the application.
    Ready,
    /// It could not load the application.
    Refused,
    /// It is not wanted any more, and has this time to finish.
    Retire(Duration),
    /// It has to leave at once.
    Quit,
    /// It has been silent for too long.
    Stuck,
    /// It was not forked, and is not waited for any longer.
    GiveUp,
    Tick,
}

/// What has to be done to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// Lend it the listeners.
    Lend,
    /// Ask it to finish and leave.
    Retire(Duration),
    /// Ask it to leave at once.
    Quit,
    /// Let it dump its stacks and die.
    Abort,
    Kill,
}

impl Worker {
    /// Whether we have sent it SIGKILL.
    pub fn is_killed(&self) -> bool {
        matches!(self.state, State::Killed { .. })
    }

    /// Whether it accepts requests.
    pub fn serves(&self) -> bool {
        matches!(self.state, State::Serving { .. })
    }

    /// Since when it accepts requests, if it does.
    pub fn serves_since(&self) -> Option<Instant> {
        match self.state {
            State::Serving { since } => Some(since),
            State::Ordered { .. }
            | State::Starting { .. }
            | State::Retiring { .. }
            | State::Leaving { .. }
            | State::Aborted { .. }
            | State::Killed { .. } => None,
        }
    }

    /// Whether it was asked to finish its requests and leave.
    pub fn is_retiring(&self) -> bool {
        matches!(self.state, State::Retiring { .. })
    }
}

impl State {
    pub(super) fn on(self, input: Input, now: Instant) -> (Self, Effect) {
        use Input::{GiveUp, Queued, Quit, Ready, Refused, Retire, Started, Stuck, Tick};
        match (self, input) {
            (Self::Ordered { .. }, Started(boot)) => {
                let until = boot.map(|boot| later(now, boot));
                (Self::Starting { until }, Effect::Nothing)
            }
            (Self::Ordered { .. }, Queued) => (Self::ordered(now), Effect::Nothing),
            (Self::Starting { .. }, Ready) => (Self::Serving { since: now }, Effect::Lend),
            (Self::Starting { .. }, Refused) => (Self::leaving(now), Effect::Nothing),

            (Self::Serving { since }, Retire(within)) => {
                let until = later(now, within);
                (Self::Retiring { since, until }, Effect::Retire(within))
            }
            // It has nothing to finish, but the import of a large module cannot be
            // interrupted at once.
            (Self::Starting { .. }, Retire(within)) => {
                let until = later(now, within.max(QUICK));
                (Self::Leaving { until }, Effect::Quit)
            }
            (Self::Starting { .. } | Self::Serving { .. } | Self::Retiring { .. }, Quit) => {
                (Self::leaving(now), Effect::Quit)
            }
            (Self::Leaving { until }, Quit) => {
                let until = until.min(now + QUICK);
                (Self::Leaving { until }, Effect::Nothing)
            }
            // It can be asked only once it exists.
            (Self::Ordered { until }, Retire(_) | Quit) => {
                let until = until.min(now + QUICK);
                (Self::Ordered { until }, Effect::Nothing)
            }

            (Self::Serving { .. } | Self::Retiring { .. }, Stuck) => {
                (Self::aborted(now), Effect::Abort)
            }
            (Self::Starting { until: Some(until) }, Tick) if now >= until => {
                (Self::aborted(now), Effect::Abort)
            }

            (Self::Ordered { until }, Tick) if now >= until => {
                (Self::ordered(now), Effect::Nothing)
            }
            (Self::Ordered { .. }, GiveUp) => (Self::killed(1, now), Effect::Kill),
            (
                Self::Retiring { until, .. } | Self::Leaving { until } | Self::Aborted { until },
                Tick,
            ) if now >= until => (Self::killed(1, now), Effect::Kill),
            (Self::Killed { times, until }, Tick) if now >= until => {
                (Self::killed(times.saturating_add(1), now), Effect::Kill)
            }

            (
                state,
                Started(_) | Queued | Ready | Refused | Retire(_) | Quit | Stuck | GiveUp | Tick,
            ) => (state, Effect::Nothing),
        }
    }

    /// When the next `Tick` changes something.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Serving { .. } => None,
            Self::Starting { until } => until,
            Self::Ordered { until }
            | Self::Retiring { until, .. }
            | Self::Leaving { until }
            | Self::Aborted { until }
            | Self::Killed { until, .. } => Some(until),
        }
    }

    /// Since when its heartbeat is checked, if it is.
    pub(super) fn beats_since(self) -> Option<Instant> {
        match self {
            Self::Serving { since } | Self::Retiring { since, .. } => Some(since),
            Self::Ordered { .. }
            | Self::Starting { .. }
            | Self::Leaving { .. }
            | Self::Aborted { .. }
            | Self::Killed { .. } => None,
        }
    }

    /// What it is for the pool.
    pub(super) fn role(self) -> Role {
        match self {
            Self::Ordered { .. } | Self::Starting { .. } => Role::Starting,
            Self::Serving { .. } => Role::Serving,
            Self::Retiring { .. }
            | Self::Leaving { .. }
            | Self::Aborted { .. }
            | Self::Killed { .. } => Role::Leaving,
        }
    }

    pub(super) fn ordered(now: Instant) -> Self {
        Self::Ordered {
            until: now + FORK_TIMEOUT,
        }
    }

    fn leaving(now: Instant) -> Self {
        Self::Leaving { until: now + QUICK }
    }

    fn aborted(now: Instant) -> Self {
        Self::Aborted { until: now + QUICK }
    }

    fn killed(times: u32, now: Instant) -> Self {
        let until = now + KILL_AGAIN;
        Self::Killed { times, until }
    }

    /// Whether it hangs in the kernel: SIGKILL after SIGKILL does not end it.
    pub(super) fn survives_kills(self) -> bool {
        matches!(self, Self::Killed { times, .. } if times > MOST_KILLS)
    }
}

/// What a worker is for the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Does not serve yet.
    Starting,
    Serving,
    /// Will not serve again.
    Leaving,
}

/// `now + span`, without overflow: a setting may be as large as its type.
pub(super) fn later(now: Instant, span: Duration) -> Instant {
    const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    now + span.min(A_YEAR)
}
