//! Many concurrent clients; every request without an answer is recorded.

use super::{
    client::{Address, Broken, Connection, Response},
    exchange::{Exchange, Fault, Kind},
    wait::wait_until,
};
use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What the clients do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub kept_alive: usize,
    pub one_shot: usize,
    /// These two need an application that echoes the bodies that are sent to `/echo/read`.
    pub pipelining: usize,
    pub uploading: usize,
    /// Of GET requests.
    pub path: &'static str,
    pub closing: Closing,
    /// How long a client waits between two requests, at most.
    pub pause: Duration,
}

/// What it means that the server ends a connection that its client wants to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// With an answer that says so it may; it is counted.
    Announced,
    /// It is a failure, also when nothing was requested.
    Forbidden,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            kept_alive: 6,
            one_shot: 3,
            pipelining: 0,
            uploading: 0,
            closing: Closing::Announced,
            path: "/",
            pause: Duration::from_millis(20),
        }
    }
}

impl Load {
    fn kinds(&self) -> Vec<Kind> {
        [
            (Kind::KeptAlive, self.kept_alive),
            (Kind::OneShot, self.one_shot),
            (Kind::Pipelining, self.pipelining),
            (Kind::Uploading, self.uploading),
        ]
        .into_iter()
        .flat_map(|(kind, count)| std::iter::repeat_n(kind, count))
        .collect()
    }
}

/// A request without the right answer, or a connection that ended.
#[derive(Debug, Clone)]
pub struct Failure {
    pub client: usize,
    pub kind: Kind,
    /// The client's port; `None` if it could not connect, or not by TCP.
    pub port: Option<u16>,
    /// The answers that came on this connection before.
    pub answers: usize,
    pub what: String,
    /// How the connection ended; `None`: it did not, or there was none.
    pub broken: Option<Broken>,
    pub at: Instant,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (client, kind, answers, what) =
            (self.client, self.kind.name(), self.answers, &self.what);
        write!(
            formatter,
            "client {client} ({kind}), after {answers} answers on this connection: {what}"
        )
    }
}

/// Clients at work.
pub struct Traffic {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicUsize,
    closed: AtomicUsize,
    failures: Mutex<Vec<Failure>>,
    bodies: Mutex<BTreeSet<String>>,
}

impl Traffic {
    /// Returns when every client has had an answer.
    #[track_caller]
    pub fn start(address: &Address, load: Load) -> Self {
        let shared = Arc::new(Shared::default());
        let kinds = load.kinds();
        let clients = kinds.len();
        let started = Arc::new(AtomicUsize::new(0));
        let threads = kinds
            .into_iter()
            .enumerate()
            .map(|(number, kind)| {
                let mut client = Client {
                    address: address.clone(),
                    exchange: Exchange {
                        kind,
                        path: load.path,
                        pause: load.pause,
                        random: fastrand::Rng::with_seed(number as u64),
                        number,
                        requests: 0,
                    },
                    closing: load.closing,
                    shared: Arc::clone(&shared),
                };
                let started = Arc::clone(&started);
                thread::spawn(move || client.run(&started))
            })
            .collect();
        let traffic = Self { shared, threads };
        wait_until("every client has had an answer", || {
            started.load(Ordering::SeqCst) == clients
        });
        traffic
    }

    /// How many requests were answered.
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// How many connections that their clients wanted to keep the server has closed.
    pub fn closed(&self) -> usize {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// The failures so far.
    pub fn failures(&self) -> Vec<String> {
        let failures = self.shared.failures.lock().unwrap();
        failures.iter().map(Failure::to_string).collect()
    }

    /// The different bodies that kept-alive and one-shot clients got so far.
    pub fn bodies(&self) -> BTreeSet<String> {
        self.shared.bodies.lock().unwrap().clone()
    }

    /// Waits until this many more requests have been answered.
    #[track_caller]
    pub fn wait_for_answers(&self, count: usize) {
        let wanted = self.answered() + count;
        wait_until(&format!("{count} more requests are answered"), || {
            self.answered() >= wanted
        });
    }

    /// Stops the clients and lists every request that failed.
    #[track_caller]
    pub fn finish(mut self) -> Vec<String> {
        self.stop();
        self.failures()
    }

    /// Stops the clients and returns every failure with its connection.
    #[track_caller]
    pub fn finish_in_detail(mut self) -> Vec<Failure> {
        self.stop();
        self.shared.failures.lock().unwrap().clone()
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Client {
    address: Address,
    exchange: Exchange,
    closing: Closing,
    shared: Arc<Shared>,
}

/// A connection that its client keeps.
struct Kept {
    connection: Connection,
    answers: usize,
    /// When its last exchange began.
    used_at: Instant,
}

/// A client that could not run for so long, as the machine stood still, does not use its
/// connection any more: the server may close it, by default after two seconds.
const LONGEST_IDLE: Duration = Duration::from_secs(1);

impl Client {
    fn run(&mut self, started: &AtomicUsize) {
        let mut kept = None;
        let mut first = true;
        for round in 0u32.. {
            if self.shared.stop.load(Ordering::SeqCst) {
                return self.look_at_the_end(kept);
            }
            if let Err(failure) = self.once(&mut kept) {
                self.shared.failures.lock().unwrap().push(failure);
            }
            if std::mem::take(&mut first) {
                started.fetch_add(1, Ordering::SeqCst);
            }
            // Between nothing and the whole pause: some requests come at once,
            // some find a connection that was idle.
            thread::sleep(self.exchange.pause * (round % 4) / 3);
        }
    }

    fn once(&mut self, kept: &mut Option<Kept>) -> Result<(), Failure> {
        let may_be_closed = |kept: &Kept| {
            self.closing == Closing::Announced && kept.used_at.elapsed() > LONGEST_IDLE
        };
        let mut used = match kept.take() {
            Some(kept) if !may_be_closed(&kept) => kept,
            _ => self.open()?,
        };
        used.used_at = Instant::now();
        let exchanged = self.exchange.run(&mut used.connection);
        let answers = exchanged.map_err(|fault| self.failure(Some(&used), fault))?;
        used.answers += answers.len();
        self.shared
            .answered
            .fetch_add(answers.len(), Ordering::SeqCst);
        if matches!(self.exchange.kind, Kind::KeptAlive | Kind::OneShot) {
            let mut bodies = self.shared.bodies.lock().unwrap();
            if bodies.len() < 100 {
                bodies.extend(answers.iter().map(Response::text));
            }
        }
        if !self.exchange.kind.keeps_its_connection() {
            return Ok(());
        }
        let says_close = answers.last().is_some_and(Response::says_close);
        match (says_close, self.closing) {
            (false, _) => *kept = Some(used),
            (true, Closing::Announced) => {
                self.shared.closed.fetch_add(1, Ordering::SeqCst);
            }
            (true, Closing::Forbidden) => {
                let fault = Fault::wrong("an answer says Connection: close");
                return Err(self.failure(Some(&used), fault));
            }
        }
        Ok(())
    }

    fn open(&self) -> Result<Kept, Failure> {
        let connection = Connection::open(&self.address).map_err(|error| {
            let fault = Fault::wrong(format!("cannot connect: {error}"));
            self.failure(None, fault)
        })?;
        Ok(Kept {
            connection,
            answers: 0,
            used_at: Instant::now(),
        })
    }

    /// Without this, a connection that was closed after its last answer would not be noticed.
    fn look_at_the_end(&self, kept: Option<Kept>) {
        let (Some(mut kept), Closing::Forbidden) = (kept, self.closing) else {
            return;
        };
        if kept.connection.is_open_and_quiet() {
            return;
        }
        kept.connection.set_timeout(Duration::from_millis(1));
        let fault = match kept.connection.rest() {
            Ok(bytes) if bytes.is_empty() => Fault::broken("while idle", Broken::Closed),
            Err(Broken::Reset) => Fault::broken("while idle", Broken::Reset),
            Ok(_) | Err(_) => Fault::wrong("bytes came that nobody requested"),
        };
        let failure = self.failure(Some(&kept), fault);
        self.shared.failures.lock().unwrap().push(failure);
    }

    fn failure(&self, used: Option<&Kept>, fault: Fault) -> Failure {
        Failure {
            client: self.exchange.number,
            kind: self.exchange.kind,
            port: used.and_then(|used| used.connection.local_port()),
            answers: used.map_or(0, |used| used.answers),
            what: fault.what,
            broken: fault.broken,
            at: Instant::now(),
        }
    }
}
