//! The named events: what an operator may wait for, search for, or be woken by.
//!
//! Each has an id that never changes its meaning and a paragraph in
//! `systemd/rgunicorn.catalog`, which `journalctl -x` shows. Values are in
//! fields for machines and in the sentence for people. Events without a name
//! are logged where they happen.

use super::{APP, AppRecord, Priority};
use rgunicorn_link::protocol::{Level, ListenAddress, LoadFailure, Record};
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// The master runs.
pub const STARTED: &str = "86756631b0d848568e870207c94a6d14";
/// A socket listens.
pub const LISTENING: &str = "497ad73684d84ceaa7bdae4c8b5ca56f";
/// Configured addresses are not used.
pub const BIND_IGNORED: &str = "df27a035b90f438783d3f51bbb5ea83c";
/// The configuration cannot be used.
pub const CONFIGURATION_REFUSED: &str = "66199c31a57e403ca1a29984187ce524";
/// Enough workers are ready.
pub const READY: &str = "c5efddd5be3e4308acd5eb1a3306a570";
/// The master has been asked to stop.
pub const STOPPING: &str = "cea67d2467d24f219dbf42990cee02ec";
/// All workers are gone.
pub const STOPPED: &str = "88899ad859b742219c50f69be83fb6e8";
/// A worker process exists.
pub const WORKER_STARTED: &str = "3b01354a5a0a436e82cf921a05c405df";
/// A worker accepts requests.
pub const WORKER_READY: &str = "89a4790595094b2ca68541a0f0288eac";
/// A worker is gone that nobody asked to leave.
pub const WORKER_DIED: &str = "7a69c9376dce4b5784a5b97f5361e868";
/// A worker took too long for a request.
pub const WORKER_TIMED_OUT: &str = "8ada9a7549bf40bd963cb152e47bc0d5";
/// A worker was sent SIGKILL.
pub const WORKER_KILLED: &str = "16907294d9344ac8bf0485d29148609f";
/// A worker left as it was asked to.
pub const WORKER_RETIRED: &str = "0d5aa5c488354400a74dec68ce29b5e1";
/// The application could not be loaded.
pub const LOAD_FAILED: &str = "a10d70f946f24e4cafa232aaca5bcc0c";
/// The next attempt to start a worker waits.
pub const RESPAWN_DELAYED: &str = "3f2ea596e30743e98186a361068316e2";
/// The operating system gave no process.
pub const FORK_FAILED: &str = "ca86ecca75954587ad2c847689d5e45f";
/// A fork server is gone that nobody asked to leave.
pub const FORK_SERVER_DIED: &str = "2e6071c1806b4d8580296de5e41b8ad7";
/// Another number of workers is wanted.
pub const WORKERS_WANTED: &str = "7a825526cbf141408ce5bb21f2c68884";
/// A reload has begun.
pub const RELOAD_BEGAN: &str = "02f9d6c722664850a77372e57a71b921";
/// A reload is over, and everything is new.
pub const RELOAD_FINISHED: &str = "60bd6d9d98ba4ecb94bf4b4567935e4b";
/// A reload is over, and everything is as it was.
pub const RELOAD_FAILED: &str = "49b8a9ee426b4ce48c71300b50b0dbb3";
/// Somebody asked for something on the control socket.
pub const CONTROL_REQUEST: &str = "5c00173a7f6d4c0493211e26a3de0f1e";
/// systemd could not be told something.
pub const NOTIFY_FAILED: &str = "d929fd10dd7f45f7b8af0b3487ce215d";
/// The application wrote something.
pub const APP_OUTPUT: &str = "1e37f612d9594b5b8f822be4ff6007b8";
/// Log records were lost.
pub const LOG_RECORDS_DROPPED: &str = "d9d3fc9400404ca7bdc6830b5f68c0e4";

/// A worker, as records name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worker {
    /// Its number.
    pub id: u32,
    /// Its process.
    pub pid: u32,
    /// Its generation.
    pub generation: u32,
}

/// A process that runs the application's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// A worker.
    Worker(Worker),
    /// The fork server of a generation.
    ForkServer {
        /// Its process.
        pid: u32,
        /// Its generation.
        generation: u32,
    },
}

/// Which of its two streams an application wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The master runs, with the configuration from `source`.
pub fn started(version: &str, source: &str) {
    info!(
        message_id = STARTED,
        version, source, "rgunicorn {version} started, configured by {source}",
    );
}

/// A socket listens, opened by `origin`.
pub fn listening(name: &str, address: &ListenAddress, origin: &str) {
    let address = shown(address);
    info!(
        message_id = LISTENING,
        listener = name,
        address = address.as_str(),
        origin,
        "Listening on {address} ({name}, opened by {origin})",
    );
}

/// `addresses` are configured and not used, because systemd opened sockets.
pub fn bind_ignored(addresses: &[impl Display]) {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let addresses = addresses.join(", ");
    warn!(
        message_id = BIND_IGNORED,
        address = addresses.as_str(),
        "Not listening on {addresses}: systemd opened the sockets, so bind is ignored",
    );
}

/// The configuration cannot be used, because of `reason`.
pub fn configuration_refused(reason: &str) {
    error!(
        message_id = CONFIGURATION_REFUSED,
        reason, "Configuration refused: {reason}",
    );
}

/// `workers` workers of `generation` are ready, `after` the start.
pub fn ready(generation: u32, workers: usize, after: Duration) {
    info!(
        message_id = READY,
        generation,
        workers,
        after_usec = micros(after),
        "Ready after {}: {}",
        seconds(after),
        counted(workers, "worker"),
    );
}

/// The master stops, because of `reason`; workers have `within` to finish, or
/// leave at once.
pub fn stopping(reason: &str, within: Option<Duration>) {
    let how = match within {
        Some(within) => format!("workers have {} to finish", seconds(within)),
        None => "workers leave at once".to_owned(),
    };
    info!(
        message_id = STOPPING,
        reason,
        within_usec = micros(within.unwrap_or_default()),
        "Stopping ({reason}): {how}",
    );
}

/// All workers are gone.
pub fn stopped() {
    info!(message_id = STOPPED, "Stopped");
}

/// A worker process exists.
pub fn worker_started(worker: Worker) {
    let Worker {
        id,
        pid,
        generation,
    } = worker;
    debug!(
        message_id = WORKER_STARTED,
        worker_id = id,
        worker_pid = pid,
        generation,
        "Worker {id} started (pid {pid}, generation {generation})",
    );
}

/// A worker has loaded the application, `after` it started.
pub fn worker_ready(worker: Worker, after: Duration) {
    let Worker {
        id,
        pid,
        generation,
    } = worker;
    info!(
        message_id = WORKER_READY,
        worker_id = id,
        worker_pid = pid,
        generation,
        after_usec = micros(after),
        "Worker {id} is ready (pid {pid}, generation {generation}, loaded in {})",
        seconds(after),
    );
}

/// A worker is gone that nobody asked to leave; `exit` says how, as
/// `killed by SIGSEGV`.
pub fn worker_died(worker: Worker, exit: &str, requests: u64) {
    warn!(
        message_id = WORKER_DIED,
        worker_id = worker.id,
        worker_pid = worker.pid,
        generation = worker.generation,
        exit,
        requests,
        "Worker {} died: {exit} (pid {}, after {})",
        worker.id,
        worker.pid,
        counted(requests, "request"),
    );
}

/// A worker has been busy with one request for `busy`, longer than `timeout`
/// allows; it is made to show its stacks and die.
pub fn worker_timed_out(worker: Worker, busy: Duration, timeout: Duration) {
    error!(
        message_id = WORKER_TIMED_OUT,
        worker_id = worker.id,
        worker_pid = worker.pid,
        generation = worker.generation,
        busy_usec = micros(busy),
        timeout_usec = micros(timeout),
        "Worker {} timed out: no sign of life for {}, timeout is {} (pid {})",
        worker.id,
        seconds(busy),
        seconds(timeout),
        worker.pid,
    );
}

/// A worker was sent SIGKILL, because of `reason`.
pub fn worker_killed(worker: Worker, reason: &str) {
    warn!(
        message_id = WORKER_KILLED,
        worker_id = worker.id,
        worker_pid = worker.pid,
        generation = worker.generation,
        reason,
        "Worker {} killed: {reason} (pid {})",
        worker.id,
        worker.pid,
    );
}

/// A worker left as it was asked to.
pub fn worker_retired(worker: Worker, requests: u64) {
    let Worker {
        id,
        pid,
        generation,
    } = worker;
    info!(
        message_id = WORKER_RETIRED,
        worker_id = id,
        worker_pid = pid,
        generation,
        requests,
        "Worker {id} retired (pid {pid}, generation {generation}, after {})",
        counted(requests, "request"),
    );
}

/// A worker, or a fork server that preloads, could not load the application.
pub fn load_failed(speaker: Speaker, failure: &LoadFailure) {
    let LoadFailure {
        status, summary, ..
    } = failure;
    let told = in_full(failure);
    match speaker {
        Speaker::Worker(Worker {
            id,
            pid,
            generation,
        }) => error!(
            message_id = LOAD_FAILED,
            worker_id = id,
            worker_pid = pid,
            generation,
            exit_status = status,
            reason = summary.as_str(),
            "Worker {id} cannot load the application: {told}",
        ),
        Speaker::ForkServer { pid, generation } => error!(
            message_id = LOAD_FAILED,
            fork_server_pid = pid,
            generation,
            exit_status = status,
            reason = summary.as_str(),
            "The fork server of generation {generation} cannot load the application: {told}",
        ),
    }
}

/// The summary and, below it, the traceback without its last line, which is the
/// summary again.
pub fn in_full(failure: &LoadFailure) -> String {
    let LoadFailure {
        summary, traceback, ..
    } = failure;
    let traceback = traceback.trim_end();
    let frames = match traceback.strip_suffix(summary.as_str()) {
        Some(frames) if frames.is_empty() || frames.ends_with('\n') => frames.trim_end(),
        Some(_) | None => traceback,
    };
    if frames.is_empty() {
        summary.clone()
    } else {
        format!("{summary}\n{frames}")
    }
}

/// Workers failed `failures` times in a row; the next starts after `pause`.
pub fn respawn_delayed(pause: Duration) {
    warn!(
        message_id = RESPAWN_DELAYED,
        pause_usec = micros(pause),
        "Workers fail one after the other: the next is tried in {}",
        seconds(pause),
    );
}

/// The operating system gave no process for worker `worker`.
pub fn fork_failed(worker: u32, generation: u32, reason: &str) {
    error!(
        message_id = FORK_FAILED,
        worker_id = worker,
        generation,
        reason,
        "Worker {worker} could not be forked: {reason}",
    );
}

/// A fork server is gone that nobody asked to leave.
pub fn fork_server_died(pid: u32, generation: u32, exit: &str) {
    error!(
        message_id = FORK_SERVER_DIED,
        fork_server_pid = pid,
        generation,
        exit,
        "The fork server of generation {generation} died: {exit} (pid {pid})",
    );
}

/// From now on `workers` workers are wanted, because of `reason`.
pub fn workers_wanted(workers: usize, reason: &str) {
    info!(
        message_id = WORKERS_WANTED,
        workers,
        reason,
        "{} wanted from now on ({reason})",
        counted(workers, "worker"),
    );
}

/// A reload has begun; `generation` is the new one.
pub fn reload_began(generation: u32, reason: &str) {
    info!(
        message_id = RELOAD_BEGAN,
        generation, reason, "Reload began ({reason}): generation {generation} is next",
    );
}

/// All workers are of the new `generation`.
pub fn reload_finished(generation: u32, workers: usize, after: Duration) {
    info!(
        message_id = RELOAD_FINISHED,
        generation,
        workers,
        after_usec = micros(after),
        "Reload finished after {}: generation {generation} serves with {}",
        seconds(after),
        counted(workers, "worker"),
    );
}

/// The reload came to nothing; `generation`, the old one, serves on.
pub fn reload_failed(generation: u32, reason: &str) {
    error!(
        message_id = RELOAD_FAILED,
        generation, reason, "Reload failed, generation {generation} serves on: {reason}",
    );
}

/// Process `pid` of user `uid` asked for `request` on the control socket.
pub fn control_request(request: &str, pid: u32, uid: u32) {
    info!(
        message_id = CONTROL_REQUEST,
        request,
        client_pid = pid,
        client_uid = uid,
        "Control client asked for {request} (pid {pid}, user {uid})",
    );
}

/// systemd could not be told something.
pub fn notify_failed(error: &dyn Display) {
    let reason = error.to_string();
    warn!(
        message_id = NOTIFY_FAILED,
        reason = reason.as_str(),
        "systemd could not be notified: {reason}",
    );
}

/// The application wrote `record` to a stream of its own.
pub fn app_output(speaker: Speaker, stream: Stream, record: &AppRecord) {
    let AppRecord { priority, text } = record;
    let number = priority.number();
    let stream = stream.name();
    // The macros want the level at compile time; the field has the exact one.
    macro_rules! record {
        ($level:ident) => {
            match speaker {
                Speaker::Worker(worker) => $level!(
                    target: APP,
                    message_id = APP_OUTPUT,
                    priority = number,
                    worker_id = worker.id,
                    worker_pid = worker.pid,
                    generation = worker.generation,
                    stream,
                    "{text}",
                ),
                Speaker::ForkServer { pid, generation } => $level!(
                    target: APP,
                    message_id = APP_OUTPUT,
                    priority = number,
                    fork_server_pid = pid,
                    generation,
                    stream,
                    "{text}",
                ),
            }
        };
    }
    match priority {
        Priority::Emergency | Priority::Alert | Priority::Critical | Priority::Error => {
            record!(error);
        }
        Priority::Warning => record!(warn),
        Priority::Notice | Priority::Info => record!(info),
        Priority::Debug => record!(debug),
    }
}

/// A worker or a fork server logged `record`. It has no name: the sentence is theirs.
pub fn relayed(speaker: Speaker, record: &Record) {
    let Record {
        level,
        text,
        dropped,
    } = record;
    if *dropped > 0 {
        let s = if *dropped == 1 { " was" } else { "s were" };
        let name = match speaker {
            Speaker::Worker(worker) => format!("Worker {}", worker.id),
            Speaker::ForkServer { generation, .. } => {
                format!("The fork server of generation {generation}")
            }
        };
        warn!(
            message_id = LOG_RECORDS_DROPPED,
            dropped, "{name} wrote too fast: {dropped} log record{s} dropped",
        );
    }
    macro_rules! record {
        ($level:ident) => {
            match speaker {
                Speaker::Worker(worker) => $level!(
                    worker_id = worker.id,
                    worker_pid = worker.pid,
                    generation = worker.generation,
                    "{text}",
                ),
                Speaker::ForkServer { pid, generation } => {
                    $level!(fork_server_pid = pid, generation, "{text}",)
                }
            }
        };
    }
    match level {
        Level::Error => record!(error),
        Level::Warning => record!(warn),
        Level::Info => record!(info),
        Level::Debug => record!(debug),
    }
}

/// `address` as people write it.
pub fn shown(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
        ListenAddress::Tcp { host, port } => format!("{host}:{port}"),
        ListenAddress::Unix(path) if path.is_empty() => "an unnamed unix socket".to_owned(),
        ListenAddress::Unix(path) => format!("unix:{}", Path::new(path).display()),
    }
}

fn counted(count: impl Copy + Display + PartialEq + From<u8>, thing: &str) -> String {
    let s = if count == 1.into() { "" } else { "s" };
    format!("{count} {thing}{s}")
}

fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 || time.as_secs() >= 100 {
        format!("{} s", time.as_secs())
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::in_full;
    use rgunicorn_link::protocol::LoadFailure;

    const SOURCE: &str = include_str!("events.rs");
    const CATALOG: &str = include_str!("../../../systemd/rgunicorn.catalog");

    /// Every id in this file, with its name.
    fn ids() -> BTreeMap<&'static str, &'static str> {
        SOURCE
            .lines()
            .filter_map(|line| line.strip_prefix("pub const "))
            .filter_map(|line| line.split_once(": &str = \""))
            .map(|(name, id)| (id.trim_end_matches("\";"), name))
            .collect()
    }

    /// Every entry of the catalog: its id and its text.
    fn entries() -> Vec<(&'static str, &'static str)> {
        CATALOG
            .split("\n-- ")
            .skip(1)
            .map(|entry| entry.split_once('\n').unwrap())
            .collect()
    }

    #[test]
    fn every_event_is_explained_and_every_explanation_has_an_event() {
        let explained: Vec<_> = entries().iter().map(|(id, _)| *id).collect();
        let unique: BTreeSet<_> = explained.iter().copied().collect();

        assert_eq!(unique, ids().into_keys().collect());
        assert_eq!(unique.len(), explained.len());
    }

    #[test]
    fn every_id_is_a_valid_and_different_128_bit_number() {
        let names = SOURCE.matches("\npub const ").count();

        assert_eq!(ids().len(), names);
        for (id, name) in ids() {
            assert!(
                id.len() == 32 && u128::from_str_radix(id, 16).is_ok(),
                "{name}"
            );
        }
    }

    #[test]
    fn every_explanation_has_a_subject_and_a_text() {
        for (id, entry) in entries() {
            let (head, text) = entry.split_once("\n\n").unwrap();

            assert!(head.starts_with("Subject: "), "{id}");
            assert!(head.contains("\nDefined-By: rgunicorn\n"), "{id}");
            assert!(head.contains("\nSupport: "), "{id}");
            assert!(!text.trim().is_empty(), "{id}");
        }
    }

    #[test]
    fn explanations_use_only_fields_that_events_have() {
        for (id, entry) in entries() {
            for field in entry.split('@').skip(1).step_by(2) {
                let name = field.to_ascii_lowercase();
                let is_set = [" = ", ",", " "]
                    .iter()
                    .any(|after| SOURCE.contains(&format!(" {name}{after}")));

                assert!(is_set, "{id} has @{field}@");
            }
        }
    }

    #[test]
    fn what_went_wrong_is_said_once() {
        let told = |summary: &str, traceback: &str| {
            in_full(&LoadFailure {
                status: 3,
                summary: summary.to_owned(),
                traceback: traceback.to_owned(),
            })
        };

        let no_module = "ModuleNotFoundError: No module named 'shop'";
        assert_eq!(told(no_module, &format!("{no_module}\n")), no_module);
        assert_eq!(told("it is no callable", ""), "it is no callable");
        assert_eq!(
            told("KeyError: 'x'", "Traceback:\n  line 1\nKeyError: 'x'\n"),
            "KeyError: 'x'\nTraceback:\n  line 1"
        );
        assert_eq!(
            told(
                "the factory raised",
                "Traceback:\n  line 1\nKeyError: 'x'\n"
            ),
            "the factory raised\nTraceback:\n  line 1\nKeyError: 'x'"
        );
    }
}
