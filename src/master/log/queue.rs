//! The records that wait for the writer, within bounds. Pure: the caller holds
//! the lock and keeps the time.
//!
//! The program's records and what dead processes left in their pipes are taken
//! as they come. What living processes write is left in their pipes while a
//! mebibyte waits here, so that the process that writes too much waits, and
//! nothing is lost. This ends when the writer has been stuck in one record for
//! [`STALL`]: then nobody waits any longer, and what finds no room is dropped and
//! counted.

use super::record::{Content, Record};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The writer counts as stalled when one record takes longer. Shorter than any
/// sensible `timeout`: a worker that waits for its pipe gives no sign of life.
pub(super) const STALL: Duration = Duration::from_secs(5);

/// Queued bytes at which reading of the application's output stops.
const PAUSE: usize = 1024 * 1024;

/// Queued bytes at which it starts again.
const RESUME: usize = PAUSE / 2;

/// The limit for what exited processes left in their pipes (64 KiB each, as a
/// rule), which is read even while reading is paused.
const MOST_OUTPUT: usize = 8 * 1024 * 1024;

/// Bytes for the program's own records when those of the application find no room.
const RESERVE: usize = 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Queue {
    records: VecDeque<Record>,
    /// The size of all that wait.
    bytes: usize,
    /// Records lost since the last notice of it.
    dropped: u64,
    /// Records lost since the start.
    dropped_ever: u64,
    /// Since when the writer is busy with one record.
    writing: Option<Instant>,
    /// The application's output is not read.
    paused: bool,
    /// The last record could not be written: a notice waits for the next one.
    refused: bool,
}

impl Queue {
    /// Takes a record, or drops and counts it.
    pub(super) fn push(&mut self, record: Record, now: Instant) {
        let stalled = self.is_stalled(now);
        let output = if stalled { PAUSE } else { MOST_OUTPUT };
        let most = match record.content {
            Content::Application { .. } => output,
            Content::Program(_)
            | Content::Dropped(_)
            | Content::FileFails(_)
            | Content::FileMisses(_) => output + RESERVE,
        };
        if self.bytes >= most {
            self.dropped += 1;
            self.dropped_ever += 1;
            return;
        }
        // During a stall more will be dropped: one notice at its end is enough.
        if self.dropped > 0 && !stalled {
            let notice = Content::Dropped(std::mem::take(&mut self.dropped));
            self.add(Record::now(notice));
        }
        self.add(record);
    }

    fn add(&mut self, record: Record) {
        self.bytes += record.size();
        self.records.push_back(record);
    }

    /// The next record to write. [`Self::written`] or [`Self::refused`] follows.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Record> {
        let record = match self.records.pop_front() {
            Some(record) => {
                self.bytes -= record.size();
                record
            }
            None if self.dropped > 0 && !self.refused => {
                Record::now(Content::Dropped(std::mem::take(&mut self.dropped)))
            }
            None => return None,
        };
        self.writing = Some(now);
        Some(record)
    }

    /// The record that was popped last is where it belongs.
    pub(super) fn written(&mut self) {
        self.writing = None;
        self.refused = false;
    }

    /// It cannot be written, now or later.
    pub(super) fn refused(&mut self, record: &Record) {
        self.writing = None;
        self.refused = true;
        self.dropped += record.weight();
        match record.content {
            Content::Program(_) | Content::Application { .. } => self.dropped_ever += 1,
            // They were counted when they were lost.
            Content::Dropped(_) | Content::FileFails(_) | Content::FileMisses(_) => {}
        }
    }

    /// How many records were lost since the start.
    pub(super) fn dropped_ever(&self) -> u64 {
        self.dropped_ever
    }

    /// Nothing waits and nothing is being written.
    pub(super) fn is_done(&self) -> bool {
        let notice = self.dropped > 0 && !self.refused;
        self.records.is_empty() && self.writing.is_none() && !notice
    }

    /// Whether the writer has been stuck for too long.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        self.stalls_at().is_some_and(|then| then <= now)
    }

    /// When the writer counts as stalled, unless it finishes the current record.
    pub(super) fn stalls_at(&self) -> Option<Instant> {
        self.writing.map(|since| since + STALL)
    }

    /// Whether the application's output should be read.
    pub(super) fn takes_output(&mut self, now: Instant) -> bool {
        self.paused |= self.bytes >= PAUSE;
        !self.paused || self.is_stalled(now)
    }

    /// Whether the application's output was not read and should be again, now that there
    /// is room. `true` once.
    pub(super) fn resumes(&mut self) -> bool {
        let resumes = self.paused && self.bytes <= RESUME;
        self.paused &= !resumes;
        resumes
    }

    /// Whether the application's output waits for room.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::events::{AppProcess, Stream};
    use crate::log::{AppRecord, Priority};

    fn output(text: &str) -> Record {
        Record::now(Content::Application {
            process: AppProcess::ForkServer {
                pid: 1,
                generation: 1,
            },
            stream: Stream::Stdout,
            output: AppRecord {
                priority: Priority::Info,
                text: text.to_owned(),
                request: None,
            },
        })
    }

    /// Stands for any record of the program: it has the reserve, too.
    fn own() -> Record {
        Record::now(Content::Dropped(1))
    }

    fn is_notice(record: &Record) -> Option<u64> {
        match record.content {
            Content::Dropped(count) => Some(count),
            Content::Program(_)
            | Content::Application { .. }
            | Content::FileFails(_)
            | Content::FileMisses(_) => None,
        }
    }

    /// Takes output until no more should be read.
    fn filled(now: Instant) -> (Queue, u64) {
        let mut queue = Queue::default();
        let mut count = 0;
        while queue.takes_output(now) {
            queue.push(output("x"), now);
            count += 1;
        }
        (queue, count)
    }

    /// Writes all that waits.
    fn drain(queue: &mut Queue, now: Instant) -> Vec<Record> {
        std::iter::from_fn(|| {
            let record = queue.pop(now);
            queue.written();
            record
        })
        .collect()
    }

    #[test]
    fn output_is_paused_when_much_waits_and_resumed_when_half_is_written() {
        let now = Instant::now();
        let (mut queue, count) = filled(now);

        let mut written = 0;
        while !queue.resumes() {
            assert!(!queue.takes_output(now));
            queue.pop(now).unwrap();
            queue.written();
            written += 1;
        }

        assert!(count / 2 - 2 <= written && written <= count / 2 + 2);
        assert!(queue.takes_output(now));
        assert!(!queue.resumes(), "once for each pause");
        assert_eq!(drain(&mut queue, now).len() as u64, count - written);
    }

    #[test]
    fn a_slow_writer_loses_nothing() {
        let mut now = Instant::now();
        let (mut queue, count) = filled(now);

        for _ in 0..count {
            queue.pop(now).unwrap();
            now += STALL.mul_f64(0.99);
            assert!(!queue.is_stalled(now));
            queue.written();
        }

        assert!(queue.is_done());
    }

    #[test]
    fn a_stall_drops_output_and_is_reported_once_when_it_is_over() {
        let start = Instant::now();
        let (mut queue, count) = filled(start);
        let stuck = queue.pop(start).unwrap();
        assert!(!queue.takes_output(start + STALL / 2));
        let later = start + STALL;
        assert!(queue.takes_output(later));

        queue.push(output("fits in place of the one being written"), later);
        for _ in 0..1000 {
            queue.push(output("dropped"), later);
        }
        queue.push(own(), later);
        queue.written();
        queue.push(output("after"), later);

        assert_eq!(is_notice(&stuck), None);
        let records = drain(&mut queue, later);
        assert_eq!(records.len() as u64, count - 1 + 1 + 1 + 1 + 1);
        let notices: Vec<_> = records.iter().filter_map(is_notice).collect();
        assert_eq!(notices, [1, 1000], "the program's own, and the notice");
        assert!(is_notice(records.last().unwrap()).is_none());
        assert!(queue.is_done());
    }

    #[test]
    fn the_notice_comes_without_another_record() {
        let start = Instant::now();
        let (mut queue, _) = filled(start);
        queue.pop(start);
        queue.push(output("fits"), start + STALL);
        queue.push(output("dropped"), start + STALL);
        queue.written();
        assert!(!queue.is_done());

        let records = drain(&mut queue, start + STALL);

        assert_eq!(is_notice(records.last().unwrap()), Some(1));
        assert!(queue.is_done());
    }

    #[test]
    fn what_dead_processes_leave_is_kept_while_the_writer_keeps_up() {
        let now = Instant::now();
        let (mut queue, count) = filled(now);

        for _ in 0..1000 {
            queue.push(output("left in a pipe"), now);
        }

        assert_eq!(drain(&mut queue, now).len() as u64, count + 1000);
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let start = Instant::now();
        let mut queue = Queue::default();
        queue.push(own(), start);
        queue.pop(start);
        let long = "x".repeat(40_000);

        for now in [start, start + STALL] {
            for _ in 0..1000 {
                queue.push(output(&long), now);
            }
            for _ in 0..100_000 {
                queue.push(own(), now);
            }
            assert!(queue.bytes <= MOST_OUTPUT + RESERVE + 41_000);
        }
        assert!(queue.dropped > 100_000);
        assert!(queue.dropped_ever >= queue.dropped);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_notice_waits_for_a_better_time() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.push(output("disk full"), now);
        let record = queue.pop(now).unwrap();
        queue.refused(&record);
        assert!(queue.pop(now).is_none(), "no endless attempts");
        assert!(queue.is_done());

        queue.push(output("again"), now);

        let records = drain(&mut queue, now);
        assert_eq!(is_notice(&records[0]), Some(1));
        assert_eq!(records.len(), 2);
    }
}
