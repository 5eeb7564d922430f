//! What the configuration wants of the pool.

use std::time::Duration;

/// The most workers one can ask for. Half of the scoreboard's rows: the other
/// half is for the next generation and for those that retire.
pub const MOST_WORKERS: u16 = 1024;

/// The settings that decide how the pool is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// How many workers serve. Less than 1 counts as 1.
    pub workers: u16,
    /// A worker that is silent for longer is stuck; `None` for never.
    pub timeout: Option<Duration>,
    /// How long a worker that is asked to leave may finish its requests.
    pub graceful_timeout: Duration,
    /// How long to serve on after an order to stop, before workers are asked to leave.
    pub drain_time: Duration,
    /// How long a fork server or a worker may load the application; `None` for ever.
    pub boot_timeout: Option<Duration>,
    /// How many workers more than `workers` there may be during a reload. Less
    /// than 1 counts as 1: with none, a reload would cost capacity.
    pub surge: u16,
    /// How many processors the service may use. Less than 1 counts as 1.
    pub processors: usize,
    /// Whether the fork server loads the application, once for all its workers.
    pub preload: bool,
    /// A worker with more memory of its own than these bytes is replaced; `None` for
    /// never.
    pub worker_memory_max: Option<u64>,
    /// A worker that has answered as many requests is replaced; `None` for never.
    pub max_requests: Option<u64>,
    /// At most so many more are added to that, for each worker another number.
    pub max_requests_jitter: u64,
    /// A worker that serves for as long is replaced; `None` for never.
    pub max_worker_age: Option<Duration>,
}

impl Wanted {
    /// `workers`, within the limits.
    pub(super) fn count(&self) -> usize {
        usize::from(self.workers.clamp(1, MOST_WORKERS))
    }

    /// How many workers may boot at the same time. To load the application keeps a
    /// processor busy: more at a time than there are processors would only delay the
    /// first of them, and those that serve. After `preload` there is nothing to load.
    pub(super) fn booting(&self) -> usize {
        if self.preload {
            usize::from(MOST_WORKERS)
        } else {
            self.processors.max(1)
        }
    }

    /// `surge`, within the limits.
    pub(super) fn surge(&self) -> usize {
        usize::from(self.surge.clamp(1, MOST_WORKERS))
    }
}
