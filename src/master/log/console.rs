//! Records as lines on stderr, in Gunicorn's form:
//! `[2026-11-21 10:00:00 +0000] [1234] [INFO] Worker 3 is ready`.
//!
//! The time is always UTC: servers that are compared should agree.
//!
//! A terminal whose scrolling is held or a pipe whose reader sleeps makes the
//! thread that writes wait, and nobody else. A stream that fails (a full disk, a
//! reader that is gone) takes nothing later either: the record is dropped.

use super::Priority;
use super::events;
use super::record::{Content, Record};
use super::sink::Failure;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::SystemTime;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Time, process and level in brackets.
    Plain,
    /// The same, the level in colour.
    Coloured,
    /// `<6>` before every line: for a journal that reads stderr.
    Prefixed,
}

/// Where the lines go.
#[derive(Debug)]
enum Stream {
    /// Wherever that leads by then: in the background, to nowhere. The standard library has
    /// opened it if the program was started without one.
    Stderr,
    Other(OwnedFd),
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stderr => rustix::stdio::stderr(),
            Self::Other(stream) => stream.as_fd(),
        }
    }
}

/// Lines on a stream.
#[derive(Debug)]
pub struct Console {
    /// `None` if there is none to be had.
    stream: Option<Stream>,
    style: Style,
    /// As a record of what was dropped names it.
    name: &'static str,
    /// The last record was cut in the middle of a line.
    mid_line: bool,
}

impl Console {
    pub(super) fn stderr(style: Style) -> Self {
        Self {
            stream: Some(Stream::Stderr),
            style,
            name: "stderr",
            mid_line: false,
        }
    }

    pub(super) fn on(stream: impl AsFd, style: Style, name: &'static str) -> Self {
        Self {
            stream: stream.as_fd().try_clone_to_owned().ok().map(Stream::Other),
            style,
            name,
            mid_line: false,
        }
    }

    pub(super) fn write(&mut self, record: &Record) -> Result<(), Failure> {
        self.put_record(record).map_err(|_| Failure::Refused)
    }

    pub(super) fn put_record(&mut self, record: &Record) -> rustix::io::Result<()> {
        let notice;
        let mut pid = std::process::id();
        let (priority, message) = match &record.content {
            Content::Program(captured) => {
                let level = *captured.metadata.level();
                (Priority::from(level), captured.message())
            }
            Content::Application {
                process, output, ..
            } => {
                pid = process.pid();
                (output.priority, output.text.as_str())
            }
            Content::Dropped(count) => {
                notice = events::records_dropped_text(*count, self.name);
                (Priority::Warning, notice.as_str())
            }
            Content::FileFails(text) => (Priority::Error, text.as_str()),
            Content::FileMisses(count) => {
                notice = events::error_log_misses_text(*count);
                (Priority::Warning, notice.as_str())
            }
        };
        let text = lines(priority, message, self.style, record.time, pid);
        self.put(&text)
    }

    fn put(&mut self, text: &str) -> rustix::io::Result<()> {
        let Some(stream) = &self.stream else {
            return Ok(());
        };
        if self.mid_line {
            write_all(stream, b"\n").map_err(|(error, _)| error)?;
            self.mid_line = false;
        }
        write_all(stream, text.as_bytes()).map_err(|(error, written)| {
            self.mid_line = written > 0;
            error
        })
    }
}

/// An error comes with how many bytes were written before it.
fn write_all(stream: impl AsFd, bytes: &[u8]) -> Result<(), (Errno, usize)> {
    let mut written = 0;
    let stream = stream.as_fd();
    while written < bytes.len() {
        match rustix::io::write(stream, &bytes[written..]) {
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            // Somebody who shares the stream has made it non-blocking.
            Err(Errno::AGAIN) => {
                let mut room = [PollFd::new(&stream, PollFlags::OUT)];
                rustix::io::retry_on_intr(|| rustix::event::poll(&mut room, None))
                    .map_err(|error| (error, written))?;
            }
            Err(error) => return Err((error, written)),
        }
    }
    Ok(())
}

/// A record as it appears on the stream, with the line ends.
fn lines(priority: Priority, message: &str, style: Style, time: SystemTime, pid: u32) -> String {
    let message = printable(message.trim_end());
    if style == Style::Prefixed {
        let prefix = format!("<{}>", priority.number());
        return message
            .lines()
            .flat_map(|line| [&prefix, line, "\n"])
            .collect();
    }
    let time = timestamp(time);
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
fn timestamp(time: SystemTime) -> String {
    // A clock that is thousands of years off.
    let time = jiff::Timestamp::try_from(time).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests;
