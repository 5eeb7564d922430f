//! What the master counts for as long as it lives, besides what workers count themselves.

use crate::control::protocol::ReloadCounts;
use crate::pool::{ExitStatus, State};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why workers end: labels of a metric, which do not change.
const CAUSES: [&str; 6] = [RETIRED, START_FAILED, TIMEOUT, OUT_OF_MEMORY, DIED, KILLED];
/// It was asked to leave, and did.
const RETIRED: &str = "retired";
/// It ended before it served.
const START_FAILED: &str = "start_failed";
/// It was stuck, in a request or while it loaded the application.
const TIMEOUT: &str = "timeout";
/// The kernel killed it, as memory ran out.
const OUT_OF_MEMORY: &str = "out_of_memory";
/// It ended by itself.
const DIED: &str = "died";
/// It was asked to leave, and did not in time.
const KILLED: &str = "killed";

#[derive(Debug)]
pub(super) struct Counters {
    /// In seconds since 1970.
    pub(super) started_at: u64,
    worker_exits: BTreeMap<&'static str, u64>,
    pub(super) reloads: ReloadCounts,
    /// Records that workers could not send.
    pub(super) dropped_by_workers: u64,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            started_at: now(),
            worker_exits: CAUSES.into_iter().map(|cause| (cause, 0)).collect(),
            reloads: ReloadCounts::default(),
            dropped_by_workers: 0,
        }
    }

    /// A worker in this state has ended.
    pub(super) fn worker_ended(&mut self, state: State, exit: ExitStatus, was_aborted: bool) {
        *self
            .worker_exits
            .entry(cause(state, exit, was_aborted))
            .or_default() += 1;
    }

    /// A worker or a fork server could not send so many records.
    pub(super) fn records_dropped(&mut self, count: u64) {
        self.dropped_by_workers = self.dropped_by_workers.saturating_add(count);
    }

    pub(super) fn worker_exits(&self) -> BTreeMap<String, u64> {
        let exits = self.worker_exits.iter();
        exits
            .map(|(cause, count)| ((*cause).to_owned(), *count))
            .collect()
    }

    pub(super) fn reloaded(&mut self, succeeded: bool) {
        let count = if succeeded {
            &mut self.reloads.succeeded
        } else {
            &mut self.reloads.failed
        };
        *count += 1;
        self.reloads.last_at = Some(now());
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn cause(state: State, exit: ExitStatus, was_aborted: bool) -> &'static str {
    match (state, exit) {
        (_, ExitStatus::OutOfMemory) => OUT_OF_MEMORY,
        _ if was_aborted => TIMEOUT,
        // 3 and 4: it could not load the application.
        (State::Ordered { .. } | State::Starting { .. }, _)
        | (State::Leaving { .. }, ExitStatus::Code(3 | 4)) => START_FAILED,
        // Nobody has asked it.
        (State::Serving { .. }, _) => DIED,
        (State::Retiring { .. } | State::Leaving { .. }, exit) => {
            if exit.is_expected_when_leaving() {
                RETIRED
            } else {
                DIED
            }
        }
        (State::Aborted { .. }, _) => TIMEOUT,
        (State::Killed { .. }, _) => KILLED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_worker_ends_for_one_reason() {
        let until = Instant::now();
        let serving = State::Serving { since: until };
        let retiring = State::Retiring {
            since: until,
            until,
        };
        let killed = State::Killed { times: 1, until };
        let sigkill = ExitStatus::Signal {
            number: 9,
            core_dumped: false,
        };
        for (state, exit, was_aborted, expected) in [
            (
                State::Starting { until: None },
                ExitStatus::Code(1),
                false,
                START_FAILED,
            ),
            (
                State::Leaving { until },
                ExitStatus::Code(3),
                false,
                START_FAILED,
            ),
            (serving, ExitStatus::Code(0), false, DIED),
            (serving, ExitStatus::OutOfMemory, false, OUT_OF_MEMORY),
            (retiring, ExitStatus::Code(0), false, RETIRED),
            (retiring, ExitStatus::Code(7), false, DIED),
            (State::Aborted { until }, ExitStatus::Code(1), true, TIMEOUT),
            (killed, sigkill, true, TIMEOUT),
            (killed, sigkill, false, KILLED),
        ] {
            assert_eq!(
                cause(state, exit, was_aborted),
                expected,
                "{state:?}, {exit}"
            );
        }
    }

    #[test]
    fn every_cause_is_counted_from_the_start() {
        let mut counters = Counters::new();
        assert_eq!(counters.worker_exits().len(), CAUSES.len());

        let state = State::Starting { until: None };
        counters.worker_ended(state, ExitStatus::Code(1), false);
        counters.reloaded(false);

        assert_eq!(counters.worker_exits()[START_FAILED], 1);
        assert_eq!(
            (counters.reloads.succeeded, counters.reloads.failed),
            (0, 1)
        );
        assert!(counters.reloads.last_at.is_some());
    }
}
