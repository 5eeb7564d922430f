//! What an application writes to stdout and stderr, read through pipes where
//! the log keeps fields (the journal). In a terminal there are no pipes: the
//! processes inherit the master's streams.

use crate::log::events::Stream;
use crate::log::{AppRecord, Assembler};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// So many bytes are read from one pipe at a time: an application that floods
/// its output waits for its pipe, and nobody else waits for it.
const SHARE: usize = 64 * 1024;

/// One stream of one process.
#[derive(Debug)]
pub struct Output {
    pipe: OwnedFd,
    assembler: Assembler,
}

/// The two streams of one process, if they are read.
pub type Pipes = Option<[(Stream, Output); 2]>;

/// The two streams of one process, which is lent the other ends: stdout, stderr.
pub type BothEnds = ([(Stream, Output); 2], [OwnedFd; 2]);

/// Both streams of a process that is about to be started.
pub fn pipes() -> io::Result<BothEnds> {
    let (stdout, stdout_writer) = pipe()?;
    let (stderr, stderr_writer) = pipe()?;
    Ok((
        [(Stream::Stdout, stdout), (Stream::Stderr, stderr)],
        [stdout_writer, stderr_writer],
    ))
}

/// Our end does not block; the application's does, as it expects of its streams.
fn pipe() -> io::Result<(Output, OwnedFd)> {
    let (pipe, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&pipe, true)?;
    let output = Output {
        pipe,
        assembler: Assembler::default(),
    };
    Ok((output, writer))
}

impl Output {
    /// One read. `None`: all writers have closed it; what is left comes with [`Self::finish`].
    pub fn read(&mut self, now: Instant) -> io::Result<Option<Vec<AppRecord>>> {
        let mut bytes = Vec::with_capacity(SHARE);
        match rustix::io::read(&self.pipe, spare_capacity(&mut bytes)) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(self.assembler.receive(&bytes, now))),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Some(Vec::new())),
            Err(error) => Err(error.into()),
        }
    }

    /// When an unfinished line has waited long enough.
    pub fn deadline(&self) -> Option<Instant> {
        self.assembler.deadline()
    }

    /// What has waited long enough.
    pub fn flush(&mut self, now: Instant) -> Vec<AppRecord> {
        self.assembler.flush(now)
    }

    /// Everything that is left in the pipe and in the assembler, as the process
    /// is gone. A descendant of its own may still hold the pipe; so this reads
    /// what is there and does not wait for the end.
    pub fn finish(&mut self, now: Instant) -> Vec<AppRecord> {
        let mut records = Vec::new();
        // A pipe holds 64 KiB by default; a descendant that goes on writing must
        // not keep us here.
        for _ in 0..16 {
            match self.read(now) {
                Ok(Some(more)) if more.is_empty() => break,
                Ok(Some(more)) => records.extend(more),
                Ok(None) | Err(_) => break,
            }
        }
        records.extend(self.assembler.finish());
        records
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
