//! What can be known of signals in any thread; the handlers run in the main thread alone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[derive(Debug)]
pub struct SignalWatch {
    retire: Arc<AtomicBool>,
    reopen: Arc<AtomicBool>,
    wake: &'static OwnedFd,
    dump_stacks: fn(),
}

impl SignalWatch {
    /// `retire` is set when TERM comes, `reopen` when USR1 does; `wake` is a nonblocking pipe that each signal makes
    /// readable; `dump_stacks` writes the stacks of all threads to standard error, from any
    /// of them.
    pub fn new(
        retire: Arc<AtomicBool>,
        reopen: Arc<AtomicBool>,
        wake: &'static OwnedFd,
        dump_stacks: fn(),
    ) -> Self {
        Self {
            retire,
            reopen,
            wake,
            dump_stacks,
        }
    }

    /// TERM came.
    pub fn retire(&self) -> bool {
        self.retire.load(Relaxed)
    }

    /// Whether USR1 came since the last call.
    pub fn take_reopen(&self) -> bool {
        self.reopen.load(Relaxed) && self.reopen.swap(false, Relaxed)
    }

    /// Takes what made the descriptor readable.
    pub fn drain(&self) {
        let mut discarded = [0; 64];
        while matches!(rustix::io::read(self.wake, &mut discarded), Ok(count) if count > 0) {}
    }

    pub fn dump_stacks(&self) {
        (self.dump_stacks)();
    }
}

impl AsFd for SignalWatch {
    /// Readable when a signal came.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
