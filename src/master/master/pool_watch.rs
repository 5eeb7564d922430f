//! Whether the pool proves that it works is checked, and systemd restarts the service
//! if it does not. Only with a watchdog: without one nobody would restart it.

use super::Master;
use crate::log::events;
use crate::pool::{Event, Phase, Sign, Silence, WorkerId, works};
use crate::process::is_stopped;
use rgunicorn_link::scoreboard::now_ms;
use std::time::{Duration, Instant};

/// Checks in a period of the watchdog.
const CHECKS: u32 = 8;

/// The longest time that aborted workers have to write their stacks.
const LONGEST_ABORT: Duration = Duration::from_secs(2);

pub(super) struct PoolWatch {
    /// The period of systemd's watchdog.
    period: Duration,
    next: Next,
    /// Since then the master has made each check in time. When it was stopped, or the
    /// machine was, so were the workers: they have to be silent for long after that.
    on_time_since: Instant,
}

enum Next {
    Check(Instant),
    /// The pool does not work. When systemd is told to restart the service.
    Trigger(Instant),
    Nothing,
}

impl PoolWatch {
    pub(super) fn new(period: Duration, now: Instant) -> Self {
        Self {
            period,
            next: Next::Check(now),
            on_time_since: now,
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        match self.next {
            Next::Check(due) | Next::Trigger(due) => Some(due),
            Next::Nothing => None,
        }
    }

    /// Whether the service is about to be restarted.
    pub(super) fn is_stuck(&self) -> bool {
        match self.next {
            Next::Check(_) => false,
            Next::Trigger(_) | Next::Nothing => true,
        }
    }

    fn interval(&self) -> Duration {
        self.period / CHECKS
    }

    /// Makes the check that was due at `due`.
    fn begin_check(&mut self, due: Instant, now: Instant) {
        if now > due + self.interval() {
            self.on_time_since = now;
        }
        self.next = Next::Check(now + self.interval());
    }

    fn found_stuck(&mut self, now: Instant) {
        self.next = Next::Trigger(now + self.interval().min(LONGEST_ABORT));
    }
}

impl Master {
    pub(super) fn watch_pool(&mut self, now: Instant) {
        let Some(watch) = &mut self.pool_watch else {
            return;
        };
        match watch.next {
            Next::Check(due) if due <= now => {
                watch.begin_check(due, now);
                self.check_pool(now);
            }
            Next::Trigger(due) if due <= now => {
                watch.next = Next::Nothing;
                self.notifications.trigger_watchdog();
            }
            Next::Check(_) | Next::Trigger(_) | Next::Nothing => {}
        }
    }

    fn check_pool(&mut self, now: Instant) {
        let Some(watch) = &self.pool_watch else {
            return;
        };
        match self.arbiter.summary().phase {
            Phase::Serving | Phase::Reloading | Phase::Draining => {}
            // The first has `boot_timeout`, the other `graceful_timeout`.
            Phase::Starting | Phase::Stopping => return,
        }
        let longest = Silence {
            watchdog: watch.period,
            timeout: self.current.config.timeout.get(),
        };
        let signs: Vec<Sign> = (self.arbiter.workers())
            .filter_map(|(id, worker)| {
                let since = worker.serves_since()?.max(watch.on_time_since);
                self.sign(id, now.saturating_duration_since(since), longest)
            })
            .collect();
        if works(&signs, longest) {
            return;
        }
        let silent = signs.iter().map(|sign| sign.silent).min();
        events::pool_stuck(signs.len(), silent.unwrap_or_default());
        self.notifications.withhold_watchdog();
        if let Some(watch) = &mut self.pool_watch {
            watch.found_stuck(now);
        }
        self.dispatch(Event::PoolStuck);
    }

    /// What is known of a worker that could have been seen for as long as `watched`.
    fn sign(&self, id: WorkerId, watched: Duration, longest: Silence) -> Option<Sign> {
        let reading = self.processes.reading(id)?;
        let silent = Duration::from_millis(now_ms().saturating_sub(reading.beat_ms));
        let silent = silent.min(watched);
        let handle = self.processes.workers.get(&id)?.handle.as_ref();
        let pid = handle.map(|handle| handle.pid);
        Some(Sign {
            silent,
            is_busy: reading.busy_since_ms > 0,
            is_stopped: silent > longest.stopped() && pid.is_some_and(is_stopped),
        })
    }
}
