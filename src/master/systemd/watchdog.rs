//! How often systemd wants to hear from the master.
//!
//! systemd forgets the watchdog of a service that starts or stops when it is told
//! to `daemon-reload`, until the next `WATCHDOG=1`. A master that hangs sends
//! none, and the units limit neither start nor stop. So the kernel watches, too:
//! with each `WATCHDOG=1` `alarm(2)` is set anew, to a time at which systemd, if
//! it did not forget, has acted already.

use nix::unistd::alarm;
use std::time::Duration;

/// `WATCHDOG_USEC` or `WATCHDOG_PID` makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}={value:?} in the environment is not a positive number")]
pub struct Unreadable {
    /// The variable.
    pub variable: &'static str,
    /// What it says.
    pub value: String,
}

/// A watchdog that waits for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watchdog {
    /// After so long without a word systemd takes the master for stuck.
    pub period: Duration,
}

impl Watchdog {
    /// The watchdog of this service, if it has one.
    pub fn from_env() -> Result<Option<Self>, Unreadable> {
        Self::read(
            std::env::var("WATCHDOG_USEC").ok().as_deref(),
            std::env::var("WATCHDOG_PID").ok().as_deref(),
            std::process::id(),
        )
    }

    /// How often to speak: twice in a period, so that one delay does no harm.
    pub fn interval(self) -> Duration {
        self.period / 2
    }

    /// Has the kernel end this process with SIGALRM if this is not called again
    /// within two periods. Child processes do not inherit it.
    pub fn postpone_alarm(self) {
        alarm::set(alarm_seconds(self.period));
    }

    /// Reads the two variables; `own` is our process id. A watchdog that waits
    /// for another process is not ours.
    fn read(usec: Option<&str>, pid: Option<&str>, own: u32) -> Result<Option<Self>, Unreadable> {
        let Some(usec) = usec else {
            return Ok(None);
        };
        if let Some(pid) = pid {
            if positive("WATCHDOG_PID", pid)? != u64::from(own) {
                return Ok(None);
            }
        }
        let period = Duration::from_micros(positive("WATCHDOG_USEC", usec)?);
        Ok(Some(Self { period }))
    }
}

/// Two periods, in whole seconds and never 0, which would set no alarm.
fn alarm_seconds(period: Duration) -> u32 {
    let seconds = period.saturating_mul(2).as_millis().div_ceil(1000);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

fn positive(variable: &'static str, value: &str) -> Result<u64, Unreadable> {
    match value.parse() {
        Ok(number @ 1..) => Ok(number),
        Ok(0) | Err(_) => Err(Unreadable {
            variable,
            value: value.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_variable_there_is_no_watchdog() {
        assert_eq!(Watchdog::read(None, None, 7), Ok(None));
        assert_eq!(Watchdog::read(None, Some("7"), 7), Ok(None));
    }

    #[test]
    fn the_master_speaks_twice_in_a_period() {
        let watchdog = Watchdog::read(Some("30000000"), Some("7"), 7)
            .unwrap()
            .unwrap();

        assert_eq!(watchdog.period, Duration::from_secs(30));
        assert_eq!(watchdog.interval(), Duration::from_secs(15));
    }

    #[test]
    fn the_alarm_comes_after_two_periods() {
        for (period, seconds) in [(1, 1), (500_000, 1), (700_000, 2), (20_000_000, 40)] {
            assert_eq!(alarm_seconds(Duration::from_micros(period)), seconds);
        }
        assert_eq!(alarm_seconds(Duration::MAX), u32::MAX);
    }

    #[test]
    fn a_watchdog_without_a_pid_waits_for_whoever_reads_it() {
        assert!(Watchdog::read(Some("1"), None, 7).unwrap().is_some());
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_ours() {
        assert_eq!(Watchdog::read(Some("30000000"), Some("8"), 7), Ok(None));
    }

    #[test]
    fn nonsense_is_named() {
        for (usec, pid, complaint) in [
            ("0", None, "WATCHDOG_USEC=\"0\""),
            ("soon", None, "WATCHDOG_USEC=\"soon\""),
            ("-1", None, "WATCHDOG_USEC=\"-1\""),
            ("1", Some("me"), "WATCHDOG_PID=\"me\""),
        ] {
            let error = Watchdog::read(Some(usec), pid, 7).unwrap_err().to_string();

            assert!(error.starts_with(complaint), "{error}");
        }
    }
}
