//! Records in the journal, by the crates `tracing-journald` and `libsystemd`.
//!
//! Both send on a blocking socket, one datagram an entry: only the thread that
//! writes may come here. They name the destination with each datagram, so a
//! journald that was restarted is found again by itself.

use super::events::{self, AppProcess, Stream};
use super::record::{Content, Record};
use super::sink::Failure;
use super::{AppRecord, Priority};
use libsystemd::logging::{self as native, SD_JOURNAL_SOCK_PATH, journal_send};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tracing::Dispatch;
use tracing_journald::PriorityMappings;
use tracing_subscriber::layer::SubscriberExt;

/// How often a record is sent that a journald which is there does not take.
const ATTEMPTS: u32 = 5;

/// How long a process that ends waits for journald.
const HANDLED: Duration = Duration::from_secs(5);

pub struct Journal {
    /// `SYSLOG_IDENTIFIER=`.
    identifier: &'static str,
    /// Writes events of `tracing`; made when the first one is written.
    subscriber: Option<Dispatch>,
    /// Failed attempts to send the current record.
    failures: u32,
}

impl Journal {
    pub(super) fn new(identifier: &'static str) -> Self {
        Self {
            identifier,
            subscriber: None,
            failures: 0,
        }
    }

    pub(super) fn write(&mut self, record: &Record) -> Result<(), Failure> {
        match &record.content {
            Content::Program(captured) => self.emit(|| captured.emit()),
            Content::Dropped(count) => self.emit(|| events::records_dropped(*count, "the journal")),
            Content::FileFails(text) => self.emit(|| events::error_log_failed(text)),
            Content::FileMisses(count) => self.emit(|| events::error_log_misses(*count)),
            Content::Application {
                process,
                stream,
                output,
            } => self.send(*process, *stream, output),
        }
    }

    /// Has `tracing-journald` write the event that `event` emits. It does not
    /// say whether it could, so what can be known is found out before.
    fn emit(&mut self, event: impl FnOnce()) -> Result<(), Failure> {
        if !is_present() {
            return Err(Failure::Absent);
        }
        if self.subscriber.is_none() {
            self.subscriber = Some(subscriber(self.identifier).map_err(|_| Failure::Absent)?);
        }
        if let Some(subscriber) = &self.subscriber {
            tracing::dispatcher::with_default(subscriber, event);
        }
        Ok(())
    }

    fn send(
        &mut self,
        process: AppProcess,
        stream: Stream,
        output: &AppRecord,
    ) -> Result<(), Failure> {
        let fields = events::output_fields(process, stream, output.request.as_deref());
        let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
        let fields = fields.chain([("SYSLOG_IDENTIFIER", self.identifier)]);
        match journal_send(output.priority.into(), &output.text, fields) {
            Ok(()) => {
                self.failures = 0;
                Ok(())
            }
            Err(_) if !is_present() => Err(Failure::Absent),
            // The error has no number to tell what passes from what does not.
            Err(_) if self.failures + 1 < ATTEMPTS => {
                self.failures += 1;
                Err(Failure::Absent)
            }
            Err(_) => {
                self.failures = 0;
                Err(Failure::Refused)
            }
        }
    }
}

/// Whether somebody listens on the journal's socket. Does not wait, whatever
/// state journald is in.
pub(super) fn is_present() -> bool {
    connect().is_ok()
}

fn connect() -> rustix::io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(SD_JOURNAL_SOCK_PATH)?)?;
    Ok(socket)
}

/// Waits until journald has handled what this process has sent, for at most [`HANDLED`].
/// Only then does journald ask the kernel which unit the sender belongs to; of a process that
/// is gone it learns nothing, and `journalctl -u` would not show its last words.
pub(super) fn wait_until_handled() {
    // If it fails, the records are sent nevertheless.
    let _ = await_journald();
}

fn await_journald() -> rustix::io::Result<()> {
    // journald takes one datagram after the other, and ignores lines with a `#`. This one
    // fills the socket, which can be written to again when the kernel has freed it.
    let mut comment = [b'#'; 2048];
    comment[2047] = b'\n';
    let socket = connect()?;
    sockopt::set_socket_send_buffer_size(&socket, 0)?;
    rustix::net::send(&socket, &comment, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    let mut writable = [PollFd::new(&socket, PollFlags::OUT)];
    let timeout = Timespec::try_from(HANDLED).ok();
    rustix::io::retry_on_intr(|| poll(&mut writable, timeout.as_ref()))?;
    Ok(())
}

fn subscriber(identifier: &str) -> std::io::Result<Dispatch> {
    use tracing_journald::Priority;
    let layer = tracing_journald::layer()?
        .with_field_prefix(None)
        .with_syslog_identifier(identifier.to_owned())
        .with_priority_mappings(PriorityMappings {
            error: Priority::Error,
            warn: Priority::Warning,
            info: Priority::Informational,
            debug: Priority::Debug,
            trace: Priority::Debug,
        });
    Ok(tracing_subscriber::registry().with(layer).into())
}

impl From<Priority> for native::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Emergency => Self::Emergency,
            Priority::Alert => Self::Alert,
            Priority::Critical => Self::Critical,
            Priority::Error => Self::Error,
            Priority::Warning => Self::Warning,
            Priority::Notice => Self::Notice,
            Priority::Info => Self::Info,
            Priority::Debug => Self::Debug,
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}
