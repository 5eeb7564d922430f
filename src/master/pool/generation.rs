//! The life of a fork server, which is what a generation has in processes
//! besides its workers.
//!
//! ```text
//!             Ready            Stop             (reaped)
//! Starting ──────────▶ Ready ──────▶ Leaving ────────────▶ gone
//!     │ Stop, Refused, late             ▲  │ late            ▲
//!     └─────────────────────────────────┘  ▼                 │
//!                      Ready, stuck ───▶ Killed ─────────────┘
//! ```
//!
//! It may die at any time: its workers do not need it, only their successors do.

use super::worker_state::{KILL_AGAIN, QUICK, later};
use std::fmt;
use std::time::{Duration, Instant};

/// A generation's number, from 1. A generation that came to nothing keeps its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GenerationId(pub u32);

impl fmt::Display for GenerationId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(to)
    }
}

/// Where in its life a fork server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForkServer {
    /// Starts Python and, with `preload`, loads the application.
    Starting {
        /// Then it has taken too long.
        until: Option<Instant>,
    },
    /// Forks workers.
    Ready {
        /// Since when.
        since: Instant,
    },
    /// Its link is closed, or it could not load, or it was told to dump its stacks.
    Leaving {
        /// Then it is killed.
        until: Instant,
    },
    /// Sent SIGKILL.
    Killed {
        /// Then it is sent another.
        until: Instant,
    },
}

/// What happens to a fork server in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// It can fork.
    Ready,
    /// It is not wanted any more, or of no use.
    Stop,
    /// It does not fork.
    Stuck,
    /// Time went by.
    Tick,
}

/// What has to be done to a fork server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Nothing,
    /// Close its link.
    Stop,
    /// Let it dump its stacks and die.
    Abort,
    /// Kill it.
    Kill,
}

impl ForkServer {
    pub(super) fn starting(boot: Option<Duration>, now: Instant) -> Self {
        Self::Starting {
            until: boot.map(|boot| later(now, boot)),
        }
    }

    pub(super) fn on(self, turn: Input, now: Instant) -> (Self, Effect) {
        use Input::{Ready, Stop, Stuck, Tick};
        let leaving = Self::Leaving { until: now + QUICK };
        let killed = Self::Killed {
            until: now + KILL_AGAIN,
        };
        match (self, turn) {
            (Self::Starting { .. }, Ready) => (Self::Ready { since: now }, Effect::Nothing),
            (Self::Starting { .. } | Self::Ready { .. }, Stop) => (leaving, Effect::Stop),
            (Self::Starting { until: Some(until) }, Tick) if now >= until => {
                (leaving, Effect::Abort)
            }
            (Self::Starting { .. } | Self::Ready { .. } | Self::Leaving { .. }, Stuck) => {
                (killed, Effect::Kill)
            }
            (Self::Leaving { until } | Self::Killed { until }, Tick) if now >= until => {
                (killed, Effect::Kill)
            }
            (state, Ready | Stop | Stuck | Tick) => (state, Effect::Nothing),
        }
    }

    /// When time will tell something new.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Starting { until } => until,
            Self::Ready { .. } => None,
            Self::Leaving { until } | Self::Killed { until } => Some(until),
        }
    }

    /// Whether workers can or will be ordered from it.
    pub(super) fn is_of_use(self) -> bool {
        match self {
            Self::Starting { .. } | Self::Ready { .. } => true,
            Self::Leaving { .. } | Self::Killed { .. } => false,
        }
    }
}
