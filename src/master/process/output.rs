//! What an application writes to stdout and stderr, read through pipes where
//! the log keeps fields (the journal). In a terminal there are no pipes: the
//! processes inherit the master's streams.
//!
//! The pipes are in packet mode (`O_DIRECT`, pipe(2)): each read gives what one
//! write put there, so what was written together can be kept together. A child
//! of the application that opens `/dev/stderr` again writes an ordinary stream
//! of bytes; it is understood as well, line by line.

use crate::log::events::Stream;
use crate::log::{AppRecord, Assembler};
use crate::sys::handed_over::HandedOver;
use crate::upgrade::state::OutputState;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// The most bytes that are read from one pipe at a time: an application that floods
/// its output waits for its pipe, and nobody else waits for it.
const SHARE: usize = 64 * 1024;

/// One stream of one process.
#[derive(Debug)]
pub struct Output {
    pipe: OwnedFd,
    assembler: Assembler,
}

/// What one call of [`Output::read`] gave.
#[derive(Debug)]
pub struct Read {
    pub records: Vec<AppRecord>,
    pub pipe: PipeState,
}

/// What is left in a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipeState {
    MoreToRead,
    Empty,
    /// All writers have closed it.
    End,
}

/// The two streams of one process, if they are read.
pub type Pipes = Option<[(Stream, Output); 2]>;

/// The two streams of one process, which is lent the other ends: stdout, stderr.
pub type BothEnds = ([(Stream, Output); 2], [OwnedFd; 2]);

/// Both streams of a process, for the program that takes over.
pub fn hand_over<'a>(pipes: &'a Pipes, fds: &mut HandedOver<'a>) -> Option<[OutputState; 2]> {
    let [(_, stdout), (_, stderr)] = pipes.as_ref()?;
    Some([stdout.hand_over(fds), stderr.hand_over(fds)])
}

pub fn adopt(state: Option<&[OutputState; 2]>) -> io::Result<Pipes> {
    let Some([stdout, stderr]) = state else {
        return Ok(None);
    };
    Ok(Some([
        (Stream::Stdout, Output::adopt(stdout, Stream::Stdout)?),
        (Stream::Stderr, Output::adopt(stderr, Stream::Stderr)?),
    ]))
}

/// Both streams of a process that is about to be started.
pub fn pipes() -> io::Result<BothEnds> {
    let (stdout, stdout_writer) = pipe(Stream::Stdout)?;
    let (stderr, stderr_writer) = pipe(Stream::Stderr)?;
    Ok((
        [(Stream::Stdout, stdout), (Stream::Stderr, stderr)],
        [stdout_writer, stderr_writer],
    ))
}

/// Our end does not block; the application's does, as it expects of its streams.
fn pipe(stream: Stream) -> io::Result<(Output, OwnedFd)> {
    let packets = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT);
    let ((pipe, writer), in_packets) = match packets {
        Ok(ends) => (ends, true),
        // Some sandboxes know no packets.
        Err(Errno::INVAL) => (rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?, false),
        Err(error) => return Err(error.into()),
    };
    rustix::io::ioctl_fionbio(&pipe, true)?;
    Ok((Output::of(pipe, stream, in_packets), writer))
}

impl Output {
    fn of(pipe: OwnedFd, stream: Stream, in_packets: bool) -> Self {
        let assembler = if in_packets {
            Assembler::of_writes(stream)
        } else {
            Assembler::default()
        };
        Self { pipe, assembler }
    }

    /// For the program that takes over. What was read and is not a record yet is lost
    /// unless it was [cut](Self::cut) off.
    pub fn hand_over<'a>(&'a self, fds: &mut HandedOver<'a>) -> OutputState {
        OutputState {
            pipe: fds.add(self.pipe.as_fd()),
            in_packets: self.is_in_packets(),
        }
    }

    pub fn adopt(state: &OutputState, stream: Stream) -> io::Result<Self> {
        Ok(Self::of(state.pipe.take()?, stream, state.in_packets))
    }

    /// Makes records of what was read, though more may follow.
    pub fn cut(&mut self) -> Vec<AppRecord> {
        self.assembler.finish()
    }

    /// Whether each read gives what one write put there, which marks depend on.
    pub fn is_in_packets(&self) -> bool {
        self.assembler.has_writes()
    }

    /// Reads what is there, but no more than a fair share.
    pub fn read(&mut self, now: Instant) -> io::Result<Read> {
        let mut records = Vec::new();
        let mut bytes = Vec::with_capacity(SHARE);
        let mut left = SHARE;
        while left > 0 {
            bytes.clear();
            match rustix::io::read(&self.pipe, spare_capacity(&mut bytes)) {
                Ok(0) => {
                    let pipe = PipeState::End;
                    return Ok(Read { records, pipe });
                }
                Ok(length) => {
                    records.extend(self.assembler.receive(&bytes, now));
                    // Short writes count as well: each may be a record.
                    left = left.saturating_sub(length.max(SHARE / 256));
                }
                Err(Errno::AGAIN) => {
                    let pipe = PipeState::Empty;
                    return Ok(Read { records, pipe });
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let pipe = PipeState::MoreToRead;
        Ok(Read { records, pipe })
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
    pub fn finish(&mut self, now: Instant) -> Read {
        let mut finished = Read {
            records: Vec::new(),
            pipe: PipeState::MoreToRead,
        };
        // A descendant that goes on writing must not keep us here. A pipe holds
        // 64 KiB; each write takes 4 KiB of it, however short it is.
        for _ in 0..4 {
            // What cannot be read is not waited for either.
            let (records, pipe) = self.read(now).map_or((Vec::new(), PipeState::End), |read| {
                (read.records, read.pipe)
            });
            finished.records.extend(records);
            finished.pipe = pipe;
            if pipe != PipeState::MoreToRead {
                break;
            }
        }
        finished.records.extend(self.assembler.finish());
        finished
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// The texts of the records that a Python program with this code makes.
    fn python(code: &str) -> [Vec<String>; 2] {
        let ([(_, mut stdout), (_, mut stderr)], [out, err]) = pipes().unwrap();
        let mut program = Command::new("python3")
            .args(["-c", code])
            .env_remove("PYTHONUNBUFFERED")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap();
        let mut records = [Vec::new(), Vec::new()];
        loop {
            let ended = program.try_wait().unwrap().is_some();
            for (records, output) in records.iter_mut().zip([&mut stdout, &mut stderr]) {
                records.extend(output.read(Instant::now()).unwrap().records);
                if ended {
                    records.extend(output.finish(Instant::now()).records);
                }
            }
            if ended {
                return records.map(|records| {
                    let texts = records.into_iter().map(|record: AppRecord| record.text);
                    texts.collect()
                });
            }
        }
    }

    #[test]
    fn what_a_descendant_writes_can_be_read_after_its_process_is_gone() {
        let ([(_, mut stdout), _], [writer, _]) = pipes().unwrap();
        rustix::io::write(&writer, b"unfinished").unwrap();
        let texts = |read: Read| {
            let records = read.records.into_iter();
            records.map(|record| record.text).collect::<Vec<_>>()
        };

        let finished = stdout.finish(Instant::now());
        assert_eq!(finished.pipe, PipeState::Empty);
        assert_eq!(texts(finished), ["unfinished"]);

        rustix::io::write(&writer, b"later\n").unwrap();
        drop(writer);
        let read = stdout.read(Instant::now()).unwrap();
        assert_eq!(read.pipe, PipeState::End);
        assert_eq!(texts(read), ["later"]);
    }

    #[test]
    fn a_logged_message_of_several_lines_is_one_record() {
        let [_, stderr] = python(
            "import logging; logging.error('first\\nsecond\\n\\nthird'); logging.error('next')",
        );

        assert_eq!(
            stderr,
            ["ERROR:root:first\nsecond\n\nthird", "ERROR:root:next"]
        );
    }

    #[test]
    fn a_logged_message_on_stdout_is_one_record() {
        let [stdout, _] = python(
            "import logging, sys; sys.stdout.reconfigure(line_buffering=True); \
             logging.basicConfig(stream=sys.stdout); \
             logging.error('first\\nsecond'); logging.error('next')",
        );

        assert_eq!(stdout, ["ERROR:root:first\nsecond", "ERROR:root:next"]);
    }

    #[test]
    fn a_long_message_of_several_lines_is_one_record() {
        for length in [1000, 2000, 4000, 20_000] {
            let [_, stderr] = python(&format!(
                "import logging; logging.error('first\\n' + 'x\\n' * {length} + 'last'); \
                 logging.error('next')"
            ));

            assert_eq!(stderr.len(), 2, "{length}");
            assert_eq!(stderr[0].lines().count(), length + 2);
            assert_eq!(stderr[1], "ERROR:root:next");
        }
    }

    #[test]
    fn what_is_printed_is_a_record_for_each_line() {
        let [stdout, stderr] = python(
            "import sys; sys.stdout.reconfigure(line_buffering=True); \
             print('one\\ntwo'); print('three'); print('four\\nfive', file=sys.stderr)",
        );

        assert_eq!(stdout, ["one", "two", "three"]);
        assert_eq!(stderr, ["four", "five"]);
    }

    #[test]
    fn what_a_child_wrote_from_its_buffer_is_a_record_for_each_line() {
        let [stdout, _] = python(
            "import subprocess, sys; subprocess.run([sys.executable, '-c', \
             'for n in range(400): print(n, \"INFO line\")'])",
        );

        assert_eq!(stdout.len(), 400);
        assert_eq!(stdout[399], "399 INFO line");
    }

    #[test]
    fn a_traceback_and_a_message_with_one_are_one_record_each() {
        let [_, stderr] = python(
            "import logging, sys, traceback\n\
             try: {}['key']\n\
             except KeyError:\n    \
                 traceback.print_exc()\n    \
                 logging.exception('it failed\\nwith two lines')\n\
             logging.error('next')",
        );

        assert_eq!(stderr.len(), 3, "{stderr:#?}");
        assert!(stderr[0].starts_with("Traceback"));
        assert!(stderr[1].starts_with("ERROR:root:it failed\nwith two lines\nTraceback"));
        assert!(stderr[1].ends_with("KeyError: 'key'"));
    }
}
