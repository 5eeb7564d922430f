use super::*;
use crate::log::events::{self, Speaker, Stream, Worker};
use crate::log::{AppRecord, Handle, Log, Priority};
use rgunicorn_link::protocol::{Level, LoadFailure, Record};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::collections::BTreeMap;
use std::io::{IoSliceMut, Read, Seek};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};
use tracing::{debug, info};
use tracing_subscriber::layer::SubscriberExt;

type Fields = BTreeMap<String, String>;

const WORKER: Worker = Worker {
    id: 3,
    pid: 1234,
    generation: 7,
};

/// A journald with a folder of its own.
struct FakeJournald {
    folder: tempfile::TempDir,
    socket: Option<UnixDatagram>,
}

impl FakeJournald {
    fn start() -> Self {
        let mut journald = Self {
            folder: tempfile::tempdir().unwrap(),
            socket: None,
        };
        journald.restart();
        journald
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("socket")
    }

    fn stop(&mut self) {
        self.socket = None;
        std::fs::remove_file(self.path()).unwrap();
    }

    fn restart(&mut self) {
        let socket = UnixDatagram::bind(self.path()).unwrap();
        socket.set_nonblocking(true).unwrap();
        self.socket = Some(socket);
    }

    /// Runs `program` with a log that comes here.
    fn with_log(&self, level: Level, program: impl FnOnce(Handle)) {
        let sink = Journal::at(&self.path()).unwrap().into();
        let (log, handle) = Log::new(sink, level, "rgunicorn");
        let subscriber = tracing_subscriber::registry().with(log);
        tracing::subscriber::with_default(subscriber, || program(handle));
    }

    /// The next entry, which must be there.
    fn entry(&self) -> Fields {
        self.try_entry().expect("no entry came")
    }

    fn try_entry(&self) -> Option<Fields> {
        let socket = self.socket.as_ref().unwrap();
        let mut bytes = vec![0; 300_000];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )
        .ok()?;
        bytes.truncate(received.bytes);
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(mut fds) = message {
                bytes = sealed(fds.next().unwrap());
            }
        }
        Some(parse(&bytes))
    }
}

/// What is in a file that nobody can change any more.
fn sealed(fd: OwnedFd) -> Vec<u8> {
    let seals = rustix::fs::fcntl_get_seals(&fd).unwrap();
    assert!(
        seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)
    );
    let mut file = std::fs::File::from(fd);
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn parse(mut bytes: &[u8]) -> Fields {
    let mut fields = Fields::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let line = std::str::from_utf8(&bytes[..end]).unwrap();
        bytes = &bytes[end + 1..];
        let (name, value) = if let Some((name, value)) = line.split_once('=') {
            (name, value.to_owned())
        } else {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            let length = usize::try_from(length).unwrap();
            let value = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap();
            assert_eq!(bytes[8 + length], b'\n');
            bytes = &bytes[8 + length + 1..];
            (line, value)
        };
        fields.insert(name.to_owned(), value);
    }
    fields
}

#[test]
fn an_event_arrives_with_its_fields() {
    let journald = FakeJournald::start();

    journald.with_log(Level::Info, |_| {
        events::worker_died(WORKER, "killed by SIGSEGV", 17);
    });

    let entry = journald.entry();
    for (name, value) in [
        (
            "MESSAGE",
            "Worker 3 died: killed by SIGSEGV (pid 1234, after 17 requests)",
        ),
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "rgunicorn"),
        ("MESSAGE_ID", events::WORKER_DIED),
        ("WORKER_ID", "3"),
        ("WORKER_PID", "1234"),
        ("GENERATION", "7"),
        ("EXIT", "killed by SIGSEGV"),
        ("REQUESTS", "17"),
        ("CODE_FILE", "src/master/log/events.rs"),
    ] {
        assert_eq!(entry.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[test]
fn a_traceback_is_one_entry() {
    let journald = FakeJournald::start();
    let frames = "Traceback (most recent call last):\n  File \"a.py\", line 1";

    journald.with_log(Level::Info, |_| {
        events::load_failed(
            Speaker::Worker(WORKER),
            &LoadFailure {
                status: 3,
                summary: "KeyError: 'x'".to_owned(),
                traceback: format!("{frames}\nKeyError: 'x'"),
            },
        );
    });

    let entry = journald.entry();
    assert_eq!(entry["REASON"], "KeyError: 'x'");
    assert_eq!(entry["EXIT_STATUS"], "3");
    assert_eq!(
        entry["MESSAGE"],
        format!("Worker 3 cannot load the application: KeyError: 'x'\n{frames}")
    );
}

#[test]
fn what_an_application_writes_keeps_its_priority_whatever_the_level() {
    let journald = FakeJournald::start();

    journald.with_log(Level::Error, |_| {
        for priority in [Priority::Critical, Priority::Notice, Priority::Debug] {
            let record = AppRecord {
                priority,
                text: "hello".to_owned(),
            };
            events::app_output(Speaker::Worker(WORKER), Stream::Stdout, &record);
        }
    });

    for priority in ["2", "5", "7"] {
        let entry = journald.entry();
        assert_eq!(entry["PRIORITY"], priority);
        assert_eq!(entry["STREAM"], "stdout");
        assert_eq!(entry["WORKER_PID"], "1234");
        assert!(!entry.contains_key("CODE_FILE"));
    }
}

#[test]
fn records_that_a_worker_dropped_are_told() {
    let journald = FakeJournald::start();

    journald.with_log(Level::Info, |_| {
        events::relayed(
            Speaker::Worker(WORKER),
            &Record {
                level: Level::Warning,
                text: "slow client".to_owned(),
                dropped: 2,
            },
        );
    });

    assert_eq!(
        journald.entry()["MESSAGE"],
        "Worker 3 wrote too fast: 2 log records were dropped"
    );
    let entry = journald.entry();
    assert_eq!(
        (&*entry["MESSAGE"], &*entry["PRIORITY"]),
        ("slow client", "4")
    );
}

#[test]
fn the_level_can_change_while_the_log_runs() {
    let journald = FakeJournald::start();

    journald.with_log(Level::Info, |handle| {
        for (level, sentence) in [
            (Level::Info, "not yet"),
            (Level::Debug, "now"),
            (Level::Warning, "no more"),
        ] {
            handle.set_level(level);
            debug!("{sentence}");
        }
    });

    assert_eq!(journald.entry()["MESSAGE"], "now");
    assert_eq!(journald.try_entry(), None);
}

#[test]
fn a_journald_that_does_not_read_stops_nobody_and_is_told_what_it_missed() {
    let journald = FakeJournald::start();

    journald.with_log(Level::Info, |_| {
        let started = Instant::now();
        for number in 0..5000 {
            info!("record {number}");
        }
        assert!(started.elapsed() < Duration::from_secs(5));

        let mut taken = 0;
        while let Some(entry) = journald.try_entry() {
            assert_eq!(entry["MESSAGE"], format!("record {taken}"));
            taken += 1;
        }
        info!("after");

        let note = journald.entry();
        let dropped = 5000 - taken;
        assert!(dropped > 0);
        assert_eq!(
            note["MESSAGE"],
            format!("{dropped} log records were dropped because the journal did not take them")
        );
        assert_eq!(note["MESSAGE_ID"], events::LOG_RECORDS_DROPPED);
        assert_eq!(note["DROPPED"], dropped.to_string());
        assert_eq!(note["PRIORITY"], "4");
        assert_eq!(journald.entry()["MESSAGE"], "after");
        assert_eq!(journald.try_entry(), None);
    });
}

#[test]
fn a_journald_that_was_restarted_is_found_again() {
    let mut journald = FakeJournald::start();
    let mut journal = Journal::at(&journald.path()).unwrap();
    let entry = |message: &str| Entry {
        message: message.to_owned(),
        ..Entry::dropped(0, "")
    };

    journal.write(&entry("before"), "test");
    assert_eq!(journald.entry()["MESSAGE"], "before");
    assert!(journal.is_reachable());
    journald.stop();
    assert!(!journal.is_reachable());
    journal.write(&entry("lost"), "test");
    journald.restart();
    journal.write(&entry("after"), "test");

    assert_eq!(
        journald.entry()["MESSAGE"],
        "1 log record was dropped because the journal did not take them"
    );
    assert_eq!(journald.entry()["MESSAGE"], "after");
}

#[test]
fn what_no_datagram_holds_arrives_in_a_sealed_file() {
    let journald = FakeJournald::start();
    // More than any send buffer, which the kernel doubles.
    let long = "long\n".repeat(2 * SEND_BUFFER / 5 + 1);

    journald.with_log(Level::Info, |_| {
        info!(length = long.len(), "{long}");
    });

    let entry = journald.entry();
    assert_eq!(entry["LENGTH"], long.len().to_string());
    assert!(entry["MESSAGE"] == long);
}

#[test]
fn names_of_fields_are_what_journald_takes() {
    assert_eq!(field_name("worker_pid"), "WORKER_PID");
    assert_eq!(field_name("http.method"), "HTTP_METHOD");
    assert_eq!(field_name("_2secret"), "SECRET");
    assert_eq!(field_name(&"x".repeat(100)).len(), LONGEST_NAME);
}

#[test]
fn the_journal_is_recognised_by_device_and_inode() {
    assert!(is_stream("9:27", 9, 27));
    assert!(!is_stream("9:27", 9, 28));
    assert!(!is_stream("", 0, 0));
}
