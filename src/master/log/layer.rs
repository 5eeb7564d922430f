//! Between the macros of `tracing` and the writer: captures an event's fields,
//! and leaves out what is below the level.

use super::journal;
use super::record::{Captured, Content, FieldValue};
use super::remote::Remotes;
use super::writer::Writer;
use super::{AppRecord, ErrorFile, Priority, Sink};
use crate::log::events::{AppProcess, Stream};
use rgunicorn_link::protocol::Level;
use rgunicorn_link::{Statsd, Syslog};
use std::fmt::Debug;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// The layer that captures every event.
#[derive(Debug)]
pub struct Log(Arc<Shared>);

/// Controls the log: level, start, end, application output.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The number of the least urgent priority that is written.
    least: AtomicU8,
    has_fields: bool,
    /// The application's output belongs here, wherever that is.
    collects_output: AtomicBool,
    writer: Arc<Writer>,
    remotes: Remotes,
}

/// Makes `sink` the destination of all records of this process, from `level` up.
/// They wait until [`Handle::start`] or [`Handle::finish`] is called.
///
/// Works once in a process: what a second call returns belongs to no log.
pub fn init(sink: Sink, level: Level) -> io::Result<Handle> {
    let (log, handle) = Log::new(sink, level)?;
    let subscriber = tracing_subscriber::registry().with(log);
    // The only error is that there is one already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(handle)
}

impl Handle {
    /// Starts the thread that writes. Not before the environment is final: other
    /// threads must not read what is being changed.
    pub fn start(&self) -> io::Result<()> {
        self.0.writer.start()
    }

    /// Writes what waits, as the process is about to end. Servers get little more than a
    /// second, then the log [`super::FINISH`], and journald five seconds. Returns `false` if
    /// nothing could be written.
    pub fn finish(&self) -> bool {
        // These log what they have lost.
        self.0.remotes.finish();
        let could_write = self.0.writer.finish();
        if self.0.has_fields {
            journal::wait_until_handled();
        }
        could_write
    }

    /// Waits until what was logged is written, if that takes no longer than `longest`.
    pub fn wait(&self, longest: Duration) {
        self.0.writer.wait(longest);
    }

    /// From now on writes records of `level` and above.
    pub fn set_level(&self, level: Level) {
        let least = Priority::from(level).number();
        self.0.least.store(least, Ordering::Relaxed);
    }

    /// Whether nothing waits to be written, or to be sent to whoever takes it.
    pub fn is_written(&self) -> bool {
        self.0.writer.is_done() && self.0.remotes.is_done()
    }

    /// Whether records keep their fields where they go.
    pub fn has_fields(&self) -> bool {
        self.0.has_fields
    }

    /// From now on the application gets no standard output of ours: what it writes there is
    /// read, and written here.
    pub fn collect_output(&self) {
        self.0.collects_output.store(true, Ordering::Relaxed);
    }

    pub fn collects_output(&self) -> bool {
        self.0.collects_output.load(Ordering::Relaxed)
    }

    /// Writes what the application wrote to a stream of its own. The level does
    /// not apply: what an application prints is its own business.
    pub fn output(&self, process: AppProcess, stream: Stream, output: AppRecord) {
        self.0.writer.push(Content::Application {
            process,
            stream,
            output,
        });
    }

    /// From now on records go to this file; `None`: as before there was one.
    pub fn use_file(&self, file: Option<ErrorFile>) {
        self.0.writer.use_file(file);
    }

    /// Opens the file of the error log anew, if there is one: it may have been renamed.
    pub fn reopen_file(&self) {
        self.0.writer.reopen_file();
    }

    /// The file of the error log.
    pub fn file_path(&self) -> Option<PathBuf> {
        self.0.writer.file_path()
    }

    /// From now on the program's own records go to this syslog, too, and figures to this
    /// StatsD. Not before [`Self::start`]: it may start threads.
    pub fn use_remotes(&self, syslog: Option<Syslog>, statsd: Option<Statsd>) {
        self.0.remotes.set(syslog, statsd);
    }

    /// Sends a metric, if there is a StatsD.
    pub fn send_metric(&self, metric: impl FnOnce(&Statsd) -> String) {
        self.0.remotes.send_metric(metric);
    }

    /// How many records syslog did not get since the start.
    pub fn missed_by_syslog(&self) -> u64 {
        self.0.remotes.syslog_lost()
    }

    /// How many metrics StatsD did not get since the start.
    pub fn missed_by_statsd(&self) -> u64 {
        self.0.remotes.metrics_lost()
    }

    /// How many records did not get into it since the start.
    pub fn missed_by_file(&self) -> u64 {
        self.0.writer.missed()
    }

    /// How many records were lost since the start.
    pub fn dropped(&self) -> u64 {
        self.0.writer.dropped()
    }

    /// Whether the application's output should be read now. If not, it waits in
    /// its pipes until [`Self::resume`] is readable or [`Self::next_change`] has
    /// come.
    pub fn takes_output(&self) -> bool {
        self.0.writer.takes_output()
    }

    pub fn resume(&self) -> BorrowedFd<'_> {
        self.0.writer.resume()
    }

    pub fn next_change(&self) -> Option<Instant> {
        self.0.writer.next_change()
    }
}

impl Log {
    /// The layer and the handle that changes it.
    pub fn new(sink: Sink, level: Level) -> io::Result<(Self, Handle)> {
        let shared = Arc::new(Shared {
            least: AtomicU8::new(Priority::from(level).number()),
            has_fields: sink.has_fields(),
            collects_output: AtomicBool::new(false),
            writer: Arc::new(Writer::new(sink)?),
            remotes: Remotes::default(),
        });
        Ok((Self(Arc::clone(&shared)), Handle(shared)))
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level may change: ask every time.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() != tracing::Level::TRACE
            && Priority::from(*metadata.level()).number() <= self.0.least.load(Ordering::Relaxed)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut values = Values(Vec::new());
        event.record(&mut values);
        let captured = Captured {
            metadata: event.metadata(),
            values: values.0,
        };
        self.0.remotes.log(&captured);
        self.0.writer.push(Content::Program(captured));
    }
}

struct Values(Vec<(Field, FieldValue)>);

impl Values {
    fn text(&mut self, field: &Field, text: String) {
        self.0.push((field.clone(), FieldValue::Text(text)));
    }
}

impl Visit for Values {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.clone(), FieldValue::Number(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format!("{value:?}"));
    }
}
