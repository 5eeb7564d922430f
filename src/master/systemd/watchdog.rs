//! How often systemd expects a sign of life from the master.

use std::time::Duration;

/// The watchdog of this service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watchdog {
    /// After so long without `WATCHDOG=1` systemd takes the master for stuck.
    pub period: Duration,
}

impl Watchdog {
    /// `None` if systemd watches no process, or another one.
    pub fn from_env() -> Option<Self> {
        let period = sd_notify::watchdog_enabled()?;
        // A period of 0 would have the master do nothing but notify.
        (!period.is_zero()).then_some(Self { period })
    }

    /// Twice in a period: one delay does no harm.
    pub fn interval(self) -> Duration {
        self.period / 2
    }
}
