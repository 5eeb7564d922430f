//! What the master counts for as long as it lives, besides what workers count themselves.

use crate::control::protocol::ReloadCounts;
use crate::control::protocol::exit_cause::{
    self, DIED, KILLED, OUT_OF_MEMORY, RETIRED, START_FAILED, TIMEOUT,
};
use crate::pool::{ExitStatus, State};
use crate::upgrade::state::CountersState;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

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
            worker_exits: exit_cause::ALL
                .into_iter()
                .map(|cause| (cause, 0))
                .collect(),
            reloads: ReloadCounts::default(),
            dropped_by_workers: 0,
        }
    }

    /// For the program that takes over.
    pub(super) fn hand_over(&self) -> CountersState {
        CountersState {
            started_at: self.started_at,
            worker_exits: self.worker_exits(),
            reloads: self.reloads,
            dropped_by_workers: self.dropped_by_workers,
        }
    }

    pub(super) fn adopt(state: &CountersState) -> Self {
        let known = exit_cause::ALL.into_iter();
        let worker_exits = known.map(|cause| {
            let count = state.worker_exits.get(cause);
            (cause, count.copied().unwrap_or_default())
        });
        Self {
            started_at: state.started_at,
            worker_exits: worker_exits.collect(),
            reloads: state.reloads,
            dropped_by_workers: state.dropped_by_workers,
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
        assert_eq!(counters.worker_exits().len(), exit_cause::ALL.len());

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
