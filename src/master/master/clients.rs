//! What clients of the control socket ask is answered.

use super::Master;
use crate::control::protocol::{self, Answer, Outcome, Request};
use crate::control::{Access, Asked, Awaited, Server};
use crate::listeners::{Listener, Origin};
use crate::log::events;
use crate::pool::{Event, MOST_WORKERS, Order, Phase, Reason, Requester, State, Worker, WorkerId};
use rgunicorn_link::protocol::{ListenAddress, millis};
use rgunicorn_link::scoreboard::now_ms;
use std::fmt::Write;
use std::time::Instant;

impl Master {
    pub(super) fn handle_request(&mut self, number: u32, asked: &Asked) {
        match asked.request {
            Request::Reload => self.order_reload(number, "reload", Order::Reload, asked),
            Request::Upgrade => self.order_reload(number, "upgrade", Order::Upgrade, asked),
            Request::Status => {
                let text = self.status(Instant::now());
                self.answer(number, &Answer::Done(text));
            }
            Request::Summary => {
                let summary = self.summary(Instant::now());
                self.answer(number, &Answer::Summary(summary));
            }
            Request::Workers { from } => {
                let workers = self.workers_from(from, asked.access, Instant::now());
                self.answer(number, &Answer::Workers(workers));
            }
            Request::Listeners { from } => {
                let listeners = self.listeners_from(from);
                self.answer(number, &Answer::Listeners(listeners));
            }
            Request::Config { from } => {
                let settings = self.settings_from(from);
                self.answer(number, &Answer::Settings(settings));
            }
            Request::Stacks { id } => self.ask_for_stacks(number, id, asked),
            Request::Scale { workers } => {
                let answer = self.scale(i64::from(workers), asked);
                self.answer(number, &answer);
            }
            Request::ScaleBy { workers } => {
                let before = self.arbiter.summary().wanted;
                let wanted = i64::try_from(before).unwrap_or(i64::MAX);
                let answer = self.scale(wanted.saturating_add(i64::from(workers)), asked);
                self.answer(number, &answer);
            }
            Request::RestartWorker { id } => match self.worker_to_replace(id) {
                Ok(worker) => {
                    let request = format!("restart-worker {worker}");
                    events::control_request(&request, asked.pid, asked.uid);
                    if let Some(control) = &mut self.control {
                        control.wait_for(number, Awaited::Replaced(worker));
                    }
                    let by = Requester::Control { pid: asked.pid };
                    self.dispatch(Event::Ordered(Order::Replace(worker), by));
                }
                Err(reason) => self.answer(number, &Answer::Failed(reason)),
            },
            Request::Stop => {
                events::control_request("stop", asked.pid, asked.uid);
                if let Some(control) = &mut self.control {
                    control.wait_for(number, Awaited::Stop);
                }
                let by = Requester::Control { pid: asked.pid };
                self.dispatch(Event::Ordered(Order::Stop, by));
                if self.exit.is_some() {
                    self.answer_stop();
                }
            }
        }
    }

    fn order_reload(&mut self, number: u32, name: &str, order: Order, asked: &Asked) {
        events::control_request(name, asked.pid, asked.uid);
        self.ordering_client = Some(number);
        let by = Requester::Control { pid: asked.pid };
        self.dispatch(Event::Ordered(order, by));
        if self.ordering_client.take().is_some() {
            // The arbiter has stopped and accepts no order.
            let reason = Reason::Stopping.to_string();
            self.answer(number, &Answer::Failed(reason));
        }
    }

    pub(super) fn answer(&mut self, number: u32, answer: &Answer) {
        if let Some(control) = &mut self.control {
            control.answer(number, answer);
        }
    }

    /// Every other process is gone.
    pub(super) fn answer_stop(&mut self) {
        if let Some(control) = &mut self.control {
            let outcome = Outcome::of("stopped".to_owned());
            control.stopped(&Answer::Outcome(outcome));
        }
    }

    /// An order has come to this, and the server is in this state.
    pub(super) fn outcome(&self, message: String) -> Outcome {
        let summary = self.arbiter.summary();
        Outcome {
            generation: Some(summary.generation.0),
            workers_wanted: Some(summary.wanted as u64),
            workers_ready: Some(summary.ready as u64),
            ..Outcome::of(message)
        }
    }

    /// The worker with this number, or else this pid.
    pub(super) fn worker_meant(&self, id: u32) -> Result<WorkerId, String> {
        let numbered = Some(WorkerId(id)).filter(|id| self.arbiter.worker(*id).is_some());
        the_one_meant(id, numbered, self.processes.worker_with_pid(id))
    }

    /// The same; or why it cannot be replaced.
    fn worker_to_replace(&self, id: u32) -> Result<WorkerId, String> {
        if self.is_stopping() {
            return Err(Reason::Stopping.to_string());
        }
        let found = self.worker_meant(id)?;
        match self.arbiter.worker(found) {
            Some(worker) if worker.serves() => Ok(found),
            Some(worker) => Err(format!(
                "worker {found} is {}; only one that serves can be replaced",
                worker_state(worker.state, false)
            )),
            None => Err(format!("worker {found} has left")),
        }
    }

    /// Answers those who wait for a worker to be replaced, if any do. `what` it does now.
    pub(super) fn answer_replaced(&mut self, id: WorkerId, what: &str) {
        let awaited = Awaited::Replaced(id);
        let waits = |control: &Server| control.waits(awaited);
        if !self.control.as_ref().is_some_and(waits) {
            return;
        }
        let workers = events::counted(self.arbiter.summary().ready, "worker");
        let outcome = Outcome {
            worker: Some(id.0),
            ..self.outcome(format!("worker {id} {what}; {workers} ready"))
        };
        if let Some(control) = &mut self.control {
            control.happened(awaited, &Answer::Outcome(outcome));
        }
    }

    /// No worker is replaced for now.
    pub(super) fn answer_not_replaced(&mut self, reason: &str) {
        if let Some(control) = &mut self.control {
            control.not_replaced(&Answer::Failed(reason.to_owned()));
        }
    }

    fn scale(&mut self, to: i64, asked: &Asked) -> Answer {
        let before = self.arbiter.summary().wanted;
        if self.is_stopping() {
            return Answer::Failed(Reason::Stopping.to_string());
        }
        let possible = 1..=MOST_WORKERS;
        let Some(to) = u16::try_from(to).ok().filter(|to| possible.contains(to)) else {
            return Answer::Failed(format!(
                "{to} workers are not possible, only 1 to {MOST_WORKERS}; wanted now: {before}"
            ));
        };
        events::control_request(&format!("scale {to}"), asked.pid, asked.uid);
        let by = Requester::Control { pid: asked.pid };
        self.dispatch(Event::Ordered(Order::Scale(to), by));
        let now = events::counted(to, "worker");
        let message = if usize::from(to) == before {
            format!("{now} wanted, as before")
        } else {
            format!("{now} wanted instead of {before}, until the next reload")
        };
        Answer::Outcome(Outcome {
            workers_wanted: Some(to.into()),
            workers_wanted_before: Some(before as u64),
            ..self.outcome(message)
        })
    }

    fn summary(&mut self, now: Instant) -> protocol::Summary {
        let totals = self.processes.totals();
        let summary = self.arbiter.summary();
        protocol::Summary {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: millis(now.saturating_duration_since(self.started)),
            state: phase(summary.phase).to_owned(),
            generation: summary.generation.0,
            workers_wanted: summary.wanted as u64,
            workers_ready: summary.ready as u64,
            workers_starting: summary.starting as u64,
            workers_retiring: summary.retiring as u64,
            workers_busy: totals.busy as u64,
            requests: totals.requests,
            requests_per_second: self.notifications.request_rate(totals.requests, now),
            errors: totals.errors,
            sent_bytes: totals.bytes,
            started_at: self.counters.started_at,
            worker_exits: self.counters.worker_exits(),
            reloads: self.counters.reloads,
            log_records_dropped: self
                .log
                .dropped()
                .saturating_add(self.counters.dropped_by_workers),
            access_records_dropped: totals.access_lost,
            error_log_records_missing: self.log.missed_by_file(),
            syslog_records_dropped: self
                .log
                .missed_by_syslog()
                .saturating_add(totals.syslog_lost),
            statsd_metrics_dropped: self
                .log
                .missed_by_statsd()
                .saturating_add(totals.metrics_lost),
            last_reload_failure: self.reload.failure.clone(),
        }
    }

    /// As many workers as fit into an answer, from the one with this number.
    fn workers_from(&self, from: u32, access: Access, now: Instant) -> protocol::Workers {
        let wanted = self.arbiter.workers().filter(|(id, _)| id.0 >= from);
        let rows = wanted.map(|(id, worker)| {
            let mut row = self.worker_row(id, worker, now);
            match access {
                Access::Full => {}
                // A path may be a secret, such as that of a link to set a new password.
                Access::Figures => row.request = None,
            }
            (id.0, row)
        });
        let (workers, next) = protocol::fitting(rows);
        protocol::Workers {
            master_pid: std::process::id(),
            workers,
            next,
        }
    }

    pub(super) fn worker_row(
        &self,
        id: WorkerId,
        worker: &Worker,
        now: Instant,
    ) -> protocol::Worker {
        let process = self.processes.workers.get(&id);
        let pid = process.and_then(|process| Some(process.handle.as_ref()?.pid));
        let age = process.map(|process| now.saturating_duration_since(process.since));
        let reading = self.processes.reading(id).unwrap_or_default();
        let busy_ms = match reading.busy_since_ms {
            0 => None,
            since => Some(now_ms().saturating_sub(since)),
        };
        protocol::Worker {
            worker: id.0,
            pid,
            generation: worker.generation.0,
            state: worker_state(worker.state, busy_ms.is_some()).to_owned(),
            age_ms: millis(age.unwrap_or_default()),
            busy_ms,
            request: self.current_request(id),
            connections: reading.connections,
            requests: reading.requests,
            errors: reading.errors,
            sent_bytes: reading.bytes,
        }
    }

    /// The method and the path of the request that a worker is in, of several the oldest.
    pub(super) fn current_request(&self, id: WorkerId) -> Option<String> {
        let reading = self.processes.reading(id)?;
        let is_busy = reading.busy_since_ms > 0;
        let request = is_busy.then(|| self.processes.request_of(id)).flatten();
        request.map(|bytes| shown_request(&bytes))
    }

    /// As many listeners as fit into an answer, without the first `from`.
    fn listeners_from(&self, from: u32) -> protocol::Listeners {
        let rows = self.processes.listeners().iter().map(listener_row);
        let (listeners, next) = protocol::fitting_from(from, rows);
        protocol::Listeners { listeners, next }
    }
}

/// The worker that `id` means: its number is that of `numbered`, its pid that of `with_pid`.
fn the_one_meant(
    id: u32,
    numbered: Option<WorkerId>,
    with_pid: Option<WorkerId>,
) -> Result<WorkerId, String> {
    match (numbered, with_pid) {
        (Some(one), Some(other)) if one != other => Err(format!(
            "{id} is the number of one worker and the pid of worker {other}: give the pid of \
             the one, or the number of the other"
        )),
        (Some(found), _) | (None, Some(found)) => Ok(found),
        (None, None) => Err(format!(
            "no worker has the number or pid {id}; `rgunicornctl workers` lists them"
        )),
    }
}

/// A method and a path as printable ASCII: a client can write any bytes there.
fn shown_request(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    let mut in_path = false;
    for byte in bytes {
        match byte {
            b' ' if !in_path => {
                in_path = true;
                shown.push(' ');
            }
            b'!'..=b'~' => shown.push(char::from(*byte)),
            other => {
                let _ = write!(shown, "%{other:02X}");
            }
        }
    }
    shown
}

fn listener_row(listener: &Listener) -> protocol::Listener {
    let kind = match listener.address {
        ListenAddress::Tcp { .. } => "tcp",
        ListenAddress::Unix(_) => "unix",
    };
    let opened_by = match listener.origin {
        Origin::Systemd => "systemd",
        Origin::Inherited => "parent",
        Origin::Own(_) | Origin::Stored { .. } => "rgunicorn",
    };
    protocol::Listener {
        name: listener.name.clone(),
        address: events::shown(&listener.address),
        kind: kind.to_owned(),
        opened_by: opened_by.to_owned(),
        inode: rustix::fs::fstat(&listener.fd).map_or(0, |file| file.st_ino),
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Serving => "serving",
        Phase::Reloading => "reloading",
        Phase::Draining => "draining",
        Phase::Stopping => "stopping",
    }
}

fn worker_state(state: State, is_busy: bool) -> &'static str {
    match state {
        State::Ordered { .. } | State::Starting { .. } => "starting",
        State::Serving { .. } if is_busy => "busy",
        State::Serving { .. } => "idle",
        State::Retiring { .. } => "retiring",
        State::Leaving { .. } => "leaving",
        State::Aborted { .. } => "aborted",
        State::Killed { .. } => "killed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_shown_in_printable_ascii() {
        for (bytes, shown) in [
            (&b"GET /a%20b"[..], "GET /a%20b"),
            (b"GET /caf\xc3\xa9", "GET /caf%C3%A9"),
            (b"GET /\x1b[2J\r\n\x9b \x7f", "GET /%1B[2J%0D%0A%9B%20%7F"),
            (b"", ""),
        ] {
            assert_eq!(shown_request(bytes), shown);
        }
    }

    #[test]
    fn a_worker_is_meant_by_its_number_or_its_pid_but_not_two_workers_at_once() {
        let (one, other) = (WorkerId(700), WorkerId(3));

        assert_eq!(the_one_meant(700, Some(one), None), Ok(one));
        assert_eq!(the_one_meant(700, None, Some(other)), Ok(other));
        assert_eq!(the_one_meant(700, Some(one), Some(one)), Ok(one));
        assert_eq!(
            the_one_meant(700, Some(one), Some(other)),
            Err("700 is the number of one worker and the pid of worker 3: give the pid of the one, or the number of the other".into())
        );
        assert!(the_one_meant(700, None, None).is_err());
    }
}
