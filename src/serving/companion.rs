//! The companion: a thread that goes on with a worker's connections while the application
//! is in a call that takes long. It never takes the interpreter's lock, and sleeps unless
//! there is such a call.
//!
//! ```text
//!             main thread                          companion
//!  requests   call ─────────── (takes long) ─────▶ notices it (call_watch): works on the
//!             call ends, interrupt ──────────────▶ connections, until the call ends
//!  idle       sleep                                (sleeps)
//! ```
//!
//! It ends when the application forks, so that the child has one thread, as Python expects,
//! and starts again with the next request.

use crate::call_watch::{CallWatch, Seen, Watcher};
use crate::lock;
use crate::reporter::Reporter;
use crate::serving::Serving;
use nix::sys::signal::{SigSet, SigmaskHow};
use rgunicorn_link::protocol::Level;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::JoinHandle;

/// The memory for the thread's stack. It calls into the engine and the JSON encoder only.
const STACK_SIZE: usize = 256 * 1024;

/// The thread that runs, if one does, where a fork can find it.
static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

struct Running {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// What the companion is known by in the main thread.
pub struct Companion {
    shared: Arc<Shared>,
    serving: Arc<Mutex<Serving>>,
    reporter: Reporter,
    /// A thread could not be started, which was logged.
    has_failed: bool,
}

#[derive(Debug)]
struct Shared {
    watch: Arc<CallWatch>,
    /// The companion works on the connections.
    is_working: AtomicBool,
    /// The thread is alive, or about to be.
    is_running: AtomicBool,
    stop: AtomicBool,
}

impl Companion {
    pub fn new(serving: &Arc<Mutex<Serving>>, watch: &Arc<CallWatch>, reporter: Reporter) -> Self {
        Self {
            shared: Arc::new(Shared {
                watch: Arc::clone(watch),
                is_working: AtomicBool::new(false),
                is_running: AtomicBool::new(false),
                stop: AtomicBool::new(false),
            }),
            serving: Arc::clone(serving),
            reporter,
            has_failed: false,
        }
    }

    /// Sees to it that there is one, as requests are about to go to the application.
    pub fn ensure_running(&mut self) {
        if !self.shared.is_running.load(SeqCst) && !self.has_failed {
            self.start();
        }
    }

    /// To be told when a call has ended.
    pub fn call_ended(&self) {
        if self.shared.is_working.load(SeqCst) {
            self.shared.watch.interrupt();
        }
    }

    fn start(&mut self) {
        stop_companion();
        self.shared.stop.store(false, SeqCst);
        let (shared, serving) = (Arc::clone(&self.shared), Arc::clone(&self.serving));
        let reporter = self.reporter.clone();
        // Signals are for the main thread: a thread inherits what is blocked.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
        let thread = std::thread::Builder::new()
            .name("companion".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || run(&shared, &serving, &reporter));
        if let Ok(before) = before {
            // It was valid when it was replaced.
            let _ = before.thread_set_mask();
        }
        match thread {
            Ok(thread) => {
                self.shared.is_running.store(true, SeqCst);
                let shared = Arc::clone(&self.shared);
                *lock(&RUNNING) = Some(Running { shared, thread });
            }
            Err(error) => {
                self.has_failed = true;
                let text = format!(
                    "Cannot start a thread ({error}): while a request takes long, the other \
                     connections of its worker wait"
                );
                self.reporter.log(Level::Warning, text);
            }
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        stop_companion();
    }
}

/// Ends the companion, if there is one. Another is started with the next request.
pub fn stop_companion() {
    let Some(Running { shared, thread }) = lock(&RUNNING).take() else {
        return;
    };
    shared.stop.store(true, SeqCst);
    shared.watch.interrupt();
    // It panics nowhere; and if it did, it is gone.
    let _ = thread.join();
    shared.is_running.store(false, SeqCst);
}

impl Shared {
    fn is_in_call(&self, call: u64) -> bool {
        !self.stop.load(SeqCst) && self.watch.is_in_call(call)
    }
}

fn run(shared: &Shared, serving: &Mutex<Serving>, reporter: &Reporter) {
    let mut watcher = Watcher::new();
    while !shared.stop.load(SeqCst) {
        let result = watcher.look(&shared.watch).and_then(|seen| match seen {
            Seen::Nothing => Ok(()),
            Seen::Call => {
                send_held(serving);
                Ok(())
            }
            Seen::LongCall(call) => {
                send_held(serving);
                work(shared, serving, call)
            }
        });
        if let Err(error) = result {
            let text = format!(
                "Connections wait while a request takes long, as their thread ends: {error}"
            );
            reporter.log(Level::Error, text);
            return;
        }
    }
}

/// Responses that are complete do not wait for the call that follows.
pub fn send_held(serving: &Mutex<Serving>) {
    // The main thread has it when it is not in a call: then it sends them itself.
    if let Some(mut serving) = try_lock(serving) {
        serving.engine.send_held();
    }
}

/// Works on the connections until `call` ends.
fn work(shared: &Shared, serving: &Mutex<Serving>, call: u64) -> io::Result<()> {
    shared.is_working.store(true, SeqCst);
    let worked = work_until_interrupted(shared, serving, call);
    shared.is_working.store(false, SeqCst);
    worked
}

fn work_until_interrupted(shared: &Shared, serving: &Mutex<Serving>, call: u64) -> io::Result<()> {
    let epoll = {
        let Some(mut serving) = try_lock(serving) else {
            return Ok(());
        };
        if !shared.is_in_call(call) {
            return Ok(());
        }
        serving.engine.suspend_intake()?;
        serving.engine.as_fd().try_clone_to_owned()?
    };
    loop {
        let timeout = {
            // Taken: the call has ended.
            let Some(mut serving) = try_lock(serving) else {
                return Ok(());
            };
            if !shared.is_in_call(call) {
                return Ok(());
            }
            serving.work_without_application()?
        };
        shared.watch.wait(&epoll, Some(timeout))?;
    }
}

/// `None`: another thread has it.
fn try_lock(serving: &Mutex<Serving>) -> Option<std::sync::MutexGuard<'_, Serving>> {
    match serving.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
