//! The error log in a file, in the form that lines have in a terminal.

use super::console::{Console, Style};
use super::record::{Content, Record};
use super::sink::{Failure, Sink};
use super::{Priority, events};
use rgunicorn_link::log_file;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The file that `errorlog` names.
#[derive(Debug)]
pub struct ErrorFile {
    path: PathBuf,
    console: Console,
    /// To see whether it was deleted.
    file: OwnedFd,
    /// What the application writes goes there, too.
    captures: bool,
    /// Records that it did not take, since it took one.
    missing: u64,
}

/// What becomes of the file while the log is written.
#[derive(Debug)]
pub(super) enum FileOrder {
    Use(Box<ErrorFile>),
    Reopen,
    /// Records go where they went before there was a file.
    Leave,
}

/// Where records go: to a sink, or to a file and, if that takes none, to the sink.
#[derive(Debug)]
pub(super) struct Route {
    sink: Sink,
    file: Option<ErrorFile>,
    /// How many records did not get into a file.
    missed: Arc<AtomicU64>,
}

impl ErrorFile {
    pub fn open(path: &Path, captures: bool) -> io::Result<Self> {
        let file = log_file::open(path)?.file;
        Ok(Self {
            path: path.to_owned(),
            console: Console::on(&file, Style::Plain, "the file"),
            file,
            captures,
            missing: 0,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn reopen(&mut self) {
        match Self::open(&self.path, self.captures) {
            Ok(file) => {
                let missing = self.missing;
                *self = Self { missing, ..file };
            }
            Err(error) => events::error_log_not_reopened(&self.path, &error),
        }
    }

    fn wants(&self, record: &Record) -> bool {
        match record.content {
            Content::Application { .. } => self.captures,
            Content::Program(_)
            | Content::Dropped(_)
            | Content::FileFails(_)
            | Content::FileMisses(_) => true,
        }
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        if log_file::is_deleted(&self.file) {
            self.reopen();
        }
        if self.missing > 0 {
            let notice = Record::now(Content::FileMisses(self.missing));
            self.console.put_record(&notice)?;
            self.missing = 0;
        }
        Ok(self.console.put_record(record)?)
    }
}

impl Route {
    pub(super) fn new(sink: Sink, missed: Arc<AtomicU64>) -> Self {
        Self {
            sink,
            file: None,
            missed,
        }
    }

    pub(super) fn apply(&mut self, order: FileOrder) {
        match (order, &mut self.file) {
            (FileOrder::Use(mut file), before) => {
                file.missing = before.as_ref().map_or(0, |before| before.missing);
                self.file = Some(*file);
            }
            (FileOrder::Reopen, Some(file)) => file.reopen(),
            (FileOrder::Reopen, None) => {}
            (FileOrder::Leave, _) => self.file = None,
        }
    }

    /// Fails only where the sink does.
    pub(super) fn write(&mut self, record: &Record) -> Result<(), Failure> {
        let Some(file) = self.file.as_mut().filter(|file| file.wants(record)) else {
            return self.sink.write(record);
        };
        let Err(error) = file.write(record) else {
            if self.sink.has_fields() && is_urgent(record) {
                // The file has it.
                let _ = self.sink.write(record);
            }
            return Ok(());
        };
        if file.missing == 0 {
            let text = events::error_log_failed_text(&file.path, &error);
            // What it says is seen in what follows, too.
            let _ = self.sink.write(&Record::now(Content::FileFails(text)));
        }
        let written = self.sink.write(record);
        if written != Err(Failure::Absent) {
            file.missing += record.weight();
            self.missed.fetch_add(record.weight(), Relaxed);
        }
        written
    }
}

/// Whether the journal gets it although there is a file: what `systemctl status` and
/// `journalctl -p err` are to show.
fn is_urgent(record: &Record) -> bool {
    match &record.content {
        Content::Program(captured) => {
            let priority = Priority::from(*captured.metadata.level());
            priority.number() <= Priority::Error.number()
        }
        Content::Application { .. } => false,
        Content::Dropped(_) | Content::FileFails(_) | Content::FileMisses(_) => true,
    }
}
