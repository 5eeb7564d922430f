//! Waiting for a fact.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// How long a fact may take. Long: a machine under load must not fail a test,
/// and a test that passes never waits so long.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// Returns when `fact` holds; panics if it does not in [`DEADLINE`].
#[track_caller]
pub fn wait_until(what: &str, fact: impl FnMut() -> bool) {
    assert!(comes_true(DEADLINE, fact), "waited in vain until {what}");
}

/// Whether `fact` holds before `patience` is over.
pub fn comes_true(patience: Duration, mut fact: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if fact() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
}
