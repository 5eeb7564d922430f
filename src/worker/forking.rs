//! Applications that fork (`os.fork()`, multiprocessing, a C library). The child
//! has a copy of everything: the engine, the connections, the listeners, the
//! signal handlers. It must be an ordinary process all the same: it ends when it
//! is sent TERM, keeps no socket of ours open, and never serves.
//!
//! The handlers of `pthread_atfork` see every fork, also those that Python does
//! not know of. As the process may have other threads, the child's may only make
//! system calls and touch atomics until then. What Python remembers of our
//! signal handlers is corrected by Python's own hook, which runs only for forks made
//! by Python.

use crate::signals;
use nix::libc;
use nix::sys::signal::SigSet;
use pyo3::exceptions::{PyOSError, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt};
use rgunicorn_engine::close_on_fork;
use rgunicorn_serving::{pause_access_writers, stop_companion};
use rustix::fs::{Mode, OFlags};
use rustix::io::DupFlags;
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// This process is a child that the application forked.
static IS_CHILD: AtomicBool = AtomicBool::new(false);
/// This process has had such a child.
static HAS_FORKED: AtomicBool = AtomicBool::new(false);
/// The fork under way is the fork server's own: its child becomes a worker.
static FORKS_WORKER: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The signals that were blocked before the fork under way.
    static MASK: Cell<Option<SigSet>> = const { Cell::new(None) };
}

/// Handles every fork from now on, in this process and in those it forks.
#[expect(unsafe_code, reason = "a handler is registered with the C library")]
pub fn install_handlers(py: Python<'_>) -> PyResult<()> {
    // SAFETY: all are functions of this module, which Python never unloads, and
    // do nothing that is forbidden after a fork.
    let error = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    if error != 0 {
        return Err(PyOSError::new_err(error));
    }
    let hooks = PyDict::new(py);
    hooks.set_item("before", pyo3::wrap_pyfunction!(before_python_forks, py)?)?;
    hooks.set_item(
        "after_in_child",
        pyo3::wrap_pyfunction!(after_python_forked, py)?,
    )?;
    py.import("os")?
        .call_method("register_at_fork", (), Some(&hooks))?;
    Ok(())
}

/// While this exists, a fork makes a worker. It ends in both processes.
pub struct ForkingWorker(());

impl ForkingWorker {
    pub fn begin() -> Self {
        FORKS_WORKER.store(true, Relaxed);
        Self(())
    }
}

impl Drop for ForkingWorker {
    fn drop(&mut self) {
        FORKS_WORKER.store(false, Relaxed);
    }
}

extern "C" fn before() {
    if !FORKS_WORKER.load(Relaxed) {
        // A child may be sent TERM before it runs its first instruction.
        MASK.set(signals::block_exit_signals().ok());
    }
}

extern "C" fn in_parent() {
    if !FORKS_WORKER.load(Relaxed) {
        HAS_FORKED.store(true, Relaxed);
        release_signals();
    }
}

extern "C" fn in_child() {
    if FORKS_WORKER.load(Relaxed) {
        return;
    }
    IS_CHILD.store(true, Relaxed);
    signals::reset_in_child();
    release_signals();
    let null = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok();
    close_on_fork::take(|fd| replace_with_null(fd, null.as_ref()));
}

fn release_signals() {
    if let Some(mask) = MASK.take() {
        // It was valid when it was replaced.
        let _ = mask.thread_set_mask();
    }
}

/// Closes this process's copy of `fd`. The number stays in use, if that can be
/// had: code that still knows it must not reach a file of the application's.
#[expect(unsafe_code, reason = "the list holds numbers")]
fn replace_with_null(fd: RawFd, null: Option<&OwnedFd>) {
    // SAFETY: the descriptor was listed by its owner, who can do no more than
    // close it: nothing of the worker goes on in this process.
    let mut fd = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(fd) });
    let replaced =
        null.is_some_and(|null| rustix::io::dup3(null, &mut fd, DupFlags::CLOEXEC).is_ok());
    if !replaced {
        drop(ManuallyDrop::into_inner(fd));
    }
}

/// The application may have installed handlers of its own in place of ours. And it may
/// have a right to be warned if it has threads (Python counts them), but not because of ours.
#[pyfunction]
fn before_python_forks(py: Python<'_>) -> PyResult<()> {
    if !IS_CHILD.load(Relaxed) {
        stop_companion();
        // It may have to wait, and another thread may have something to do.
        py.detach(pause_access_writers);
    }
    signals::note_handlers(py)
}

#[pyfunction]
fn after_python_forked(py: Python<'_>) -> PyResult<()> {
    if IS_CHILD.load(Relaxed) {
        signals::reset_python_handlers(py)?;
    }
    Ok(())
}

/// Whether the application has forked in this process. Its child has closed
/// our sockets, unless one was accepted at the very moment of the fork.
pub fn has_forked() -> bool {
    HAS_FORKED.load(Relaxed)
}

/// Whether this process is a child that the application forked.
pub fn is_child() -> bool {
    IS_CHILD.load(Relaxed)
}

/// In a new worker: the application's children so far are the fork server's.
pub fn forget_children() {
    HAS_FORKED.store(false, Relaxed);
}

/// Ends a child that comes back from the application's code, with the status of
/// its `sys.exit()`, or 1: the request is its parent's to answer.
pub fn exit_if_child<T>(py: Python<'_>, outcome: &PyResult<T>) {
    if !IS_CHILD.load(Relaxed) {
        return;
    }
    let status = match outcome {
        Err(error) if error.is_instance_of::<PySystemExit>(py) => exit_status(py, error),
        Err(error) => {
            error.print(py);
            1
        }
        Ok(_) => 1,
    };
    flush(py);
    // There is no way back, so nothing follows if even this should fail.
    let _ = py
        .import("os")
        .and_then(|os| os.call_method1("_exit", (status,)));
    std::process::abort();
}

/// The status of a `SystemExit`. What is no number is a message, as at the end of a script.
fn exit_status(py: Python<'_>, exit: &PyErr) -> i32 {
    let Ok(code) = exit.value(py).getattr("code") else {
        return 1;
    };
    if code.is_none() {
        return 0;
    }
    if let Ok(code) = code.cast::<PyInt>() {
        // The kernel keeps the lowest byte of any number.
        return code.extract().unwrap_or(-1);
    }
    // If there is no standard error, nothing can be done about it.
    let _ = py.import("sys").and_then(|sys| {
        let stderr = sys.getattr("stderr")?;
        stderr.call_method1("write", (format!("{code}\n"),))
    });
    1
}

/// What the child printed is not lost.
fn flush(py: Python<'_>) {
    for name in ["stdout", "stderr"] {
        let _ = py
            .import("sys")
            .and_then(|sys| sys.getattr(name)?.call_method0("flush"));
    }
}
