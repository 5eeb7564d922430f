//! The world of the simulation: processes, a disk, and time.

use crate::pool::*;
use rgunicorn_link::protocol::LoadFailure;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// What happens to the world next.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Pass(u64),
    Order(Order),
    WorkerDies(usize),
    WorkerHangs(usize),
    ForkServerDies(usize),
    ForkServerHangs(usize),
    /// The code on disk becomes this.
    Deploy(App),
    /// The configuration on disk becomes this.
    Configure(Option<Settings>),
    /// News that came too late or twice.
    StaleNews(u32),
}

/// How the application behaves that is on disk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum App {
    Loads(u64),
    Refuses,
    DiesLoading,
    HangsLoading,
    DiesSoon,
    /// One in so many of its workers dies loading.
    Flaky(u64),
    /// The operating system gives no process.
    NoProcess,
}

/// A configuration on disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) wanted: Wanted,
    pub(super) preload: bool,
}

/// Chance, made from one number so that a story can be told again.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// Something in the future.
#[derive(Debug)]
enum News {
    Told(Event),
    ConfigAnswer,
    Forks(WorkerId),
    WorkerDies(WorkerId, &'static str),
    ForkServerDies(GenerationId, &'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Ordered, and no process yet.
    Ordered,
    Alive,
    Dead,
    /// Dead, and the arbiter knows.
    Reaped,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what happened, not what is")]
struct Process {
    generation: GenerationId,
    life: Life,
    /// There was a process.
    started: bool,
    /// It was lent the listeners.
    lent: bool,
    /// It was asked to leave, or said itself that it would.
    asked: bool,
    /// It was told to dump its stacks.
    aborted: bool,
    killed: bool,
    hangs_since: Option<Instant>,
    /// It does not do what it is asked.
    deaf: bool,
    /// It dies only some time after it was killed.
    in_the_kernel: bool,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what happened, not what is")]
struct Server {
    life: Life,
    settings: Settings,
    /// With preload: what it loaded.
    loaded: Option<App>,
    hangs: bool,
    stopped: bool,
    killed: bool,
    deaf: bool,
}

pub(super) struct World {
    arbiter: Arbiter,
    now: Instant,
    began: Instant,
    dice: Dice,
    app: App,
    disk: Option<Settings>,
    candidate: Option<Settings>,
    current: Settings,
    future: BTreeMap<(Instant, u64), News>,
    sequence: u64,
    workers: BTreeMap<WorkerId, Process>,
    servers: BTreeMap<GenerationId, Server>,
    accepted: BTreeSet<ReloadId>,
    finished: BTreeSet<ReloadId>,
    pub(super) said: Vec<Announcement>,
    timed_out: BTreeSet<WorkerId>,
    reported_killed: BTreeSet<WorkerId>,
    reading: bool,
    pub(super) exit: Option<u8>,
    pub(super) story: Vec<String>,
}

impl World {
    pub(super) fn new(settings: Settings, app: App, seed: u64) -> Self {
        let now = Instant::now();
        let (arbiter, actions) = Arbiter::new(settings.wanted, now);
        let mut world = Self {
            arbiter,
            now,
            began: now,
            dice: Dice(seed),
            app,
            disk: Some(settings),
            candidate: None,
            current: settings,
            future: BTreeMap::new(),
            sequence: 0,
            workers: BTreeMap::new(),
            servers: BTreeMap::new(),
            accepted: BTreeSet::new(),
            finished: BTreeSet::new(),
            said: Vec::new(),
            timed_out: BTreeSet::new(),
            reported_killed: BTreeSet::new(),
            reading: false,
            exit: None,
            story: Vec::new(),
        };
        world.act(actions);
        world.check();
        world
    }

    fn later(&mut self, ms: u64, news: News) {
        self.sequence += 1;
        let at = self.now + Duration::from_millis(ms);
        self.future.insert((at, self.sequence), news);
    }

    fn tell(&mut self, event: Event) {
        self.story.push(format!(
            "{:>9.3} {event:?}",
            (self.now - self.began).as_secs_f64()
        ));
        match &event {
            Event::WorkerGone(id, _) | Event::ForkFailed(id, _) => {
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
                if let Some(worker) = self.workers.get_mut(id) {
                    worker.asked = true;
                }
            }
            _ => {}
        }
        let actions = self.arbiter.on(event, self.now);
        self.act(actions);
        self.check();
        if std::mem::take(&mut self.reading) {
            if self.dice.one_in(2) {
                self.answer_config();
            } else {
                let after = self.dice.below(1000);
                self.later(after, News::ConfigAnswer);
            }
        }
    }

    fn answer_config(&mut self) {
        let answer = if let Some(settings) = self.disk {
            self.candidate = Some(settings);
            Event::ConfigRead(settings.wanted)
        } else {
            Event::ConfigRefused("no".to_owned())
        };
        self.tell(answer);
    }

    fn act(&mut self, actions: Vec<Action>) {
        let served: BTreeSet<_> = self.serving().map(|(id, _)| id).collect();
        let mut dismissed = false;
        let mut spawned = BTreeSet::new();
        for action in actions {
            self.story.push(format!("          -> {action:?}"));
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
            let surge = usize::from(self.current.wanted.surge.max(1));
            let there = self.serving().count() + self.coming(summary.generation);
            assert!(
                there <= summary.wanted + surge,
                "more workers than there is room for"
            );
        }
        for generation in spawned {
            assert!(
                generation == summary.generation || self.coming(generation) == 1,
                "more than one probe"
            );
        }
    }

    /// Workers of this generation that may still come to serve.
    fn coming(&self, generation: GenerationId) -> usize {
        (self.workers.values())
            .filter(|one| one.generation == generation && one.life != Life::Reaped)
            .filter(|one| !one.lent && !one.asked && !one.aborted && !one.killed)
            .count()
    }

    fn act_one(&mut self, action: Action) {
        match action {
            Action::ReloadAccepted(reload) => {
                self.accepted.insert(reload);
                assert!(!self.finished.contains(&reload));
            }
            Action::ReadConfig => self.reading = true,
            Action::AdoptConfig => self.current = self.candidate.take().expect("a candidate"),
            Action::DropConfig => drop(self.candidate.take().expect("a candidate")),
            Action::ReloadFinished(reload, outcome) => {
                assert!(self.accepted.contains(&reload));
                assert!(self.finished.insert(reload), "finished twice");
                if let Ok(generation) = outcome {
                    let serving: Vec<_> = self.serving().collect();
                    assert!(serving.iter().all(|(_, one)| one.generation == generation));
                    assert_eq!(serving.len(), self.arbiter.summary().wanted);
                }
            }
            Action::Announce(announcement) => {
                let last = self.said.last().copied();
                assert_ne!(last, Some(announcement), "announced twice");
                assert_ne!(last, Some(Announcement::Stopping), "announced too late");
                match announcement {
                    Announcement::Ready if last.is_none() => assert!(self.serving().count() > 0),
                    Announcement::Ready | Announcement::Stopping => {}
                    Announcement::Reloading => assert_eq!(last, Some(Announcement::Ready)),
                }
                self.said.push(announcement);
            }
            Action::Report(fact) => match fact {
                Fact::WorkerTimedOut(id, _) => assert!(self.timed_out.insert(id)),
                Fact::WorkerKilled(id) => assert!(self.reported_killed.insert(id)),
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

    fn act_on_fork_server(&mut self, action: Action) {
        match action {
            Action::StartForkServer(generation) => self.start_fork_server(generation),
            Action::StopForkServer(generation) => {
                let server = self.server(generation);
                assert!(!server.stopped);
                server.stopped = true;
                if !server.deaf && !server.hangs {
                    let after = self.dice.below(1500);
                    self.later(after, News::ForkServerDies(generation, "exit status 0"));
                }
            }
            Action::AbortForkServer(generation) => {
                let server = self.server(generation);
                assert!(!server.stopped);
                server.stopped = true;
                if !server.deaf {
                    let after = self.dice.below(300);
                    self.later(after, News::ForkServerDies(generation, "signal 6"));
                }
            }
            Action::KillForkServer(generation) => {
                let server = self.server(generation);
                assert!(!server.killed);
                assert!(server.stopped || server.hangs, "killed without being asked");
                server.killed = true;
                self.later(2, News::ForkServerDies(generation, "signal 9"));
            }
            action => self.act_on_worker(action),
        }
    }

    fn act_on_worker(&mut self, action: Action) {
        match action {
            Action::Spawn { generation, worker } => {
                let server = self.server(generation);
                assert!(!server.stopped && !server.killed);
                self.order_worker(generation, worker);
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
                if !worker.deaf && worker.hangs_since.is_none() {
                    let within = u64::try_from(within.as_millis()).unwrap();
                    let after = self.dice.below(within + 1);
                    self.later(after, News::WorkerDies(id, "exit status 0"));
                }
            }
            Action::Quit(id) => {
                let worker = self.worker(id);
                assert!(!worker.killed && !worker.aborted && worker.life != Life::Ordered);
                worker.asked = true;
                if !worker.deaf && worker.hangs_since.is_none() {
                    let after = self.dice.below(1000);
                    self.later(after, News::WorkerDies(id, "exit status 0"));
                }
            }
            Action::Abort(id) => {
                let worker = self.worker(id);
                assert!(!worker.aborted && !worker.killed);
                assert!(!worker.lent || worker.hangs_since.is_some(), "it is well");
                worker.aborted = true;
                if !worker.deaf {
                    let after = self.dice.below(300);
                    self.later(after, News::WorkerDies(id, "signal 6"));
                }
            }
            Action::Kill(id) => self.kill(id),
            action => panic!("nobody carries out {action:?}"),
        }
    }

    /// The fork server an action is for. It may be dead, but not reaped.
    fn server(&mut self, generation: GenerationId) -> &mut Server {
        let server = self.servers.get_mut(&generation).expect("it was started");
        assert_ne!(server.life, Life::Reaped, "an action for a reaped one");
        server
    }

    /// The worker an action is for. It may be dead, but not reaped.
    fn worker(&mut self, id: WorkerId) -> &mut Process {
        let worker = self.workers.get_mut(&id).expect("it was ordered");
        assert_ne!(worker.life, Life::Reaped, "an action for a reaped one");
        worker
    }

    fn start_fork_server(&mut self, generation: GenerationId) {
        let settings = self.candidate.unwrap_or(self.current);
        let loaded = settings.preload.then_some(self.app);
        let server = Server {
            life: Life::Alive,
            settings,
            loaded,
            hangs: false,
            stopped: false,
            killed: false,
            deaf: self.dice.one_in(6),
        };
        let again = self.servers.insert(generation, server);
        assert!(again.is_none(), "a number was used again");
        let boot = 10 + self.dice.below(100);
        match loaded {
            None | Some(App::Flaky(_) | App::DiesSoon | App::NoProcess) => {
                self.later(boot, News::Told(Event::ForkServerReady(generation)));
            }
            Some(App::Loads(ms)) => {
                self.later(boot + ms, News::Told(Event::ForkServerReady(generation)));
            }
            Some(App::Refuses) => {
                let refused = Event::ForkServerRefused(generation, failure());
                self.later(boot, News::Told(refused));
                let exits = News::ForkServerDies(generation, "exit status 3");
                self.later(boot + 20, exits);
            }
            Some(App::DiesLoading) => {
                self.later(boot, News::ForkServerDies(generation, "signal 11"));
            }
            Some(App::HangsLoading) => self.hangs_for(boot, settings, |world, ms| {
                world.later(ms, News::Told(Event::ForkServerReady(generation)));
            }),
        }
    }

    /// What takes for ever takes long if nobody has set a limit.
    fn hangs_for(&mut self, ms: u64, settings: Settings, then: impl FnOnce(&mut Self, u64)) {
        if settings.wanted.boot_timeout.is_none() {
            then(self, ms + 20_000);
        }
    }

    fn order_worker(&mut self, generation: GenerationId, id: WorkerId) {
        let worker = Process {
            generation,
            life: Life::Ordered,
            started: false,
            lent: false,
            asked: false,
            aborted: false,
            killed: false,
            hangs_since: None,
            deaf: self.dice.one_in(6),
            in_the_kernel: self.dice.one_in(12),
        };
        let again = self.workers.insert(id, worker);
        assert!(again.is_none(), "a number was used again");
        if self.servers[&generation].life == Life::Alive {
            let after = 1 + self.dice.below(30);
            self.later(after, News::Forks(id));
        } else {
            self.never_started(id);
        }
    }

    /// Nobody holds the other end of its link.
    fn never_started(&mut self, id: WorkerId) {
        self.worker(id).life = Life::Dead;
        let gone = Event::WorkerGone(id, "never started".to_owned());
        self.later(6, News::Told(gone));
    }

    /// The fork server does as it was ordered, if it can.
    fn fork(&mut self, id: WorkerId) {
        if self.workers[&id].life != Life::Ordered {
            return;
        }
        let server = &self.servers[&self.workers[&id].generation];
        if server.hangs || server.life != Life::Alive {
            return;
        }
        let settings = server.settings;
        let app = server.loaded.unwrap_or(self.app);
        if app == App::NoProcess {
            self.worker(id).life = Life::Dead;
            self.later(1, News::Told(Event::ForkFailed(id, "EAGAIN".to_owned())));
            return;
        }
        let worker = self.worker(id);
        worker.life = Life::Alive;
        worker.started = true;
        self.later(1, News::Told(Event::WorkerStarted(id)));
        let boot = 2 + self.dice.below(50);
        let ready = News::Told(Event::WorkerReady(id));
        match app {
            // Loaded by the fork server.
            App::Loads(_) if settings.preload => self.later(boot, ready),
            App::Loads(ms) => self.later(boot + ms, ready),
            App::Refuses => {
                let refused = Event::WorkerRefused(id, failure());
                self.later(boot, News::Told(refused));
                if !self.worker(id).deaf {
                    self.later(boot + 20, News::WorkerDies(id, "exit status 3"));
                }
            }
            App::DiesLoading => self.later(boot, News::WorkerDies(id, "signal 11")),
            App::HangsLoading => self.hangs_for(boot, settings, |world, ms| {
                world.later(ms, News::Told(Event::WorkerReady(id)));
            }),
            App::DiesSoon => {
                self.later(boot, ready);
                let after = boot + 1 + self.dice.below(4000);
                self.later(after, News::WorkerDies(id, "signal 11"));
            }
            App::Flaky(chances) if self.dice.one_in(chances) => {
                self.later(boot, News::WorkerDies(id, "signal 11"));
            }
            App::Flaky(_) => self.later(boot, ready),
            App::NoProcess => unreachable!("handled above"),
        }
    }

    fn kill(&mut self, id: WorkerId) {
        let worker = self.worker(id);
        match worker.life {
            Life::Ordered => self.never_started(id),
            Life::Alive | Life::Dead => {
                assert!(
                    worker.asked || worker.aborted || !worker.started,
                    "killed without being asked"
                );
                let again = std::mem::replace(&mut worker.killed, true);
                assert!(!again || worker.in_the_kernel, "killed twice");
                let after = if worker.in_the_kernel { 15_000 } else { 2 };
                self.later(after, News::WorkerDies(id, "signal 9"));
            }
            Life::Reaped => unreachable!("checked above"),
        }
    }

    fn worker_dies(&mut self, id: WorkerId, how: &str) {
        let worker = &self.workers[&id];
        if worker.life == Life::Alive {
            self.worker(id).life = Life::Dead;
            let after = self.dice.below(20);
            self.later(after, News::Told(Event::WorkerGone(id, how.to_owned())));
        }
    }

    fn fork_server_dies(&mut self, generation: GenerationId, how: &str) {
        if self.servers[&generation].life != Life::Alive {
            return;
        }
        self.server(generation).life = Life::Dead;
        let gone = Event::ForkServerGone(generation, how.to_owned());
        let after = self.dice.below(5);
        self.later(after, News::Told(gone));
        let ordered: Vec<_> = (self.workers.iter())
            .filter(|(_, one)| one.generation == generation && one.life == Life::Ordered)
            .map(|(&id, _)| id)
            .collect();
        for id in ordered {
            self.never_started(id);
        }
    }

    /// Lets time pass, and what happens in it happen.
    pub(super) fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while self.exit.is_none() {
            let news = self.future.first_key_value().map(|(&(at, _), _)| at);
            let tick = self.arbiter.deadline();
            match (news, tick) {
                (Some(at), tick) if at <= until && tick.is_none_or(|tick| at <= tick) => {
                    self.now = self.now.max(at);
                    let (_, news) = self.future.pop_first().expect("it is there");
                    self.happen(news);
                }
                (_, Some(tick)) if tick <= until => {
                    self.now = self.now.max(tick);
                    if self.dice.one_in(4) {
                        self.now += Duration::from_millis(self.dice.below(50));
                    }
                    self.tick();
                }
                _ => break,
            }
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, news: News) {
        match news {
            News::Told(event) => {
                let dead = match &event {
                    Event::WorkerStarted(id)
                    | Event::WorkerReady(id)
                    | Event::WorkerRefused(id, _) => !matches!(self.workers[id].life, Life::Alive),
                    Event::ForkServerReady(generation)
                    | Event::ForkServerRefused(generation, _) => {
                        self.servers[generation].life != Life::Alive
                    }
                    _ => false,
                };
                // The dead do not talk, but what they said may arrive late.
                if !dead || self.dice.one_in(3) {
                    self.tell(event);
                }
            }
            News::ConfigAnswer => self.answer_config(),
            News::Forks(id) => self.fork(id),
            News::WorkerDies(id, how) => self.worker_dies(id, how),
            News::ForkServerDies(generation, how) => self.fork_server_dies(generation, how),
        }
    }

    fn tick(&mut self) {
        let before = self.story.len();
        let heartbeats = self.heartbeats();
        self.tell(Event::Tick(heartbeats));
        let acted = self.story.len() > before + 1;
        if !acted {
            self.story.pop();
            let deadline = self.arbiter.deadline();
            assert!(
                deadline.is_none_or(|deadline| deadline > self.now),
                "a busy loop"
            );
        }
    }

    fn heartbeats(&mut self) -> Vec<Heartbeat> {
        let beating: Vec<_> = self.arbiter.with_heartbeat().collect();
        beating
            .into_iter()
            .map(|worker| {
                let process = self.worker(worker);
                // The row's last owner may have beaten long ago.
                let hangs_since = process.hangs_since;
                let silent = match hangs_since {
                    Some(since) => self.now - since,
                    None => Duration::from_millis(self.dice.below(900)),
                };
                Heartbeat { worker, silent }
            })
            .collect()
    }

    pub(super) fn step(&mut self, step: &Step) {
        self.story.push(format!("{step:?}"));
        match step {
            Step::Pass(ms) => self.pass(Duration::from_millis(*ms)),
            Step::Order(order) => self.tell(Event::Ordered(*order)),
            Step::WorkerDies(which) => {
                if let Some(id) = self.some_worker(*which) {
                    self.worker_dies(id, "signal 9");
                }
            }
            Step::WorkerHangs(which) => {
                if let Some(id) = self.some_worker(*which) {
                    let now = self.now;
                    self.worker(id).hangs_since.get_or_insert(now);
                }
            }
            Step::ForkServerDies(which) => {
                if let Some(generation) = self.some_server(*which) {
                    self.fork_server_dies(generation, "signal 9");
                }
            }
            Step::ForkServerHangs(which) => {
                if let Some(generation) = self.some_server(*which) {
                    self.server(generation).hangs = true;
                }
            }
            Step::Deploy(app) => self.app = *app,
            Step::Configure(settings) => self.disk = *settings,
            Step::StaleNews(which) => self.stale_news(*which),
        }
    }

    fn some_worker(&self, which: usize) -> Option<WorkerId> {
        let alive: Vec<_> = (self.workers.iter())
            .filter(|(_, one)| one.life == Life::Alive)
            .map(|(&id, _)| id)
            .collect();
        (!alive.is_empty()).then(|| alive[which % alive.len()])
    }

    fn some_server(&self, which: usize) -> Option<GenerationId> {
        let alive: Vec<_> = (self.servers.iter())
            .filter(|(_, one)| one.life == Life::Alive)
            .map(|(&generation, _)| generation)
            .collect();
        (!alive.is_empty()).then(|| alive[which % alive.len()])
    }

    /// What was true once, or never, is told of someone who is reaped.
    fn stale_news(&mut self, which: u32) {
        let worker = (self.workers.iter())
            .find(|(_, one)| one.life == Life::Reaped)
            .map_or(WorkerId(1_000_000), |(&id, _)| id);
        let generation = (self.servers.iter())
            .find(|(_, one)| one.life == Life::Reaped)
            .map_or(GenerationId(1_000_000), |(&id, _)| id);
        let event = match which % 9 {
            0 => Event::WorkerReady(worker),
            1 => Event::WorkerStarted(worker),
            2 => Event::WorkerGone(worker, "again".to_owned()),
            3 => Event::ForkFailed(worker, "again".to_owned()),
            4 => Event::WorkerRefused(worker, failure()),
            5 => Event::ForkServerReady(generation),
            6 => Event::ForkServerGone(generation, "again".to_owned()),
            7 => Event::ForkServerRefused(generation, failure()),
            _ => Event::Tick(vec![Heartbeat {
                worker,
                silent: 1000 * SECOND,
            }]),
        };
        self.tell(event);
    }

    /// Workers that serve and were not asked to leave, as far as the arbiter can know.
    fn serving(&self) -> impl Iterator<Item = (WorkerId, &Process)> {
        (self.workers.iter())
            .filter(|(_, one)| {
                one.lent && !one.asked && !one.aborted && !one.killed && one.life != Life::Reaped
            })
            .map(|(&id, one)| (id, one))
    }

    /// What holds at every moment.
    fn check(&mut self) {
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
        assert!(summary.wanted >= 1);

        let promoted = summary.generation;
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

    /// Only the generation that serves and the newest are kept.
    fn check_torn_down(&self, promoted: GenerationId) {
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

    /// Whoever is awaited is not awaited for ever.
    fn check_deadline(&self) {
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
            assert!(self.arbiter.deadline().is_some(), "nobody will look");
        }
    }
}

impl World {
    /// Nothing goes wrong any more, and the code is good.
    pub(super) fn calm_down(&mut self, settings: Settings) {
        self.app = App::Loads(50);
        self.disk = Some(settings);
        self.step(&Step::Order(Order::Reload));
        self.pass(200 * SECOND);
    }

    pub(super) fn check_at_rest(&self, wanted: Wanted) {
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
        assert_eq!(self.said.last(), Some(&Announcement::Ready));
        assert_eq!(self.accepted, self.finished);
        assert_eq!(self.candidate.map(|_| ()), None);
    }
}

fn failure() -> LoadFailure {
    LoadFailure {
        status: 3,
        summary: "ImportError: no module named flask".to_owned(),
        traceback: "Traceback".to_owned(),
    }
}
