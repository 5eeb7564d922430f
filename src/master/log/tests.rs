//! From the macros to a sink that the test holds.

use super::events::{self, AppProcess, Stream, Worker};
use super::queue::STALL;
use super::record::{Content, FieldValue, Record};
use super::sink::Failure;
use super::{AppRecord, Handle, Log, Priority, Sink};
use rgunicorn_link::protocol::{self, Level, LoadFailure};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tracing::{debug, info};
use tracing_subscriber::layer::SubscriberExt;

const WORKER: Worker = Worker {
    id: 3,
    pid: 1234,
    generation: 7,
};

/// Takes a record when the test says so, or fails as the test says.
#[derive(Debug)]
pub struct TestSink {
    verdicts: Receiver<Result<(), Failure>>,
    taken: Sender<Taken>,
}

/// A record that was written: its fields, or how many were dropped.
type Taken = Result<BTreeMap<String, String>, u64>;

impl TestSink {
    pub(super) fn write(&mut self, record: &Record) -> Result<(), Failure> {
        // When the test is over, everything is taken.
        self.verdicts.recv().unwrap_or(Ok(()))?;
        let text = |value: &FieldValue| match value {
            FieldValue::Number(number) => number.to_string(),
            FieldValue::Text(text) => text.clone(),
        };
        let taken = match &record.content {
            Content::Program(captured) => Ok(captured
                .values
                .iter()
                .map(|(field, value)| (field.name().to_owned(), text(value)))
                .chain([("level".to_owned(), captured.metadata.level().to_string())])
                .collect()),
            Content::Application {
                process,
                stream,
                output,
            } => Ok(
                events::output_fields(*process, *stream, output.request.as_deref())
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .chain([("message".to_owned(), output.text.clone())])
                    .collect(),
            ),
            Content::FileFails(text) => Ok([("message".to_owned(), text.clone())].into()),
            Content::Dropped(count) | Content::FileMisses(count) => Err(*count),
        };
        let _ = self.taken.send(taken);
        Ok(())
    }
}

/// The test's end of a sink.
struct Reader {
    verdicts: Sender<Result<(), Failure>>,
    taken: Receiver<Taken>,
    log: Handle,
}

impl Reader {
    /// Runs `program` with a log that comes here.
    fn of(level: Level, program: impl FnOnce(&Handle)) -> Self {
        let (verdicts, receiver) = channel();
        let (sender, taken) = channel();
        let sink = Sink::Test(TestSink {
            verdicts: receiver,
            taken: sender,
        });
        let (layer, log) = Log::new(sink, level).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || program(&log));
        Self {
            verdicts,
            taken,
            log,
        }
    }

    /// Lets the writer have the next record.
    fn next(&self) -> Taken {
        self.log.start().unwrap();
        self.verdicts.send(Ok(())).unwrap();
        self.taken.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    /// The next record's sentence.
    fn sentence(&self) -> String {
        self.next().unwrap()["message"].clone()
    }

    /// All that was logged.
    fn rest(self) -> Vec<Taken> {
        let Self {
            verdicts,
            taken,
            log,
        } = self;
        drop(verdicts);
        log.finish();
        taken.try_iter().collect()
    }
}

fn output(log: &Handle, text: &str) {
    let record = AppRecord {
        priority: Priority::Info,
        text: text.to_owned(),
        request: None,
    };
    log.output(AppProcess::Worker(WORKER), Stream::Stdout, record);
}

#[test]
fn an_event_has_its_fields() {
    let reader = Reader::of(Level::Info, |_| {
        events::worker_died(WORKER, "killed by SIGSEGV", 17, Some("GET /report"));
    });

    let record = reader.next().unwrap();

    for (name, value) in [
        (
            "message",
            "Worker 3 died: killed by SIGSEGV (pid 1234, after 17 requests, in GET /report)",
        ),
        ("level", "WARN"),
        ("message_id", events::WORKER_DIED),
        ("worker_id", "3"),
        ("object_pid", "1234"),
        ("generation", "7"),
        ("exit", "killed by SIGSEGV"),
        ("requests", "17"),
        ("http_method", "GET"),
        ("http_path", "/report"),
    ] {
        assert_eq!(record.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[test]
fn a_load_failure_has_the_whole_traceback_in_its_sentence() {
    let frames = "Traceback (most recent call last):\n  File \"a.py\", line 1";
    let reader = Reader::of(Level::Info, |_| {
        events::load_failed(
            AppProcess::Worker(WORKER),
            &LoadFailure {
                status: 3,
                summary: "KeyError: 'x'".to_owned(),
                traceback: format!("{frames}\nKeyError: 'x'"),
            },
        );
    });

    let record = reader.next().unwrap();

    assert_eq!(record["reason"], "KeyError: 'x'");
    assert_eq!(record["exit_status"], "3");
    assert_eq!(
        record["message"],
        format!("Worker 3 cannot load the application: KeyError: 'x'\n{frames}")
    );
}

#[test]
fn what_an_application_writes_is_logged_whatever_the_level() {
    let reader = Reader::of(Level::Error, |log| output(log, "hello"));

    let record = reader.next().unwrap();

    assert_eq!(record["message"], "hello");
    assert_eq!(record["STREAM"], "stdout");
    assert_eq!(record["OBJECT_PID"], "1234");
}

#[test]
fn records_that_a_worker_dropped_are_reported() {
    let reader = Reader::of(Level::Info, |_| {
        events::relayed(
            AppProcess::Worker(WORKER),
            &protocol::Record {
                level: Level::Warning,
                text: "slow client".to_owned(),
                dropped: 2,
                request: None,
            },
        );
    });

    assert_eq!(
        reader.sentence(),
        "Worker 3 logged too fast: 2 log records were dropped"
    );
    assert_eq!(reader.sentence(), "slow client");
}

#[test]
fn the_level_can_change_while_the_log_runs() {
    let reader = Reader::of(Level::Info, |log| {
        for (level, sentence) in [
            (Level::Info, "not yet"),
            (Level::Debug, "now"),
            (Level::Warning, "no more"),
        ] {
            log.set_level(level);
            debug!("{sentence}");
        }
    });

    assert_eq!(reader.sentence(), "now");
    assert_eq!(reader.rest(), []);
}

#[test]
fn order_is_kept_between_the_program_and_the_application() {
    const RECORDS: usize = 9000;
    let reader = Reader::of(Level::Info, |log| {
        log.start().unwrap();
        for number in 0..RECORDS {
            if number % 3 == 0 {
                info!("{number}");
            } else {
                output(log, &number.to_string());
            }
        }
    });

    let sentences: Vec<_> = reader
        .rest()
        .into_iter()
        .map(|taken| taken.unwrap()["message"].clone())
        .collect();

    let expected: Vec<_> = (0..RECORDS).map(|number| number.to_string()).collect();
    assert!(sentences == expected, "{} came", sentences.len());
}

#[test]
fn nobody_waits_for_a_sink_that_takes_nothing() {
    let started = Instant::now();
    let reader = Reader::of(Level::Info, |log| {
        log.start().unwrap();
        for number in 0..100_000 {
            info!("{number}");
        }
        // On a slow machine the writer has been stuck for so long that it counts as stalled.
        let output_waits = !log.takes_output() && log.next_change().is_some();
        assert!(output_waits || started.elapsed() >= STALL);
    });
    assert!(started.elapsed() < Duration::from_secs(20));

    let taken = reader.rest();

    let notices: Vec<_> = taken
        .iter()
        .filter_map(|taken| taken.clone().err())
        .collect();
    let [dropped] = notices[..] else {
        panic!("{notices:?}");
    };
    assert_eq!(taken.len() as u64 - 1 + dropped, 100_000);
}

#[test]
fn a_record_waits_for_a_sink_that_is_absent_and_one_that_is_refused_is_counted() {
    let reader = Reader::of(Level::Info, |_| {
        for number in 0..3 {
            info!("{number}");
        }
    });
    reader.log.start().unwrap();
    for _ in 0..3 {
        reader.verdicts.send(Err(Failure::Absent)).unwrap();
    }
    assert_eq!(reader.sentence(), "0");
    reader.verdicts.send(Err(Failure::Refused)).unwrap();

    assert_eq!(reader.sentence(), "2");

    assert_eq!(reader.rest(), [Err(1)]);
}

#[test]
fn the_loop_is_woken_when_there_is_room_again() {
    let reader = Reader::of(Level::Info, |log| {
        while log.takes_output() {
            output(log, &"x".repeat(10_000));
        }
    });
    let log = reader.log.clone();
    let is_readable = |log: &Handle| {
        let resume = log.resume();
        let mut fds = [rustix::event::PollFd::new(
            &resume,
            rustix::event::PollFlags::IN,
        )];
        let now = rustix::event::Timespec::default();
        rustix::event::poll(&mut fds, Some(&now)).unwrap() == 1
    };
    assert!(!is_readable(&log));

    reader.rest();

    assert!(is_readable(&log));
    assert!(log.takes_output());
}

#[test]
fn the_end_does_not_wait_for_a_sink_that_takes_nothing() {
    let reader = Reader::of(Level::Info, |_| info!("never taken"));
    let started = Instant::now();

    reader.log.finish();

    let waited = started.elapsed();
    assert!(waited < Duration::from_secs(30), "{waited:?}");
}
