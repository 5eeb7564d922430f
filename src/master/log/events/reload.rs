//! What is changed while the service runs: by a reload, or by an order for more
//! or fewer workers.

use super::naming::{counted, micros, seconds};
use std::time::Duration;
use tracing::{error, info, warn};

pub const WORKERS_WANTED: &str = "7a825526cbf141408ce5bb21f2c68884";
pub const WORKERS_RETIRED: &str = "ec73457d23a942a9b2d0c694c1996c64";
pub const RELOAD_BEGAN: &str = "02f9d6c722664850a77372e57a71b921";
pub const RELOAD_FINISHED: &str = "60bd6d9d98ba4ecb94bf4b4567935e4b";
pub const RELOAD_FAILED: &str = "49b8a9ee426b4ce48c71300b50b0dbb3";

/// Requests wait from now on.
pub fn workers_retired(reason: &str) {
    warn!(
        message_id = WORKERS_RETIRED,
        reason,
        "All workers finish their requests and leave ({reason}); clients wait until SIGHUP or \
         SIGTTIN starts workers again",
    );
}

pub fn workers_wanted(workers: usize, reason: &str) {
    info!(
        message_id = WORKERS_WANTED,
        workers,
        reason,
        "{} wanted from now on ({reason})",
        counted(workers, "worker"),
    );
}

/// `generation` is the new one.
pub fn reload_began(generation: u32, reason: &str) {
    info!(
        message_id = RELOAD_BEGAN,
        generation, reason, "Reload began ({reason}): generation {generation} is next",
    );
}

pub fn reload_finished(generation: u32, workers: usize, after: Duration) {
    info!(
        message_id = RELOAD_FINISHED,
        generation,
        workers,
        after_usec = micros(after),
        "Reload finished after {}: generation {generation} serves with {}",
        seconds(after),
        counted(workers, "worker"),
    );
}

pub fn reload_failed(generation: u32, reason: &str) {
    error!(
        message_id = RELOAD_FAILED,
        generation, reason, "Reload failed, generation {generation} continues to serve: {reason}",
    );
}
