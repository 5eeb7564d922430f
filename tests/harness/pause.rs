//! Time that passes on purpose.

use std::{thread::sleep, time::Duration};

/// Lets time pass: for facts about what does *not* happen meanwhile.
pub fn let_pass(time: Duration) {
    sleep(time);
}
