//! The scoreboard: shared memory with one row for each worker.
//!
//! A worker writes its own row with plain stores while it serves; the master
//! reads all rows whenever it likes. So the master knows stuck workers, load
//! and totals without a single message, and a worker that is killed in the
//! middle of a store leaves a number, not a lock.

use crate::protocol::Idle;
use crate::roster::Roster;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// How many rows there are: the most workers at one time, retiring ones included.
pub const ROWS: usize = 2048;

/// Values of `Row::retired`.
const HAND_OVER: u64 = 1;
const CLOSE_SOON: u64 = 2;

/// How many words of a row are for the request under way.
const REQUEST_WORDS: usize = 24;

/// The longest method and path, in bytes, that a row holds whole.
pub const LONGEST_REQUEST: usize = REQUEST_WORDS * size_of::<u64>();

/// What stands for the end of one that is longer.
const CUT: &[u8] = b"...";

/// One worker's row: whole pairs of cache lines, so that no worker slows another's stores.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Row {
    /// The last heartbeat, in milliseconds of the monotonic clock; 0 before the first.
    beat_ms: AtomicU64,
    /// When the request under way began, likewise; 0 while idle.
    busy_since_ms: AtomicU64,
    /// Connections it holds.
    connections: AtomicU64,
    /// Requests answered.
    requests: AtomicU64,
    /// Requests answered with a status of 500 or more, and those cut off.
    errors: AtomicU64,
    /// Bytes sent.
    bytes: AtomicU64,
    /// Records that are not in the access log.
    access_lost: AtomicU64,
    /// Not 0 once the master has asked the worker to leave: it can know that in
    /// the middle of a request, without looking at its link.
    retired: AtomicU64,
    /// Counts up before `request` changes and after it: odd meanwhile.
    request_version: AtomicU64,
    /// The method and the path of the request under way, else of the last one; to the first
    /// zero byte.
    request: [AtomicU64; REQUEST_WORDS],
    /// Metrics that StatsD did not get. Behind the others: workers of another release may not
    /// know of it.
    metrics_lost: AtomicU64,
    /// Records of the application that syslog did not get. Likewise.
    syslog_lost: AtomicU64,
}

/// The values of a row at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Milliseconds of the monotonic clock at the last heartbeat; 0 before the first.
    pub beat_ms: u64,
    /// Milliseconds of the monotonic clock when the request under way began; 0 while idle.
    pub busy_since_ms: u64,
    /// Connections it holds.
    pub connections: u64,
    /// Requests answered.
    pub requests: u64,
    /// Requests answered with a status of 500 or more, and those cut off.
    pub errors: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Records that are not in the access log.
    pub access_lost: u64,
    /// Metrics that StatsD did not get.
    pub metrics_lost: u64,
    /// Records of the application that syslog did not get.
    pub syslog_lost: u64,
}

impl Row {
    /// A heartbeat while idle.
    pub fn beat(&self, now_ms: u64, connections: u64) {
        self.beat_ms.store(now_ms, Relaxed);
        self.connections.store(connections, Relaxed);
    }

    /// A request goes to the application.
    pub fn begin(&self, now_ms: u64, method: &[u8], path: &[u8]) {
        self.set_request(method, path);
        self.beat_ms.store(now_ms, Relaxed);
        self.busy_since_ms.store(now_ms, Relaxed);
    }

    /// The request was answered.
    pub fn end(&self, now_ms: u64, bytes: u64, outcome: Outcome) {
        self.beat_ms.store(now_ms, Relaxed);
        self.busy_since_ms.store(0, Relaxed);
        self.count(Counts {
            requests: 1,
            errors: u64::from(outcome == Outcome::Error),
            bytes,
        });
    }

    /// Which request is under way. A reader gets all of it or nothing.
    pub fn set_request(&self, method: &[u8], path: &[u8]) {
        let mut text = [0; LONGEST_REQUEST];
        let mut length = 0;
        for part in [method, b" ", path] {
            let part = &part[..part.len().min(text.len() - length)];
            text[length..length + part.len()].copy_from_slice(part);
            length += part.len();
        }
        if method.len() + 1 + path.len() > text.len() {
            text[LONGEST_REQUEST - CUT.len()..].copy_from_slice(CUT);
        }
        let version = self.request_version.load(Relaxed);
        self.request_version.store(version.wrapping_add(1), Relaxed);
        fence(Release);
        // With the zero byte behind it, if there is room.
        for (word, bytes) in self
            .request
            .iter()
            .zip(text.chunks_exact(8))
            .take(length / 8 + 1)
        {
            let mut value = [0; 8];
            value.copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(value), Relaxed);
        }
        self.request_version.store(version.wrapping_add(2), Release);
    }

    /// The method and the path that [`Self::set_request`] was given last, as the client wrote
    /// them. `None`: there was none, or it changes all the time.
    pub fn request(&self) -> Option<Vec<u8>> {
        let read = || {
            let before = self.request_version.load(Acquire);
            let words = self.request.each_ref().map(|word| word.load(Relaxed));
            fence(Acquire);
            let is_whole = before % 2 == 0 && before == self.request_version.load(Relaxed);
            (is_whole && before > 0).then_some(words)
        };
        let words = (0..10).find_map(|_| read())?;
        let bytes = words.into_iter().flat_map(u64::to_ne_bytes);
        Some(bytes.take_while(|byte| *byte != 0).collect())
    }

    /// A worker that answers several requests at once: when the oldest of them began, 0 if
    /// there is none, and how many connections it holds. Not a heartbeat.
    pub fn set_load(&self, busy_since_ms: u64, connections: u64) {
        self.busy_since_ms.store(busy_since_ms, Relaxed);
        self.connections.store(connections, Relaxed);
    }

    /// Requests were answered. Only the row's own worker writes, so a load and a store are
    /// enough, and cheaper than an atomic addition.
    pub fn count(&self, more: Counts) {
        let add = |counter: &AtomicU64, more| counter.store(counter.load(Relaxed) + more, Relaxed);
        add(&self.requests, more.requests);
        add(&self.bytes, more.bytes);
        if more.errors > 0 {
            add(&self.errors, more.errors);
        }
    }

    /// How many records are not in the access log, of all that the worker has made.
    pub fn set_access_lost(&self, count: u64) {
        self.access_lost.store(count, Relaxed);
    }

    /// How many metrics StatsD did not get, of all that the worker has sent.
    pub fn set_metrics_lost(&self, count: u64) {
        self.metrics_lost.store(count, Relaxed);
    }

    /// How many records syslog did not get, of all that the application has logged.
    pub fn set_syslog_lost(&self, count: u64) {
        self.syslog_lost.store(count, Relaxed);
    }

    /// The order to leave, if there is one.
    pub fn retired(&self) -> Option<Idle> {
        match self.retired.load(Relaxed) {
            0 => None,
            HAND_OVER => Some(Idle::HandOver),
            _ => Some(Idle::CloseSoon),
        }
    }

    pub fn read(&self) -> Reading {
        Reading {
            beat_ms: self.beat_ms.load(Relaxed),
            busy_since_ms: self.busy_since_ms.load(Relaxed),
            connections: self.connections.load(Relaxed),
            requests: self.requests.load(Relaxed),
            errors: self.errors.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            access_lost: self.access_lost.load(Relaxed),
            metrics_lost: self.metrics_lost.load(Relaxed),
            syslog_lost: self.syslog_lost.load(Relaxed),
        }
    }

    /// Makes the row ready for the next worker.
    fn clear(&self) {
        for counter in [
            &self.beat_ms,
            &self.busy_since_ms,
            &self.connections,
            &self.requests,
            &self.errors,
            &self.bytes,
            &self.access_lost,
            &self.metrics_lost,
            &self.syslog_lost,
            &self.retired,
            &self.request_version,
        ] {
            counter.store(0, Relaxed);
        }
    }
}

/// Requests that were answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub requests: u64,
    /// Answered with a status of 500 or more, or cut off.
    pub errors: u64,
    /// Bytes sent.
    pub bytes: u64,
}

/// How a request ended, for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered with a status below 500.
    Fine,
    /// Answered with 500 or more, or cut off.
    Error,
}

/// The shared memory, mapped.
#[derive(Debug)]
pub struct Scoreboard {
    rows: NonNull<Row>,
    memory: OwnedFd,
}

#[expect(unsafe_code, reason = "shared memory is reached through a pointer")]
// SAFETY: the mapping belongs to the process, not to a thread, and is only
// ever reached through `&Row`, whose fields are atomics.
unsafe impl Send for Scoreboard {}
#[expect(unsafe_code, reason = "shared memory is reached through a pointer")]
// SAFETY: as above; `&Row` may be shared between threads.
unsafe impl Sync for Scoreboard {}

impl Scoreboard {
    /// The mapping's length in bytes: the rows, and what all workers share.
    const LENGTH: usize = ROWS * size_of::<Row>() + size_of::<Roster>();

    /// A new scoreboard with all rows empty.
    pub fn create() -> io::Result<Self> {
        let memory = rustix::fs::memfd_create(
            "rgunicorn-scoreboard",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?;
        rustix::fs::ftruncate(&memory, Self::LENGTH as u64)?;
        // A worker that shrank it would kill the master with SIGBUS.
        rustix::fs::fcntl_add_seals(
            &memory,
            SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
        )?;
        Self::map(memory)
    }

    /// The scoreboard that came over a link.
    pub fn open(memory: OwnedFd) -> io::Result<Self> {
        let seals = rustix::fs::fcntl_get_seals(&memory)?;
        let length = u64::try_from(rustix::fs::fstat(&memory)?.st_size).unwrap_or(0);
        if !seals.contains(SealFlags::SHRINK) || length != Self::LENGTH as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not a scoreboard",
            ));
        }
        Self::map(memory)
    }

    #[expect(unsafe_code, reason = "mapping memory")]
    fn map(memory: OwnedFd) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address the kernel chooses replaces
        // nothing. It is page-aligned, which is more than `Row` asks for, as
        // long as all rows, and sealed against shrinking, so every access is
        // backed by memory.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                Self::LENGTH,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &memory,
                0,
            )
        }?;
        let rows = NonNull::new(start.cast::<Row>())
            .ok_or_else(|| io::Error::other("the kernel mapped the scoreboard at zero"))?;
        Ok(Self { rows, memory })
    }

    /// The row with this number, if there is one.
    pub fn row(&self, number: usize) -> Option<&Row> {
        (number < ROWS).then(|| self.at(number))
    }

    /// The master lends the listeners to the worker of this row: others may leave it
    /// connections from now on.
    pub fn serves(&self, row: usize) {
        self.roster().serving.insert(row);
    }

    /// The master was told to stop the service: every worker knows at once, also those
    /// that are asked to leave only later.
    pub fn stop(&self) {
        self.roster().stopping.store(1, Relaxed);
    }

    /// Whether the service was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.roster().stopping.load(Relaxed) != 0
    }

    /// The master asks the worker of this row to leave.
    pub fn retire(&self, row: usize, idle: Idle) {
        self.roster().serving.remove(row);
        if let Some(row) = self.row(row) {
            let order = match idle {
                Idle::HandOver => HAND_OVER,
                Idle::CloseSoon => CLOSE_SOON,
            };
            row.retired.store(order, Relaxed);
        }
    }

    /// Makes a row ready for the next worker.
    pub fn clear(&self, row: usize) {
        self.roster().serving.remove(row);
        self.roster().sleeping.remove(row);
        if let Some(row) = self.row(row) {
            row.clear();
        }
    }

    /// A worker goes to sleep until something happens. It calls this before it checks
    /// for connections a last time: so a connection that waits is found by that
    /// check, or by another worker, which sees that this one sleeps.
    pub fn sleeps(&self, row: usize) {
        self.roster().sleeping.insert(row);
    }

    /// The worker is awake again.
    pub fn wakes(&self, row: usize) {
        self.roster().sleeping.remove(row);
    }

    /// How many other workers sleep.
    pub fn others_asleep(&self, row: usize) -> usize {
        self.roster().sleeping.others(row).count()
    }

    /// Of the other workers that serve and are in no request, the fewest connections that
    /// one holds.
    pub fn fewest_connections_idle(&self, row: usize) -> Option<u64> {
        let serving = self.roster().serving.others(row);
        serving
            .filter_map(|row| self.row(row))
            .filter(|row| row.busy_since_ms.load(Relaxed) == 0)
            .map(|row| row.connections.load(Relaxed))
            .min()
    }

    /// Whether another worker serves.
    pub fn others_serve(&self, row: usize) -> bool {
        self.roster().serving.others(row).next().is_some()
    }

    /// Whether another worker serves and holds fewer connections than `limit`.
    pub fn others_have_room(&self, row: usize, limit: u64) -> bool {
        let serving = self.roster().serving.others(row);
        serving
            .filter_map(|row| self.row(row))
            .any(|row| row.connections.load(Relaxed) < limit)
    }

    #[expect(unsafe_code, reason = "shared memory is reached through a pointer")]
    fn at(&self, number: usize) -> &Row {
        debug_assert!(number < ROWS);
        // SAFETY: in range of the mapping (all callers see to that), which lives
        // as long as `self`; all bit patterns are valid atomics, and other
        // processes change them only by atomic stores.
        unsafe { self.rows.add(number).as_ref() }
    }

    #[expect(unsafe_code, reason = "shared memory is reached through a pointer")]
    fn roster(&self) -> &Roster {
        // SAFETY: the mapping has room for it behind the rows, whose size keeps it
        // aligned; else as above.
        unsafe { self.rows.add(ROWS).cast::<Roster>().as_ref() }
    }
}

impl Drop for Scoreboard {
    #[expect(unsafe_code, reason = "unmapping memory")]
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length; every `&Row` borrows `self`.
        // An error could only mean that the arguments are not those of `map`.
        let _ = unsafe { rustix::mm::munmap(self.rows.as_ptr().cast(), Self::LENGTH) };
    }
}

impl AsFd for Scoreboard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

/// Milliseconds of the monotonic clock: the scoreboard's time, the same in all processes.
pub fn now_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000
        + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_mapping_writes_the_other_reads() {
        let master = Scoreboard::create().unwrap();
        let worker = Scoreboard::open(master.as_fd().try_clone_to_owned().unwrap()).unwrap();

        let row = worker.row(5).unwrap();
        row.begin(1000, b"GET", b"/");
        row.end(1002, 300, Outcome::Error);
        row.beat(1010, 4);
        row.set_access_lost(7);
        row.set_metrics_lost(8);
        row.set_syslog_lost(9);

        assert_eq!(
            master.row(5).unwrap().read(),
            Reading {
                beat_ms: 1010,
                busy_since_ms: 0,
                connections: 4,
                requests: 1,
                errors: 1,
                bytes: 300,
                access_lost: 7,
                metrics_lost: 8,
                syslog_lost: 9,
            }
        );
        assert_eq!(master.row(4).unwrap().read(), Reading::default());
    }

    #[test]
    fn a_request_is_read_as_it_was_written_or_cut() {
        let scoreboard = Scoreboard::create().unwrap();
        let row = scoreboard.row(0).unwrap();
        assert_eq!(row.request(), None);
        for length in [150, 0, 1, 2, 3, 4, 5, 187, 188] {
            let path = "x".repeat(length);

            row.set_request(b"GET", path.as_bytes());

            assert_eq!(row.request(), Some(format!("GET {path}").into_bytes()));
        }

        row.set_request(b"GET", &[b'y'; 189]);

        let cut = format!("GET {}...", "y".repeat(185));
        assert_eq!(row.request(), Some(cut.into_bytes()));
        row.set_request(&[b'M'; 300], b"/");
        assert_eq!(row.request().unwrap().len(), LONGEST_REQUEST);
        scoreboard.clear(0);
        assert_eq!(row.request(), None);
    }

    #[test]
    fn a_request_that_changes_is_never_read_in_parts() {
        let one = Scoreboard::create().unwrap();
        let other = Scoreboard::open(one.as_fd().try_clone_to_owned().unwrap()).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..20_000_u32 {
                    let letter = b"abcdefgh"[round as usize % 8];
                    let length = round as usize % 180;
                    one.row(0)
                        .unwrap()
                        .set_request(&[letter], &vec![letter; length]);
                }
                done.store(true, Relaxed);
            });
            while !done.load(Relaxed) {
                if let Some(text) = other.row(0).unwrap().request() {
                    let letters = text.iter().filter(|byte| **byte != b' ');
                    assert!(letters.clone().all(|byte| *byte == text[0]), "{text:?}");
                }
            }
        });
    }

    #[test]
    fn a_sleeper_is_seen_by_the_others() {
        let one = Scoreboard::create().unwrap();
        let other = Scoreboard::open(one.as_fd().try_clone_to_owned().unwrap()).unwrap();
        for row in [0, 63, 64, ROWS - 1] {
            one.sleeps(row);
        }

        assert_eq!(other.others_asleep(1), 4);
        assert_eq!(other.others_asleep(64), 3);
        one.wakes(63);
        assert_eq!(other.others_asleep(64), 2);
    }

    #[test]
    fn the_idle_worker_with_the_fewest_connections_counts() {
        let scoreboard = Scoreboard::create().unwrap();
        for (row, connections) in [(3, 5), (4, 7), (5, 2), (6, 0)] {
            scoreboard.row(row).unwrap().beat(1, connections);
            scoreboard.serves(row);
        }
        scoreboard.row(6).unwrap().begin(1, b"GET", b"/");

        assert_eq!(scoreboard.fewest_connections_idle(4), Some(2));
        assert_eq!(scoreboard.fewest_connections_idle(5), Some(5));
        scoreboard.clear(3);
        assert_eq!(scoreboard.fewest_connections_idle(5), Some(7));
        let empty = Scoreboard::create().unwrap();
        assert_eq!(empty.fewest_connections_idle(0), None);
    }

    #[test]
    fn a_retired_worker_does_not_serve() {
        let scoreboard = Scoreboard::create().unwrap();
        scoreboard.serves(1);
        scoreboard.serves(2);
        scoreboard.row(2).unwrap().beat(1, 10);
        assert!(scoreboard.others_have_room(1, 11));
        assert!(!scoreboard.others_have_room(1, 10));

        scoreboard.retire(2, Idle::HandOver);

        assert!(!scoreboard.others_serve(1));
        assert!(scoreboard.others_serve(2));
        assert!(!scoreboard.others_have_room(1, 11));
        assert_eq!(scoreboard.row(2).unwrap().retired(), Some(Idle::HandOver));
        scoreboard.retire(2, Idle::CloseSoon);
        assert_eq!(scoreboard.row(2).unwrap().retired(), Some(Idle::CloseSoon));
        assert_eq!(scoreboard.row(1).unwrap().retired(), None);
    }

    #[test]
    fn every_mapping_knows_that_the_service_stops() {
        let master = Scoreboard::create().unwrap();
        let worker = Scoreboard::open(master.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert!(!worker.is_stopping());

        master.stop();

        assert!(worker.is_stopping());
        assert_eq!(worker.others_asleep(0), 0);
    }

    #[test]
    fn there_is_no_row_past_the_last() {
        assert!(Scoreboard::create().unwrap().row(ROWS).is_none());
    }

    #[test]
    fn memory_that_may_shrink_is_refused_as_a_scoreboard() {
        let memory = rustix::fs::memfd_create("other", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&memory, Scoreboard::LENGTH as u64).unwrap();

        assert!(Scoreboard::open(memory).is_err());
    }
}
