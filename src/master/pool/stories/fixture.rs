//! What the stories need: a pool, its clock, and short names for events and actions.

pub(super) use crate::pool::*;
use rgunicorn_link::protocol::LoadFailure;
pub(super) use std::time::Duration;
use std::time::Instant;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Who gives the orders.
pub(super) const BY: Requester = Requester::Signal("SIGHUP");

pub(super) const WANTED: Wanted = Wanted {
    workers: 2,
    timeout: Some(Duration::from_secs(30)),
    graceful_timeout: Duration::from_secs(20),
    drain_time: Duration::ZERO,
    boot_timeout: Some(Duration::from_secs(60)),
    surge: 1,
    processors: 4,
    preload: false,
    worker_memory_max: None,
    max_requests: None,
    max_requests_jitter: 0,
    max_worker_age: None,
};

pub(super) const ONE: Wanted = Wanted {
    workers: 1,
    ..WANTED
};

/// No checks of heartbeats between other deadlines.
pub(super) const WITHOUT_TIMEOUT: Wanted = Wanted {
    timeout: None,
    ..WANTED
};

/// A pool, what it did last, and its clock.
pub(super) struct Pool {
    pub(super) arbiter: Arbiter,
    pub(super) now: Instant,
    /// What followed from the last event.
    pub(super) actions: Vec<Action>,
}

impl Pool {
    pub(super) fn starting(wanted: Wanted) -> Self {
        let now = Instant::now();
        let (arbiter, actions) = Arbiter::new(wanted, now);
        Self {
            arbiter,
            now,
            actions,
        }
    }

    /// A pool whose first workers, from 1 on, all serve.
    pub(super) fn serving(wanted: Wanted) -> Self {
        let mut pool = Self::starting(wanted);
        pool.on(Event::ForkServerReady(generation(1)));
        for id in 1..=wanted.workers {
            pool.serves(u32::from(id));
        }
        pool
    }

    /// A pool whose first worker was lost after it had served for a while, and whose
    /// next (3) is ordered.
    pub(super) fn with_an_ordered_worker() -> Self {
        let mut pool = Self::serving(WITHOUT_TIMEOUT);
        pool.after(5 * SECOND);
        pool.dies(1);
        pool
    }

    /// A pool of generation 2 that has one worker of it (3) and one of the old
    /// (2). Another (4) is ordered.
    pub(super) fn rolling() -> Self {
        let mut pool = Self::promoted(WANTED);
        pool.on(server_gone(1));
        pool.on(gone(1));
        pool
    }

    /// A pool that is being reloaded and whose first new worker (3 of two) serves.
    pub(super) fn promoted(wanted: Wanted) -> Self {
        let mut pool = Self::testing(wanted);
        pool.serves(u32::from(wanted.workers) + 1);
        pool
    }

    /// A pool that is being reloaded and has ordered the first new worker (3 of two).
    pub(super) fn testing(wanted: Wanted) -> Self {
        let mut pool = Self::serving(wanted);
        pool.order(Order::Reload);
        pool.on(Event::ConfigRead(wanted));
        pool.on(Event::ForkServerReady(generation(2)));
        pool
    }

    /// A pool with one worker, which has left for a stop: its fork server was told to.
    pub(super) fn stopping_its_fork_server() -> Self {
        let mut pool = Self::serving(ONE);
        pool.order(Order::Stop);
        pool.dies(1);
        pool
    }

    pub(super) fn on(&mut self, event: Event) -> &[Action] {
        self.actions = self.arbiter.on(event, self.now);
        &self.actions
    }

    pub(super) fn order(&mut self, order: Order) -> &[Action] {
        self.on(Event::Ordered(order, BY))
    }

    /// The worker starts and is ready.
    pub(super) fn serves(&mut self, id: u32) -> &[Action] {
        self.on(Event::WorkerStarted(worker(id)));
        self.on(Event::WorkerReady(worker(id)))
    }

    /// The worker starts and cannot load the application.
    pub(super) fn refuses(&mut self, id: u32) -> &[Action] {
        self.on(Event::WorkerStarted(worker(id)));
        self.on(Event::WorkerRefused(worker(id), failure(3)))
    }

    /// The worker dies, before its first request if it was ready at all.
    pub(super) fn dies(&mut self, id: u32) -> &[Action] {
        self.on(gone(id))
    }

    /// The worker dies in a request or after one.
    pub(super) fn crashes(&mut self, id: u32) -> &[Action] {
        self.on(Event::WorkerGone {
            worker: worker(id),
            exit: SEGFAULT,
            served: true,
        })
    }

    /// Time passes, and every worker sends heartbeats.
    pub(super) fn after(&mut self, span: Duration) -> &[Action] {
        self.now += span;
        self.on(Event::Tick(Vec::new()))
    }

    /// Time passes up to the deadline; how much.
    pub(super) fn until_deadline(&mut self) -> Duration {
        let deadline = self.arbiter.deadline().expect("a deadline");
        let span = deadline - self.now;
        self.after(span);
        span
    }

    /// A worker turns out to have been silent.
    pub(super) fn is_silent(&mut self, id: u32, silent: Duration) -> &[Action] {
        let worker = worker(id);
        self.on(Event::Tick(vec![Heartbeat { worker, silent }]))
    }

    /// Whether a reload ended with the last event.
    pub(super) fn reload_is_over(&self) -> bool {
        (self.actions.iter()).any(|action| matches!(action, Action::ReloadFinished(..)))
    }

    /// The reports upon the last event.
    pub(super) fn reports(&self) -> Vec<Report> {
        (self.actions.iter())
            .filter_map(|action| match action {
                Action::Report(report) => Some(report.clone()),
                _ => None,
            })
            .collect()
    }

    /// The actions upon the last event, without the reports.
    pub(super) fn commands(&self) -> Vec<Action> {
        (self.actions.iter())
            .filter(|action| !matches!(action, Action::Report(_)))
            .cloned()
            .collect()
    }
}

pub(super) fn worker(id: u32) -> WorkerId {
    WorkerId(id)
}

pub(super) fn generation(id: u32) -> GenerationId {
    GenerationId(id)
}

pub(super) fn spawn(of: u32, id: u32) -> Action {
    Action::Spawn {
        generation: generation(of),
        worker: worker(id),
    }
}

pub(super) fn retire(id: u32) -> Action {
    Action::Retire {
        worker: worker(id),
        within: WANTED.graceful_timeout,
    }
}

pub(super) fn gone(id: u32) -> Event {
    Event::WorkerGone {
        worker: worker(id),
        exit: SEGFAULT,
        served: false,
    }
}

pub(super) const SEGFAULT: ExitStatus = ExitStatus::Signal {
    number: 11,
    core_dumped: true,
};

pub(super) fn died() -> Reason {
    Reason::WorkerDied(SEGFAULT)
}

pub(super) fn server_gone(id: u32) -> Event {
    Event::ForkServerGone(generation(id), "killed by signal 9".to_owned())
}

pub(super) fn failure(status: u8) -> LoadFailure {
    LoadFailure {
        status,
        summary: "no module named flask".to_owned(),
        traceback: "Traceback (most recent call last): …".to_owned(),
    }
}

pub(super) fn finished(reload: u32, outcome: Result<u32, Reason>) -> Action {
    Action::ReloadFinished(ReloadId(reload), outcome.map(generation))
}

pub(super) fn accepted(reload: u32) -> Action {
    Action::ReloadAccepted(ReloadId(reload))
}
