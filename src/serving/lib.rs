//! What a worker does besides calling the application: the master's orders, signals,
//! heartbeats, log records, connections that go to other workers, and requests on their way
//! to threads. There is no Python in here, so none of it can wait for the interpreter's
//! lock, and all of it can be tested without an interpreter.
//!
//! ```text
//!  worker (Python) ─▶ companion ─▶ serving ─▶ engine
//!                  ─▶ lending ───▶ thread_pool
//!                        └──────▶ call_watch ◀── companion
//! ```

mod access_destination;
mod access_outputs;
mod access_writer;
mod call_watch;
mod companion;
mod lending;
mod named_request;
mod notices;
mod reporter;
mod serving;
mod settings;
mod signal_watch;
mod syslog_records;
mod thread_pool;

pub use access_outputs::{AccessOutputs, finish_outputs};
pub use access_writer::{AccessWriter, pause_access_writers};
pub use call_watch::CallWatch;
pub use companion::{Companion, send_held, stop_companion};
pub use lending::{Back, Lending, Pause};
pub use named_request::NamedRequest;
pub use reporter::{Reporter, Sender};
pub use serving::{MAX_HOLD, Serving, consequence};
pub use settings::request_timeout;
pub use signal_watch::SignalWatch;
pub use syslog_records::SyslogRecords;
pub use thread_pool::{Activity, Ended, Job, Late, Overdue, Task, ThreadPool};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A thread that panicked while it held the lock is no reason to stop serving.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
