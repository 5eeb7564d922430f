//! What the server sends to syslog and StatsD: records of its own log, and figures of the pool.
//! Each has a thread that looks names up and waits; whoever has something to send never does.

use super::Priority;
use super::record::Captured;
use super::remote_sender::{Closing, FINISH, RemoteSender};
use rgunicorn_link::syslog::{SyslogSource, push_record};
use rgunicorn_link::{Statsd, Syslog};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether the last records are sent.
const PAUSE: Duration = Duration::from_millis(5);

/// What records about losses are marked with: they are not sent, as they may be lost, too.
pub(super) const TARGET: &str = "rgunicorn::remote";

/// Where records and metrics of the master go besides the log.
#[derive(Debug, Default)]
pub(super) struct Remotes {
    current: Mutex<Current>,
    syslog_lost: Arc<AtomicU64>,
    metrics_lost: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Current {
    syslog: Option<(Syslog, RemoteSender)>,
    statsd: Option<(Statsd, RemoteSender)>,
}

impl Remotes {
    /// From now on these. A server that stays the same keeps its connection.
    pub(super) fn set(&self, syslog: Option<Syslog>, statsd: Option<Statsd>) {
        let mut current = self.lock();
        if current.syslog.as_ref().map(|(syslog, _)| syslog) != syslog.as_ref() {
            current.syslog = syslog.map(|syslog| {
                let sender = RemoteSender::new(&syslog.address, "syslog", &self.syslog_lost);
                (syslog, sender)
            });
        }
        if current.statsd.as_ref().map(|(statsd, _)| statsd) != statsd.as_ref() {
            current.statsd = statsd.map(|statsd| {
                let sender = RemoteSender::new(&statsd.address, "StatsD", &self.metrics_lost);
                (statsd, sender)
            });
        }
    }

    /// A record of the server's own log.
    pub(super) fn log(&self, record: &Captured) {
        if record.metadata.target() == TARGET {
            return;
        }
        let priority = Priority::from(*record.metadata.level());
        let mut current = self.lock();
        if let Some((syslog, sender)) = &mut current.syslog {
            let pid = record.number("object_pid");
            let pid = pid.and_then(|pid| u32::try_from(pid).ok());
            let pid = pid.unwrap_or_else(std::process::id);
            let head = syslog.head(SyslogSource::Error, priority.number(), pid);
            let mut bytes = Vec::new();
            push_record(&mut bytes, &head, record.message().as_bytes());
            sender.send(bytes);
        }
        if let Some((statsd, sender)) = &mut current.statsd {
            let name = match priority {
                Priority::Error => "gunicorn.log.error",
                Priority::Warning => "gunicorn.log.warning",
                Priority::Emergency
                | Priority::Alert
                | Priority::Critical
                | Priority::Notice
                | Priority::Info
                | Priority::Debug => return,
            };
            sender.send(statsd.increment(name).into());
        }
    }

    pub(super) fn send_metric(&self, metric: impl FnOnce(&Statsd) -> String) {
        if let Some((statsd, sender)) = &mut self.lock().statsd {
            sender.send(metric(statsd).into());
        }
    }

    pub(super) fn syslog_lost(&self) -> u64 {
        self.syslog_lost.load(Relaxed)
    }

    pub(super) fn metrics_lost(&self) -> u64 {
        self.metrics_lost.load(Relaxed)
    }

    /// Whether nothing waits that is likely to be sent soon.
    pub(super) fn is_done(&self) -> bool {
        let current = self.lock();
        let syslog = current.syslog.as_ref().map(|(_, sender)| sender);
        let statsd = current.statsd.as_ref().map(|(_, sender)| sender);
        syslog.into_iter().chain(statsd).all(RemoteSender::is_done)
    }

    /// Sends what is left, as the program is about to end, and logs how much was lost. Returns
    /// after little more than [`FINISH`].
    pub(super) fn finish(&self) {
        let Current { syslog, statsd } = std::mem::take(&mut *self.lock());
        let senders = [syslog.map(|(_, one)| one), statsd.map(|(_, one)| one)];
        let closing: Vec<_> = (senders.into_iter().flatten())
            .filter_map(RemoteSender::close)
            .collect();
        // The threads count what they give up.
        let until = Instant::now() + FINISH + 20 * PAUSE;
        while !closing.iter().all(Closing::has_ended) && Instant::now() < until {
            thread::sleep(PAUSE);
        }
        // A name is being looked up.
        for sender in closing.iter().filter(|sender| !sender.has_ended()) {
            sender.give_up();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
