//! What has to hold after every event.

use super::processes::{Life, Process};
use super::world::World;
use crate::pool::*;

impl World {
    /// Workers that serve and were not asked to leave, as far as the arbiter can know.
    pub(super) fn serving(&self) -> impl Iterator<Item = (WorkerId, &Process)> {
        (self.workers.iter())
            .filter(|(_, one)| {
                one.lent && !one.asked && !one.aborted && !one.killed && one.life != Life::Reaped
            })
            .map(|(&id, one)| (id, one))
    }

    /// How many workers of a generation were lost that had served, or got stuck.
    pub(super) fn lost_in_use(&self, generation: GenerationId) -> usize {
        (self.workers.values())
            .filter(|one| one.generation == generation && one.lent && !one.asked)
            .filter(|one| one.aborted || (one.served && one.life == Life::Reaped))
            .count()
    }

    /// The invariants.
    pub(super) fn check(&mut self) {
        if self.exit.is_some() {
            assert_eq!(self.arbiter.deadline(), None);
            return;
        }
        let summary = self.arbiter.summary();
        assert_eq!(summary.ready, self.serving().count());
        let alive = self.workers.values().filter(|one| one.life != Life::Reaped);
        assert_eq!(
            summary.ready + summary.starting + summary.retiring,
            alive.count(),
            "a worker is forgotten"
        );
        assert!(summary.wanted >= 1 || self.retired_all);
        for generation in self.servers.keys() {
            let ordered = (self.workers.values())
                .filter(|one| one.generation == *generation && one.life == Life::Ordered);
            assert!(ordered.count() <= 32, "too many orders at once");
        }

        let promoted = summary.generation;
        self.check_booting(promoted);
        assert!(
            summary.phase == Phase::Stopping
                || promoted == GenerationId(1)
                || self
                    .workers
                    .values()
                    .any(|one| one.generation == promoted && one.lent),
            "a generation is promoted that has not proved itself"
        );
        if summary.phase != Phase::Stopping {
            self.check_torn_down(promoted);
        }
        self.check_deadline();
    }

    /// No more workers load the application at the same time than there are
    /// processors, except in place of some that were lost; and the first one boots
    /// alone.
    fn check_booting(&self, generation: GenerationId) {
        let of_generation = || {
            let workers = self.workers.values();
            workers.filter(|one| one.generation == generation)
        };
        let lost = of_generation()
            .filter(|one| one.lent && !one.asked)
            .filter(|one| one.aborted || one.life == Life::Reaped)
            .count();
        let most = if !of_generation().any(|one| one.lent) {
            1
        } else if self.current.preload {
            return;
        } else {
            self.current.processors.max(1)
        };
        let booting = self.starting(generation);
        assert!(
            booting <= most + lost,
            "{booting} workers boot at the same time"
        );
    }

    /// Whether a worker of the current generation died that had served.
    pub(super) fn is_crash_of_current(&self, event: &Event) -> bool {
        let Event::WorkerGone {
            worker,
            served: true,
            ..
        } = event
        else {
            return false;
        };
        (self.arbiter.worker(*worker)).is_some_and(|one| {
            one.generation == self.arbiter.summary().generation
                && matches!(one.state, State::Serving { .. })
        })
    }

    /// Whether this is about a worker that was ordered from the generation that
    /// serves.
    pub(super) fn is_order_of_current(&self, event: &Event) -> bool {
        let Event::SpawnDeferred(id) = event else {
            return false;
        };
        (self.arbiter.worker(*id))
            .is_some_and(|one| one.generation == self.arbiter.summary().generation)
    }

    /// A worker that had served was not replaced at once, or an order that did not get
    /// through was not given again. There has to be a reason.
    pub(super) fn check_why_not_ordered(&self) {
        let summary = self.arbiter.summary();
        let of_current =
            |one: &&Process| one.generation == summary.generation && one.life != Life::Reaped;
        let can_fork = (self.servers.get(&summary.generation)).is_some_and(|server| {
            let failed = server.stopped || server.killed || server.disconnected;
            server.life == Life::Alive && !failed
        });
        let old_serve = self
            .serving()
            .any(|(_, one)| one.generation != summary.generation);
        let new = self.serving().count() + self.starting(summary.generation);
        let ordered = (self.workers.values())
            .filter(of_current)
            .filter(|one| one.life == Life::Ordered)
            .count();
        assert!(
            summary.phase == Phase::Stopping
                || !can_fork
                || old_serve
                || new >= summary.wanted
                || ordered >= 32
                || self.deferred_until.is_some_and(|until| self.now < until),
            "a worker that is due was not ordered"
        );
    }

    /// Only the generation that serves and the newest are kept.
    pub(super) fn check_torn_down(&self, promoted: GenerationId) {
        let newest = self.servers.keys().next_back().copied();
        let kept = |generation| generation == promoted || Some(generation) == newest;
        for (&generation, server) in &self.servers {
            let told = server.stopped || server.killed || server.life == Life::Reaped;
            assert!(told || kept(generation), "a fork server is forgotten");
        }
        for (id, worker) in self.arbiter.workers() {
            let starting = matches!(worker.state, State::Starting { .. });
            assert!(!starting || kept(worker.generation), "{id:?} is forgotten");
        }
    }

    /// Nothing is waited for without a deadline.
    pub(super) fn check_deadline(&self) {
        let awaited = self
            .arbiter
            .workers()
            .any(|(_, worker)| match worker.state {
                State::Serving { .. } | State::Starting { until: None } => false,
                State::Ordered { .. }
                | State::Starting { until: Some(_) }
                | State::Retiring { .. }
                | State::Leaving { .. }
                | State::Aborted { .. }
                | State::Killed { .. } => true,
            });
        let going = self
            .servers
            .values()
            .any(|one| one.life != Life::Reaped && (one.stopped || one.killed));
        if awaited || going {
            assert!(
                self.arbiter.deadline().is_some(),
                "nothing will wake the arbiter"
            );
        }
    }

    pub(super) fn check_complete(&self, wanted: Wanted) {
        let summary = self.arbiter.summary();
        let expected = Summary {
            phase: Phase::Serving,
            generation: summary.generation,
            wanted: usize::from(wanted.workers),
            ready: usize::from(wanted.workers),
            starting: 0,
            retiring: 0,
        };
        assert_eq!(summary, expected);
        assert!(
            self.serving()
                .all(|(_, one)| one.generation == summary.generation)
        );
        let servers: Vec<_> = (self.servers.iter())
            .filter(|(_, one)| one.life != Life::Reaped)
            .map(|(&generation, _)| generation)
            .collect();
        assert_eq!(servers, [summary.generation]);
        assert_eq!(self.announced.last(), Some(&Announcement::Ready));
        assert_eq!(self.accepted, self.finished);
        assert_eq!(self.candidate.map(|_| ()), None);
    }
}
