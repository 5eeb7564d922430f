//! When a worker that is missing may be ordered.
//!
//! Workers that were never there (the pool is started, enlarged or renewed by a
//! reload) load the application as many at a time as there are processors
//! (`Wanted::booting`).
//!
//! All else is about a worker in place of one that is gone. One that had served is replaced at once, however often that happens: the
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

/// Why a worker is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// There are fewer than are wanted, and this one or another in its place was never
    /// ready.
    Missing,
    /// One was lost that had been ready. Requests may be waiting for its successor:
    /// it does not wait for others that load the application.
    Lost,
}

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
    due: Vec<(Instant, Cause)>,
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
        self.add(Cause::Lost, now);
    }

    /// One of `workers` workers died that was ready and had served nothing. Gives
    /// how long its successor has to wait.
    pub(super) fn died_unused(&mut self, workers: usize, now: Instant) -> Duration {
        let burst = UNUSED_BURST.max(u32::try_from(workers).unwrap_or(u32::MAX));
        let wait = self.unused.take(burst, now);
        self.add(Cause::Lost, now + wait);
        wait
    }

    /// An order that was allowed did not get through. A pause that began meanwhile
    /// does not delay it.
    pub(super) fn order_again(&mut self, cause: Cause, now: Instant) {
        self.add(cause, now);
    }

    fn add(&mut self, cause: Cause, due: Instant) {
        let place = self.due.partition_point(|(other, _)| *other <= due);
        self.due.insert(place, (due, cause));
    }

    /// Of `missing` workers, those that are to be ordered now: at most `room`, and at
    /// most `boots` that no other was lost for.
    pub(super) fn take(
        &mut self,
        missing: usize,
        boots: usize,
        room: usize,
        now: Instant,
    ) -> Vec<Cause> {
        let others = if self.pause.is_over(now) {
            self.others(missing, boots)
        } else {
            0
        };
        let due = self.due_at(now).min(missing).min(room);
        let others = others.min(room - due);
        (self.due.drain(..due).map(|(_, cause)| cause))
            .chain(std::iter::repeat_n(Cause::Missing, others))
            .collect()
    }

    /// No more than `missing` workers are missing, whoever died.
    pub(super) fn forget_surplus(&mut self, missing: usize) {
        self.due.truncate(missing);
    }

    /// When the next of `missing` workers may be ordered; `None` while that depends on
    /// those that are booting.
    pub(super) fn next(&self, missing: usize, boots: usize) -> Option<Instant> {
        let pause = (self.pause.until()).filter(|_| self.others(missing, boots) > 0);
        let due = self.due.first().map(|(due, _)| *due);
        due.into_iter().chain(pause).min()
    }

    /// How many of `missing` workers have no entry in `due` and may boot beside the
    /// others. An order that did not get through keeps its place.
    fn others(&self, missing: usize, boots: usize) -> usize {
        let again = (self.due.iter())
            .filter(|(_, cause)| *cause == Cause::Missing)
            .count();
        let missing = missing.saturating_sub(self.due.len());
        missing.min(boots.saturating_sub(again))
    }

    fn due_at(&self, now: Instant) -> usize {
        self.due.partition_point(|(due, _)| *due <= now)
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

    /// Takes as many of `missing` workers as may be ordered, however many boot already.
    fn taken(respawn: &mut Respawn, missing: usize, now: Instant) -> usize {
        respawn.take(missing, missing, missing, now).len()
    }

    #[test]
    fn the_successor_of_a_worker_that_served_does_not_wait_for_the_pause() {
        let mut respawn = Respawn::new();
        let now = Instant::now();
        respawn.failed(1000 * MS, now);
        assert_eq!(taken(&mut respawn, 1, now), 0);

        respawn.died_after_use(now);

        assert_eq!(taken(&mut respawn, 2, now), 1);
        assert_eq!(taken(&mut respawn, 1, now), 0);
        assert_eq!(respawn.next(1, 1), Some(now + 1000 * MS));
    }

    #[test]
    fn successors_of_lost_workers_do_not_wait_for_those_that_boot() {
        let mut respawn = Respawn::new();
        let now = Instant::now();
        respawn.died_after_use(now);

        assert_eq!(
            respawn.take(5, 2, 5, now),
            [Cause::Lost, Cause::Missing, Cause::Missing]
        );
        assert_eq!(respawn.take(2, 0, 2, now), []);
        assert_eq!(respawn.next(2, 0), None);
        respawn.died_after_use(now);
        assert_eq!(respawn.take(3, 0, 3, now), [Cause::Lost]);
    }

    #[test]
    fn an_order_that_did_not_get_through_still_counts_against_the_limit() {
        let mut respawn = Respawn::new();
        let now = Instant::now();
        assert_eq!(respawn.take(4, 2, 4, now).len(), 2);

        respawn.order_again(Cause::Missing, now);

        assert_eq!(respawn.take(3, 1, 3, now), [Cause::Missing]);
        assert_eq!(respawn.take(2, 0, 2, now), []);
    }

    #[test]
    fn workers_without_room_stay_due() {
        let mut respawn = Respawn::new();
        let now = Instant::now();
        respawn.died_after_use(now);
        respawn.died_after_use(now);

        assert_eq!(respawn.take(3, 1, 1, now), [Cause::Lost]);
        assert_eq!(respawn.take(2, 1, 0, now), []);
        assert_eq!(respawn.take(2, 1, 2, now), [Cause::Lost, Cause::Missing]);
    }

    #[test]
    fn one_crash_in_half_a_second_is_never_delayed() {
        let mut respawn = Respawn::new();
        let mut now = Instant::now();
        for _ in 0..1000 {
            assert_eq!(respawn.died_unused(2, now), Duration::ZERO);
            assert_eq!(taken(&mut respawn, 1, now), 1);
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
        assert_eq!(taken(&mut respawn, 13, now), 10);
        assert_eq!(respawn.next(3, 3), Some(now + 250 * MS));
        assert_eq!(taken(&mut respawn, 3, now + 500 * MS), 2);
    }

    #[test]
    fn a_whole_pool_may_be_killed_at_once() {
        let mut respawn = Respawn::new();
        let now = Instant::now();

        assert!((0..300).all(|_| respawn.died_unused(300, now) == Duration::ZERO));
        assert_eq!(taken(&mut respawn, 300, now), 300);
    }
}
