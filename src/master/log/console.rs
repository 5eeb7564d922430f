//! Records as lines on stderr, in Gunicorn's form:
//! `[2026-11-21 10:00:00 +0000] [1234] [INFO] Worker 3 is ready`.
//!
//! The time is always UTC: the local offset would need the C library's time
//! zone code, and servers that are compared should agree.
//!
//! Whatever stderr is, writing to it must not stop the master: a terminal whose
//! scrolling is held, a pipe whose reader sleeps, a full disk. `O_NONBLOCK`
//! cannot be set on stderr itself, because the flag belongs to everybody who
//! shares it. So a pipe or a terminal is opened a second time, non-blocking,
//! for us alone; a socket is sent to with `MSG_DONTWAIT`; and where neither
//! works, a write follows only when `poll` says that there is room, of no more
//! than what a pipe takes in one piece. What is not taken after a short wait is
//! dropped and counted, and from then on there is no wait until a record gets
//! through again.

use super::{Entry, Priority};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a record may wait for a slow reader.
const WRITE_TIMEOUT: Duration = Duration::from_millis(50);

/// What a pipe takes in one piece.
const PIPE_BUF: usize = 4096;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Time, process and level in brackets.
    Plain,
    /// The same, the level in colour.
    Coloured,
    /// `<6>` before every line: for a journal that reads stderr.
    Prefixed,
}

/// Lines on a stream.
#[derive(Debug)]
pub struct Console {
    output: Output,
    style: Style,
    /// Records lost since the last one that got through.
    dropped: u64,
    /// The last record was cut in the middle of a line.
    mid_line: bool,
}

/// The ways to write without blocking.
#[derive(Debug)]
enum Output {
    /// An open file description of our own, non-blocking.
    Own(OwnedFd),
    /// A socket.
    Socket(OwnedFd),
    /// Shared with others, blocking.
    Shared(OwnedFd),
    /// There is no stderr.
    Nowhere,
}

impl Console {
    /// Lines on stderr.
    pub fn stderr(style: Style) -> Self {
        Self::on(io::stderr(), style)
    }

    /// Lines on `stream`.
    pub fn on(stream: impl AsFd, style: Style) -> Self {
        Self {
            output: Output::of(stream),
            style,
            dropped: 0,
            mid_line: false,
        }
    }

    /// Writes `entry`, or drops and counts it.
    pub(super) fn write(&mut self, entry: &Entry) {
        let now = SystemTime::now();
        let timeout = if self.dropped > 0 {
            let note = Entry::dropped(self.dropped, "stderr");
            let note = lines(&note, self.style, now);
            if self.put(&note, Duration::ZERO).is_err() {
                self.dropped += 1;
                return;
            }
            self.dropped = 0;
            Duration::ZERO
        } else {
            WRITE_TIMEOUT
        };
        if self.put(&lines(entry, self.style, now), timeout).is_err() {
            self.dropped += 1;
        }
    }

    fn put(&mut self, text: &str, timeout: Duration) -> rustix::io::Result<()> {
        let until = Instant::now() + timeout;
        if self.mid_line {
            self.output.write(b"\n", until)?;
            self.mid_line = false;
        }
        for piece in text.as_bytes().chunks(PIPE_BUF) {
            self.output.write(piece, until)?;
            self.mid_line = true;
        }
        self.mid_line = false;
        Ok(())
    }
}

impl Output {
    fn of(stream: impl AsFd) -> Self {
        let stream = stream.as_fd();
        let Ok(stat) = rustix::fs::fstat(stream) else {
            return Self::Nowhere;
        };
        let Ok(copy) = stream.try_clone_to_owned() else {
            return Self::Nowhere;
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Socket => Self::Socket(copy),
            FileType::Fifo | FileType::CharacterDevice => {
                let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
                let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                // Not allowed when the stream belongs to another user.
                rustix::fs::open(path, flags, Mode::empty()).map_or(Self::Shared(copy), Self::Own)
            }
            // A file never makes anybody wait for a reader.
            _ => Self::Shared(copy),
        }
    }

    /// Writes all of `bytes`, which a pipe takes in one piece, or says why not.
    fn write(&self, mut bytes: &[u8], until: Instant) -> rustix::io::Result<()> {
        while !bytes.is_empty() {
            let written = match self {
                Self::Own(fd) => rustix::io::write(fd, bytes),
                Self::Socket(fd) => {
                    rustix::net::send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
                }
                Self::Shared(fd) if has_room(fd, Duration::ZERO) => rustix::io::write(fd, bytes),
                Self::Shared(_) => Err(Errno::AGAIN),
                Self::Nowhere => Ok(bytes.len()),
            };
            match written {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() || !self.wait(left) {
                        return Err(Errno::AGAIN);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until there is room.
    fn wait(&self, at_most: Duration) -> bool {
        match self {
            Self::Own(fd) | Self::Socket(fd) | Self::Shared(fd) => has_room(fd, at_most),
            Self::Nowhere => true,
        }
    }
}

fn has_room(fd: &OwnedFd, within: Duration) -> bool {
    let Ok(timeout) = Timespec::try_from(within) else {
        return false;
    };
    let mut fds = [PollFd::new(fd, PollFlags::OUT)];
    // An error or a hang-up is room too: the write then says what is wrong.
    rustix::event::poll(&mut fds, Some(&timeout)).is_ok_and(|ready| ready > 0)
}

/// `entry` as it appears on the stream, with the line ends.
fn lines(entry: &Entry, style: Style, now: SystemTime) -> String {
    let message = printable(entry.message.trim_end());
    let priority = entry.priority;
    if style == Style::Prefixed {
        let prefix = format!("<{}>", priority.number());
        return message
            .lines()
            .flat_map(|line| [&prefix, line, "\n"])
            .collect();
    }
    let pid = entry.speaker.unwrap_or_else(std::process::id);
    let time = timestamp(now);
    let word = priority.word();
    let (on, off) = match (style, priority) {
        (Style::Plain | Style::Prefixed, _) => ("", ""),
        (
            Style::Coloured,
            Priority::Emergency | Priority::Alert | Priority::Critical | Priority::Error,
        ) => ("\x1b[31m", "\x1b[0m"),
        (Style::Coloured, Priority::Warning) => ("\x1b[33m", "\x1b[0m"),
        (Style::Coloured, Priority::Notice | Priority::Info) => ("\x1b[32m", "\x1b[0m"),
        (Style::Coloured, Priority::Debug) => ("\x1b[2m", "\x1b[0m"),
    };
    format!("[{time}] [{pid}] [{on}{word}{off}] {message}\n")
}

/// `text` without what would move the cursor of a terminal or ring its bell.
fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// `2026-11-21 10:00:00 +0000`.
fn timestamp(now: SystemTime) -> String {
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000")
}

/// Year, month and day of the day that is so many days after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that a leap day is the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests;
