//! What the workers write into the scoreboard.

use super::Processes;
use crate::master::idle::Activity;
use crate::pool::{Heartbeat, WorkerId};
use crate::status::Totals;
use rgunicorn_link::scoreboard::{Reading, Row, now_ms};
use std::time::Duration;

impl Processes {
    pub(in crate::master) fn reading(&self, worker: WorkerId) -> Option<Reading> {
        let row = self.workers.get(&worker)?.row;
        self.scoreboard.row(row).map(Row::read)
    }

    /// Whether a worker has seen that it is to leave.
    pub(in crate::master) fn has_begun_to_leave(&self, worker: WorkerId) -> bool {
        let row = self.workers.get(&worker).map(|worker| worker.row);
        let row = row.and_then(|row| self.scoreboard.row(row));
        row.is_some_and(|row| row.retired().is_some())
    }

    /// The method and the path of the request that a worker is in, or else was in last.
    pub(in crate::master) fn request_of(&self, worker: WorkerId) -> Option<Vec<u8>> {
        let row = self.workers.get(&worker)?.row;
        self.scoreboard.row(row).and_then(Row::request)
    }

    /// Whether a worker has answered a request, or is in one.
    pub(in crate::master) fn has_served(&self, worker: WorkerId) -> bool {
        self.reading(worker)
            .is_some_and(|reading| reading.requests > 0 || reading.busy_since_ms > 0)
    }

    /// How long each of these workers has been silent.
    pub(in crate::master) fn heartbeats(
        &self,
        workers: impl Iterator<Item = WorkerId>,
    ) -> Vec<Heartbeat> {
        let now_ms = now_ms();
        workers
            .filter_map(|worker| {
                let beat_ms = self.reading(worker)?.beat_ms;
                let silent = Duration::from_millis(now_ms.saturating_sub(beat_ms));
                Some(Heartbeat { worker, silent })
            })
            .collect()
    }

    /// What the workers have done and hold.
    pub(in crate::master) fn activity(&self) -> Activity {
        let rows = || self.workers.keys().filter_map(|id| self.reading(*id));
        Activity {
            requests: self.totals().requests,
            is_serving: rows().any(|row| row.connections > 0 || row.busy_since_ms > 0),
        }
    }

    pub(in crate::master) fn totals(&self) -> Totals {
        let mut totals = self.past;
        for reading in self.workers.keys().filter_map(|id| self.reading(*id)) {
            add(&mut totals, reading);
            totals.busy += usize::from(reading.busy_since_ms > 0);
        }
        totals
    }
}

pub(super) fn add(totals: &mut Totals, counted: Reading) {
    // A worker can write anything there.
    totals.requests = totals.requests.saturating_add(counted.requests);
    totals.errors = totals.errors.saturating_add(counted.errors);
    totals.bytes = totals.bytes.saturating_add(counted.bytes);
    totals.access_lost = totals.access_lost.saturating_add(counted.access_lost);
    totals.metrics_lost = totals.metrics_lost.saturating_add(counted.metrics_lost);
    totals.syslog_lost = totals.syslog_lost.saturating_add(counted.syslog_lost);
}
