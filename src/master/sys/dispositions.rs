//! How this process reacts to signals.

use nix::sys::signal::{SigHandler, Signal, signal};

/// Undoes an inherited `SIG_IGN` for SIGCHLD: while it is ignored, the kernel
/// reaps children by itself, and the master does not learn that one has ended.
pub fn stop_ignoring_children() -> nix::Result<()> {
    // SAFETY: no handler is installed, and the one that is replaced is not used
    // again: a program begins with none.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map(drop)
}
