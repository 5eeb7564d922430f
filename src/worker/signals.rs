//! Signals in the Python processes.
//!
//! All handlers are installed through Python's `_signal` (what `signal` is made
//! of, without the enumerations that cost each process memory): a handler, unlike an
//! ignored or blocked signal, is not inherited by the programs an application
//! starts, and Python's own wake-up descriptor ends the engine's wait.
//!
//! A process that the application forks gives up TERM, INT and QUIT: they have to
//! end it. It keeps the handlers that ignore what is meant for the master.

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use pyo3::exceptions::{PyRuntimeError, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rgunicorn_engine::close_on_fork;
use rgunicorn_serving::SignalWatch;
use rustix::pipe::PipeFlags;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering::Relaxed};

/// Signals that are for the master, and reach its children only when somebody
/// signals the whole group or unit (`systemctl kill -s HUP`, Ctrl-C in a terminal).
const FOR_THE_MASTER: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// Signals by which a worker exits.
const EXIT_SIGNALS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];

/// A bit for each of [`EXIT_SIGNALS`] whose handler is ours. Read where Python may not be asked:
/// right after a fork. It is refreshed before each fork that Python makes; a handler that
/// the application installs before a fork of a C library is taken for ours, and the child
/// gets the default action in its place.
static OURS: AtomicU8 = AtomicU8::new(0);

/// The number of the descriptor that Python writes to when a signal comes; -1 for none.
static WAKEUP_FD: AtomicI32 = AtomicI32::new(-1);

/// A handler for [`dump_stacks`] is installed.
static CAN_DUMP: AtomicBool = AtomicBool::new(false);

/// What a handler of ours does.
enum Reaction {
    Ignore,
    /// Sets the flag.
    Note(Arc<AtomicBool>),
    /// Sets the flag and ends whatever Python code runs, unless the worker is
    /// leaving anyway: then it would only disturb that.
    Interrupt {
        quit: Arc<AtomicBool>,
        leaving: Arc<AtomicBool>,
    },
}

/// A handler of ours: its type tells it from the application's.
#[pyclass(module = "rgunicorn", frozen)]
struct Handler(Reaction);

#[pymethods]
impl Handler {
    fn __call__(&self, _signal: &Bound<'_, PyAny>, _frame: &Bound<'_, PyAny>) -> PyResult<()> {
        match &self.0 {
            Reaction::Ignore => Ok(()),
            Reaction::Note(flag) => {
                flag.store(true, Relaxed);
                Ok(())
            }
            Reaction::Interrupt { quit, leaving } => {
                quit.store(true, Relaxed);
                if leaving.load(Relaxed) {
                    return Ok(());
                }
                Err(PySystemExit::new_err(0))
            }
        }
    }
}

/// Makes the fork server ignore signals meant for other processes: it exits when
/// the master closes its link.
pub fn ignore_in_fork_server(py: Python<'_>) -> PyResult<()> {
    let signal = py.import("_signal")?;
    let ignore = Bound::new(py, Handler(Reaction::Ignore))?;
    let for_workers = [Signal::SIGINT, Signal::SIGQUIT];
    for ignored in FOR_THE_MASTER.into_iter().chain(for_workers) {
        signal.call_method1("signal", (ignored as i32, &ignore))?;
    }
    note_handlers(py)?;
    keep_from_nesting();
    dump_stacks_when_dying(py)
}

/// Lets none of our handlers interrupt another one. Python has them run on the stack that
/// `faulthandler` makes for a crash: that has no room for many at once, and what lies behind
/// it is the heap.
#[expect(
    unsafe_code,
    reason = "nix cannot tell the action of a signal without changing it"
)]
fn keep_from_nesting() {
    let handled: Vec<_> = FOR_THE_MASTER.into_iter().chain(EXIT_SIGNALS).collect();
    for signal in &handled {
        let mut action = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: the kernel fills the action in if it says so, and the same one is set again
        // with more signals in its mask, which is a set that the kernel has filled in, too.
        unsafe {
            if libc::sigaction(*signal as i32, std::ptr::null(), action.as_mut_ptr()) == 0 {
                let mut action = action.assume_init();
                for other in &handled {
                    libc::sigaddset(&raw mut action.sa_mask, *other as i32);
                }
                // The number is one of a signal that can be handled.
                libc::sigaction(*signal as i32, &raw const action, std::ptr::null_mut());
            }
        }
    }
}

/// Python removes its handlers before it ends, and with theirs what is meant for the master
/// would kill the process in its last moment. What has no handler stays ignored.
pub fn ignore_to_the_end(py: Python<'_>) {
    let ignore = |number: i32| {
        let signal = py.import("_signal")?;
        let handler = signal.call_method1("getsignal", (number,))?;
        if handler.is_exact_instance_of::<Handler>() {
            signal.call_method1("signal", (number, signal.getattr("SIG_IGN")?))?;
        }
        Ok::<(), PyErr>(())
    };
    for signal in FOR_THE_MASTER {
        // It ends: what cannot be ignored may kill it.
        let _ = ignore(signal as i32);
    }
}

/// A crash, and the ABRT that the master sends to a stuck worker, leave all
/// threads' stacks in the log.
fn dump_stacks_when_dying(py: Python<'_>) -> PyResult<()> {
    let stderr = 2;
    py.import("faulthandler")?
        .call_method1("enable", (stderr,))?;
    Ok(())
}

/// Lets [`dump_stacks`] write the stacks of all threads to standard error.
pub fn install_dump(py: Python<'_>) -> PyResult<()> {
    let options = PyDict::new(py);
    options.set_item("file", 2)?;
    py.import("faulthandler")?
        .call_method("register", (dump_signal(),), Some(&options))?;
    CAN_DUMP.store(true, Relaxed);
    Ok(())
}

/// A signal that nobody else is likely to use.
fn dump_signal() -> i32 {
    libc::SIGRTMAX() - 3
}

/// Logs the stacks of all threads. It needs no GIL, so also those are seen that keep it.
#[expect(
    unsafe_code,
    reason = "no safe function takes the number of a real-time signal"
)]
fn dump_stacks() {
    if CAN_DUMP.load(Relaxed) {
        // SAFETY: it takes numbers only, and the signal has a handler, which is safe at any
        // point of the program.
        unsafe { libc::kill(libc::getpid(), dump_signal()) };
    }
}

/// Blocks the signals by which a worker exits until this is dropped. So
/// none is lost between the fork and the moment its handlers are there: the
/// fork server's, which it has until then, do nothing.
pub struct BlockedSignals {
    before: SigSet,
}

impl BlockedSignals {
    pub fn begin() -> PyResult<Self> {
        let before =
            block_exit_signals().map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(Self { before })
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // It was valid when it was replaced.
        let _ = self.before.thread_set_mask();
    }
}

/// Blocks the signals by which a worker exits. Returns what was blocked before.
pub fn block_exit_signals() -> nix::Result<SigSet> {
    let blocked: SigSet = EXIT_SIGNALS.into_iter().collect();
    blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK)
}

/// What signals ask of a worker. Once this is dropped, the worker is leaving.
#[derive(Debug)]
pub struct Signals {
    retire: Arc<AtomicBool>,
    reopen: Arc<AtomicBool>,
    quit: Arc<AtomicBool>,
    leaving: Arc<AtomicBool>,
    /// The process's for good: Python writes to the other end until it is gone.
    wake: &'static OwnedFd,
}

impl Signals {
    /// Installs a worker's handlers: USR1 opens log files anew, TERM finishes, INT and QUIT exit at once
    /// (also from the middle of the application's Python code).
    pub fn install(py: Python<'_>) -> PyResult<Self> {
        let signal = py.import("_signal")?;
        let (wake, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(std::io::Error::from)?;
        let (wake, writer): (&OwnedFd, &OwnedFd) =
            (Box::leak(Box::new(wake)), Box::leak(Box::new(writer)));
        for end in [wake, writer] {
            // Never closed, so never taken off the list.
            std::mem::forget(close_on_fork::list(end));
        }
        let options = PyDict::new(py);
        options.set_item("warn_on_full_buffer", false)?;
        signal.call_method("set_wakeup_fd", (writer.as_raw_fd(),), Some(&options))?;
        WAKEUP_FD.store(writer.as_raw_fd(), Relaxed);

        let retire = Arc::<AtomicBool>::default();
        let reopen = Arc::<AtomicBool>::default();
        let on_usr1 = Handler(Reaction::Note(Arc::clone(&reopen)));
        signal.call_method1("signal", (Signal::SIGUSR1 as i32, on_usr1))?;
        let quit = Arc::<AtomicBool>::default();
        let leaving = Arc::<AtomicBool>::default();
        let on_term = Handler(Reaction::Note(Arc::clone(&retire)));
        signal.call_method1("signal", (Signal::SIGTERM as i32, on_term))?;
        for exit_signal in [Signal::SIGINT, Signal::SIGQUIT] {
            let on_quit = Handler(Reaction::Interrupt {
                quit: Arc::clone(&quit),
                leaving: Arc::clone(&leaving),
            });
            signal.call_method1("signal", (exit_signal as i32, on_quit))?;
        }
        note_handlers(py)?;
        keep_from_nesting();
        dump_stacks_when_dying(py)?;
        Ok(Self {
            retire,
            reopen,
            quit,
            leaving,
            wake,
        })
    }

    /// INT or QUIT came.
    pub fn quit(&self) -> bool {
        self.quit.load(Relaxed)
    }

    /// The same, when this is gone.
    pub fn when_quit(&self) -> Quit {
        Quit(Arc::clone(&self.quit))
    }

    /// What can be known of signals in any thread.
    pub fn watch(&self) -> SignalWatch {
        let (retire, reopen) = (Arc::clone(&self.retire), Arc::clone(&self.reopen));
        SignalWatch::new(retire, reopen, self.wake, dump_stacks)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.leaving.store(true, Relaxed);
    }
}

/// Whether INT or QUIT came.
pub struct Quit(Arc<AtomicBool>);

impl Quit {
    pub fn came(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Notes which of the handlers of [`EXIT_SIGNALS`] are ours.
pub fn note_handlers(py: Python<'_>) -> PyResult<()> {
    let signal = py.import("_signal")?;
    let mut ours = 0;
    for (bit, exit_signal) in EXIT_SIGNALS.into_iter().enumerate() {
        let handler = signal.call_method1("getsignal", (exit_signal as i32,))?;
        if handler.is_exact_instance_of::<Handler>() {
            ours |= 1 << bit;
        }
    }
    OURS.store(ours, Relaxed);
    Ok(())
}

fn ours() -> impl Iterator<Item = Signal> {
    let ours = OURS.load(Relaxed);
    let is_ours = move |(bit, _): &(usize, Signal)| ours & (1 << bit) != 0;
    EXIT_SIGNALS
        .into_iter()
        .enumerate()
        .filter(is_ours)
        .map(|(_, signal)| signal)
}

/// Lets the signals by which a worker exits end a child of the application's.
/// Only system calls: it runs right after the fork.
#[expect(unsafe_code, reason = "nix leaves it to us that the handler is safe")]
pub fn reset_in_child() {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in ours() {
        // SAFETY: the default action runs no code of this process. It cannot fail
        // for signals that had a handler.
        let _ = unsafe { sigaction(signal, &default) };
    }
}

/// Lets Python know what [`reset_in_child`] did.
pub fn reset_python_handlers(py: Python<'_>) -> PyResult<()> {
    let signal = py.import("_signal")?;
    for exit_signal in ours() {
        // What Python starts with.
        let default = match exit_signal {
            Signal::SIGINT => signal.getattr("default_int_handler")?,
            _ => signal.getattr("SIG_DFL")?,
        };
        signal.call_method1("signal", (exit_signal as i32, default))?;
    }
    OURS.store(0, Relaxed);
    let before: i32 = signal.call_method1("set_wakeup_fd", (-1,))?.extract()?;
    if before != -1 && before != WAKEUP_FD.load(Relaxed) {
        signal.call_method1("set_wakeup_fd", (before,))?;
    }
    Ok(())
}
