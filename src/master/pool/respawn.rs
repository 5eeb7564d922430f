//! When a worker may be ordered in place of one that is gone.
//!
//! A worker that had served is replaced at once, however often that happens: the
//! application can be loaded, and whoever waits for an answer needs the worker.
//!
//! A worker that never got ready is followed by the next after a pause, which
//! grows: an application that cannot be loaded is seldom better a moment later.
//!
//! One that got ready and died before its first request is replaced at once as
//! well, but rate-limited. Otherwise an application that crashes by
//! itself right after it was loaded would be forked as fast as the machine can.

use super::pause::Pause;
use std::time::{Duration, Instant};

/// Long-term interval between replacements of workers that served nothing. Shorter
/// than that of any crash that still leaves time to serve in between.
const UNUSED_INTERVAL: Duration = Duration::from_millis(250);
/// Burst: this many, or as many as there are workers, are replaced at once. Somebody
/// may have killed them all.
const UNUSED_BURST: u32 = 10;

/// Decides when missing workers are ordered.
#[derive(Debug)]
pub(super) struct Respawn {
    /// For workers that never got ready.
    pause: Pause,
    /// For workers that got ready and served nothing.
    unused: RateLimit,
    /// One entry for each missing worker that had been ready, or whose order did not
    /// get through: when the next may be ordered, the earliest first. The pause does
    /// not concern these.
    due: Vec<Instant>,
}

impl Respawn {
    pub(super) fn new() -> Self {
        Self {
            pause: Pause::new(Duration::from_millis(100), Duration::from_secs(10)),
            unused: RateLimit::new(UNUSED_INTERVAL),
            due: Vec::new(),
        }
    }

    /// A worker got ready: the application can be loaded.
    pub(super) fn loaded(&mut self) {
        self.pause.reset();
    }

    /// A worker ended before it was ready. Gives the length of the pause that
    /// begins now, or none when one runs already.
    pub(super) fn failed(&mut self, least: Duration, now: Instant) -> Option<Duration> {
        self.pause.grow(least, now)
    }

    /// A worker died that had served.
    pub(super) fn died_after_use(&mut self, now: Instant) {
        self.add(now);
    }

    /// One of `workers` workers died that was ready and had served nothing. Gives
    /// how long its successor has to wait.
    pub(super) fn died_unused(&mut self, workers: usize, now: Instant) -> Duration {
        let burst = UNUSED_BURST.max(u32::try_from(workers).unwrap_or(u32::MAX));
        let wait = self.unused.take(burst, now);
        self.add(now + wait);
        wait
    }

    /// An order that was allowed did not get through. A pause that began meanwhile
    /// does not delay it.
    pub(super) fn order_again(&mut self, now: Instant) {
        self.add(now);
    }

    fn add(&mut self, due: Instant) {
        let place = self.due.partition_point(|other| *other <= due);
        self.due.insert(place, due);
    }

    /// How many of `missing` workers may be ordered now.
    pub(super) fn allowed(&self, missing: usize, now: Instant) -> usize {
        let others = missing.saturating_sub(self.due.len());
        let others = if self.pause.is_over(now) { others } else { 0 };
        self.due_at(now).min(missing) + others
    }

    /// `count` workers were ordered.
    pub(super) fn ordered(&mut self, count: usize, now: Instant) {
        self.due.drain(..self.due_at(now).min(count));
    }

    /// No more than `missing` workers are missing, whoever died.
    pub(super) fn forget_surplus(&mut self, missing: usize) {
        self.due.truncate(missing);
    }

    /// When the next of `missing` workers may be ordered.
    pub(super) fn next(&self, missing: usize) -> Option<Instant> {
        let pause = self.pause.until().filter(|_| missing > self.due.len());
        self.due.first().copied().into_iter().chain(pause).min()
    }

    fn due_at(&self, now: Instant) -> usize {
        self.due.partition_point(|due| *due <= now)
    }
}

/// A token bucket.
#[derive(Debug)]
struct RateLimit {
    /// The time in which one token is added.
    interval: Duration,
    /// The tokens that are taken, in time until they are back.
    taken: Duration,
    /// When `taken` was right.
    at: Option<Instant>,
}

impl RateLimit {
    fn new(interval: Duration) -> Self {
        Self {
            interval,
            taken: Duration::ZERO,
            at: None,
        }
    }

    /// Takes a token from a bucket of `burst`, if need be one that is not there
    /// yet. Gives how long it will take until it is.
    fn take(&mut self, burst: u32, now: Instant) -> Duration {
        let passed = self
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.taken = self.taken.saturating_sub(passed) + self.interval;
        self.at = Some(now);
        self.taken.saturating_sub(self.interval * burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_that_had_served_does_not_wait_for_those_that_cannot_be_loaded() {
        let mut respawn = Respawn::new();
        let now = Instant::now();
        respawn.failed(1000 * MS, now);
        assert_eq!(respawn.allowed(1, now), 0);

        respawn.died_after_use(now);

        assert_eq!(respawn.allowed(2, now), 1);
        respawn.ordered(1, now);
        assert_eq!(respawn.allowed(1, now), 0);
        assert_eq!(respawn.next(1), Some(now + 1000 * MS));
    }

    #[test]
    fn one_crash_in_half_a_second_is_never_delayed() {
        let mut respawn = Respawn::new();
        let mut now = Instant::now();
        for _ in 0..1000 {
            assert_eq!(respawn.died_unused(2, now), Duration::ZERO);
            respawn.ordered(respawn.allowed(1, now), now);
            now += 500 * MS;
        }
    }

    #[test]
    fn after_a_burst_one_is_replaced_in_each_interval() {
        let mut respawn = Respawn::new();
        let now = Instant::now();

        let waits: Vec<_> = (0..13).map(|_| respawn.died_unused(2, now)).collect();

        assert_eq!(waits[..10], [Duration::ZERO; 10]);
        assert_eq!(waits[10..], [250 * MS, 500 * MS, 750 * MS]);
        assert_eq!(respawn.allowed(13, now), 10);
        respawn.ordered(10, now);
        assert_eq!(respawn.next(3), Some(now + 250 * MS));
        assert_eq!(respawn.allowed(3, now + 500 * MS), 2);
    }

    #[test]
    fn a_whole_pool_may_be_killed_at_once() {
        let mut respawn = Respawn::new();
        let now = Instant::now();

        assert!((0..300).all(|_| respawn.died_unused(300, now) == Duration::ZERO));
        assert_eq!(respawn.allowed(300, now), 300);
    }
}
