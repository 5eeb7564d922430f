//! Signals in the Python processes.
//!
//! All handlers are installed through Python's `_signal` (what `signal` is made
//! of, without the enumerations that cost each process memory): a handler, unlike an
//! ignored or blocked signal, is not inherited by the programs an application
//! starts, and Python's own wake-up descriptor ends the engine's wait.

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};
use rustix::pipe::PipeFlags;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Signals that are for the master, and reach its children only when somebody
/// signals the whole group or unit (`systemctl kill -s HUP`, Ctrl-C in a terminal).
const FOR_THE_MASTER: [&str; 6] = [
    "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGTTIN", "SIGTTOU",
];

/// Makes a fork server outlive the signals that end or bother only others: it
/// leaves when the master closes its link.
pub fn outlive(py: Python<'_>) -> PyResult<()> {
    let signal = py.import("_signal")?;
    let nothing = ignore(py)?;
    for name in FOR_THE_MASTER.iter().chain(&["SIGINT", "SIGQUIT"]) {
        signal.call_method1("signal", (signal.getattr(*name)?, &nothing))?;
    }
    dump_stacks_when_dying(py)
}

/// A crash, and the ABRT that the master sends to who is stuck, leave all
/// threads' stacks in the log.
fn dump_stacks_when_dying(py: Python<'_>) -> PyResult<()> {
    let stderr = 2;
    py.import("faulthandler")?
        .call_method1("enable", (stderr,))?;
    Ok(())
}

fn ignore(py: Python<'_>) -> PyResult<Bound<'_, PyCFunction>> {
    PyCFunction::new_closure(
        py,
        None,
        None,
        |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {},
    )
}

/// What signals ask of a worker.
#[derive(Debug)]
pub struct Signals {
    retire: Arc<AtomicBool>,
    quit: Arc<AtomicBool>,
    /// The process's for good: Python writes to the other end until it is gone.
    wake: &'static OwnedFd,
}

impl Signals {
    /// Installs a worker's handlers: TERM finishes, INT and QUIT leave at once
    /// (also from the middle of the application's Python code).
    pub fn install(py: Python<'_>) -> PyResult<Self> {
        let signal = py.import("_signal")?;
        let (wake, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(std::io::Error::from)?;
        let (wake, writer): (&OwnedFd, &OwnedFd) =
            (Box::leak(Box::new(wake)), Box::leak(Box::new(writer)));
        let options = PyDict::new(py);
        options.set_item("warn_on_full_buffer", false)?;
        signal.call_method("set_wakeup_fd", (writer.as_raw_fd(),), Some(&options))?;

        let retire = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&retire);
        let on_term = PyCFunction::new_closure(
            py,
            None,
            None,
            move |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| asked.store(true, Relaxed),
        )?;
        signal.call_method1("signal", (signal.getattr("SIGTERM")?, on_term))?;

        let quit = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&quit);
        let on_quit = PyCFunction::new_closure(
            py,
            None,
            None,
            move |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
                asked.store(true, Relaxed);
                Err(PySystemExit::new_err(0))
            },
        )?;
        for name in ["SIGINT", "SIGQUIT"] {
            signal.call_method1("signal", (signal.getattr(name)?, &on_quit))?;
        }

        dump_stacks_when_dying(py)?;
        Ok(Self { retire, quit, wake })
    }

    /// TERM came.
    pub fn retire(&self) -> bool {
        self.retire.load(Relaxed)
    }

    /// INT or QUIT came.
    pub fn quit(&self) -> bool {
        self.quit.load(Relaxed)
    }

    /// Readable when a signal came.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Takes what made `wake` readable.
    pub fn drain(&self) {
        let mut waste = [0; 64];
        while matches!(rustix::io::read(self.wake, &mut waste), Ok(count) if count > 0) {}
    }
}
