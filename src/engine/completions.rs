//! What other threads give back to the engine: answers they have finished, and requests
//! they wait to go on with.

use crate::buffers::Outgoing;
use crate::close_on_fork::CloseOnFork;
use crate::request::RequestId;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Acquire};
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
pub(crate) enum Completion {
    /// The answer is complete, or was aborted.
    Finished(RequestId, Box<Outgoing>),
    /// The handle was dropped before the answer was complete.
    Dropped(RequestId, Box<Outgoing>),
    /// The handle waits until its socket takes more.
    AwaitsWritable(RequestId),
}

/// A queue with an eventfd, which wakes the engine. Unused as long as the thread that
/// turns the engine answers all requests.
#[derive(Debug)]
pub(crate) struct Completions {
    queue: Mutex<Vec<Completion>>,
    /// The queue is not empty, and the engine has been woken for it.
    is_pending: AtomicBool,
    wake_fd: CloseOnFork,
}

impl Completions {
    pub(crate) fn new() -> io::Result<Self> {
        let wake_fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self {
            queue: Mutex::default(),
            is_pending: AtomicBool::new(false),
            wake_fd: wake_fd.into(),
        })
    }

    pub(crate) fn push(&self, completion: Completion) {
        self.lock().push(completion);
        if !self.is_pending.swap(true, AcqRel) {
            // A counter that cannot take one more wakes the engine as well.
            let _ = rustix::io::write(&self.wake_fd, &1_u64.to_ne_bytes());
        }
    }

    /// All that were pushed since the last call, in order.
    pub(crate) fn take(&self) -> Vec<Completion> {
        if !self.is_pending.load(Acquire) {
            return Vec::new();
        }
        // Emptied before the flag is cleared: a push after that wakes the engine again.
        let _ = rustix::io::read(&self.wake_fd, &mut [0; 8]);
        self.is_pending
            .store(false, std::sync::atomic::Ordering::Release);
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Completion>> {
        // A thread that panicked while it pushed left a whole vector behind.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Completions {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake_fd.as_fd()
    }
}
