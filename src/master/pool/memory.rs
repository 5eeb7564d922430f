//! Workers with more memory of their own than they may have: each is replaced by another.
//!
//! An application that leaks grows over hours, so to look every few seconds is enough,
//! and costs a system call or two for each worker. One is replaced at a time, and only
//! once its successor serves: a pool whose workers all reach the limit at the same time
//! keeps its capacity.
//!
//! If a limit is less than the application needs to serve at all, its workers are too large
//! soon after they are ready, and to replace them changes nothing. Those that are young
//! are replaced after pauses that grow.

use super::arbiter::Lifecycle;
use super::pause::Pause;
use super::worker_state::{State, WorkerId};
use super::{Action, Arbiter, Check, MemoryUse, Report};
use std::time::{Duration, Instant};

/// How often the workers are measured.
const INTERVAL: Duration = Duration::from_secs(5);
/// A worker that is ready for less than this is young.
const YOUNG: Duration = Duration::from_secs(60);
/// Between one young worker that is replaced and the next: the first pause after the
/// second one, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct MemoryChecks {
    /// When the workers are measured again.
    next: Instant,
    /// Between one young worker that is replaced and the next.
    young: Pause,
}

impl MemoryChecks {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next: now,
            young: Pause::new(FIRST_PAUSE, LONGEST_PAUSE),
        }
    }
}

impl Arbiter {
    /// Has the workers measured if that is due.
    pub(super) fn order_measurement(&mut self, now: Instant) {
        let is_due = self.next_measurement().is_some_and(|due| due <= now);
        if let Some(above) = self.wanted.worker_memory_max.filter(|_| is_due) {
            self.memory_checks.next = now + INTERVAL;
            let workers = self.measurable().map(|(id, _)| id).collect();
            let check = Check::Limit;
            self.actions.push(Action::MeasureMemory {
                check,
                workers,
                above,
            });
        }
    }

    /// When the workers are measured next.
    pub(super) fn next_measurement(&self) -> Option<Instant> {
        let is_needed = self.wanted.worker_memory_max.is_some()
            && self.lifecycle == Lifecycle::Serving
            && self.measurable().next().is_some();
        is_needed.then_some(self.memory_checks.next)
    }

    pub(super) fn memory_measured(&mut self, check: Check, uses: &[MemoryUse], now: Instant) {
        // A reload replaces all of them.
        if self.lifecycle != Lifecycle::Serving || self.reloads() || self.is_one_replaced() {
            return;
        }
        match check {
            Check::Limit => self.replace_too_large(uses, now),
            Check::Pressure => self.recycle_largest(uses, now),
        }
    }

    /// Replaces the largest worker of those that are too large, if it is time.
    fn replace_too_large(&mut self, uses: &[MemoryUse], now: Instant) {
        let Some(max) = self.wanted.worker_memory_max else {
            return;
        };
        let may_be_young = self.memory_checks.young.is_over(now);
        let largest = (uses.iter().filter(|used| used.own > max))
            .filter_map(|used| {
                let (_, since) = self.measurable().find(|(id, _)| *id == used.worker)?;
                let age = now.saturating_duration_since(since);
                (age >= YOUNG || may_be_young).then_some((used.own, used.worker, age))
            })
            .max();
        let Some((own, worker, age)) = largest else {
            return;
        };
        if age < YOUNG {
            self.memory_checks.young.grow(Duration::ZERO, now);
        }
        self.replace_worker(worker);
        self.report(Report::WorkerTooLarge {
            worker,
            own,
            max,
            age,
        });
    }

    /// The workers that may be replaced: those that serve, of the current generation, and
    /// since when they are ready. A new generation replaces all others.
    pub(super) fn measurable(&self) -> impl Iterator<Item = (WorkerId, Instant)> {
        (self.workers.iter()).filter_map(|(&id, worker)| match worker.state {
            State::Serving { since } if worker.generation == self.current => Some((id, since)),
            State::Serving { .. }
            | State::Ordered { .. }
            | State::Starting { .. }
            | State::Retiring { .. }
            | State::Leaving { .. }
            | State::Aborted { .. }
            | State::Killed { .. } => None,
        })
    }

    /// Whether a worker waits for its successor.
    pub(super) fn is_one_replaced(&self) -> bool {
        (self.workers.values()).any(|worker| worker.serves() && worker.to_be_replaced)
    }
}
