//! How many of the requests that wait in a worker should go to others that sleep.
//!
//! To move a request costs two processes about 20 µs together, so cheap requests are not
//! moved one by one; but where one worker is always busy and another sleeps, a connection
//! after the other moves.

use std::time::Duration;

/// It is worth to move requests if the last one would wait longer than this.
const MAX_WAIT: Duration = Duration::from_micros(500);

/// A worker that was awake for this long is not just a little ahead.
const MAX_AWAKE: Duration = Duration::from_millis(3);

/// The shortest time between two connections that move because of that.
const MIN_INTERVAL: Duration = Duration::from_micros(500);

/// What a worker knows of its own requests. Times are those of any clock that only goes
/// forward.
#[derive(Debug, Default)]
pub struct Balance {
    /// How long a request takes, averaged over the last ones.
    mean: Duration,
    /// When it last slept.
    awake_since: Duration,
    /// When it last gave a connection away.
    last_given: Duration,
}

impl Balance {
    /// `count` requests took `time`.
    pub fn add(&mut self, count: u32, time: Duration) {
        if count > 0 {
            // The newest batch has the weight of a quarter.
            self.mean = (self.mean * 3 + time / count) / 4;
        }
    }

    /// The worker has slept until `now`.
    pub fn woke(&mut self, now: Duration) {
        self.awake_since = now;
    }

    /// How many of the `ready` requests to give away, while `asleep` workers sleep.
    pub fn surplus(&mut self, ready: usize, asleep: usize, now: Duration) -> usize {
        if ready < 2 || asleep == 0 {
            return 0;
        }
        let others = u32::try_from(ready - 1).unwrap_or(u32::MAX);
        if self.mean.saturating_mul(others) > MAX_WAIT {
            self.last_given = now;
            // The same number for each worker, and the rest for this one.
            return ready - ready.div_ceil(asleep + 1);
        }
        let is_ahead = now.saturating_sub(self.awake_since) > MAX_AWAKE;
        if is_ahead && now.saturating_sub(self.last_given) >= MIN_INTERVAL {
            self.last_given = now;
            return 1;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn slow_requests_are_shared_with_those_who_sleep() {
        let mut balance = Balance::default();
        for _ in 0..20 {
            balance.add(1, ms(1));
        }

        assert_eq!(balance.surplus(2, 1, ms(1)), 1);
        assert_eq!(balance.surplus(16, 1, ms(1)), 8);
        assert_eq!(balance.surplus(16, 3, ms(1)), 12);
        assert_eq!(balance.surplus(5, 3, ms(1)), 3);
        assert_eq!(balance.surplus(16, 100, ms(1)), 15);
    }

    #[test]
    fn nothing_moves_when_nobody_sleeps_or_only_one_request_waits() {
        let mut balance = Balance::default();
        balance.add(1, ms(1000));

        assert_eq!(balance.surplus(16, 0, ms(100)), 0);
        assert_eq!(balance.surplus(1, 5, ms(100)), 0);
        assert_eq!(balance.surplus(0, 5, ms(100)), 0);
    }

    #[test]
    fn cheap_requests_move_one_by_one_if_a_worker_never_sleeps() {
        let mut balance = Balance::default();
        balance.add(16, Duration::from_micros(80));
        balance.woke(ms(10));

        assert_eq!(balance.surplus(16, 1, ms(11)), 0);
        assert_eq!(balance.surplus(16, 1, ms(14)), 1);
        assert_eq!(balance.surplus(16, 1, ms(14)), 0);
        assert_eq!(balance.surplus(16, 1, ms(15)), 1);
    }
}
