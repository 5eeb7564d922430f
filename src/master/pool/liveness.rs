//! Whether the pool proves that it works: without that, the master does not send
//! `WATCHDOG=1`.
//!
//! One worker that proves it is enough: the others are replaced one by one if they
//! exceed `timeout`. A worker proves it by its heartbeat. While all of its threads are
//! in requests it sends none, and may stay silent for as long as a request may take; a
//! process that was stopped (SIGSTOP) may not.

use std::time::Duration;

/// The pool is never given less time than this. Several heartbeats, and more than a
/// busy machine lets a process wait for a processor.
const LEAST: Duration = Duration::from_secs(5);

/// What is known of a worker that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sign {
    /// Since its last heartbeat, or since it was ready, or since the master looks for
    /// heartbeats without interruption, whichever was last.
    pub silent: Duration,
    /// It is in a request.
    pub is_busy: bool,
    /// Its process is stopped by a signal: state `T`.
    pub is_stopped: bool,
}

/// How long workers may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// `WatchdogSec=` of the unit.
    pub watchdog: Duration,
    /// The setting `timeout`; `None`: a request may take any time.
    pub timeout: Option<Duration>,
}

impl Silence {
    /// How long a worker that is stopped may be. Short enough for systemd to restart
    /// the service within `WatchdogSec=`.
    pub fn stopped(self) -> Duration {
        (self.watchdog / 2).max(LEAST)
    }

    /// How long another may be; `None`: for ever. Longer than `timeout`, after which
    /// the pool replaces the worker by itself.
    fn running(self, is_busy: bool) -> Option<Duration> {
        let timeout = match self.timeout {
            Some(timeout) => timeout,
            None if is_busy => return None,
            None => Duration::ZERO,
        };
        Some(timeout.max(self.watchdog).saturating_add(self.stopped()))
    }

    fn is_exceeded_by(self, sign: Sign) -> bool {
        if sign.is_stopped {
            return sign.silent > self.stopped();
        }
        self.running(sign.is_busy)
            .is_some_and(|longest| sign.silent > longest)
    }
}

/// Whether the workers that serve prove that the pool works. If none serves, others
/// are being started, which has limits of its own.
pub fn works(serving: &[Sign], longest: Silence) -> bool {
    serving.is_empty() || serving.iter().any(|sign| !longest.is_exceeded_by(*sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const DEFAULT: Silence = Silence {
        watchdog: Duration::from_secs(20),
        timeout: Some(Duration::from_secs(30)),
    };

    const WITHOUT_TIMEOUT: Silence = Silence {
        timeout: None,
        ..DEFAULT
    };

    const IDLE: Sign = Sign {
        silent: Duration::ZERO,
        is_busy: false,
        is_stopped: false,
    };

    fn idle(seconds: u32) -> Sign {
        let silent = SECOND * seconds;
        Sign { silent, ..IDLE }
    }

    fn busy(seconds: u32) -> Sign {
        let is_busy = true;
        Sign {
            is_busy,
            ..idle(seconds)
        }
    }

    fn stopped(sign: Sign) -> Sign {
        let is_stopped = true;
        Sign { is_stopped, ..sign }
    }

    #[test]
    fn a_pool_whose_workers_are_all_stopped_does_not_work() {
        for limits in [DEFAULT, WITHOUT_TIMEOUT] {
            for one in [idle(11), busy(11)] {
                assert!(!works(&[stopped(one), stopped(busy(60))], limits));
            }
        }
    }

    #[test]
    fn it_is_found_early_enough_for_a_restart_within_the_period() {
        for seconds in [10, 20, 60] {
            let watchdog = SECOND * seconds;
            let limits = Silence {
                watchdog,
                ..DEFAULT
            };
            assert_eq!(limits.stopped(), watchdog / 2);
        }
    }

    #[test]
    fn one_worker_that_works_is_enough() {
        for works_on in [idle(1), busy(29), stopped(idle(3))] {
            let pool = [stopped(idle(60)), works_on, stopped(busy(60))];
            assert!(works(&pool, DEFAULT), "{works_on:?}");
        }
    }

    #[test]
    fn a_pool_that_is_merely_busy_works() {
        assert!(works(&[busy(30), busy(30)], DEFAULT));
        assert!(works(&[busy(86_400), busy(86_400)], WITHOUT_TIMEOUT));
    }

    #[test]
    fn workers_past_their_timeout_are_left_to_the_pool_first() {
        assert!(works(&[busy(32), idle(32)], DEFAULT));
        assert!(!works(&[busy(41), idle(41)], DEFAULT));
    }

    #[test]
    fn idle_workers_without_heartbeats_do_not_work_without_a_timeout_either() {
        assert!(works(&[idle(30), idle(31)], WITHOUT_TIMEOUT));
        assert!(!works(&[idle(31), idle(31)], WITHOUT_TIMEOUT));
    }

    #[test]
    fn a_short_period_does_not_make_a_slow_machine_a_dead_pool() {
        let limits = Silence {
            watchdog: SECOND,
            timeout: None,
        };
        assert!(works(&[idle(6)], limits));
        assert!(works(&[stopped(idle(5))], limits));
        assert!(!works(&[stopped(idle(6))], limits));
    }

    #[test]
    fn a_pool_without_a_worker_that_serves_is_judged_by_its_starts() {
        assert!(works(&[], DEFAULT));
    }

    #[test]
    fn the_longest_timeout_does_not_overflow() {
        let limits = Silence {
            timeout: Some(Duration::MAX),
            ..DEFAULT
        };
        assert!(works(&[busy(1_000_000)], limits));
    }
}
