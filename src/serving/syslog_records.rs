//! Records of Python's `logging` on their way to syslog.

use crate::access_writer::AccessWriter;
use crate::reporter::Reporter;
use rgunicorn_link::Syslog;
use rgunicorn_link::syslog::{SyslogSource, push_record};

/// Sends records that the application logs; never waits.
pub struct SyslogRecords {
    syslog: Syslog,
    writer: AccessWriter,
    pid: u32,
}

impl SyslogRecords {
    pub fn new(syslog: &Syslog, reporter: &Reporter) -> Self {
        Self {
            syslog: syslog.clone(),
            writer: AccessWriter::open_syslog(&syslog.address, reporter),
            pid: std::process::id(),
        }
    }

    /// `severity` is syslog's number, from 0 to 7.
    pub fn send(&self, severity: u8, text: &str) {
        let head = self.syslog.head(SyslogSource::Error, severity, self.pid);
        let mut record = Vec::new();
        push_record(&mut record, &head, text.as_bytes());
        self.writer.push(&record);
        self.writer.report_if_due();
    }

    /// How many were lost.
    pub fn lost(&self) -> u64 {
        self.writer.lost()
    }

    pub(crate) fn writer(&self) -> &AccessWriter {
        &self.writer
    }
}
