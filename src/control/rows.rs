//! What the master's answers list, each with the names and units of `rgunicornctl --json`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why workers end: names that do not change.
pub mod exit_cause {
    /// It was asked to leave, and did.
    pub const RETIRED: &str = "retired";
    /// It ended before it served.
    pub const START_FAILED: &str = "start_failed";
    /// It was stuck, in a request or while it loaded the application.
    pub const TIMEOUT: &str = "timeout";
    /// The kernel killed it, as memory ran out.
    pub const OUT_OF_MEMORY: &str = "out_of_memory";
    /// It ended by itself.
    pub const DIED: &str = "died";
    /// It was asked to leave, and did not in time.
    pub const KILLED: &str = "killed";

    pub const ALL: [&str; 6] = [RETIRED, START_FAILED, TIMEOUT, OUT_OF_MEMORY, DIED, KILLED];
}

/// The state of the server. These names and units are also those of
/// `rgunicornctl status --json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    pub version: String,
    /// Of the master.
    pub pid: u32,
    /// Since the master started.
    pub uptime_ms: u64,
    /// `starting`, `serving`, `reloading`, `draining` or `stopping`.
    pub state: String,
    /// The generation that serves.
    pub generation: u32,
    pub workers_wanted: u64,
    /// Those that serve, of any generation.
    pub workers_ready: u64,
    pub workers_starting: u64,
    pub workers_retiring: u64,
    /// Those that are in a request.
    pub workers_busy: u64,
    /// Answered since the master started.
    pub requests: u64,
    /// Over the last seconds.
    pub requests_per_second: u64,
    /// Of the requests, those answered with a status of 500 or more, and those cut off.
    pub errors: u64,
    /// Sent to clients since the master started.
    pub sent_bytes: u64,
    /// When the master started, in seconds since 1970.
    pub started_at: u64,
    /// How many workers have ended since then, by cause: see [`exit_cause`].
    pub worker_exits: BTreeMap<String, u64>,
    /// Reloads since then.
    pub reloads: ReloadCounts,
    /// Log records since then that nobody took in time.
    pub log_records_dropped: u64,
    /// Records since then that are not in the access log.
    pub access_records_dropped: u64,
    /// Records since then that the file of the error log did not take.
    pub error_log_records_missing: u64,
    /// Records of the server's own log since then that syslog did not get.
    pub syslog_records_dropped: u64,
    /// Metrics since then that StatsD did not get.
    pub statsd_metrics_dropped: u64,
    /// Why the last reload failed, if it did.
    pub last_reload_failure: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReloadCounts {
    pub succeeded: u64,
    pub failed: u64,
    /// When the last one ended, in seconds since 1970.
    pub last_at: Option<u64>,
}

/// What an order has come to. These names are also those of `rgunicornctl reload --json`,
/// and of the others that change something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// What is printed without `--json`.
    pub message: String,
    /// The generation that serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers_wanted: Option<u64>,
    /// Of `scale`: how many were wanted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers_wanted_before: Option<u64>,
    /// Those that serve, of any generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers_ready: Option<u64>,
    /// Of `restart-worker`: the number of the one that is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
}

impl Outcome {
    /// Of which nothing else is known.
    pub fn of(message: String) -> Self {
        Self {
            message,
            ..Self::default()
        }
    }
}

/// Workers in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Workers {
    /// The parent of all workers.
    pub master_pid: u32,
    pub workers: Vec<Worker>,
    pub next: Option<u32>,
}

/// One worker. These names and units are also those of `rgunicornctl workers --json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Worker {
    /// Its number, which counts up for as long as the master lives.
    pub worker: u32,
    /// `None` until its process exists.
    pub pid: Option<u32>,
    pub generation: u32,
    /// `starting`, `idle`, `busy`, `retiring`, `leaving`, `aborted` or `killed`.
    pub state: String,
    /// Since it was ordered.
    pub age_ms: u64,
    /// How long its request has been under way, with several the oldest; `None` if
    /// there is none.
    pub busy_ms: Option<u64>,
    /// The method and the path of that request, in printable ASCII. What else the client
    /// wrote is percent-encoded, and a long path ends with `...`.
    pub request: Option<String>,
    /// Connections it held at its last heartbeat.
    pub connections: u64,
    /// Answered.
    pub requests: u64,
    /// Requests answered with a status of 500 or more, and those cut off.
    pub errors: u64,
    /// Sent to clients.
    pub sent_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Listeners {
    pub listeners: Vec<Listener>,
    pub next: Option<u32>,
}

/// One listening socket. These names are also those of `rgunicornctl listeners --json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Listener {
    /// `FileDescriptorName=` of the socket unit, or `http`.
    pub name: String,
    /// As it is written in a configuration.
    pub address: String,
    /// `tcp` or `unix`.
    pub kind: String,
    /// `systemd`, `parent` (the process that started rgunicorn) or `rgunicorn`.
    pub opened_by: String,
    /// Of the socket: the kernel's name for it.
    pub inode: u64,
}

/// Settings in the order of the manual.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub settings: Vec<Setting>,
    pub next: Option<u32>,
}

/// One setting, as the master runs with it. These names are also those of
/// `rgunicornctl config --json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Setting {
    pub name: String,
    /// `None` if it is not set, and has no default.
    pub value: Option<serde_json::Value>,
    /// Where the value comes from; `default` if it was not set.
    pub origin: String,
    /// What holds while it is not set; empty where there is a default.
    pub otherwise: String,
    /// It changed with a reload, and has this value from the next restart on.
    pub at_restart: Option<serde_json::Value>,
    /// The value is too long for an answer: it is the start and the end of its text.
    pub is_cut: bool,
}

/// What the threads of a worker were doing. These names are also those of
/// `rgunicornctl stacks --json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stacks {
    pub worker: u32,
    pub pid: u32,
    /// As in [`Worker::busy_ms`].
    pub busy_ms: Option<u64>,
    /// As in [`Worker::request`].
    pub request: Option<String>,
    /// As Python's `faulthandler` writes them: of each thread, the most recent call first.
    pub stacks: String,
}
