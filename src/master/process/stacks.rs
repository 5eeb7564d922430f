//! The stacks of a worker's threads, which it writes into a pipe when it gets a signal
//! (`src/worker/stacks.rs`). It may write anything else there, or nothing.

use super::Handle;
use crate::sys::handed_over::{HandedOver, Number};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a worker may take to write its stacks.
pub const STACKS_TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes that are kept of them. An answer takes less.
const MOST: usize = 256 * 1024;

/// The most bytes that are read at a time: nobody else waits for a worker that writes on
/// and on.
const SHARE: usize = 64 * 1024;

/// Where a worker writes its stacks.
#[derive(Debug)]
pub struct StacksPipe {
    pipe: OwnedFd,
    /// The number of the signal upon which it does.
    signal: i32,
    /// While it was asked for them.
    dump: Option<Dump>,
}

#[derive(Debug)]
struct Dump {
    text: Vec<u8>,
    until: Instant,
}

/// What has come of a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Stacks {
    /// There may be more.
    Incomplete,
    Complete(String),
}

impl StacksPipe {
    /// # Errors
    ///
    /// If reading from it might block: the worker has made it.
    pub fn new(pipe: OwnedFd, signal: i32) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self {
            pipe,
            signal,
            dump: None,
        })
    }

    /// For the program that takes over. Not while it is [asked](Self::deadline).
    pub fn hand_over<'a>(&'a self, fds: &mut HandedOver<'a>) -> (Number, i32) {
        (fds.add(self.pipe.as_fd()), self.signal)
    }

    /// Asks the worker. Before it has answered, a second question is the same as the first.
    /// `true`: this is the first, and the pipe is to be watched.
    pub fn ask(&mut self, worker: &Handle, now: Instant) -> io::Result<bool> {
        if self.dump.is_some() {
            return Ok(false);
        }
        // An answer that came too late. If the worker does not stop writing, what follows is
        // its own fault.
        let mut left = MOST;
        while left > 0 {
            match self.read_part() {
                Ok(part) if !part.is_empty() => left = left.saturating_sub(part.len()),
                Ok(_) | Err(_) => break,
            }
        }
        worker.signal_realtime(self.signal)?;
        self.dump = Some(Dump {
            text: Vec::new(),
            until: now + STACKS_TIMEOUT,
        });
        Ok(true)
    }

    /// Reads what has come. After [`Stacks::Complete`] it is not asked any more. After an
    /// error nothing will come: a worker that lives, and has closed its end, is given up at the
    /// deadline.
    pub fn read(&mut self) -> io::Result<Stacks> {
        let mut left = SHARE;
        while left > 0 {
            let part = match self.read_part() {
                Ok(part) if part.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(part) => part,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            left = left.saturating_sub(part.len());
            let Some(dump) = &mut self.dump else { break };
            let end = part.iter().position(|byte| *byte == 0);
            let more = &part[..end.unwrap_or(part.len())];
            let room = MOST - dump.text.len();
            dump.text.extend_from_slice(&more[..more.len().min(room)]);
            if end.is_some() {
                return Ok(Stacks::Complete(self.give_up()));
            }
        }
        Ok(Stacks::Incomplete)
    }

    /// Until when it may answer, if it was asked.
    pub fn deadline(&self) -> Option<Instant> {
        self.dump.as_ref().map(|dump| dump.until)
    }

    /// Ends the question. Returns what has come so far.
    pub fn give_up(&mut self) -> String {
        let text = self.dump.take().map(|dump| dump.text).unwrap_or_default();
        String::from_utf8_lossy(&text).trim().to_owned()
    }

    /// Empty at the end: the worker is gone.
    fn read_part(&self) -> io::Result<Vec<u8>> {
        let mut part = Vec::with_capacity(SHARE);
        loop {
            match rustix::io::read(&self.pipe, rustix::buffer::spare_capacity(&mut part)) {
                Ok(_) => return Ok(part),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for StacksPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::PipeFlags;

    /// A question to a worker that is gone, and the other end of its pipe.
    fn asked() -> (StacksPipe, OwnedFd) {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (reader, writer) = rustix::pipe::pipe_with(flags).unwrap();
        rustix::io::write(&writer, b"too late\0").unwrap();
        let mut stacks = StacksPipe::new(reader, 60).unwrap();
        assert!(stacks.ask(&Handle::reaped(1), Instant::now()).unwrap());
        (stacks, writer)
    }

    #[test]
    fn what_was_written_before_the_question_is_no_answer() {
        let (mut stacks, writer) = asked();
        assert_eq!(stacks.read().unwrap(), Stacks::Incomplete);

        rustix::io::write(&writer, b"Thread 1\n  File").unwrap();
        assert_eq!(stacks.read().unwrap(), Stacks::Incomplete);
        assert!(!stacks.ask(&Handle::reaped(1), Instant::now()).unwrap());
        rustix::io::write(&writer, b" \"x\"\n\0").unwrap();

        let text = "Thread 1\n  File \"x\"".to_owned();
        assert_eq!(stacks.read().unwrap(), Stacks::Complete(text));
        assert_eq!(stacks.deadline(), None);
    }

    #[test]
    fn an_answer_without_an_end_is_kept_in_part() {
        let (mut stacks, writer) = asked();

        for _ in 0..100 {
            rustix::io::write(&writer, &[b'x'; 16 * 1024]).unwrap();
            assert_eq!(stacks.read().unwrap(), Stacks::Incomplete);
        }

        assert!(stacks.deadline().is_some());
        assert_eq!(stacks.give_up().len(), MOST);
        assert_eq!(stacks.deadline(), None);
    }

    #[test]
    fn a_worker_that_has_closed_its_end_is_waited_for_until_the_deadline() {
        let (mut stacks, writer) = asked();

        drop(writer);

        assert!(stacks.read().is_err());
        assert!(stacks.deadline().is_some());
        assert_eq!(stacks.give_up(), "");
        assert_eq!(stacks.deadline(), None);
    }
}
