//! A pause that grows: how long to wait before something that failed is tried again.

use std::time::{Duration, Instant};

/// Grows with each failure, up to a limit, until a success.
///
/// Failures that arrive while a pause runs belong to the tries before it:
/// eight workers that die together are one failure, not eight.
#[derive(Debug, Clone)]
pub struct Pause {
    /// The first pause that is longer than none.
    first: Duration,
    /// The longest.
    most: Duration,
    /// How long the next one will be.
    next: Duration,
    /// When the one that runs, or the last one, ends.
    until: Option<Instant>,
}

impl Pause {
    /// No failure yet. The first failure costs no pause, the second `first`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            next: Duration::ZERO,
            until: None,
        }
    }

    /// After a failure: gives the length of the pause that begins now and is at
    /// least `least`, or none when one runs already.
    pub fn grow(&mut self, least: Duration, now: Instant) -> Option<Duration> {
        if !self.is_over(now) {
            return None;
        }
        let pause = self.next.max(least).min(self.most);
        self.next = (pause * 2).clamp(self.first, self.most);
        self.until = Some(now + pause);
        Some(pause)
    }

    /// After a success: the next failure is a first one.
    pub fn reset(&mut self) {
        self.next = Duration::ZERO;
        self.until = None;
    }

    /// Whether the next try may be made.
    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// When the next try may be made; `None` for at once.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn pause() -> Pause {
        Pause::new(100 * MS, 1000 * MS)
    }

    /// The pauses after failures that each come when the pause before is over.
    fn pauses(pause: &mut Pause, least: Duration, count: usize) -> Vec<u128> {
        let mut now = Instant::now();
        (0..count)
            .map(|_| {
                let length = pause.grow(least, now).unwrap();
                now += length;
                length.as_millis()
            })
            .collect()
    }

    #[test]
    fn the_first_failure_costs_nothing_and_each_next_one_twice_the_last() {
        assert_eq!(
            pauses(&mut pause(), Duration::ZERO, 7),
            [0, 100, 200, 400, 800, 1000, 1000]
        );
    }

    #[test]
    fn a_pause_is_never_shorter_than_the_least() {
        assert_eq!(pauses(&mut pause(), 300 * MS, 4), [300, 600, 1000, 1000]);
    }

    #[test]
    fn failures_within_a_pause_do_not_make_it_longer() {
        let mut pause = pause();
        let now = Instant::now();
        pause.grow(300 * MS, now);

        assert_eq!(pause.grow(300 * MS, now + 299 * MS), None);
        assert_eq!(pause.until(), Some(now + 300 * MS));
        assert_eq!(pause.grow(300 * MS, now + 300 * MS), Some(600 * MS));
    }

    #[test]
    fn success_ends_the_pause_and_forgets_the_failures() {
        let mut pause = pause();
        let now = Instant::now();
        pause.grow(300 * MS, now);

        pause.reset();

        assert!(pause.is_over(now));
        assert_eq!(pause.grow(Duration::ZERO, now), Some(Duration::ZERO));
    }
}
