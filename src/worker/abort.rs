//! A worker that the master aborts writes its stacks in whole lines, and those that are
//! aborted together do so one after the other.
//!
//! In a terminal or a container all processes have the same standard error, and
//! `faulthandler` writes a stack in many small pieces: without an order the stacks of a pool
//! that hangs could not be read.
//!
//! ```text
//! SIGABRT ─┬─ of the master ──▶ wait for the turn ──▶ faulthandler ──▶ file ──▶ stderr ──▶ death
//!          └─ abort(3) ───────▶ faulthandler: its report of a crash ──────────────────────▶ death
//! ```

use crate::stacks;
use nix::libc;
use pyo3::prelude::*;
use rgunicorn_link::Scoreboard;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// How often and after which pause the lock is tried: for a second in all. The master kills
/// a worker that is not gone 2 s after SIGABRT.
const TRIES: u32 = 100;
const PAUSE_NSEC: i64 = 10_000_000;

/// The most that is written at a time. Nothing comes between the bytes of one write(2) to a
/// pipe that is not longer (`PIPE_BUF`, pipe(7)).
const PIECE: usize = 4096;

/// As `faulthandler` begins its report of a crash.
const TITLE: &[u8] = b"Fatal Python error: Aborted\n\n";

static ABORT: OnceLock<Abort> = OnceLock::new();

/// Python has a handler, which ends the process.
static INTERRUPTS_PYTHON: AtomicBool = AtomicBool::new(false);

struct Abort {
    /// The scoreboard, which all workers of a server have. Opened anew, it can be locked:
    /// the descriptor that they share would be locked by all of them.
    lock: CString,
    /// What `faulthandler` has installed.
    report_crash: libc::sigaction,
}

/// To be called once `faulthandler` is enabled and [`stacks::install`] has been called.
#[expect(unsafe_code, reason = "the handler of `faulthandler` has to be kept")]
pub fn install(scoreboard: &Scoreboard) -> io::Result<()> {
    let lock = format!("/proc/self/fd/{}", scoreboard.as_fd().as_raw_fd());
    let lock = CString::new(lock)?;
    // SAFETY: all zeros are a valid `sigaction`, with an empty mask; what is installed is a
    // function of this module, which Python never unloads, and safe at any point of the
    // program.
    let installed = unsafe {
        let mut report_crash: libc::sigaction = std::mem::zeroed();
        let known = libc::sigaction(libc::SIGABRT, std::ptr::null(), &raw mut report_crash);
        // Known to our handler before that can be called.
        ABORT.get_or_init(|| Abort { lock, report_crash });
        known.min(take_signal())
    };
    if installed == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Installs our handler in the place of the one that is there.
#[expect(unsafe_code, reason = "nix has no handlers that get the sender")]
fn take_signal() -> libc::c_int {
    let handler: extern "C" fn(libc::c_int, *const libc::siginfo_t, *const libc::c_void) = on_abort;
    // SAFETY: as in `install`.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGABRT, &raw const action, std::ptr::null_mut())
    }
}

/// Once the stacks are written, `handler` is called as Python calls handlers of signals: when
/// the main thread runs Python again. It has to end the process; if it does not, or does not
/// come to it, the master does.
pub fn interrupt_python(py: Python<'_>, handler: Bound<'_, PyAny>) -> PyResult<()> {
    py.import("_signal")?
        .call_method1("signal", (libc::SIGABRT, handler))?;
    if take_signal() != 0 {
        return Err(io::Error::last_os_error().into());
    }
    INTERRUPTS_PYTHON.store(true, Relaxed);
    Ok(())
}

#[expect(unsafe_code, reason = "only system calls are allowed here")]
extern "C" fn on_abort(_: libc::c_int, info: *const libc::siginfo_t, _: *const libc::c_void) {
    let Some(abort) = ABORT.get() else { return };
    // SAFETY: the kernel gives the handler what it has asked for by SA_SIGINFO.
    let is_sent = unsafe { (*info).si_code } == libc::SI_USER;
    if is_sent && write_stacks(&abort.lock) {
        if INTERRUPTS_PYTHON.load(Relaxed) {
            // SAFETY: it is meant to be called in a signal handler, without the GIL.
            unsafe { pyo3::ffi::PyErr_SetInterruptEx(libc::SIGABRT) };
            return;
        }
        die(None);
    } else {
        die(Some(&abort.report_crash));
    }
}

/// Dies of SIGABRT, by this action or the kernel's own, as soon as the handler returns.
#[expect(unsafe_code, reason = "only system calls are allowed here")]
fn die(action: Option<&libc::sigaction>) {
    // SAFETY: sigaction(2) and raise(3) are safe in a signal handler. All zeros are the
    // default action. The signal is blocked until the handler returns.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        let action: *const libc::sigaction = action.unwrap_or(&default);
        libc::sigaction(libc::SIGABRT, action, std::ptr::null_mut());
        libc::raise(libc::SIGABRT);
    }
}

/// `false`: they could not be had, and nothing is written.
#[expect(unsafe_code, reason = "only system calls are allowed here")]
fn write_stacks(lock: &CStr) -> bool {
    // SAFETY: these calls are safe in a signal handler, and what they are given outlives
    // them. No descriptor is closed, and the lock never given up: the process dies.
    unsafe {
        let file = libc::memfd_create(c"stacks".as_ptr(), libc::MFD_CLOEXEC);
        if file < 0 {
            return false;
        }
        libc::write(file, TITLE.as_ptr().cast(), TITLE.len());
        stacks::write_to(file);
        wait_for_turn(lock);
        copy_to_stderr(file);
    }
    true
}

/// Waits until no other worker of the server writes its stacks, but not for long. The kernel
/// ends the turn when the process dies.
#[expect(unsafe_code, reason = "only system calls are allowed here")]
unsafe fn wait_for_turn(file: &CStr) {
    let pause = libc::timespec {
        tv_sec: 0,
        tv_nsec: PAUSE_NSEC,
    };
    // SAFETY: as in `write_stacks`.
    unsafe {
        let lock = libc::open(file.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        let mut left = if lock < 0 { 0 } else { TRIES };
        while left > 0 && libc::flock(lock, libc::LOCK_EX | libc::LOCK_NB) != 0 {
            libc::nanosleep(&raw const pause, std::ptr::null_mut());
            left -= 1;
        }
    }
}

/// Line by line, or several at once: a record of another process comes between lines only.
#[expect(unsafe_code, reason = "only system calls are allowed here")]
unsafe fn copy_to_stderr(file: libc::c_int) {
    let mut piece = [0_u8; PIECE];
    let mut offset = 0;
    loop {
        // SAFETY: as in `write_stacks`; the buffer is as long as is said.
        let read = unsafe { libc::pread(file, piece.as_mut_ptr().cast(), PIECE, offset) };
        let Some(read) = piece.get(..usize::try_from(read).unwrap_or(0)) else {
            return;
        };
        let last_line = read.iter().rposition(|byte| *byte == b'\n');
        let lines = last_line.map_or(read, |end| &read[..=end]);
        // SAFETY: as above.
        let written = unsafe { libc::write(2, lines.as_ptr().cast(), lines.len()) };
        match libc::off_t::try_from(written) {
            Ok(written) if written > 0 => offset += written,
            _ => return,
        }
    }
}
