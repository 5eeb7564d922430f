//! Fork servers and workers of the simulated world: what they do, and when.

use super::world::{App, EXITED, Scheduled, World, failure, killed_by};
use crate::pool::*;
use std::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Ordered, and no process yet.
    Ordered,
    Alive,
    Dead,
    /// The arbiter knows that it is gone.
    Reaped,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what happened, not what is")]
pub(super) struct Process {
    pub(super) generation: GenerationId,
    pub(super) life: Life,
    /// There was a process.
    pub(super) started: bool,
    /// It was lent the listeners.
    pub(super) lent: bool,
    /// It was asked to leave, or reported that it could not load.
    pub(super) asked: bool,
    /// It was aborted.
    pub(super) aborted: bool,
    pub(super) killed: bool,
    /// It has answered a request, or is in one.
    pub(super) served: bool,
    pub(super) hangs_since: Option<Instant>,
    /// Of its own.
    pub(super) memory: u64,
    /// How many it has answered.
    pub(super) requests: u64,
    /// How often it was asked to collect its garbage.
    pub(super) collections: u32,
    /// It does not do what it is asked.
    pub(super) unresponsive: bool,
    /// It dies only some time after it was killed.
    pub(super) uninterruptible: bool,
    /// How often it was killed.
    pub(super) kills: u32,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what happened, not what is")]
pub(super) struct Server {
    pub(super) life: Life,
    pub(super) wanted: Wanted,
    /// With preload: what it loaded.
    pub(super) loaded: Option<App>,
    pub(super) hangs: bool,
    /// It has closed its link, and lives.
    pub(super) disconnected: bool,
    /// How many orders fit into its link.
    pub(super) link_room: usize,
    pub(super) stopped: bool,
    pub(super) killed: bool,
    pub(super) unresponsive: bool,
    /// It dies only some time after it was killed.
    pub(super) uninterruptible: bool,
    /// How often it was killed.
    pub(super) kills: u32,
}

impl World {
    pub(super) fn start_fork_server(&mut self, generation: GenerationId) {
        let wanted = self.candidate.unwrap_or(self.current);
        let server = Server {
            life: Life::Alive,
            wanted,
            loaded: None,
            hangs: false,
            disconnected: false,
            link_room: if self.rng.one_in(4) {
                usize::from(wanted.workers) / 4 + 1
            } else {
                100
            },
            stopped: false,
            killed: false,
            unresponsive: self.rng.one_in(6),
            uninterruptible: self.rng.one_in(12),
            kills: 0,
        };
        let again = self.servers.insert(generation, server);
        assert!(again.is_none(), "a number was used again");
        if self.candidate.is_some() && self.unfinished {
            let after = self.rng.below(100);
            self.schedule(after, Scheduled::Evaluated(generation));
        } else {
            self.configure_fork_server(generation, wanted);
        }
    }

    /// The program that completes the configuration has run.
    pub(super) fn evaluated(&mut self, generation: GenerationId) {
        let server = &self.servers[&generation];
        let is_gone = server.life != Life::Alive || server.disconnected || server.stopped;
        if is_gone || self.candidate.is_none() {
            return;
        }
        let Some(wanted) = self.disk else {
            return self.deliver(Event::ConfigRejected(generation, "no".to_owned()));
        };
        self.candidate = Some(wanted);
        self.configure_fork_server(generation, wanted);
        self.deliver(Event::ConfigSettled(generation, wanted));
    }

    fn configure_fork_server(&mut self, generation: GenerationId, wanted: Wanted) {
        let loaded = wanted.preload.then_some(self.app);
        let server = self.server(generation);
        server.wanted = wanted;
        server.loaded = loaded;
        let boot = 10 + self.rng.below(100);
        match loaded {
            None | Some(App::Flaky(_) | App::DiesReady(_) | App::NoProcess) => {
                self.schedule(boot, Scheduled::Event(Event::ForkServerReady(generation)));
            }
            Some(App::Loads(ms)) => {
                self.schedule(
                    boot + ms,
                    Scheduled::Event(Event::ForkServerReady(generation)),
                );
            }
            Some(App::Refuses) => {
                let refused = Event::ForkServerRefused(generation, failure());
                self.schedule(boot, Scheduled::Event(refused));
                let exits = Scheduled::ForkServerDies(generation, ExitStatus::Code(3));
                self.schedule(boot + 20, exits);
            }
            Some(App::DiesLoading) => {
                self.schedule(boot, Scheduled::ForkServerDies(generation, killed_by(11)));
            }
            Some(App::HangsLoading) => self.hangs_for(boot, wanted, |world, ms| {
                world.schedule(ms, Scheduled::Event(Event::ForkServerReady(generation)));
            }),
        }
    }

    /// Without a limit, loading ends after a long time.
    pub(super) fn hangs_for(&mut self, ms: u64, wanted: Wanted, then: impl FnOnce(&mut Self, u64)) {
        if wanted.boot_timeout.is_none() {
            then(self, ms + 20_000);
        }
    }

    pub(super) fn order_worker(&mut self, generation: GenerationId, id: WorkerId) {
        let worker = Process {
            generation,
            life: Life::Ordered,
            started: false,
            lent: false,
            asked: false,
            aborted: false,
            killed: false,
            served: false,
            hangs_since: None,
            memory: self.memory_when_forked,
            requests: 0,
            collections: 0,
            unresponsive: self.rng.one_in(6),
            uninterruptible: self.rng.one_in(12),
            kills: 0,
        };
        let again = self.workers.insert(id, worker);
        assert!(again.is_none(), "a number was used again");
        let waiting = (self.workers.values())
            .filter(|one| one.generation == generation && one.life == Life::Ordered)
            .count();
        let server = &self.servers[&generation];
        if server.disconnected || waiting > server.link_room {
            self.worker(id).life = Life::Dead;
            self.spawned -= 1;
            self.schedule(0, Scheduled::Event(Event::SpawnDeferred(id)));
        } else if server.life == Life::Alive {
            let after = 1 + self.rng.below(30);
            self.schedule(after, Scheduled::Forks(id));
        } else {
            self.never_started(id);
        }
    }

    /// The other end of its link is closed.
    pub(super) fn never_started(&mut self, id: WorkerId) {
        self.worker(id).life = Life::Dead;
        let gone = Event::WorkerGone {
            worker: id,
            exit: ExitStatus::NeverStarted,
            served: false,
        };
        self.schedule(6, Scheduled::Event(gone));
    }

    /// The fork server does as it was ordered, if it can.
    pub(super) fn fork(&mut self, id: WorkerId) {
        if self.workers[&id].life != Life::Ordered {
            return;
        }
        let server = &self.servers[&self.workers[&id].generation];
        if server.hangs || server.disconnected || server.life != Life::Alive {
            return;
        }
        let wanted = server.wanted;
        let app = server.loaded.unwrap_or(self.app);
        if app == App::NoProcess {
            self.worker(id).life = Life::Dead;
            self.schedule(
                1,
                Scheduled::Event(Event::ForkFailed(id, "EAGAIN".to_owned())),
            );
            return;
        }
        let worker = self.worker(id);
        worker.life = Life::Alive;
        worker.started = true;
        self.schedule(1, Scheduled::Event(Event::WorkerStarted(id)));
        let boot = 2 + self.rng.below(50);
        let ready = Scheduled::Event(Event::WorkerReady(id));
        match app {
            // Loaded by the fork server.
            App::Loads(_) if wanted.preload => self.schedule(boot, ready),
            App::Loads(ms) => self.schedule(boot + ms, ready),
            App::Refuses => {
                let refused = Event::WorkerRefused(id, failure());
                self.schedule(boot, Scheduled::Event(refused));
                if !self.worker(id).unresponsive {
                    self.schedule(boot + 20, Scheduled::WorkerDies(id, ExitStatus::Code(3)));
                }
            }
            App::DiesLoading => self.schedule(boot, Scheduled::WorkerDies(id, killed_by(11))),
            App::HangsLoading => self.hangs_for(boot, wanted, |world, ms| {
                world.schedule(ms, Scheduled::Event(Event::WorkerReady(id)));
            }),
            App::DiesReady(within) => {
                self.schedule(boot, ready);
                let after = boot + 1 + self.rng.below(within);
                self.schedule(after, Scheduled::WorkerDies(id, killed_by(11)));
            }
            App::Flaky(chances) if self.rng.one_in(chances) => {
                self.schedule(boot, Scheduled::WorkerDies(id, killed_by(11)));
            }
            App::Flaky(_) => self.schedule(boot, ready),
            App::NoProcess => unreachable!("handled above"),
        }
    }

    pub(super) fn kill(&mut self, id: WorkerId) {
        let worker = self.worker(id);
        match worker.life {
            Life::Ordered => self.never_started(id),
            Life::Alive | Life::Dead => {
                assert!(
                    worker.asked || worker.aborted || !worker.started,
                    "killed without being asked to leave"
                );
                worker.kills += 1;
                let again = std::mem::replace(&mut worker.killed, true);
                assert!(!again || worker.uninterruptible, "killed twice");
                let after = dies_after_kill(id.0, self.workers[&id].uninterruptible);
                self.schedule(after, Scheduled::WorkerDies(id, killed_by(9)));
            }
            Life::Reaped => unreachable!("checked above"),
        }
    }

    pub(super) fn worker_dies(&mut self, id: WorkerId, exit: ExitStatus) {
        let worker = &self.workers[&id];
        if worker.life == Life::Alive {
            self.worker(id).life = Life::Dead;
            let served = self.worker(id).served;
            let after = self.rng.below(20);
            let gone = Event::WorkerGone {
                worker: id,
                exit,
                served,
            };
            self.schedule(after, Scheduled::Event(gone));
        }
    }

    pub(super) fn fork_server_dies(&mut self, generation: GenerationId, exit: ExitStatus) {
        if self.servers[&generation].life != Life::Alive {
            return;
        }
        self.server(generation).life = Life::Dead;
        let gone = Event::ForkServerGone(generation, exit.to_string());
        let after = self.rng.below(5);
        let closed = Event::ForkServerLinkClosed(generation);
        self.schedule(after.saturating_sub(2), Scheduled::Event(closed));
        self.schedule(after, Scheduled::Event(gone));
        self.lose_orders(generation);
    }

    /// It takes no orders any more, but its process may live on.
    pub(super) fn fork_server_closes_link(&mut self, generation: GenerationId) {
        self.server(generation).disconnected = true;
        self.schedule(1, Scheduled::Event(Event::ForkServerLinkClosed(generation)));
        self.lose_orders(generation);
        if self.rng.one_in(2) {
            let after = self.rng.below(3000);
            self.schedule(after, Scheduled::ForkServerDies(generation, EXITED));
        }
    }

    /// The orders it has not carried out are gone with its link.
    pub(super) fn lose_orders(&mut self, generation: GenerationId) {
        let ordered: Vec<_> = (self.workers.iter())
            .filter(|(_, one)| one.generation == generation && one.life == Life::Ordered)
            .map(|(&id, _)| id)
            .collect();
        for id in ordered {
            self.never_started(id);
        }
    }
}

/// After how many milliseconds SIGKILL ends a process. One that hangs in the kernel
/// lives on for less or for more than the 20 s for which a stop waits.
pub(super) fn dies_after_kill(number: u32, uninterruptible: bool) -> u64 {
    match (uninterruptible, number % 2) {
        (false, _) => 2,
        (true, 0) => 15_000,
        (true, _) => 45_000,
    }
}
