//! What StatsD is told of the pool: how many workers there are, and how many connections wait.

use super::Master;
use crate::listeners::Listener;
use crate::sys::tcp_info;
use rgunicorn_link::protocol::ListenAddress;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How often it is told how many connections wait.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(1);

/// What it was told.
#[derive(Debug, Default)]
pub(super) struct PoolMetrics {
    /// How many workers there are.
    workers: usize,
    /// When it is told of the backlog again.
    backlog_due: Option<Instant>,
}

impl PoolMetrics {
    /// It may be another StatsD from now on.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.backlog_due
    }
}

impl Master {
    pub(super) fn send_pool_metrics(&mut self, now: Instant) {
        let config = &self.current.config;
        if config.statsd_host.remote().is_none() {
            return;
        }
        let summary = self.arbiter.summary();
        let workers = summary.ready + summary.starting;
        // Before the first there are none, which says nothing.
        if self.pool_metrics.workers != workers {
            self.pool_metrics.workers = workers;
            (self.log).send_metric(|statsd| statsd.gauge("gunicorn.workers", workers));
        }
        let is_due = self.pool_metrics.backlog_due.is_none_or(|due| due <= now);
        if config.enable_backlog_metric && is_due {
            self.pool_metrics.backlog_due = Some(now + BACKLOG_INTERVAL);
            if let Some(waiting) = waiting(self.processes.listeners()) {
                (self.log).send_metric(|statsd| statsd.histogram("gunicorn.backlog", waiting));
            }
        }
    }
}

/// How many connections wait at all TCP sockets; `None`: there are none.
fn waiting(listeners: &[Listener]) -> Option<u64> {
    let is_tcp = |listener: &&Listener| matches!(listener.address, ListenAddress::Tcp { .. });
    let lengths = listeners
        .iter()
        .filter(is_tcp)
        .filter_map(|listener| tcp_info::waiting(listener.fd.as_fd()).ok());
    lengths.reduce(|sum, more| sum + more)
}
