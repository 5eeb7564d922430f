//! What waits to be written: a record of the program or of the application.

use super::AppRecord;
use super::events::{AppProcess, Stream};
use std::time::SystemTime;
use tracing::field::{Field, Value};
use tracing::{Event, Metadata};

/// What a record costs besides its text, so that many short ones count as well.
const OVERHEAD: usize = 256;

/// One record on its way to whoever writes it.
#[derive(Debug)]
pub(super) struct Record {
    /// When it was logged: it may wait before it is written.
    pub(super) time: SystemTime,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// The program's own, or one that a worker's or fork server's engine sent.
    Program(Captured),
    /// What the application wrote to one of its streams.
    Application {
        process: AppProcess,
        stream: Stream,
        output: AppRecord,
    },
    /// This many records before this one were dropped.
    Dropped(u64),
    /// Why the file of the error log takes no records. Made by the thread that writes, like
    /// the next one.
    FileFails(String),
    /// So many records before this one are not in the file.
    FileMisses(u64),
}

/// An event of `tracing` with its values, to be emitted again on the thread
/// that writes. An [`Event`] itself only borrows them.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) metadata: &'static Metadata<'static>,
    pub(super) values: Vec<(Field, FieldValue)>,
}

/// The value of a field.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FieldValue {
    Number(u64),
    Text(String),
}

impl Record {
    pub(super) fn now(content: Content) -> Self {
        Self {
            time: SystemTime::now(),
            content,
        }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn size(&self) -> usize {
        OVERHEAD
            + match &self.content {
                Content::Program(captured) => captured.size(),
                Content::Application { output, .. } => output.text.len(),
                Content::FileFails(text) => text.len(),
                Content::Dropped(_) | Content::FileMisses(_) => 0,
            }
    }

    /// How many records are lost if this one is.
    pub(super) fn weight(&self) -> u64 {
        match self.content {
            Content::Program(_) | Content::Application { .. } => 1,
            Content::Dropped(count) => count,
            // They are about records that are counted.
            Content::FileFails(_) | Content::FileMisses(_) => 0,
        }
    }
}

impl Captured {
    /// The sentence.
    pub(super) fn message(&self) -> &str {
        self.values
            .iter()
            .find_map(|(field, value)| match value {
                FieldValue::Text(text) if field.name() == "message" => Some(text.as_str()),
                FieldValue::Text(_) | FieldValue::Number(_) => None,
            })
            .unwrap_or_default()
    }

    /// The number in a field.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.values.iter().find_map(|(field, value)| match value {
            FieldValue::Number(number) if field.name() == name => Some(*number),
            FieldValue::Text(_) | FieldValue::Number(_) => None,
        })
    }

    /// Emits the event to this thread's subscriber.
    pub(super) fn emit(&self) {
        /// The macros of `tracing` allow no more.
        const MOST: usize = 32;
        let Some((first, _)) = self.values.first() else {
            return;
        };
        // A value set is made of an array; fields without a value do not count.
        let mut values: [(&Field, Option<&dyn Value>); MOST] = [(first, None); MOST];
        for (slot, (field, value)) in values.iter_mut().zip(&self.values) {
            *slot = (field, Some(value.as_value()));
        }
        Event::dispatch(self.metadata, &self.metadata.fields().value_set(&values));
    }

    fn size(&self) -> usize {
        let values = self.values.iter().map(|(_, value)| match value {
            FieldValue::Number(_) => 0,
            FieldValue::Text(text) => text.len(),
        });
        values.sum::<usize>() + self.values.len() * size_of::<(Field, FieldValue)>()
    }
}

impl FieldValue {
    fn as_value(&self) -> &dyn Value {
        match self {
            Self::Number(number) => number,
            Self::Text(text) => text,
        }
    }
}
