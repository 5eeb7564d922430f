//! The thread that sends to one server, and the queue in front of it.

use super::events;
use nix::sys::signal::{SigSet, SigmaskHow};
use rgunicorn_link::remote::{Remote, RemoteAddress};
use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The most bytes that wait, with what each record costs besides.
const LONGEST_QUEUE: usize = 1 << 20;
const OVERHEAD: usize = 64;

/// How often the log says how many records are lost.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// How long what is left is tried to be sent, in the end.
pub(super) const FINISH: Duration = Duration::from_secs(1);

/// What looks names up needs some.
const STACK: usize = 256 * 1024;

/// Sends records, each of them a datagram or a part of a stream; never waits.
#[derive(Debug)]
pub(super) struct RemoteSender {
    /// `None` before the first record: there may be no threads yet.
    thread: Option<(Sender<Vec<u8>>, JoinHandle<()>)>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: RemoteAddress,
    /// What is at the address, as the log names it.
    server: &'static str,
    /// The bytes that wait.
    queued: AtomicUsize,
    /// The records that wait, and the one that is being sent.
    waiting: AtomicU64,
    /// When the thread has begun with what it sends, or was given it.
    since: Mutex<Instant>,
    /// Records that are lost, of all senders of this kind.
    lost: Arc<AtomicU64>,
    /// Of them, those that were not reported.
    unreported: AtomicU64,
    /// When it gives up what is left: it is not needed any more.
    end: OnceLock<Instant>,
}

impl RemoteSender {
    pub(super) fn new(
        address: &RemoteAddress,
        server: &'static str,
        lost: &Arc<AtomicU64>,
    ) -> Self {
        Self {
            thread: None,
            shared: Arc::new(Shared {
                address: address.clone(),
                server,
                queued: AtomicUsize::new(0),
                waiting: AtomicU64::new(0),
                since: Mutex::new(Instant::now()),
                lost: Arc::clone(lost),
                unreported: AtomicU64::new(0),
                end: OnceLock::new(),
            }),
        }
    }

    pub(super) fn send(&mut self, record: Vec<u8>) {
        let size = record.len() + OVERHEAD;
        if self.shared.queued.load(Relaxed) + size > LONGEST_QUEUE {
            return self.shared.lose(1);
        }
        if self.thread.is_none() {
            self.thread = self.start().ok();
        }
        if self.shared.queued.fetch_add(size, Relaxed) == 0 {
            self.shared.begin_next();
        }
        self.shared.waiting.fetch_add(1, Relaxed);
        let sent = self.thread.as_ref().map(|(queue, _)| queue.send(record));
        if !matches!(sent, Some(Ok(()))) {
            self.shared.is_done_with(size);
            self.shared.lose(1);
        }
    }

    /// Whether nothing waits that is likely to be sent soon.
    pub(super) fn is_done(&self) -> bool {
        let since = *lock(&self.shared.since);
        self.shared.queued.load(Relaxed) == 0 || since.elapsed() >= FINISH
    }

    /// Ends the thread, once it has sent what is left or its time is over.
    pub(super) fn close(mut self) -> Option<Closing> {
        let (_, thread) = self.thread.take()?;
        let shared = Arc::clone(&self.shared);
        Some(Closing { thread, shared })
    }

    fn start(&self) -> io::Result<(Sender<Vec<u8>>, JoinHandle<()>)> {
        let (queue, records) = channel();
        let shared = Arc::clone(&self.shared);
        // A signal that this thread took would be missed where signals are read.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let started = thread::Builder::new()
            .name(self.shared.server.to_lowercase())
            .stack_size(STACK)
            .spawn(move || shared.run(&records));
        before.thread_set_mask()?;
        Ok((queue, started?))
    }
}

/// A sender that is given no more records.
pub(super) struct Closing {
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

impl Closing {
    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Counts what is lost as the process ends before the thread, and says so.
    pub(super) fn give_up(&self) {
        self.shared.lose(self.shared.waiting.swap(0, Relaxed));
        Report::default().log(&self.shared);
    }
}

impl Drop for RemoteSender {
    fn drop(&mut self) {
        let _ = self.shared.end.set(Instant::now() + FINISH);
    }
}

impl Shared {
    fn lose(&self, count: u64) {
        self.lost.fetch_add(count, Relaxed);
        self.unreported.fetch_add(count, Relaxed);
    }

    /// A record of this size waits no longer.
    fn is_done_with(&self, size: usize) {
        self.queued.fetch_sub(size, Relaxed);
        self.waiting.fetch_sub(1, Relaxed);
    }

    /// Whether it gives up what is left.
    fn is_over(&self) -> bool {
        self.end.get().is_some_and(|end| Instant::now() >= *end)
    }

    fn begin_next(&self) {
        *lock(&self.since) = Instant::now();
    }

    /// The thread.
    fn run(&self, records: &Receiver<Vec<u8>>) {
        let mut remote: Remote = Remote::new(self.address.clone());
        let report = Report::default();
        while let Ok(record) = records.recv() {
            if self.is_over() {
                self.is_done_with(record.len() + OVERHEAD);
                self.lose(1);
                continue;
            }
            let sent = remote.send(&record, || {
                report.log_if_due(self, None);
                !self.is_over()
            });
            self.is_done_with(record.len() + OVERHEAD);
            self.begin_next();
            if let Err(unsent) = &sent {
                self.lose(unsent.count);
            }
            report.log_if_due(self, sent.err().map(|unsent| unsent.error));
        }
        report.log(self);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the log is told of losses.
#[derive(Default)]
struct Report {
    last: Cell<Option<Instant>>,
    /// Why records were lost that are not reported; `None`: there was no room.
    error: Cell<Option<io::Error>>,
}

impl Report {
    fn log_if_due(&self, shared: &Shared, error: Option<io::Error>) {
        if let Some(error) = error.filter(|error| error.kind() != io::ErrorKind::WouldBlock) {
            self.error.set(Some(error));
        }
        // Usually nothing was lost.
        if shared.unreported.load(Relaxed) > 0 {
            let last = self.last.get();
            if last.is_none_or(|last| last.elapsed() >= REPORT_INTERVAL) {
                self.log(shared);
            }
        }
    }

    fn log(&self, shared: &Shared) {
        let count = shared.unreported.swap(0, Relaxed);
        if count == 0 {
            return;
        }
        self.last.set(Some(Instant::now()));
        events::not_sent(count, shared.server, &shared.address, &self.take_reason());
    }

    fn take_reason(&self) -> String {
        match self.error.take() {
            Some(error) => error.to_string(),
            None => "it takes them too slowly".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rgunicorn_link::remote::UnixKind;
    use std::os::unix::net::{UnixDatagram, UnixListener};
    use std::path::Path;

    fn sender(path: &Path) -> (RemoteSender, Arc<AtomicU64>) {
        let address = RemoteAddress::Unix {
            path: path.to_owned(),
            kind: UnixKind::Any,
        };
        let lost = Arc::default();
        (RemoteSender::new(&address, "syslog", &lost), lost)
    }

    #[test]
    fn what_is_left_is_sent_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        server.set_nonblocking(true).unwrap();
        let (mut sender, lost) = sender(&path);

        for _ in 0..5 {
            sender.send(b"text".to_vec());
        }
        let start = Instant::now();
        sender.close().unwrap().thread.join().unwrap();
        let is_late = start.elapsed() >= FINISH;

        let mut bytes = [0; 10];
        let received = std::iter::from_fn(|| server.recv(&mut bytes).ok());
        let received: Vec<_> = received.collect();
        let lost = lost.load(Relaxed);
        // A machine that stands still may let the time for it pass.
        assert!(lost == 0 || is_late, "{lost}");
        assert_eq!(received.len() as u64 + lost, 5);
        assert!(received.iter().all(|length| *length == 4));
    }

    #[test]
    fn a_server_that_takes_nothing_keeps_nobody_waiting_and_memory_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let _server = UnixListener::bind(&path).unwrap();
        let (mut sender, lost) = sender(&path);

        // What a socket takes, what waits, and more.
        for _ in 0..10_000 {
            sender.send(vec![b'x'; 1000]);
            assert!(sender.shared.queued.load(Relaxed) <= LONGEST_QUEUE);
        }

        assert!(lost.load(Relaxed) > 1000);
        sender.close().unwrap().thread.join().unwrap();
    }

    #[test]
    fn why_records_were_lost_is_kept_until_it_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, _) = sender(&folder.path().join("none"));
        let report = Report::default();
        sender.shared.lose(1);
        report.log_if_due(&sender.shared, None);
        sender.shared.lose(1);

        report.log_if_due(&sender.shared, Some(io::ErrorKind::NotFound.into()));
        report.log_if_due(&sender.shared, None);

        assert_eq!(sender.shared.unreported.load(Relaxed), 1);
        assert_eq!(report.take_reason(), "entity not found");
        assert_eq!(report.take_reason(), "it takes them too slowly");
    }

    #[test]
    fn what_nobody_takes_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (mut sender, lost) = sender(&folder.path().join("none"));

        sender.send(b"text".to_vec());
        sender.send(b"text".to_vec());
        sender.close().unwrap().thread.join().unwrap();

        assert_eq!(lost.load(Relaxed), 2);
    }

    #[test]
    fn what_is_left_when_the_process_ends_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let _server = UnixListener::bind(&path).unwrap();
        let (mut sender, lost) = sender(&path);
        for _ in 0..10 {
            sender.send(vec![b'x'; 90_000]);
        }
        let before = lost.load(Relaxed);

        let start = Instant::now();
        let closing = sender.close().unwrap();
        closing.give_up();
        let unreported = closing.shared.unreported.load(Relaxed);

        assert!(lost.load(Relaxed) > before);
        // Later, the thread may be counting what it gives up itself.
        assert!(unreported == 0 || start.elapsed() >= FINISH);
    }
}
