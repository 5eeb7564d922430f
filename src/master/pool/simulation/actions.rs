//! Each action of the arbiter, carried out in the simulated world. Panics at an
//! action that a loop must never be given.

use super::processes::{Life, dies_after_kill};
use super::world::{EXITED, Scheduled, World, killed_by};
use crate::pool::*;
use std::collections::BTreeSet;

impl World {
    pub(super) fn act(&mut self, actions: Vec<Action>) {
        let served: BTreeSet<_> = self.serving().map(|(id, _)| id).collect();
        let mut dismissed = false;
        let mut spawned = BTreeSet::new();
        for action in actions {
            self.trace.push(format!("          -> {action:?}"));
            assert_eq!(self.exit, None, "an action after Exit: {action:?}");
            match &action {
                Action::Retire { worker: id, .. } | Action::Quit(id) => {
                    dismissed |= served.contains(id);
                }
                Action::Spawn { generation, .. } => {
                    spawned.insert(*generation);
                }
                _ => {}
            }
            self.act_one(action);
        }
        let summary = self.arbiter.summary();
        if dismissed && summary.phase != Phase::Stopping {
            assert!(
                self.serving().count() >= summary.wanted,
                "capacity was lost by our own doing"
            );
        }
        if spawned.contains(&summary.generation) {
            let surge = usize::from(self.current.surge.max(1));
            let there = self.serving().count() + self.starting(summary.generation);
            assert!(
                there <= summary.wanted + surge,
                "more workers than there is room for"
            );
        }
        for generation in spawned {
            assert!(
                generation == summary.generation || self.starting(generation) == 1,
                "more than one probe"
            );
        }
    }

    /// Workers of this generation that may still come to serve.
    pub(super) fn starting(&self, generation: GenerationId) -> usize {
        (self.workers.values())
            .filter(|one| one.generation == generation && one.life != Life::Reaped)
            .filter(|one| !one.lent && !one.asked && !one.aborted && !one.killed)
            .count()
    }

    pub(super) fn act_one(&mut self, action: Action) {
        match action {
            Action::ReloadAccepted(reload) => {
                self.accepted.insert(reload);
                assert!(!self.finished.contains(&reload));
            }
            Action::ReadConfig => self.reading = true,
            Action::Upgrade => {
                let after = self.rng.below(3000);
                self.schedule(after, Scheduled::Upgrade);
            }
            Action::AdoptConfig => self.current = self.candidate.take().expect("a candidate"),
            Action::DropConfig => drop(self.candidate.take().expect("a candidate")),
            Action::ReloadFinished(reload, outcome) => {
                assert!(self.accepted.contains(&reload));
                assert!(self.finished.insert(reload), "finished twice");
                if let Ok(generation) = outcome {
                    let serving: Vec<_> = self.serving().collect();
                    assert!(serving.iter().all(|(_, one)| one.generation == generation));
                    let lost = self.lost_in_use(generation);
                    let wanted = self.arbiter.summary().wanted;
                    assert!(serving.len() == wanted || serving.len() + lost >= wanted);
                    assert!(!serving.is_empty() || wanted == 0);
                }
            }
            Action::Announce(announcement) => {
                let last = self.announced.last().copied();
                assert_ne!(last, Some(announcement), "announced twice");
                assert_ne!(last, Some(Announcement::Stopping), "announced too late");
                match announcement {
                    Announcement::Ready if last.is_none() => assert!(self.serving().count() > 0),
                    Announcement::Ready | Announcement::Stopping => {}
                    Announcement::Reloading => assert_eq!(last, Some(Announcement::Ready)),
                }
                self.announced.push(announcement);
            }
            Action::Report(report) => match report {
                Report::WorkerTimedOut(id, _) => assert!(self.timed_out.insert(id)),
                Report::WorkerKilled(id) => assert!(self.reported_killed.insert(id)),
                Report::WorkerLeftBehind(id) => {
                    assert_eq!(self.announced.last(), Some(&Announcement::Stopping));
                    let worker = self.worker(id);
                    assert!(worker.kills >= 3 && worker.uninterruptible);
                    worker.life = Life::Reaped;
                }
                Report::ForkServerLeftBehind(generation) => {
                    assert_eq!(self.announced.last(), Some(&Announcement::Stopping));
                    let server = self.server(generation);
                    assert!(server.kills >= 3 && server.uninterruptible);
                    server.life = Life::Reaped;
                }
                _ => {}
            },
            Action::Exit(status) => {
                assert!(self.workers.values().all(|one| one.life == Life::Reaped));
                assert!(self.servers.values().all(|one| one.life == Life::Reaped));
                assert_eq!(self.accepted, self.finished);
                assert_eq!(self.candidate.map(|_| ()), None);
                self.exit = Some(status);
            }

            action => self.act_on_fork_server(action),
        }
    }

    pub(super) fn act_on_fork_server(&mut self, action: Action) {
        match action {
            Action::StartForkServer(generation) => self.start_fork_server(generation),
            Action::StopForkServer(generation) => {
                let server = self.server(generation);
                assert!(!server.stopped);
                server.stopped = true;
                if !server.unresponsive && !server.hangs {
                    let after = self.rng.below(1500);
                    self.schedule(after, Scheduled::ForkServerDies(generation, EXITED));
                }
            }
            Action::AbortForkServer(generation) => {
                let server = self.server(generation);
                assert!(!server.stopped);
                server.stopped = true;
                if !server.unresponsive {
                    let after = self.rng.below(300);
                    self.schedule(after, Scheduled::ForkServerDies(generation, killed_by(6)));
                }
            }
            Action::KillForkServer(generation) => {
                let server = self.server(generation);
                assert!(!server.killed || server.uninterruptible, "killed twice");
                assert!(
                    server.stopped || server.hangs || server.disconnected,
                    "killed without being asked to leave"
                );
                server.killed = true;
                server.kills += 1;
                let after =
                    dies_after_kill(generation.0, self.servers[&generation].uninterruptible);
                self.schedule(after, Scheduled::ForkServerDies(generation, killed_by(9)));
            }
            action => self.act_on_worker(action),
        }
    }

    pub(super) fn act_on_worker(&mut self, action: Action) {
        match action {
            Action::Spawn { generation, worker } => {
                let server = self.server(generation);
                assert!(!server.stopped && !server.killed);
                self.spawned += 1;
                self.order_worker(generation, worker);
            }
            Action::Collect(id) => {
                let worker = self.worker(id);
                assert!(worker.lent && !worker.asked);
                worker.collections += 1;
                // In a long request it takes longer than it is waited for.
                let after = self.rng.below(6000);
                self.schedule(after, Scheduled::Event(Event::Collected(id)));
            }
            Action::MeasureMemory {
                check,
                workers,
                above,
            } => {
                let limit = match check {
                    Check::Limit => self.current.worker_memory_max,
                    Check::Pressure => Some(0),
                };
                assert_eq!(limit, Some(above));
                let uses = (workers.into_iter())
                    .map(|worker| MemoryUse {
                        worker,
                        own: self.worker(worker).memory,
                        is_idle: self.rng.one_in(2),
                    })
                    .collect();
                let after = self.rng.below(100);
                self.schedule(after, Scheduled::Event(Event::MemoryMeasured(check, uses)));
            }
            Action::CountRequests(workers) => {
                assert!(self.current.max_requests.is_some());
                let counts = workers.into_iter();
                let counts = counts.map(|id| (id, self.worker(id).requests)).collect();
                let after = self.rng.below(100);
                self.schedule(after, Scheduled::Event(Event::RequestsCounted(counts)));
            }
            Action::Lend(id) => {
                let worker = self.worker(id);
                assert!(!worker.lent && !worker.asked && !worker.aborted);
                worker.lent = true;
            }
            Action::Retire { worker: id, within } => {
                let worker = self.worker(id);
                assert!(worker.lent && !worker.asked);
                worker.asked = true;
                if !worker.unresponsive && worker.hangs_since.is_none() {
                    let within = u64::try_from(within.as_millis()).unwrap();
                    let after = self.rng.below(within + 1);
                    self.schedule(after, Scheduled::WorkerDies(id, EXITED));
                }
            }
            Action::Quit(id) => {
                let worker = self.worker(id);
                assert!(!worker.killed && !worker.aborted && worker.life != Life::Ordered);
                worker.asked = true;
                if !worker.unresponsive && worker.hangs_since.is_none() {
                    let after = self.rng.below(1000);
                    self.schedule(after, Scheduled::WorkerDies(id, EXITED));
                }
            }
            Action::Abort(id) => {
                let worker = self.worker(id);
                assert!(!worker.aborted && !worker.killed);
                assert!(
                    !worker.lent || worker.hangs_since.is_some(),
                    "a worker that is not stuck is aborted"
                );
                worker.aborted = true;
                if !worker.unresponsive {
                    let after = self.rng.below(300);
                    self.schedule(after, Scheduled::WorkerDies(id, killed_by(6)));
                }
            }
            Action::Kill(id) => self.kill(id),
            action => unreachable!("{action:?} is carried out above"),
        }
    }
}
