//! The kernel's watchdog, for when systemd's is off.
//!
//! systemd forgets the watchdog of a service that starts or stops when it is told
//! to `daemon-reload`, until the next `WATCHDOG=1`. A master that hangs sends
//! none, and the units limit neither start nor stop. So the kernel watches, too:
//! with each `WATCHDOG=1` `alarm(2)` is set anew, to a time at which systemd, if
//! it did not forget, has acted already.

use nix::unistd::alarm;
use std::time::Duration;

/// Has the kernel end this process with SIGALRM if this is not called again
/// within two periods of systemd's watchdog. Child processes do not inherit it.
pub fn postpone_alarm(period: Duration) {
    alarm::set(alarm_seconds(period));
}

/// Allows four periods for what comes before the loop and its first `WATCHDOG=1`.
/// Files on a server that does not answer, or the look-up of a name, would hold up a
/// start for ever, as the units do not limit it.
pub fn limit_start(period: Duration) {
    postpone_alarm(period.saturating_mul(2));
}

/// Called after the loop; flushing the log has its own limit.
pub fn cancel_alarm() {
    alarm::cancel();
}

/// Two periods, in whole seconds and never 0, which would set no alarm.
fn alarm_seconds(period: Duration) -> u32 {
    let seconds = period.saturating_mul(2).as_millis().div_ceil(1000);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_comes_after_two_periods() {
        for (period, seconds) in [(1, 1), (500_000, 1), (700_000, 2), (20_000_000, 40)] {
            assert_eq!(alarm_seconds(Duration::from_micros(period)), seconds);
        }
        assert_eq!(alarm_seconds(Duration::MAX), u32::MAX);
    }
}
