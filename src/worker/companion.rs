//! The companion: a thread that goes on with a worker's connections while the application
//! is in a call that takes long. It never takes the interpreter's lock, and sleeps unless
//! there is such a call.
//!
//! ```text
//!             main thread                          companion
//!  requests   arm: the timer begins anew           (sleeps)
//!             call ─────────── (takes long) ─────▶ timer expires, then ticks
//!                                                  still the same call: work on the
//!             call ends, interrupt ──────────────▶ connections, until it ends
//!  idle       disarm, sleep                        (sleeps)
//! ```
//!
//! As long as the application answers quickly, the timer is put off again and again and the
//! companion never wakes.
//!
//! It ends when the application forks, so that the child has one thread, as Python expects,
//! and starts again with the next request.

use crate::reporter::Reporter;
use crate::serving::Serving;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use rgunicorn_engine::close_on_fork::CloseOnFork;
use rgunicorn_link::protocol::Level;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long after requests went to the application the companion looks at it first. Longer
/// than the time between two readings of the engine's clock, by which it is put off.
const FIRST: Duration = Duration::from_millis(5);

/// How often it looks then.
const TICK: Duration = Duration::from_millis(1);

/// A call that is seen this often takes long. Fewer would be shorter than what the kernel
/// lets a thread wait for a busy processor.
const LONG: u32 = 3;

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
    /// When the timer was set, by the engine's clock; `None`: it does not run.
    armed_ms: Option<u64>,
    /// A thread could not be started, which was logged.
    has_failed: bool,
}

#[derive(Debug)]
struct Shared {
    timer: CloseOnFork,
    /// Ends the companion's wait for events.
    interrupt: CloseOnFork,
    /// Counts up when a call begins and when it ends: odd during a call.
    calls: AtomicU64,
    /// The companion works on the connections.
    is_working: AtomicBool,
    /// The worker sleeps: nothing has to be looked at.
    is_asleep: AtomicBool,
    /// The thread is alive, or about to be.
    is_running: AtomicBool,
    stop: AtomicBool,
}

impl Companion {
    pub fn new(serving: &Arc<Mutex<Serving>>, reporter: Reporter) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let interrupt = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            shared: Arc::new(Shared {
                timer: timer.into(),
                interrupt: interrupt.into(),
                calls: AtomicU64::new(0),
                is_working: AtomicBool::new(false),
                is_asleep: AtomicBool::new(true),
                is_running: AtomicBool::new(false),
                stop: AtomicBool::new(false),
            }),
            serving: Arc::clone(serving),
            reporter,
            armed_ms: None,
            has_failed: false,
        })
    }

    /// Requests are about to go to the application.
    pub fn arm(&mut self, now_ms: u64) {
        if !self.shared.is_running.load(SeqCst) && !self.has_failed {
            self.start();
        }
        if self.armed_ms != Some(now_ms) {
            self.shared.is_asleep.store(false, SeqCst);
            self.armed_ms = self.shared.set_timer(FIRST).is_ok().then_some(now_ms);
        }
    }

    /// The worker is about to sleep.
    pub fn disarm(&mut self) {
        if self.armed_ms.take().is_some() {
            self.shared.is_asleep.store(true, SeqCst);
            // If it fails, the companion wakes up once, for nothing.
            let _ = self.shared.set_timer(Duration::ZERO);
        }
    }

    pub fn call_begins(&self) {
        self.shared.calls.fetch_add(1, SeqCst);
    }

    pub fn call_ends(&self) {
        self.shared.calls.fetch_add(1, SeqCst);
        if self.shared.is_working.load(SeqCst) {
            self.shared.interrupt();
        }
    }

    fn start(&mut self) {
        stop();
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
        stop();
    }
}

/// Ends the companion, if there is one. Another is started with the next request.
pub fn stop() {
    let Some(Running { shared, thread }) = lock(&RUNNING).take() else {
        return;
    };
    shared.stop.store(true, SeqCst);
    shared.interrupt();
    // It panics nowhere; and if it did, it is gone.
    let _ = thread.join();
    shared.is_running.store(false, SeqCst);
}

impl Shared {
    /// Lets the timer expire once, after `delay`; never, if that is zero.
    fn set_timer(&self, delay: Duration) -> io::Result<()> {
        let spec = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(delay).map_err(io::Error::other)?,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    fn interrupt(&self) {
        // A counter that cannot take one more is readable as well.
        let _ = rustix::io::write(&self.interrupt, &1_u64.to_ne_bytes());
    }

    /// Waits until `fd` is readable or somebody interrupts, at most `timeout`.
    fn wait(&self, fd: impl AsFd, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut poll = [
            PollFd::new(&fd, PollFlags::IN),
            PollFd::new(&self.interrupt, PollFlags::IN),
        ];
        match rustix::event::poll(&mut poll, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn is_in_call(&self, call: u64) -> bool {
        !self.stop.load(SeqCst) && self.calls.load(SeqCst) == call
    }
}

fn run(shared: &Shared, serving: &Mutex<Serving>, reporter: &Reporter) {
    let mut last = 0;
    let mut seen = 0;
    let mut looked = Instant::now();
    while !shared.stop.load(SeqCst) {
        let result = shared.wait(&shared.timer, None).and_then(|()| {
            let mut counter = [0; 8];
            // One of the two was readable; an interrupt has done what it is for.
            let _ = rustix::io::read(&shared.interrupt, &mut counter);
            if rustix::io::read(&shared.timer, &mut counter).is_err() {
                return Ok(());
            }
            let call = shared.calls.load(SeqCst);
            let is_in_call = call % 2 == 1;
            if looked.elapsed() > FIRST.saturating_sub(TICK) {
                // The worker has put the timer off meanwhile.
                seen = 0;
            }
            looked = Instant::now();
            // The worker gets on: it will put the timer off.
            let mut delay = FIRST;
            if is_in_call {
                send_held(serving);
                if seen == 0 || call == last {
                    (seen, last, delay) = (seen + 1, call, TICK);
                } else {
                    seen = 0;
                }
                if seen == LONG {
                    work(shared, serving, call)?;
                    (seen, delay) = (0, FIRST);
                }
            } else {
                seen = 0;
            }
            if shared.is_asleep.load(SeqCst) {
                return Ok(());
            }
            shared.set_timer(delay)
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
fn send_held(serving: &Mutex<Serving>) {
    // The main thread has it when it is not in a call: then it sends them itself.
    if let Ok(mut serving) = serving.try_lock() {
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
            let timeout = serving.work_without_application()?;
            if serving.is_late_orphan() {
                // There is nobody else to end it, and the call may last for ever.
                let _ = nix::sys::signal::raise(Signal::SIGKILL);
            }
            timeout
        };
        shared.wait(&epoll, Some(timeout))?;
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

/// A thread that panicked while it held the lock is no reason to stop serving.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
