//! How records name the processes they are about, and how they write numbers.

use std::fmt::Display;
use std::time::Duration;

/// A worker, as records name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worker {
    pub id: u32,
    /// 0 while it is not known.
    pub pid: u32,
    pub generation: u32,
}

/// A process that runs the application's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppProcess {
    Worker(Worker),
    ForkServer { pid: u32, generation: u32 },
}

impl AppProcess {
    pub fn pid(self) -> u32 {
        match self {
            Self::Worker(Worker { pid, .. }) | Self::ForkServer { pid, .. } => pid,
        }
    }
}

/// Which of its two streams an application wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// "1 worker", "2 workers".
pub fn counted(count: impl Copy + Display + PartialEq + From<u8>, thing: &str) -> String {
    let s = if count == 1.into() { "" } else { "s" };
    format!("{count} {thing}{s}")
}

pub(super) fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 || time.as_secs() >= 100 {
        format!("{} s", time.as_secs())
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

pub(super) fn mebibytes(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
