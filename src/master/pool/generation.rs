//! The states of a fork server, the one process that a generation has besides its
//! workers.
//!
//! ```text
//!             Ready            Stop             (reaped)
//! Starting ──────────▶ Ready ──────▶ Leaving ────────────▶ gone
//!   │ │ Stop, Refused, late│            ▲  │ late            ▲
//!   │ └────────────────────┼────────────┘  ▼                 │
//!   │ Disconnected         │  stuck ───▶ Killed ─────────────┤
//!   └───────▶ Disconnected ◀┘               ▲                 │
//!                  │ late ──────────────────┘                 │
//!                  └──────────────────────────────────────────┘
//! ```
//!
//! It may die at any time: its workers do not need it, only their successors do.
//! A process that ends closes its link first, so a closed link is not yet a
//! failure: how it ended says more. But it may also go on running, kept by a thread of
//! the application, and then it is killed and replaced.

use super::worker_state::{KILL_AGAIN, MOST_KILLS, QUICK, later};
use std::fmt;
use std::time::{Duration, Instant};

/// A generation's number, from 1. Numbers of generations that failed are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GenerationId(pub u32);

impl fmt::Display for GenerationId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(to)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForkServer {
    /// Starting Python and, with `preload`, loading the application.
    Starting {
        /// Then it has taken too long.
        until: Option<Instant>,
    },
    /// Forking workers.
    Ready { since: Instant },
    /// It closed its link and is expected to exit.
    Disconnected {
        /// Since when it could fork, if it ever could.
        ready_since: Option<Instant>,
        /// Then it is killed.
        until: Instant,
    },
    /// We closed its link, or it could not load, or was aborted.
    Leaving {
        /// Then it is killed.
        until: Instant,
    },
    /// Sent SIGKILL.
    Killed {
        /// How often.
        times: u32,
        /// Then it is sent another.
        until: Instant,
    },
}

/// What can happen to a fork server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// It can fork.
    Ready,
    /// It is not wanted any more, or cannot fork.
    Stop,
    /// It closed its link.
    Disconnected,
    /// It does not fork.
    Stuck,
    Tick,
}

/// What has to be done to a fork server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// Close its link.
    Stop,
    /// Let it dump its stacks and die.
    Abort,
    Kill,
}

impl ForkServer {
    pub(super) fn starting(boot: Option<Duration>, now: Instant) -> Self {
        Self::Starting {
            until: boot.map(|boot| later(now, boot)),
        }
    }

    pub(super) fn on(self, input: Input, now: Instant) -> (Self, Effect) {
        use Input::{Disconnected, Ready, Stop, Stuck, Tick};
        let until = now + QUICK;
        let leaving = Self::Leaving { until };
        let killed = |times| Self::Killed {
            times,
            until: now + KILL_AGAIN,
        };
        match (self, input) {
            (Self::Starting { .. }, Ready) => (Self::Ready { since: now }, Effect::Nothing),
            (Self::Starting { .. } | Self::Ready { .. } | Self::Disconnected { .. }, Stop) => {
                (leaving, Effect::Stop)
            }
            (Self::Starting { .. }, Disconnected) => {
                let ready_since = None;
                (Self::Disconnected { ready_since, until }, Effect::Nothing)
            }
            (Self::Ready { since }, Disconnected) => {
                let ready_since = Some(since);
                (Self::Disconnected { ready_since, until }, Effect::Nothing)
            }
            (Self::Starting { until: Some(until) }, Tick) if now >= until => {
                (leaving, Effect::Abort)
            }
            (
                Self::Starting { .. }
                | Self::Ready { .. }
                | Self::Disconnected { .. }
                | Self::Leaving { .. },
                Stuck,
            ) => (killed(1), Effect::Kill),
            (Self::Disconnected { until, .. } | Self::Leaving { until }, Tick) if now >= until => {
                (killed(1), Effect::Kill)
            }
            (Self::Killed { times, until }, Tick) if now >= until => {
                (killed(times.saturating_add(1)), Effect::Kill)
            }
            (state, Ready | Stop | Disconnected | Stuck | Tick) => (state, Effect::Nothing),
        }
    }

    /// When the next `Tick` changes something.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Starting { until } => until,
            Self::Ready { .. } => None,
            Self::Disconnected { until, .. }
            | Self::Leaving { until }
            | Self::Killed { until, .. } => Some(until),
        }
    }

    /// Whether it hangs in the kernel: SIGKILL after SIGKILL does not end it.
    pub(super) fn survives_kills(self) -> bool {
        matches!(self, Self::Killed { times, .. } if times > MOST_KILLS)
    }

    /// Whether it has neither failed nor been told to leave. One that has closed
    /// its link has not failed yet: how it ends will be its failure.
    pub(super) fn is_current(self) -> bool {
        match self {
            Self::Starting { .. } | Self::Ready { .. } | Self::Disconnected { .. } => true,
            Self::Leaving { .. } | Self::Killed { .. } => false,
        }
    }

    /// Since when it could fork, if it ever could and was not told to leave.
    pub(super) fn ready_since(self) -> Option<Instant> {
        match self {
            Self::Ready { since } => Some(since),
            Self::Disconnected { ready_since, .. } => ready_since,
            Self::Starting { .. } | Self::Leaving { .. } | Self::Killed { .. } => None,
        }
    }
}
