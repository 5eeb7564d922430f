//! From the bytes an application writes to stdout and stderr to records.
//!
//! A line is a record, except where several lines are one thing to a reader:
//!
//! - a traceback with all that is chained to it, and the report of a fatal error
//!   with the stacks of all threads;
//! - lines that begin with white space, which belong to the line before them;
//! - what one `write(2)` put on stderr, if it is whole lines: `logging` writes a
//!   record so, whatever its message looks like. `print` writes the last line
//!   end on its own and so stays a record per line. On stdout, where programs
//!   that buffer write unrelated lines in one go, the first line must be the only
//!   one with the name of a level in it.
//!
//! A carriage return within a line begins another line of the same record.
//!
//! A write that was made while a request was served begins with a mark, which names
//! it. What was written for different requests is not one record: the tracebacks
//! of two threads come out whole.
//!
//! A line may say its priority with `<N>` in front, as sd-daemon(3) has it.
//!
//! Python prints a traceback line by line, so one that has begun waits for its
//! rest over several reads; ordinary lines never wait. Pure: the caller reads,
//! keeps the time and writes.

mod shape;
#[cfg(test)]
mod tests;

use super::Priority;
use super::events::Stream;
use rgunicorn_link::output_mark;
use shape::{Line, Shape};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// The longest record in bytes. What is longer becomes several records.
const LONGEST: usize = 48 * 1024;

/// A longer write comes in several reads, all but the last of this size: what a
/// pipe in packet mode takes in one piece.
const PACKET: usize = 4096;

/// How long an unfinished line or traceback waits for its rest.
const QUIET: Duration = Duration::from_millis(200);

/// The most tracebacks of other requests that wait for their rest.
const MOST_SUSPENDED: usize = 16;

/// Stands at the end of a record whose rest is in the next one.
const CUT: &str = " [cut]";

/// Stands at the start of a record that is the rest of the one before.
const REST: &str = "[rest] ";

/// One record of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRecord {
    /// From `<N>`, or what its form suggests.
    pub priority: Priority,
    /// One line or several, without the last line end.
    pub text: String,
    /// The request that was being served.
    pub request: Option<String>,
}

/// Makes records from one stream of one process.
#[derive(Debug, Default)]
pub struct Assembler {
    /// The stream, if each read is what one write was.
    writes_of: Option<Stream>,
    /// What comes next belongs to a write whose beginning was read before.
    in_write: bool,
    /// What comes next may be the rest of a write that did not fit into a packet.
    in_long_write: bool,
    /// The request that what comes is about, by the mark of its write.
    request: Option<String>,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// What comes is the rest of a line that was too long.
    in_long_line: bool,
    /// The record that may still grow.
    open: Option<Open>,
    /// When what waits is not held back any longer.
    deadline: Option<Instant>,
    /// Tracebacks of other requests that have begun, and when they wait no longer.
    suspended: Vec<(Open, Instant)>,
    /// What is complete.
    done: Vec<AppRecord>,
}

/// What a write is about.
#[derive(Debug, Default)]
enum About {
    /// The same as what came before.
    #[default]
    Same,
    Request(String),
    NoRequest,
}

#[derive(Debug)]
struct Open {
    shape: Shape,
    /// From `<N>`.
    given: Option<Priority>,
    text: String,
    request: Option<String>,
    /// Empty lines that belong to it only if more of it follows.
    blanks: usize,
}

impl Assembler {
    /// For a stream of which each read gives what one `write(2)` put there, up to
    /// [`PACKET`] bytes of it.
    pub fn of_writes(stream: Stream) -> Self {
        Self {
            writes_of: Some(stream),
            ..Self::default()
        }
    }

    /// Whether each read is what one write was.
    pub fn has_writes(&self) -> bool {
        self.writes_of.is_some()
    }

    /// Takes what one read gave. Records that are complete come back.
    pub fn receive(&mut self, packet: &[u8], now: Instant) -> Vec<AppRecord> {
        let at_line_start = self.partial.is_empty() && !self.in_long_line;
        let (bytes, mut about) = self.take_mark(packet);
        if at_line_start {
            self.begin(std::mem::take(&mut about));
        }
        let together =
            self.in_write || (at_line_start && self.is_one_record(bytes, packet.len() == PACKET));
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(&rest[..end]);
            self.cut_long_line();
            let line = std::mem::take(&mut self.partial);
            self.line(&line);
            self.in_long_line = false;
            self.in_write = together;
            // The line whose beginning came before keeps its request.
            self.begin(std::mem::take(&mut about));
            rest = &rest[end + 1..];
        }
        self.in_write = together && packet.len() == PACKET;
        self.in_long_write = packet.len() == PACKET;
        let new_line = rest.len() < bytes.len();
        self.partial.extend_from_slice(rest);
        self.cut_long_line();

        let grows = self.in_write
            || self
                .open
                .as_ref()
                .is_some_and(|open| open.shape != Shape::Plain);
        if self.partial.is_empty() && !self.in_long_line && !grows {
            self.close();
        }
        self.deadline = match self.deadline {
            _ if self.open.is_none() && self.partial.is_empty() => None,
            // A line waits from its beginning, a traceback from its last line.
            Some(deadline) if !grows && !new_line => Some(deadline),
            _ => Some(now + QUIET),
        };
        std::mem::take(&mut self.done)
    }

    /// When to call [`Self::flush`], if anything waits.
    pub fn deadline(&self) -> Option<Instant> {
        let suspended = self.suspended.iter().map(|(_, deadline)| *deadline);
        suspended.chain(self.deadline).min()
    }

    /// The records that have waited long enough for their rest.
    pub fn flush(&mut self, now: Instant) -> Vec<AppRecord> {
        for (open, deadline) in std::mem::take(&mut self.suspended) {
            if now >= deadline {
                self.done.push(open.into());
            } else {
                self.suspended.push((open, deadline));
            }
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.settle();
        }
        std::mem::take(&mut self.done)
    }

    /// All that is left: the stream is at its end.
    pub fn finish(&mut self) -> Vec<AppRecord> {
        let suspended = std::mem::take(&mut self.suspended).into_iter();
        self.done.extend(suspended.map(|(open, _)| open.into()));
        self.settle();
        std::mem::take(&mut self.done)
    }

    fn settle(&mut self) {
        if !self.partial.is_empty() {
            let line = std::mem::take(&mut self.partial);
            self.line(&line);
        }
        self.close();
        self.in_write = false;
        self.deadline = None;
    }

    /// What follows the mark, and what it is about.
    fn take_mark<'b>(&self, packet: &'b [u8]) -> (&'b [u8], About) {
        if !self.has_writes() {
            return (packet, About::Same);
        }
        match output_mark::take(packet) {
            Some((name, rest)) if self.request.as_deref() == Some(name) => (rest, About::Same),
            Some((name, rest)) => (rest, About::Request(name.to_owned())),
            None if self.in_long_write || self.request.is_none() => (packet, About::Same),
            None => (packet, About::NoRequest),
        }
    }

    /// What is about different requests is not one record.
    fn begin(&mut self, about: About) {
        self.request = match about {
            About::Same => return,
            About::Request(name) => Some(name),
            About::NoRequest => None,
        };
        match (self.open.take(), self.deadline) {
            (Some(open), Some(deadline))
                if open.shape != Shape::Plain && self.suspended.len() < MOST_SUSPENDED =>
            {
                self.suspended.push((open, deadline));
            }
            (open, _) => {
                self.open = open;
                self.close();
            }
        }
        let resumed = (self.suspended.iter()).position(|(open, _)| open.request == self.request);
        self.open = resumed.map(|place| self.suspended.remove(place).0);
    }

    /// Whether lines that were written at once are one record.
    fn is_one_record(&self, bytes: &[u8], is_long: bool) -> bool {
        match self.writes_of {
            // Whether a long write ends with a line is not known yet.
            Some(Stream::Stderr) => bytes.ends_with(b"\n") || is_long,
            Some(Stream::Stdout) => {
                let mut lines = bytes.split(|byte| *byte == b'\n');
                bytes.ends_with(b"\n")
                    && !is_long
                    && lines.next().is_some_and(names_level)
                    && !lines.any(names_level)
            }
            None => false,
        }
    }

    /// Takes pieces off a line that is longer than a record.
    fn cut_long_line(&mut self) {
        while self.partial.len() > LONGEST {
            let rest = self.partial.split_off(boundary(&self.partial, LONGEST));
            let piece = std::mem::replace(&mut self.partial, rest);
            self.line(&piece);
            self.in_long_line = true;
        }
    }

    fn line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = &*with_returns_as_line_breaks(&line);
        if self.in_long_line {
            self.append("", line);
            return;
        }
        let (given, line) = split_priority(line);
        let kind = Line::of(line);
        let Some(open) = &mut self.open else {
            self.start(kind, given, line);
            return;
        };
        if kind == Line::Blank && (open.shape != Shape::Plain || self.in_write) {
            open.blanks += 1;
            return;
        }
        let mut shape = open.shape.after(kind, open.blanks, &open.text);
        // A line that says its priority is meant for itself.
        if shape.is_none() && self.in_write && given.is_none() {
            shape = Some(match Shape::first(kind) {
                Shape::Plain => open.shape,
                other => other,
            });
        }
        if let Some(shape) = shape {
            open.shape = shape;
            let glue = "\n".repeat(1 + std::mem::take(&mut open.blanks));
            self.append(&glue, line);
        } else {
            self.close();
            self.start(kind, given, line);
        }
    }

    fn start(&mut self, kind: Line, given: Option<Priority>, line: &str) {
        if kind == Line::Blank {
            return;
        }
        self.open = Some(Open {
            shape: Shape::first(kind),
            given,
            text: String::new(),
            request: self.request.clone(),
            blanks: 0,
        });
        self.append("", line);
    }

    /// Adds to the open record, and begins another where it would get too long.
    fn append(&mut self, glue: &str, mut text: &str) {
        let open = self.open.get_or_insert_with(|| Open {
            shape: Shape::Plain,
            given: None,
            text: REST.to_owned(),
            request: self.request.clone(),
            blanks: 0,
        });
        if open.text.len() + glue.len() < LONGEST {
            open.text.push_str(glue);
        }
        while open.text.len() + text.len() > LONGEST {
            let room = boundary(text.as_bytes(), LONGEST.saturating_sub(open.text.len()));
            open.text.push_str(&text[..room]);
            open.text.push_str(CUT);
            text = &text[room..];
            let full = std::mem::replace(&mut open.text, REST.to_owned());
            self.done.push(AppRecord {
                priority: open.priority(),
                text: full,
                request: open.request.clone(),
            });
        }
        open.text.push_str(text);
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.done.push(open.into());
        }
    }
}

impl From<Open> for AppRecord {
    fn from(open: Open) -> Self {
        Self {
            priority: open.priority(),
            text: open.text,
            request: open.request,
        }
    }
}

impl Open {
    fn priority(&self) -> Priority {
        self.given.unwrap_or(match self.shape {
            Shape::Plain | Shape::Announced => Priority::Info,
            Shape::Frames | Shape::Ended | Shape::Chained | Shape::Group | Shape::Dump => {
                Priority::Error
            }
            Shape::FatalDump => Priority::Critical,
        })
    }
}

/// Whether a line looks like one that `logging` begins a record with.
fn names_level(line: &[u8]) -> bool {
    const LEVELS: [&str; 6] = ["DEBUG", "INFO", "WARN", "ERROR", "CRITICAL", "FATAL"];
    let line = String::from_utf8_lossy(line);
    LEVELS.iter().any(|level| line.contains(level))
}

/// A terminal would overwrite what is before a carriage return. The journal shows all of
/// it, a line below the other: in a progress bar that is little, elsewhere it may be what
/// somebody wanted to hide.
fn with_returns_as_line_breaks(line: &str) -> Cow<'_, str> {
    if !line.contains('\r') {
        return Cow::Borrowed(line);
    }
    let parts: Vec<_> = line.split('\r').filter(|part| !part.is_empty()).collect();
    Cow::Owned(parts.join("\n"))
}

/// `<3>disk full` is `disk full` with priority 3.
fn split_priority(line: &str) -> (Option<Priority>, &str) {
    let given = match line.as_bytes() {
        [b'<', digit @ b'0'..=b'7', b'>', ..] => Priority::from_number(u64::from(digit - b'0')),
        _ => None,
    };
    match given {
        Some(_) => (given, &line[3..]),
        None => (None, line),
    }
}

/// The largest index up to `at` that does not lie inside a character.
fn boundary(bytes: &[u8], at: usize) -> usize {
    let inside = |index: usize| bytes.get(index).is_some_and(|byte| byte & 0xC0 == 0x80);
    (at.saturating_sub(3)..=at)
        .rev()
        .find(|index| !inside(*index))
        .unwrap_or(at)
}
