//! Many concurrent clients; every request without an answer is recorded.

use super::{
    client::{Address, Connection, Response},
    wait::wait_until,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What the clients do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Clients that keep their connection for as long as the server lets them.
    pub kept_alive: usize,
    /// Clients that use a connection for one request.
    pub one_shot: usize,
    pub path: &'static str,
    /// How long a client waits between two requests, at most.
    pub pause: Duration,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            kept_alive: 6,
            one_shot: 3,
            path: "/",
            pause: Duration::from_millis(20),
        }
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
    failures: Mutex<Vec<String>>,
    bodies: Mutex<BTreeSet<String>>,
}

impl Traffic {
    /// Returns when every client has had an answer.
    #[track_caller]
    pub fn start(address: &Address, load: Load) -> Self {
        let shared = Arc::new(Shared::default());
        let clients = load.kept_alive + load.one_shot;
        let started = Arc::new(AtomicUsize::new(0));
        let threads = (0..clients)
            .map(|number| {
                let client = Client {
                    address: address.clone(),
                    keeps: number < load.kept_alive,
                    number,
                    path: load.path,
                    pause: load.pause,
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

    /// How many kept-alive connections the server has closed.
    pub fn closed(&self) -> usize {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// The failures so far.
    pub fn failures(&self) -> Vec<String> {
        self.shared.failures.lock().unwrap().clone()
    }

    /// The different bodies that came so far.
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
    keeps: bool,
    number: usize,
    path: &'static str,
    pause: Duration,
    shared: Arc<Shared>,
}

impl Client {
    fn run(&self, started: &AtomicUsize) {
        let mut kept = None;
        let mut first = true;
        for round in 0u32.. {
            if self.shared.stop.load(Ordering::SeqCst) {
                return;
            }
            match self.once(&mut kept) {
                Ok(response) => {
                    self.shared.answered.fetch_add(1, Ordering::SeqCst);
                    let mut bodies = self.shared.bodies.lock().unwrap();
                    if bodies.len() < 100 {
                        bodies.insert(response.text());
                    }
                }
                Err(failure) => {
                    kept = None;
                    self.shared
                        .failures
                        .lock()
                        .unwrap()
                        .push(format!("client {}: {failure}", self.number));
                }
            }
            if std::mem::take(&mut first) {
                started.fetch_add(1, Ordering::SeqCst);
            }
            // Between nothing and the whole pause: some requests come at once,
            // some find a connection that was idle.
            thread::sleep(self.pause * (round % 4) / 3);
        }
    }

    fn once(&self, kept: &mut Option<Connection>) -> Result<Response, String> {
        let age = if kept.is_some() { "kept-alive" } else { "new" };
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(&self.address)
                .map_err(|error| format!("cannot connect: {error}"))?,
        };
        let close = if self.keeps {
            ""
        } else {
            "Connection: close\r\n"
        };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n",
            self.path
        );
        connection
            .try_send(request)
            .map_err(|error| format!("cannot send on a {age} connection: {error}"))?;
        let response = connection
            .try_receive()
            .map_err(|broken| format!("{age} connection: {broken}"))?;
        if response.status != 200 || response.body.is_empty() {
            return Err(format!("wrong answer on a {age} connection: {response:?}"));
        }
        if self.keeps {
            if response.says_close() {
                self.shared.closed.fetch_add(1, Ordering::SeqCst);
            } else {
                *kept = Some(connection);
            }
        }
        Ok(response)
    }
}
