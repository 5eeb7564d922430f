//! Workers that have answered as many requests as they shall, or are as old as they may
//! be: each is replaced by another.
//!
//! As with memory (`memory.rs`), one is replaced at a time, and only once its successor
//! serves. Requests are counted in the scoreboard, where looking at them costs the workers
//! nothing; so a worker answers some more before it is found.
//!
//! Workers that start together would reach their limit together. What is added to the
//! limit of each is made of its number: it differs from one to the next as if at random,
//! and is known here without a source of chance.

use super::arbiter::Lifecycle;
use super::worker_state::WorkerId;
use super::{Action, Arbiter, Report};
use std::time::{Duration, Instant};

/// How often requests are counted.
const INTERVAL: Duration = Duration::from_secs(1);
/// The most that is added to the age a worker may have: one part in so many.
const SPREAD: u32 = 10;

#[derive(Debug)]
pub(super) struct Recycling {
    /// When the requests are counted again.
    next: Instant,
}

impl Recycling {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now }
    }
}

impl Arbiter {
    /// Replaces the oldest worker if it is too old.
    pub(super) fn replace_too_old(&mut self, now: Instant) {
        if !self.may_recycle() {
            return;
        }
        if let Some((_, worker, since)) = self.next_too_old().filter(|(due, ..)| *due <= now) {
            self.replace_worker(worker);
            let age = now.saturating_duration_since(since);
            self.report(Report::WorkerTooOld { worker, age });
        }
    }

    /// Has the requests counted if that is due.
    pub(super) fn order_count(&mut self, now: Instant) {
        if self.next_count().is_some_and(|due| due <= now) {
            self.recycling.next = now + INTERVAL;
            let workers = self.measurable().map(|(id, _)| id).collect();
            self.actions.push(Action::CountRequests(workers));
        }
    }

    /// Replaces the worker that is furthest beyond its limit.
    pub(super) fn requests_counted(&mut self, counts: &[(WorkerId, u64)]) {
        let Some(max) = self.wanted.max_requests.filter(|_| self.may_recycle()) else {
            return;
        };
        let furthest = (counts.iter())
            .filter(|(id, _)| self.measurable().any(|(other, _)| other == *id))
            .filter_map(|&(id, requests)| {
                let limit = max.saturating_add(self.jitter(id));
                Some((requests.checked_sub(limit)?, id, requests))
            })
            .max();
        if let Some((_, worker, requests)) = furthest {
            self.replace_worker(worker);
            self.report(Report::WorkerServedEnough { worker, requests });
        }
    }

    /// When a worker is too old next, or the requests are counted.
    pub(super) fn next_recycling(&self) -> Option<Instant> {
        let old = self.may_recycle().then(|| self.next_too_old()).flatten();
        let old = old.map(|(due, ..)| due);
        old.into_iter().chain(self.next_count()).min()
    }

    fn next_count(&self) -> Option<Instant> {
        let is_needed = self.wanted.max_requests.is_some()
            && self.may_recycle()
            && self.measurable().next().is_some();
        is_needed.then_some(self.recycling.next)
    }

    /// When the next worker is too old, which one, and since when it serves.
    fn next_too_old(&self) -> Option<(Instant, WorkerId, Instant)> {
        let max = self.wanted.max_worker_age?;
        let due = |(id, since)| {
            let more = (max / SPREAD).mul_f64(fraction(id));
            // A setting is at most a year.
            (since + max + more, id, since)
        };
        self.measurable().map(due).min()
    }

    /// A reload replaces all of them, and one is replaced at a time.
    fn may_recycle(&self) -> bool {
        self.lifecycle == Lifecycle::Serving && !self.reloads() && !self.is_one_replaced()
    }

    /// How many requests more than `max_requests` a worker answers.
    fn jitter(&self, id: WorkerId) -> u64 {
        let most = self.wanted.max_requests_jitter;
        mixed(id) % most.saturating_add(1)
    }
}

/// From 0 to 1, for each worker another.
fn fraction(id: WorkerId) -> f64 {
    const STEPS: u64 = 1024;
    let step = u32::try_from(mixed(id) % STEPS).unwrap_or(0);
    f64::from(step) / 1023.0
}

/// The number of a worker with its bits mixed, so that neighbours have nothing in common
/// (the finalizer of splitmix64).
fn mixed(id: WorkerId) -> u64 {
    let mut bits = u64::from(id.0).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
