//! `rgunicornctl stacks`: on a signal of the master's, a worker writes the stacks of all its
//! threads into a pipe that the master reads, whatever it is doing at that moment.
//!
//! ```text
//! master ── signal ──▶ on_signal ── raise ──▶ faulthandler: the stacks ─┐
//!                          └── a zero byte: that was all ───────────────┴──▶ pipe ──▶ master
//! ```
//!
//! No part of it takes the GIL or a lock, or allocates: a worker answers that is in a C
//! function, or waits for something. Writing never blocks either: what the pipe has no room
//! for is left out.

use nix::libc;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rgunicorn_engine::close_on_fork;
use rustix::pipe::PipeFlags;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// The number of the pipe's end that is written to; -1 for none.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// How many bytes the pipe is to have room for: the most that the master reads.
const ROOM: usize = 256 * 1024;

/// What the master needs to ask for the stacks.
pub struct StacksPipe {
    pub reader: OwnedFd,
    pub signal: i32,
}

/// The master's signal: one that nobody else is likely to use.
fn signal() -> i32 {
    libc::SIGRTMAX() - 4
}

/// The one by which `faulthandler` is called.
fn dump_signal() -> i32 {
    libc::SIGRTMAX() - 5
}

/// Has this worker answer from now on.
#[expect(
    unsafe_code,
    reason = "no safe function takes the number of a real-time signal"
)]
pub fn install(py: Python<'_>) -> PyResult<StacksPipe> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .map_err(std::io::Error::from)?;
    // So that many threads have room before the master reads. With less, the end is cut off.
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, ROOM);
    // The process's for good, and never taken off the list.
    let writer: &OwnedFd = Box::leak(Box::new(writer));
    std::mem::forget(close_on_fork::list(writer));
    let options = PyDict::new(py);
    options.set_item("file", writer.as_raw_fd())?;
    options.set_item("all_threads", true)?;
    py.import("faulthandler")?
        .call_method("register", (dump_signal(),), Some(&options))?;
    PIPE.store(writer.as_raw_fd(), Relaxed);

    let handler: extern "C" fn(libc::c_int) = on_signal;
    // SAFETY: all zeros are a valid `sigaction`, with an empty mask; what is installed is a
    // function of this module, which Python never unloads, and safe at any point of the
    // program.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal(), &raw const action, std::ptr::null_mut())
    };
    if installed != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(StacksPipe {
        reader,
        signal: signal(),
    })
}

/// Writes the stacks of all threads to `file`, in a signal handler of a process that is about
/// to die: the master's questions are not answered any more.
#[expect(unsafe_code, reason = "only system calls are allowed here")]
pub fn write_to(file: i32) {
    // SAFETY: dup2(2) and raise(3) are safe in a signal handler, and take numbers only. The
    // signal that is raised has a handler, which has returned when `raise` returns.
    unsafe {
        libc::dup2(file, PIPE.load(Relaxed));
        libc::raise(dump_signal());
    }
}

#[expect(unsafe_code, reason = "only system calls are allowed here")]
extern "C" fn on_signal(_: libc::c_int) {
    let end = 0_u8;
    // SAFETY: raise(3) and write(2) are safe in a signal handler. The signal that is raised
    // has a handler, which has returned when `raise` returns; the byte outlives the call; and
    // what was interrupted finds its errno.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::raise(dump_signal());
        libc::write(PIPE.load(Relaxed), (&raw const end).cast(), 1);
        *errno = before;
    }
}
