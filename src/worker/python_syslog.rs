//! Where the handler of Python's `logging` gives records for syslog to.

use pyo3::prelude::*;
use rgunicorn_link::{Scoreboard, Syslog};
use rgunicorn_serving::{Reporter, SyslogRecords};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The worker that it is. A child that the application has forked has no thread that sends.
static OWNER: AtomicU32 = AtomicU32::new(0);
/// Used with the GIL held, so it is free when Python forks.
static RECORDS: Mutex<Option<Arc<Records>>> = Mutex::new(None);

/// The records of this worker.
pub struct Records {
    sent: SyslogRecords,
    scoreboard: Arc<Scoreboard>,
    row: usize,
}

impl Records {
    /// From now on they are sent.
    pub fn begin(
        syslog: &Syslog,
        reporter: &Reporter,
        scoreboard: &Arc<Scoreboard>,
        row: usize,
    ) -> Arc<Self> {
        let records = Arc::new(Self {
            sent: SyslogRecords::new(syslog, reporter),
            scoreboard: Arc::clone(scoreboard),
            row,
        });
        *RECORDS.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&records));
        OWNER.store(std::process::id(), Relaxed);
        records
    }

    pub fn sent(&self) -> &SyslogRecords {
        &self.sent
    }

    /// Puts on the scoreboard how many are lost.
    pub fn count(&self) {
        if let Some(row) = self.scoreboard.row(self.row) {
            row.set_syslog_lost(self.sent.lost());
        }
    }
}

/// Sends a record, if this is a worker and there is a syslog.
#[pyfunction]
pub fn send_to_syslog(severity: u8, text: &str) {
    if OWNER.load(Relaxed) != std::process::id() {
        return;
    }
    let records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(records) = &*records {
        records.sent.send(severity, text);
        records.count();
    }
}
