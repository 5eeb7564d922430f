//! After a time without connections the service ends by itself: `idle_exit`.
//!
//! It ends as upon SIGTERM, so nothing is lost at that moment: a worker that has just
//! accepted a connection serves it, and what no worker has accepted waits in the socket,
//! which is systemd's, and starts the service again.

use super::Master;
use crate::pool::{Event, Order, Phase, Requester};
use std::time::{Duration, Instant};

/// The workers' rows are read this many times in `idle_exit`, at least.
const CHECKS: u32 = 8;

/// The longest time between two checks.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);

/// What the workers have done and hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Activity {
    /// All requests that were answered.
    pub(super) requests: u64,
    /// There is a connection, or a request.
    pub(super) is_serving: bool,
}

/// Since when nothing has happened.
pub(super) struct IdleWatch {
    since: Instant,
    requests: u64,
    next_check: Instant,
}

impl IdleWatch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            requests: 0,
            next_check: now,
        }
    }

    /// What was before counts no longer.
    pub(super) fn restart(&mut self, now: Instant) {
        self.since = now;
    }

    /// How long the service has been idle.
    fn observe(&mut self, activity: Activity, now: Instant) -> Duration {
        // A connection may have come and gone since the last look.
        if activity.is_serving || activity.requests != self.requests {
            self.since = now;
        }
        self.requests = activity.requests;
        now.saturating_duration_since(self.since)
    }
}

fn interval(limit: Duration) -> Duration {
    (limit / CHECKS).min(LONGEST_INTERVAL)
}

impl Master {
    pub(super) fn idle_check_due(&self) -> Option<Instant> {
        let limit = self.current.config.idle_exit.get();
        limit.map(|_| self.idle_watch.next_check)
    }

    pub(super) fn watch_idleness(&mut self, now: Instant) {
        let Some(limit) = self.current.config.idle_exit.get() else {
            return;
        };
        if now < self.idle_watch.next_check {
            return;
        }
        self.idle_watch.next_check = now + interval(limit);
        let summary = self.arbiter.summary();
        // Whoever starts or reloads it wants to use it. Without workers, and with
        // connections that wait for one, nothing says that nobody uses it.
        let is_waiting = summary.phase != Phase::Serving
            || summary.ready == 0
            || self.processes.has_waiting_connections();
        let mut activity = self.processes.activity();
        activity.is_serving |= is_waiting;
        if self.idle_watch.observe(activity, now) >= limit {
            self.dispatch(Event::Ordered(Order::Stop, Requester::Idle(limit)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How long it is idle after one look each second.
    fn idle_after(looks: &[(u64, bool)]) -> Duration {
        let mut now = Instant::now();
        let mut watch = IdleWatch::new(now);
        let mut idle = Duration::ZERO;
        for &(requests, is_serving) in looks {
            now += SECOND;
            let activity = Activity {
                requests,
                is_serving,
            };
            idle = watch.observe(activity, now);
        }
        idle
    }

    #[test]
    fn a_new_limit_counts_from_its_reload() {
        let start = Instant::now();
        let mut watch = IdleWatch::new(start);
        let activity = Activity {
            requests: 0,
            is_serving: false,
        };

        watch.restart(start + 3600 * SECOND);

        assert_eq!(watch.observe(activity, start + 3601 * SECOND), SECOND);
    }

    #[test]
    fn it_is_idle_from_the_start_if_nobody_comes() {
        assert_eq!(idle_after(&[(0, false), (0, false)]), 2 * SECOND);
    }

    #[test]
    fn a_connection_is_no_idleness_and_neither_is_one_that_is_gone_again() {
        let quiet = (5, false);
        assert_eq!(idle_after(&[quiet, quiet, (5, true)]), Duration::ZERO);
        assert_eq!(idle_after(&[quiet, quiet, (5, true), quiet]), SECOND);
        assert_eq!(idle_after(&[quiet, quiet, (6, false)]), Duration::ZERO);
        assert_eq!(idle_after(&[quiet, (6, false), (6, false)]), SECOND);
    }

    #[test]
    fn it_is_looked_at_often_enough_for_short_times() {
        assert_eq!(interval(2 * SECOND), SECOND / 4);
        assert_eq!(interval(300 * SECOND), SECOND);
    }
}
