//! What systemd is told, and when.

use super::Master;
use crate::log::events;
use crate::pool::{Announcement, Phase};
use crate::status::{self, Totals};
use crate::systemd::{State, watchdog};
use std::io;
use std::time::{Duration, Instant};

/// How often the status line is made anew while nothing changes.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// While systemd waits for the end of a start, a reload or a stop, it is asked
/// for more time this often …
const EXTEND_INTERVAL: Duration = Duration::from_secs(1);

/// … and for so much. Each of the three has an end of its own (`boot_timeout`,
/// `graceful_timeout`), which comes if this process works at all.
const EXTEND_BY_USEC: u32 = 10_000_000;

/// How long to wait with words that systemd did not take.
const NOTIFY_RETRY: Duration = Duration::from_millis(100);

impl Master {
    /// Says what is due.
    pub(super) fn notify_due(&mut self, now: Instant) {
        if !self.notifier.is_heard() {
            return;
        }
        if self.notifier.is_waiting() {
            let retried = self.notifier.retry();
            log_failure(retried);
        }
        if let (Some(due), Some(period)) = (self.watchdog_due, self.watchdog) {
            if due <= now {
                // Twice in a period: one delay does no harm.
                self.watchdog_due = Some(now + period / 2);
                watchdog::postpone_alarm(period);
                self.notify(&[State::Watchdog]);
            }
        }
        if self.extend_due <= now && self.is_in_transition() {
            self.extend_due = now + EXTEND_INTERVAL;
            self.notify(&[State::ExtendTimeoutUsec(EXTEND_BY_USEC)]);
        }
        if self.status_due <= now {
            self.send_status(now);
        }
    }

    /// When the next word is due, if anybody listens.
    pub(super) fn next_notification(&self, now: Instant) -> Option<Instant> {
        if !self.notifier.is_heard() {
            return None;
        }
        let extend = self.is_in_transition().then_some(self.extend_due);
        let retry = self.notifier.is_waiting().then_some(now + NOTIFY_RETRY);
        [Some(self.status_due), self.watchdog_due, extend, retry]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn is_in_transition(&self) -> bool {
        match self.arbiter.summary().phase {
            Phase::Starting | Phase::Reloading | Phase::Stopping => true,
            Phase::Serving => false,
        }
    }

    pub(super) fn notify(&mut self, states: &[State<'_>]) {
        let notified = self.notifier.notify(states);
        log_failure(notified);
    }

    pub(super) fn send_status(&mut self, now: Instant) {
        self.status_due = now + STATUS_INTERVAL;
        let text = self.status(now);
        if text != self.last_status {
            self.notify(&[State::Status(&text)]);
            self.last_status = text;
        }
    }

    pub(super) fn status(&mut self, now: Instant) -> String {
        if let Some(reason) = &self.start_failure {
            return status::failed_start(reason);
        }
        let mut totals = Totals {
            busy: 0,
            requests: self.requests_of_the_gone,
        };
        for worker in self.workers.keys() {
            if let Some(reading) = self.reading(*worker) {
                totals.requests += reading.requests;
                totals.busy += usize::from(reading.busy_since_ms > 0);
            }
        }
        let rate = self.rate.look(totals.requests, now);
        let failed = self.reload_failure.as_deref();
        status::line(self.arbiter.summary(), totals, rate, failed)
    }

    pub(super) fn announce(&mut self, announcement: Announcement, now: Instant) {
        let mut states = match announcement {
            Announcement::Ready => vec![State::Ready],
            // systemd compares this time with that of its own order to reload.
            Announcement::Reloading => [State::Reloading]
                .into_iter()
                .chain(State::monotonic_usec_now())
                .collect(),
            Announcement::Stopping => {
                // Of a start that failed the reason was told already.
                if !self.arbiter.has_failed() {
                    let within = self.arbiter.time_to_leave();
                    events::stopping(&self.ordered_by, within);
                }
                self.ask_the_retiring_to_hurry(self.config.graceful_timeout.get());
                vec![State::Stopping]
            }
        };
        let text = self.status(now);
        states.push(State::Status(&text));
        self.notify(&states);
        self.last_status = text;
        self.extend_due = now;
    }
}

fn log_failure(notified: io::Result<()>) {
    if let Err(error) = notified {
        events::notify_failed(&error);
    }
}
