//! What is done when memory is short, as the kernel reports up to every two seconds.
//!
//! First the workers collect their garbage and give back to the system what the allocator
//! keeps, one after the other: no request waits for more than one of them. If memory is
//! still short some time later, the largest worker that is idle is replaced, as long as it
//! has served for a while: a fresh one needs less. Another has to be ready before it leaves,
//! which takes memory for a moment, so that is done once in a minute at most.

use super::arbiter::Lifecycle;
use super::worker_state::{Worker, WorkerId};
use super::{Action, Arbiter, Check, MemoryUse, Report};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Reports within this time of one that was acted on are counted, and nothing is done.
const QUIET: Duration = Duration::from_secs(10);
/// How soon after one report another means that to collect garbage was not enough.
const PERSISTS: Duration = Duration::from_secs(60);
/// The least time between one worker that is replaced and the next.
const RECYCLE_INTERVAL: Duration = Duration::from_secs(60);
/// A worker that has served for less is not replaced.
const LEAST_AGE: Duration = Duration::from_secs(600);
/// The next worker collects when the last one has said that it did, or after this: it may be
/// in a long request.
const COLLECTION_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// When a report was acted on last.
    handled: Option<Instant>,
    /// How many reports came since then.
    ignored: u32,
    /// Workers that have not been asked to collect yet.
    waiting: VecDeque<WorkerId>,
    /// The one that was asked, and until when its answer is waited for.
    collecting: Option<(WorkerId, Instant)>,
    /// When a worker was replaced last.
    recycled: Option<Instant>,
}

impl Pressure {
    pub(super) fn collected(&mut self, id: WorkerId) {
        if self.collecting.is_some_and(|(asked, _)| asked == id) {
            self.collecting = None;
        }
    }
}

/// Whether `since` was less than `span` ago.
fn is_within(span: Duration, since: Option<Instant>, now: Instant) -> bool {
    since.is_some_and(|since| now.saturating_duration_since(since) < span)
}

impl Arbiter {
    pub(super) fn memory_pressure(&mut self, now: Instant) {
        let before = self.pressure.handled;
        if is_within(QUIET, before, now) {
            self.pressure.ignored = self.pressure.ignored.saturating_add(1);
            return;
        }
        match self.lifecycle {
            Lifecycle::Filling | Lifecycle::Serving | Lifecycle::Draining { .. } => {}
            Lifecycle::Starting | Lifecycle::Stopping(..) | Lifecycle::Stopped(..) => return,
        }
        let reports = std::mem::take(&mut self.pressure.ignored).saturating_add(1);
        self.pressure.handled = Some(now);
        self.report(Report::MemoryPressure(reports));
        if self.pressure.waiting.is_empty() {
            self.pressure.waiting = (self.workers.iter())
                .filter(|(_, worker)| worker.serves())
                .map(|(&id, _)| id)
                .collect();
        }
        if is_within(PERSISTS, before, now) {
            self.order_measurement_of_old(now);
        }
    }

    /// Has those workers measured that may be replaced.
    fn order_measurement_of_old(&mut self, now: Instant) {
        if is_within(RECYCLE_INTERVAL, self.pressure.recycled, now) {
            return;
        }
        let workers: Vec<WorkerId> = (self.measurable())
            .filter(|(_, since)| now.saturating_duration_since(*since) >= LEAST_AGE)
            .map(|(id, _)| id)
            .collect();
        if !workers.is_empty() {
            self.actions.push(Action::MeasureMemory {
                check: Check::Pressure,
                workers,
                above: 0,
            });
        }
    }

    pub(super) fn recycle_largest(&mut self, uses: &[MemoryUse], now: Instant) {
        let largest = (uses.iter())
            .filter(|used| used.is_idle && self.measurable().any(|(id, _)| id == used.worker))
            .map(|used| (used.own, used.worker))
            .max();
        if let Some((own, worker)) = largest {
            self.pressure.recycled = Some(now);
            self.replace_worker(worker);
            self.report(Report::WorkerRecycled(worker, own));
        }
    }

    /// Asks the next worker to collect, when the one before has done so, is gone, or takes
    /// too long.
    pub(super) fn continue_collecting(&mut self, now: Instant) {
        let serves = |id: WorkerId| self.workers.get(&id).is_some_and(Worker::serves);
        if (self.pressure.collecting).is_some_and(|(id, until)| now < until && serves(id)) {
            return;
        }
        let pressure = &mut self.pressure;
        let next = std::iter::from_fn(|| pressure.waiting.pop_front()).find(|id| serves(*id));
        pressure.collecting = next.map(|id| (id, now + COLLECTION_TIMEOUT));
        self.actions.extend(next.map(Action::Collect));
    }

    /// When the next worker is asked to collect, if the one before has not answered.
    pub(super) fn next_collection(&self) -> Option<Instant> {
        let is_stopping = match self.lifecycle {
            Lifecycle::Starting
            | Lifecycle::Filling
            | Lifecycle::Serving
            | Lifecycle::Draining { .. } => false,
            Lifecycle::Stopping(..) | Lifecycle::Stopped(..) => true,
        };
        let (_, until) = self.pressure.collecting.filter(|_| !is_stopping)?;
        Some(until)
    }
}
