//! A cached clock, read once a turn: a request needs no system call for it.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime};

#[derive(Debug, Clone)]
pub struct Clock {
    now_ms: u64,
    date_second: i64,
    date: [u8; 29],
}

impl Clock {
    pub fn new() -> Self {
        let mut clock = Self {
            now_ms: 0,
            date_second: i64::MIN,
            date: [b' '; 29],
        };
        clock.update();
        clock
    }

    /// Reads the coarse clocks: a few milliseconds of error do not matter to any deadline
    /// here, and they cost a fifth of the exact ones.
    pub fn update(&mut self) {
        let now = clock_gettime(ClockId::MonotonicCoarse);
        self.now_ms = u64::try_from(now.tv_sec).unwrap_or(0) * 1000
            + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000;
        let second = clock_gettime(ClockId::RealtimeCoarse).tv_sec;
        if second != self.date_second {
            self.date_second = second;
            let since_epoch = Duration::from_secs(u64::try_from(second).unwrap_or(0));
            let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since_epoch);
            if let Ok(date) = text.as_bytes().try_into() {
                self.date = date;
            }
        }
    }

    /// Milliseconds of the monotonic clock.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The value of a `Date` field (RFC 9110 §6.6.1).
    pub fn date(&self) -> &[u8; 29] {
        &self.date
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_a_valid_http_date() {
        let clock = Clock::new();

        let text = std::str::from_utf8(clock.date()).unwrap();
        let date = httpdate::parse_http_date(text).unwrap();

        let age = SystemTime::now().duration_since(date).unwrap();
        assert!(age < Duration::from_secs(60), "{text}");
    }
}
