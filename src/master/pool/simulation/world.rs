//! The world of the simulation: what happens in it, and when.

use super::processes::{Life, Process, Server};
use super::rng::Rng;
use crate::pool::*;
use rgunicorn_link::protocol::LoadFailure;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

pub(super) const SECOND: Duration = Duration::from_secs(1);
/// The memory that a worker may have, where it is limited.
pub(super) const MAX: u64 = 100;

/// What happens to the world next.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Pass(u64),
    Order(Order),
    WorkerDies(usize),
    WorkerHangs(usize),
    /// It gets more memory than it may have.
    WorkerGrows(usize),
    /// It has answered as many requests as a worker may, where that is limited.
    WorkerAnswers(usize),
    /// The kernel reports that memory is short.
    MemoryPressure,
    /// A worker is ordered to be replaced.
    Replace(usize),
    ForkServerDies(usize),
    ForkServerHangs(usize),
    ForkServerClosesLink(usize),
    /// A request ends its worker.
    WorkerCrashes(usize),
    /// The code on disk becomes this.
    Deploy(App),
    /// The configuration on disk becomes this.
    Configure(Option<Wanted>),
    /// An event that came too late or twice.
    StaleEvent(u32),
}

/// How the application behaves that is on disk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum App {
    Loads(u64),
    Refuses,
    DiesLoading,
    HangsLoading,
    /// Its workers get ready and die without a request, within this many milliseconds.
    DiesReady(u64),
    /// One in this many of its workers dies while it loads.
    Flaky(u64),
    /// The operating system gives no process.
    NoProcess,
}

/// Something in the future.
#[derive(Debug)]
pub(super) enum Scheduled {
    Event(Event),
    ConfigAnswer,
    /// The new program was tried.
    Upgrade,
    /// The program that completes the candidate's configuration has run.
    Evaluated(GenerationId),
    Forks(WorkerId),
    WorkerDies(WorkerId, ExitStatus),
    ForkServerDies(GenerationId, ExitStatus),
}

pub(super) struct World {
    pub(super) arbiter: Arbiter,
    pub(super) now: Instant,
    pub(super) began: Instant,
    pub(super) rng: Rng,
    pub(super) app: App,
    pub(super) disk: Option<Wanted>,
    pub(super) candidate: Option<Wanted>,
    /// A program is to complete it.
    pub(super) unfinished: bool,
    pub(super) current: Wanted,
    pub(super) future: BTreeMap<(Instant, u64), Scheduled>,
    pub(super) sequence: u64,
    pub(super) workers: BTreeMap<WorkerId, Process>,
    pub(super) servers: BTreeMap<GenerationId, Server>,
    pub(super) accepted: BTreeSet<ReloadId>,
    pub(super) finished: BTreeSet<ReloadId>,
    pub(super) announced: Vec<Announcement>,
    pub(super) timed_out: BTreeSet<WorkerId>,
    pub(super) reported_killed: BTreeSet<WorkerId>,
    pub(super) reading: bool,
    /// All workers were ordered to leave.
    pub(super) retired_all: bool,
    /// What workers have that are forked from now on.
    pub(super) memory_when_forked: u64,
    /// No order gets through before that, as the arbiter knows.
    pub(super) deferred_until: Option<Instant>,
    /// By then an order of the current generation that did not get through is due
    /// again.
    pub(super) order_again_at: Option<Instant>,
    /// How many workers were ordered.
    pub(super) spawned: usize,
    /// The lowest number of workers that served since this was set.
    pub(super) fewest_serving: usize,
    /// The most workers that waited for a successor at the same time.
    pub(super) most_replaced: usize,
    pub(super) exit: Option<u8>,
    pub(super) trace: Vec<String>,
}

impl World {
    pub(super) fn new(wanted: Wanted, app: App, seed: u64) -> Self {
        let now = Instant::now();
        let (arbiter, actions) = Arbiter::new(wanted, now);
        let mut world = Self {
            arbiter,
            now,
            began: now,
            rng: Rng(seed),
            app,
            disk: Some(wanted),
            candidate: None,
            unfinished: false,
            current: wanted,
            future: BTreeMap::new(),
            sequence: 0,
            workers: BTreeMap::new(),
            servers: BTreeMap::new(),
            accepted: BTreeSet::new(),
            finished: BTreeSet::new(),
            announced: Vec::new(),
            timed_out: BTreeSet::new(),
            reported_killed: BTreeSet::new(),
            reading: false,
            retired_all: false,
            memory_when_forked: 50,
            deferred_until: None,
            order_again_at: None,
            spawned: 0,
            fewest_serving: 0,
            most_replaced: 0,
            exit: None,
            trace: Vec::new(),
        };
        world.act(actions);
        world.check();
        world
    }

    pub(super) fn schedule(&mut self, ms: u64, scheduled: Scheduled) {
        self.sequence += 1;
        let at = self.now + Duration::from_millis(ms);
        self.future.insert((at, self.sequence), scheduled);
    }

    pub(super) fn deliver(&mut self, event: Event) {
        self.trace.push(format!(
            "{:>9.3} {event:?}",
            (self.now - self.began).as_secs_f64()
        ));
        match &event {
            Event::WorkerGone { worker: id, .. }
            | Event::ForkFailed(id, _)
            | Event::SpawnDeferred(id) => {
                if let Some(worker) = self.workers.get_mut(id) {
                    worker.life = Life::Reaped;
                }
            }
            Event::ForkServerGone(generation, _) => {
                if let Some(server) = self.servers.get_mut(generation) {
                    server.life = Life::Reaped;
                }
            }
            Event::WorkerRefused(id, _) => {
                // The arbiter has forgotten a worker that is reaped. If that was lost
                // while it served, it still counts as lost: its successor boots beside
                // the others.
                let worker = self.workers.get_mut(id);
                if let Some(worker) = worker.filter(|one| one.life != Life::Reaped) {
                    worker.asked = true;
                }
            }
            _ => {}
        }
        if matches!(event, Event::SpawnDeferred(id) if self.arbiter.worker(id).is_some()) {
            self.deferred_until = Some(self.now + Duration::from_millis(50));
            if self.is_order_of_current(&event) {
                self.order_again_at = self.deferred_until;
            }
        }
        // It is not due any more if fewer workers were wanted meanwhile.
        if matches!(event, Event::Ordered(..)) {
            self.order_again_at = None;
        }
        let is_tick = matches!(event, Event::Tick(_));
        let crashed = self.is_crash_of_current(&event);
        let generation = self.arbiter.summary().generation;
        let actions = self.arbiter.on(event, self.now);
        let ordered = (actions.iter()).any(|action| matches!(action, Action::Spawn { .. }));
        self.act(actions);
        self.fewest_serving = self.fewest_serving.min(self.serving().count());
        let replaced = (self.arbiter.workers())
            .filter(|(_, worker)| worker.serves() && worker.to_be_replaced)
            .count();
        self.most_replaced = self.most_replaced.max(replaced);
        self.check();
        if self.arbiter.summary().generation != generation {
            self.order_again_at = None;
        }
        let may_order = self.order_again_at.is_some_and(|at| at <= self.now);
        let is_due = is_tick && may_order;
        if (crashed || is_due) && !ordered {
            self.check_why_not_ordered();
        }
        // Any event at that time may have been the one to give the order again.
        if is_due || (may_order && ordered) {
            self.order_again_at = None;
        }
        if std::mem::take(&mut self.reading) {
            if self.rng.one_in(2) {
                self.answer_config();
            } else {
                let after = self.rng.below(1000);
                self.schedule(after, Scheduled::ConfigAnswer);
            }
        }
    }

    /// The new program refuses, or takes over with what it is told, which is a text.
    fn upgrade(&mut self) {
        if !self.arbiter.is_upgrading() || self.rng.one_in(3) {
            return self.deliver(Event::UpgradeRefused("no".to_owned()));
        }
        self.trace.push("another program takes over".to_owned());
        let state = self.arbiter.hand_over(self.now).expect("it upgrades");
        let text = serde_json::to_string(&state).expect("it is a text");
        let state = serde_json::from_str(&text).expect("it is the same");
        let before = self.arbiter.summary();
        let (arbiter, actions) = Arbiter::adopt(state, self.current, self.now);
        self.arbiter = arbiter;
        assert_eq!(self.arbiter.summary(), before);
        // It orders what is missing when it likes to.
        self.order_again_at = None;
        self.deferred_until = None;
        self.act(actions);
        self.check();
        self.reading = false;
        self.answer_config();
    }

    pub(super) fn answer_config(&mut self) {
        let answer = if let Some(wanted) = self.disk {
            // A program may have a say in the rest of it.
            self.unfinished = self.rng.one_in(2);
            let read = if self.unfinished {
                Wanted {
                    workers: 1,
                    preload: false,
                    ..wanted
                }
            } else {
                wanted
            };
            self.candidate = Some(read);
            Event::ConfigRead(read)
        } else {
            Event::ConfigRefused("no".to_owned())
        };
        self.deliver(answer);
    }

    /// The fork server an action is for. It may be dead, but not reaped.
    pub(super) fn server(&mut self, generation: GenerationId) -> &mut Server {
        let server = self.servers.get_mut(&generation).expect("it was started");
        assert_ne!(server.life, Life::Reaped, "an action for a reaped one");
        server
    }

    /// The worker an action is for. It may be dead, but not reaped.
    pub(super) fn worker(&mut self, id: WorkerId) -> &mut Process {
        let worker = self.workers.get_mut(&id).expect("it was ordered");
        assert_ne!(worker.life, Life::Reaped, "an action for a reaped one");
        worker
    }

    /// Lets time pass, and what happens in it happen.
    pub(super) fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while self.exit.is_none() {
            let next = self.future.first_key_value().map(|(&(at, _), _)| at);
            let tick = self.arbiter.deadline();
            match (next, tick) {
                (Some(at), tick) if at <= until && tick.is_none_or(|tick| at <= tick) => {
                    self.now = self.now.max(at);
                    let (_, scheduled) = self.future.pop_first().expect("it is there");
                    self.happen(scheduled);
                }
                (_, Some(tick)) if tick <= until => {
                    self.now = self.now.max(tick);
                    if self.rng.one_in(4) {
                        self.now += Duration::from_millis(self.rng.below(50));
                    }
                    self.tick();
                }
                _ => break,
            }
        }
        self.now = self.now.max(until);
    }

    pub(super) fn happen(&mut self, scheduled: Scheduled) {
        match scheduled {
            Scheduled::Event(event) => {
                let dead = match &event {
                    Event::WorkerStarted(id)
                    | Event::WorkerReady(id)
                    | Event::WorkerRefused(id, _) => !matches!(self.workers[id].life, Life::Alive),
                    Event::ForkServerReady(generation)
                    | Event::ConfigRejected(generation, _)
                    | Event::ForkServerRefused(generation, _) => {
                        let server = &self.servers[generation];
                        server.life != Life::Alive || server.disconnected
                    }
                    _ => false,
                };
                // What a process sent before it died may arrive late.
                if !dead || self.rng.one_in(3) {
                    self.deliver(event);
                }
            }
            Scheduled::ConfigAnswer => self.answer_config(),
            Scheduled::Upgrade => self.upgrade(),
            Scheduled::Evaluated(generation) => self.evaluated(generation),
            Scheduled::Forks(id) => self.fork(id),
            Scheduled::WorkerDies(id, how) => self.worker_dies(id, how),
            Scheduled::ForkServerDies(generation, how) => self.fork_server_dies(generation, how),
        }
    }

    pub(super) fn tick(&mut self) {
        let before = self.trace.len();
        let heartbeats = self.heartbeats();
        self.deliver(Event::Tick(heartbeats));
        let acted = self.trace.len() > before + 1;
        if !acted {
            self.trace.pop();
            let deadline = self.arbiter.deadline();
            assert!(
                deadline.is_none_or(|deadline| deadline > self.now),
                "a busy loop"
            );
        }
    }

    pub(super) fn heartbeats(&mut self) -> Vec<Heartbeat> {
        let beating: Vec<_> = self.arbiter.with_heartbeat().collect();
        beating
            .into_iter()
            .map(|worker| {
                let process = self.worker(worker);
                // The row's last owner may have beaten long ago.
                let hangs_since = process.hangs_since;
                let silent = match hangs_since {
                    Some(since) => self.now - since,
                    None => Duration::from_millis(self.rng.below(900)),
                };
                Heartbeat { worker, silent }
            })
            .collect()
    }

    pub(super) fn step(&mut self, step: &Step) {
        self.trace.push(format!("{step:?}"));
        match step {
            Step::Pass(ms) => self.pass(Duration::from_millis(*ms)),
            Step::Order(order) => {
                self.retired_all |= *order == Order::RetireAll;
                self.deliver(Event::Ordered(*order, Requester::Signal("SIGHUP")));
            }
            Step::WorkerDies(which) => {
                if let Some(id) = self.some_worker(*which) {
                    self.worker_dies(id, killed_by(9));
                }
            }
            Step::WorkerCrashes(which) => self.crash(*which),
            Step::Replace(which) => {
                if let Some(id) = self.some_worker(*which) {
                    self.deliver(Event::Ordered(Order::Replace(id), Requester::Signal("")));
                }
            }
            Step::ForkServerClosesLink(which) => {
                if let Some(generation) = self.some_server(*which) {
                    if !self.servers[&generation].disconnected {
                        self.fork_server_closes_link(generation);
                    }
                }
            }
            Step::WorkerHangs(which) => {
                if let Some(id) = self.some_worker(*which) {
                    let now = self.now;
                    self.worker(id).hangs_since.get_or_insert(now);
                }
            }
            Step::MemoryPressure => self.deliver(Event::MemoryPressure),
            Step::WorkerGrows(which) => {
                if let Some(id) = self.some_worker(*which) {
                    self.worker(id).memory = MAX + 1;
                }
            }
            Step::WorkerAnswers(which) => {
                if let Some(id) = self.some_worker(*which) {
                    self.worker(id).requests = MAX;
                }
            }
            Step::ForkServerDies(which) => {
                if let Some(generation) = self.some_server(*which) {
                    self.fork_server_dies(generation, killed_by(9));
                }
            }
            Step::ForkServerHangs(which) => {
                if let Some(generation) = self.some_server(*which) {
                    self.server(generation).hangs = true;
                }
            }
            Step::Deploy(app) => self.app = *app,
            Step::Configure(wanted) => self.disk = *wanted,
            Step::StaleEvent(which) => self.stale_event(*which),
        }
    }

    /// A request crashes one of the workers that serve.
    pub(super) fn crash(&mut self, which: usize) {
        let alive: Vec<_> = (self.serving())
            .filter(|(_, one)| one.life == Life::Alive)
            .map(|(id, _)| id)
            .collect();
        if !alive.is_empty() {
            let id = alive[which % alive.len()];
            self.worker(id).served = true;
            self.worker_dies(id, killed_by(11));
        }
    }

    pub(super) fn some_worker(&self, which: usize) -> Option<WorkerId> {
        let alive: Vec<_> = (self.workers.iter())
            .filter(|(_, one)| one.life == Life::Alive)
            .map(|(&id, _)| id)
            .collect();
        (!alive.is_empty()).then(|| alive[which % alive.len()])
    }

    pub(super) fn some_server(&self, which: usize) -> Option<GenerationId> {
        let alive: Vec<_> = (self.servers.iter())
            .filter(|(_, one)| one.life == Life::Alive)
            .map(|(&generation, _)| generation)
            .collect();
        (!alive.is_empty()).then(|| alive[which % alive.len()])
    }

    /// An event about a process that is reaped, or never existed.
    pub(super) fn stale_event(&mut self, which: u32) {
        let worker = (self.workers.iter())
            .find(|(_, one)| one.life == Life::Reaped)
            .map_or(WorkerId(1_000_000), |(&id, _)| id);
        let generation = (self.servers.iter())
            .find(|(_, one)| one.life == Life::Reaped)
            .map_or(GenerationId(1_000_000), |(&id, _)| id);
        let event = match which % 15 {
            0 => Event::WorkerReady(worker),
            1 => Event::WorkerStarted(worker),
            2 => Event::WorkerGone {
                worker,
                exit: EXITED,
                served: true,
            },
            3 => Event::ForkFailed(worker, "again".to_owned()),
            4 => Event::WorkerRefused(worker, failure()),
            5 => Event::ForkServerReady(generation),
            6 => Event::ForkServerGone(generation, "again".to_owned()),
            7 => Event::ForkServerRefused(generation, failure()),
            8 => Event::SpawnDeferred(worker),
            9 => Event::ForkServerLinkClosed(generation),
            10 => {
                let own = MAX + 1;
                let is_idle = true;
                let used = MemoryUse {
                    worker,
                    own,
                    is_idle,
                };
                Event::MemoryMeasured(Check::Pressure, vec![used])
            }
            11 => Event::Collected(worker),
            12 => Event::ConfigRejected(generation, "again".to_owned()),
            13 => Event::ConfigSettled(generation, self.current),
            _ => Event::Tick(vec![Heartbeat {
                worker,
                silent: 1000 * SECOND,
            }]),
        };
        self.deliver(event);
    }

    /// From now on nothing goes wrong, and the code is good.
    pub(super) fn recover(&mut self, wanted: Wanted) {
        self.app = App::Loads(50);
        self.disk = Some(wanted);
        self.step(&Step::Order(Order::Reload));
        // One that hangs in the kernel may be left from before.
        self.pass(230 * SECOND);
    }
}

pub(super) const EXITED: ExitStatus = ExitStatus::Code(0);

pub(super) fn killed_by(number: i32) -> ExitStatus {
    ExitStatus::Signal {
        number,
        core_dumped: false,
    }
}

pub(super) fn failure() -> LoadFailure {
    LoadFailure {
        status: 3,
        summary: "ImportError: no module named flask".to_owned(),
        traceback: "Traceback".to_owned(),
    }
}
