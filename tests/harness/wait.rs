//! Waits for conditions, with one long deadline.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// The deadline for every condition. Long, so that a machine under load fails no
/// test; a test that passes does not wait for it.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// Returns when `fact` holds; panics if it does not in [`DEADLINE`].
#[track_caller]
pub fn wait_until(what: &str, fact: impl FnMut() -> bool) {
    assert!(
        holds_within(DEADLINE, fact),
        "not true within {DEADLINE:?}: {what}"
    );
}

/// Whether `fact` holds within `timeout`.
pub fn holds_within(timeout: Duration, mut fact: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + timeout;
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
