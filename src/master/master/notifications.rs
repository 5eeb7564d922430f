//! What is sent to systemd, and when.

use crate::log::events;
use crate::status::Rate;
use crate::systemd::{Notifier, State, watchdog};
use std::io;
use std::time::{Duration, Instant};

/// How often the status line is made again while nothing changes.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// How soon it is made again while workers start and leave.
const STATUS_DELAY: Duration = Duration::from_millis(250);

/// While systemd waits for the end of a start, a reload or a stop, it is asked
/// for more time this often.
const EXTEND_INTERVAL: Duration = Duration::from_secs(1);

/// How much more time it asks for. Each of the three has a limit of its own
/// (`boot_timeout`, `graceful_timeout`), which is kept as long as this process works
/// at all.
const EXTEND_BY_USEC: u32 = 10_000_000;

/// How long to wait before a message that systemd's socket did not take is sent again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

pub(super) struct Notifications {
    notifier: Notifier,
    /// After this long without `WATCHDOG=1` systemd considers the master hung.
    watchdog: Option<Duration>,
    watchdog_due: Option<Instant>,
    extend_due: Instant,
    status_due: Instant,
    last_status: String,
    rate: Rate,
}

impl Notifications {
    pub(super) fn new(notifier: Notifier, watchdog: Option<Duration>, now: Instant) -> Self {
        Self {
            notifier,
            watchdog,
            watchdog_due: watchdog.map(|_| now),
            extend_due: now,
            status_due: now,
            last_status: String::new(),
            rate: Rate::new(now),
        }
    }

    /// Sends what is due, except the status line. `in_transition`: systemd waits for
    /// the end of a start, a reload or a stop.
    pub(super) fn send_due(&mut self, in_transition: bool, now: Instant) {
        if !self.notifier.is_enabled() {
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
                self.send(&[State::Watchdog]);
            }
        }
        if self.extend_due <= now && in_transition {
            self.extend_due = now + EXTEND_INTERVAL;
            self.send(&[State::ExtendTimeoutUsec(EXTEND_BY_USEC)]);
        }
    }

    /// Whether systemd has not taken all that it is to be told.
    pub(super) fn is_waiting(&self) -> bool {
        self.notifier.is_waiting()
    }

    /// Sends no `WATCHDOG=1` any more. systemd and the kernel's alarm end this process
    /// if [`Self::trigger_watchdog`] does not.
    pub(super) fn withhold_watchdog(&mut self) {
        self.watchdog = None;
        self.watchdog_due = None;
    }

    /// Lets systemd do at once what it does when the watchdog's period has passed.
    pub(super) fn trigger_watchdog(&mut self) {
        self.send(&[State::WatchdogTrigger]);
    }

    /// When the next message is due; `None` if there is no service manager.
    pub(super) fn next_due(&self, in_transition: bool, now: Instant) -> Option<Instant> {
        if !self.notifier.is_enabled() {
            return None;
        }
        let extend = in_transition.then_some(self.extend_due);
        let retry = self.notifier.is_waiting().then_some(now + RETRY_AFTER);
        [Some(self.status_due), self.watchdog_due, extend, retry]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn is_status_due(&self, now: Instant) -> bool {
        self.notifier.is_enabled() && self.status_due <= now
    }

    pub(super) fn send_status(&mut self, text: String, now: Instant) {
        self.status_due = now + STATUS_INTERVAL;
        if text != self.last_status {
            self.send(&[State::Status(&text)]);
            self.last_status = text;
        }
    }

    /// The status line is about to change: show it soon, but not with every step.
    pub(super) fn expect_change(&mut self, now: Instant) {
        self.status_due = self.status_due.min(now + STATUS_DELAY);
    }

    /// A change of state, with the status line that belongs to it.
    pub(super) fn send_states(&mut self, states: &[State<'_>], line: String, now: Instant) {
        let mut states = states.to_vec();
        states.push(State::Status(&line));
        self.send(&states);
        self.last_status = line;
        self.extend_due = now;
    }

    /// So many requests were answered before this program has taken over.
    pub(super) fn begin_rate(&mut self, requests: u64, now: Instant) {
        self.rate = Rate::from(requests, now);
    }

    /// Requests per second, `requests` being all that were answered so far.
    pub(super) fn request_rate(&mut self, requests: u64, now: Instant) -> u64 {
        self.rate.update(requests, now)
    }

    fn send(&mut self, states: &[State<'_>]) {
        let sent = self.notifier.notify(states);
        log_failure(sent);
    }
}

fn log_failure(sent: io::Result<()>) {
    if let Err(error) = sent {
        events::notify_failed(&error);
    }
}
