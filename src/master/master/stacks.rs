//! `rgunicornctl stacks`: what the threads of a worker are doing is asked of it.

use super::Master;
use crate::control::protocol::{self, Answer};
use crate::control::{Asked, Awaited};
use crate::log::events;
use crate::pool::WorkerId;
use crate::process::{STACKS_TIMEOUT, Stacks, StacksPipe, state};
use crate::wakeups::Source;
use std::time::Instant;

impl Master {
    /// Asks a worker for its stacks, for a client.
    pub(super) fn ask_for_stacks(&mut self, number: u32, id: u32, asked: &Asked) {
        let question = self.worker_meant(id).and_then(|worker| {
            events::control_request(&format!("stacks {worker}"), asked.pid, asked.uid);
            self.ask_worker(worker)?;
            Ok(worker)
        });
        match (question, &mut self.control) {
            (Ok(worker), Some(control)) => control.wait_for(number, Awaited::Stacks(worker)),
            (Err(reason), _) => self.answer(number, &Answer::Failed(reason)),
            (Ok(_), None) => {}
        }
    }

    fn ask_worker(&mut self, id: WorkerId) -> Result<(), String> {
        let worker = self.processes.workers.get_mut(&id);
        let process = worker.and_then(|worker| Some((worker.handle.as_ref()?, &mut worker.stacks)));
        let Some((handle, stacks)) = process else {
            return Err(format!("worker {id} has no process yet"));
        };
        let asked = (stacks.as_mut())
            .ok_or_else(|| "it has no pipe for them".to_owned())
            .and_then(|stacks| {
                let is_first = stacks.ask(handle, Instant::now());
                if is_first.map_err(|error| error.to_string())? {
                    let watched = self.wakeups.add(&*stacks, Source::WorkerStacks(id));
                    watched.map_err(|error| error.to_string())?;
                }
                Ok(())
            });
        asked.map_err(|reason| format!("cannot ask worker {id} for its stacks: {reason}"))
    }

    /// A worker has written something.
    pub(super) fn read_stacks(&mut self, id: WorkerId) {
        let worker = self.processes.workers.get_mut(&id);
        let Some(stacks) = worker.and_then(|worker| worker.stacks.as_mut()) else {
            return;
        };
        match stacks.read() {
            Ok(Stacks::Incomplete) => {}
            Ok(Stacks::Complete(text)) => {
                self.wakeups.remove(&*stacks);
                self.answer_stacks(id, text);
            }
            // It is gone, and the clients are told when it is reaped; or it has closed its end,
            // and they are told at the deadline.
            Err(_) => self.wakeups.remove(&*stacks),
        }
    }

    /// When [`Self::give_up_late_stacks`] has something to do.
    pub(super) fn stacks_deadline(&self) -> Option<Instant> {
        let workers = self.processes.workers.values();
        workers
            .filter_map(|worker| worker.stacks.as_ref()?.deadline())
            .min()
    }

    /// Answers those who asked a worker that has not answered in time.
    pub(super) fn give_up_late_stacks(&mut self, now: Instant) {
        let is_late = |stacks: &StacksPipe| stacks.deadline().is_some_and(|until| until <= now);
        let mut late = Vec::new();
        for worker in self.processes.workers.values_mut() {
            if let Some(stacks) = worker.stacks.as_mut().filter(|stacks| is_late(stacks)) {
                self.wakeups.remove(&*stacks);
                let pid = worker.handle.as_ref().map_or(0, |handle| handle.pid);
                late.push((worker.id, pid, stacks.give_up()));
            }
        }
        let seconds = STACKS_TIMEOUT.as_secs();
        for (id, pid, text) in late {
            if text.is_empty() {
                let state = state(pid).unwrap_or_else(|| "unknown".to_owned());
                self.answer_no_stacks(
                    id,
                    &format!(
                        "worker {id} (pid {pid}) has not written its stacks within {seconds} s; \
                         state of its process: {state}"
                    ),
                );
            } else {
                let note = format!("\n(cut off: the rest has not come within {seconds} s)");
                self.answer_stacks(id, text + &note);
            }
        }
    }

    /// Tells those who wait for a worker's stacks that there will be none.
    pub(super) fn answer_no_stacks(&mut self, id: WorkerId, reason: &str) {
        if let Some(control) = &mut self.control {
            let answer = Answer::Failed(reason.to_owned());
            control.happened(Awaited::Stacks(id), &answer);
        }
    }

    fn answer_stacks(&mut self, id: WorkerId, stacks: String) {
        let row = (self.arbiter.worker(id))
            .map(|worker| self.worker_row(id, worker, Instant::now()))
            .unwrap_or_default();
        if let Some(control) = &mut self.control {
            let answer = Answer::Stacks(protocol::Stacks {
                worker: id.0,
                pid: row.pid.unwrap_or_default(),
                busy_ms: row.busy_ms,
                request: row.request,
                stacks,
            });
            control.happened(Awaited::Stacks(id), &answer);
        }
    }
}
