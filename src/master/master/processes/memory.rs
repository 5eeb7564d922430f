//! The memory of the workers: how much they have, and whom the kernel has killed for it.

use super::Processes;
use crate::pool::{ExitStatus, MemoryUse, WorkerId};
use crate::process;
use rustix::io::Errno;
use std::time::Instant;
use tracing::error;

impl Processes {
    /// The memory of these workers; exact where it is more than `above`.
    pub(in crate::master) fn measure_memory(
        &mut self,
        workers: &[WorkerId],
        above: u64,
    ) -> Vec<MemoryUse> {
        let mut uses = Vec::new();
        for &worker in workers {
            let process = self.workers.get(&worker);
            let Some(handle) = process.and_then(|process| process.handle.as_ref()) else {
                continue;
            };
            match process::own_memory(handle.pid, above) {
                Ok(own) => {
                    let reading = self.reading(worker);
                    let is_idle = reading.is_some_and(|reading| reading.busy_since_ms == 0);
                    uses.push(MemoryUse {
                        worker,
                        own,
                        is_idle,
                    });
                }
                // It has just ended.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => {}
                Err(error) if !self.is_memory_hidden => {
                    self.is_memory_hidden = true;
                    let pid = handle.pid;
                    error!(
                        "The memory of workers cannot be measured, and none is replaced for \
                         having too much: worker {worker}, /proc/{pid}/smaps_rollup: {error}"
                    );
                }
                Err(_) => {}
            }
        }
        uses
    }

    /// Replaces a SIGKILL that the kernel sent because memory ran out by `OutOfMemory`.
    pub(in crate::master) fn explain(&mut self, exit: ExitStatus) -> ExitStatus {
        if exit.is_signal(nix::sys::signal::Signal::SIGKILL) && self.oom_kills.explains_a_death() {
            ExitStatus::OutOfMemory
        } else {
            exit
        }
    }

    /// The same for a worker: another one's group may be the one that has had the kill.
    pub(in crate::master) fn explain_worker(
        &mut self,
        id: WorkerId,
        exit: ExitStatus,
    ) -> ExitStatus {
        let is_in_group = (self.workers.get(&id)).is_some_and(|worker| worker.is_in_group);
        let own_group = self.groups.as_ref().filter(|_| is_in_group);
        match own_group.and_then(|groups| groups.had_oom_kill(id)) {
            Some(false) => exit,
            Some(true) | None => self.explain(exit),
        }
    }

    /// Keeps the counter recent with which [`Self::explain`] compares.
    pub(in crate::master) fn refresh_counters(&mut self, now: Instant) {
        self.oom_kills.refresh(now);
    }

    pub(in crate::master) fn next_refresh(&self) -> Instant {
        self.oom_kills.due()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::GenerationId;
    use crate::process::{ControlGroups, OomKills, OutputTo, WorkerProcess};
    use rgunicorn_link::Link;
    use std::fs;

    #[test]
    fn a_kill_is_told_by_the_group_that_the_worker_is_in() {
        const SIGKILL: ExitStatus = ExitStatus::Signal {
            number: nix::libc::SIGKILL,
            core_dumped: false,
        };
        let service = tempfile::tempdir().unwrap();
        let count = |group: &str, kills| {
            let folder = service.path().join(group);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("memory.events"), format!("oom_kill {kills}\n")).unwrap();
        };
        count("", 0);
        let (link, _fork_server) = Link::pair().unwrap();
        let now = Instant::now();
        let mut processes = Processes::new(Vec::new(), OutputTo::Inherited, now).unwrap();
        processes.groups = Some(ControlGroups::below(service.path()));
        processes.oom_kills = OomKills::new(Some(service.path()), now);
        for (number, is_in_group) in [(1, true), (2, true), (3, false)] {
            count(&format!("worker-{number}"), 0);
            let (id, generation) = (WorkerId(number), GenerationId(1));
            let mut worker =
                WorkerProcess::order(id, generation, 0, &link, false, None, now).unwrap();
            worker.is_in_group = is_in_group;
            processes.workers.insert(id, worker);
        }

        // The kernel has killed worker 2 in its group, and worker 3 in that of the master.
        count("worker-2", 1);
        count("", 2);

        let mut explained = |number| processes.explain_worker(WorkerId(number), SIGKILL);
        assert_eq!(explained(1), SIGKILL);
        assert_eq!(explained(2), ExitStatus::OutOfMemory);
        assert_eq!(explained(3), ExitStatus::OutOfMemory);
        // No kill is left to explain another death.
        assert_eq!(explained(3), SIGKILL);
    }
}
