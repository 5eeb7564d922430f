//! Between `tracing`'s macros and the sink: collects an event's fields and
//! drops what is below the level.

use super::{Entry, Priority, Sink};
use rgunicorn_link::protocol::Level;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// The target of what an application wrote. The level does not apply to it:
/// what an application prints is its own business.
pub const APP: &str = "app";

/// The layer that writes every event to one sink.
#[derive(Debug)]
pub struct Log(Arc<Shared>);

/// Changes the log while it runs.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The number of the least urgent priority that is written.
    least: AtomicU8,
    sink: Mutex<Sink>,
    /// `SYSLOG_IDENTIFIER=`.
    identifier: String,
}

/// Makes `sink` the destination of all records of this process, from `level` up.
///
/// Works once in a process; a second call changes nothing and its handle
/// changes nothing either.
pub fn init(sink: Sink, level: Level, identifier: &str) -> Handle {
    let (log, handle) = Log::new(sink, level, identifier);
    let subscriber = tracing_subscriber::registry().with(log);
    // The only error is that there is one already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    handle
}

impl Handle {
    /// From now on writes records of `level` and above.
    pub fn set_level(&self, level: Level) {
        let least = Priority::from(level).number();
        self.0.least.store(least, Ordering::Relaxed);
    }

    /// Whether records keep their fields where they go.
    pub fn has_fields(&self) -> bool {
        self.0
            .sink
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .has_fields()
    }
}

impl Log {
    /// The layer and the handle that changes it.
    pub fn new(sink: Sink, level: Level, identifier: &str) -> (Self, Handle) {
        let shared = Arc::new(Shared {
            least: AtomicU8::new(Priority::from(level).number()),
            sink: Mutex::new(sink),
            identifier: identifier.to_owned(),
        });
        (Self(Arc::clone(&shared)), Handle(shared))
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level may change: ask every time.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == APP
            || (*metadata.level() != tracing::Level::TRACE
                && Priority::from(*metadata.level()).number()
                    <= self.0.least.load(Ordering::Relaxed))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let from_app = metadata.target() == APP;
        let mut entry = Entry {
            priority: Priority::from(*metadata.level()),
            message: String::new(),
            fields: Vec::new(),
            code: metadata.file().zip(metadata.line()).filter(|_| !from_app),
            speaker: None,
        };
        event.record(&mut Fields {
            entry: &mut entry,
            from_app,
        });
        self.0
            .sink
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(&entry, &self.0.identifier);
    }
}

struct Fields<'a> {
    entry: &'a mut Entry,
    from_app: bool,
}

impl Fields<'_> {
    fn number(&mut self, field: &Field, number: u64) {
        match field.name() {
            "priority" => {
                if let Some(priority) = Priority::from_number(number) {
                    self.entry.priority = priority;
                }
            }
            "worker_pid" if self.from_app => {
                self.entry.speaker = u32::try_from(number).ok();
                self.text(field, number.to_string());
            }
            _ => self.text(field, number.to_string()),
        }
    }

    fn text(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.entry.message = text;
        } else {
            self.entry.fields.push((field.name(), text));
        }
    }
}

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.number(field, value),
            Err(_) => self.text(field, value.to_string()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // Writing to a string fails only if the value's own `Debug` does.
        let _ = write!(text, "{value:?}");
        self.text(field, text);
    }
}
