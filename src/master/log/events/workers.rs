//! Workers and fork servers: how they start, fail and end.
//!
//! Their pid is in `OBJECT_PID`, systemd.journal-fields(7)'s name for the process that a
//! record is about: `_PID` is always the master, which alone writes to the journal.

use super::naming::{AppProcess, Worker, counted, mebibytes, micros, seconds};
use rgunicorn_link::protocol::LoadFailure;
use std::time::Duration;
use tracing::{debug, error, info, warn};

pub const WORKER_STARTED: &str = "3b01354a5a0a436e82cf921a05c405df";
pub const WORKER_READY: &str = "89a4790595094b2ca68541a0f0288eac";
pub const WORKER_DIED: &str = "7a69c9376dce4b5784a5b97f5361e868";
pub const WORKER_LEFT: &str = "dc89e3bef5a14488ae2d46e002bc2d7a";
pub const WORKER_TIMED_OUT: &str = "8ada9a7549bf40bd963cb152e47bc0d5";
pub const WORKER_TOO_LARGE: &str = "bbfa8f8387774ed89c2bbf5888d519ae";
pub const WORKER_SERVED_ENOUGH: &str = "112e4e3cb98d4e30841899eea036090a";
pub const WORKER_TOO_OLD: &str = "0facdaf44cec456abe07405239303478";
pub const MEMORY_PRESSURE: &str = "f9ec74449e7f443fbd1af13bcfc0bb8b";
pub const WORKER_RECYCLED: &str = "d32e61876b0347aaaa397521d61aca4c";
pub const POOL_STUCK: &str = "1f8cafd054d4475cbb0a263384817b82";
pub const WORKER_KILLED: &str = "16907294d9344ac8bf0485d29148609f";
pub const WORKER_RETIRED: &str = "0d5aa5c488354400a74dec68ce29b5e1";
pub const LOAD_FAILED: &str = "a10d70f946f24e4cafa232aaca5bcc0c";
pub const RESPAWN_DELAYED: &str = "3f2ea596e30743e98186a361068316e2";
pub const FORK_FAILED: &str = "ca86ecca75954587ad2c847689d5e45f";
pub const LEFT_BEHIND: &str = "a8f84a8719e24a82b2398a18a447ee0b";
pub const FORK_SERVER_DIED: &str = "2e6071c1806b4d8580296de5e41b8ad7";

pub fn worker_started(worker: Worker) {
    let Worker {
        id,
        pid,
        generation,
    } = worker;
    debug!(
        message_id = WORKER_STARTED,
        worker_id = id,
        object_pid = pid,
        generation,
        "Worker {id} started (pid {pid}, generation {generation})",
    );
}

/// It has loaded the application. `after`: since it was started.
pub fn worker_ready(worker: Worker, after: Duration) {
    info!(
        message_id = WORKER_READY,
        worker_id = worker.id,
        object_pid = worker.pid,
        generation = worker.generation,
        after_usec = micros(after),
        "Worker {} is ready (pid {}, generation {}, loaded in {})",
        worker.id,
        worker.pid,
        worker.generation,
        seconds(after),
    );
}

/// The method and the path of a request, and how a sentence goes on with both.
fn parts_of(request: Option<&str>) -> (Option<&str>, Option<&str>, String) {
    let (method, path) = request.and_then(|line| line.split_once(' ')).unzip();
    let during = request.map_or(String::new(), |line| format!(", in {line}"));
    (method, path, during)
}

/// It ended without being told to; `exit` is such as `killed by SIGSEGV`. `request`: the
/// method and the path of the one that it was in, in printable ASCII.
pub fn worker_died(worker: Worker, exit: &str, requests: u64, request: Option<&str>) {
    let (http_method, http_path, during) = parts_of(request);
    warn!(
        message_id = WORKER_DIED,
        worker_id = worker.id,
        object_pid = worker.pid,
        generation = worker.generation,
        exit,
        requests,
        http_method,
        http_path,
        "Worker {} died: {exit} (pid {}, after {}{during})",
        worker.id,
        worker.pid,
        counted(requests, "request"),
    );
}

/// It exited although the master had not told it to; `cause`: who did. `request`: the one
/// that it was in, as for [`worker_died`].
pub fn worker_left(worker: Worker, cause: &str, requests: u64, request: Option<&str>) {
    let (http_method, http_path, during) = parts_of(request);
    warn!(
        message_id = WORKER_LEFT,
        worker_id = worker.id,
        object_pid = worker.pid,
        generation = worker.generation,
        cause,
        requests,
        http_method,
        http_path,
        "Worker {} left: {cause} (pid {}, after {}{during})",
        worker.id,
        worker.pid,
        counted(requests, "request"),
    );
}

/// It has been busy with one request for longer than `timeout` allows. Its stacks
/// are logged next.
pub fn worker_timed_out(worker: Worker, busy: Duration, timeout: Duration) {
    error!(
        message_id = WORKER_TIMED_OUT,
        worker_id = worker.id,
        object_pid = worker.pid,
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

/// It has more memory of its own than `worker_memory_max`, in bytes, and is replaced.
/// `age`: since it was ready.
pub fn worker_too_large(worker: Worker, own: u64, max: u64, age: Duration) {
    warn!(
        message_id = WORKER_TOO_LARGE,
        worker_id = worker.id,
        object_pid = worker.pid,
        generation = worker.generation,
        memory_bytes = own,
        worker_memory_max = max,
        age_usec = micros(age),
        "Worker {} has {} of its own after {}, more than worker_memory_max ({}), and is \
         replaced (pid {})",
        worker.id,
        mebibytes(own),
        seconds(age),
        mebibytes(max),
        worker.pid,
    );
}

pub fn worker_served_enough(worker: Worker, requests: u64) {
    info!(
        message_id = WORKER_SERVED_ENOUGH,
        worker_id = worker.id,
        object_pid = worker.pid,
        generation = worker.generation,
        requests,
        "Worker {} has answered {}, and is replaced as max_requests says (pid {})",
        worker.id,
        counted(requests, "request"),
        worker.pid,
    );
}

pub fn worker_too_old(worker: Worker, age: Duration) {
    info!(
        message_id = WORKER_TOO_OLD,
        worker_id = worker.id,
        object_pid = worker.pid,
        generation = worker.generation,
        age_usec = micros(age),
        "Worker {} has served for {}, and is replaced as max_worker_age says (pid {})",
        worker.id,
        seconds(age),
        worker.pid,
    );
}

/// The kernel has reported it so often since the last of these records.
pub fn memory_pressure(reports: u32) {
    warn!(
        message_id = MEMORY_PRESSURE,
        reports, "Memory is short: the workers collect their garbage",
    );
}

/// `freed`: how much smaller its resident memory is, in bytes.
pub fn worker_collected(worker: Worker, freed: u64) {
    debug!(
        worker_id = worker.id,
        object_pid = worker.pid,
        memory_bytes = freed,
        "Worker {} has given back {} (pid {})",
        worker.id,
        mebibytes(freed),
        worker.pid,
    );
}

/// Memory stays short, and this worker has more of its own than any other that is idle, so
/// many bytes.
pub fn worker_recycled(worker: Worker, own: u64) {
    info!(
        message_id = WORKER_RECYCLED,
        worker_id = worker.id,
        object_pid = worker.pid,
        generation = worker.generation,
        memory_bytes = own,
        "Worker {} is replaced, as memory stays short: it has {} of its own (pid {})",
        worker.id,
        mebibytes(own),
        worker.pid,
    );
}

/// None of the `workers` that serve has proved for `silent` that it works.
pub fn pool_stuck(workers: usize, silent: Duration) {
    error!(
        message_id = POOL_STUCK,
        workers,
        silent_usec = micros(silent),
        "No worker shows signs of life ({}, silent for {} or longer): aborting them to log \
         their stacks, then systemd restarts the service",
        counted(workers, "worker"),
        seconds(silent),
    );
}

pub fn worker_killed(worker: Worker, reason: &str) {
    warn!(
        message_id = WORKER_KILLED,
        worker_id = worker.id,
        object_pid = worker.pid,
        generation = worker.generation,
        reason,
        "Worker {} killed: {reason} (pid {})",
        worker.id,
        worker.pid,
    );
}

/// Three SIGKILLs have not ended it, and the service stops without it.
pub fn left_behind(process: AppProcess) {
    match process {
        AppProcess::Worker(Worker {
            id,
            pid,
            generation,
        }) => error!(
            message_id = LEFT_BEHIND,
            worker_id = id,
            object_pid = pid,
            generation,
            "Worker {id} (pid {pid}) has not ended after three SIGKILLs: it hangs in the kernel \
             and is left behind",
        ),
        AppProcess::ForkServer { pid, generation } => error!(
            message_id = LEFT_BEHIND,
            object_pid = pid,
            generation,
            "The fork server of generation {generation} (pid {pid}) has not ended after three \
             SIGKILLs: it hangs in the kernel and is left behind",
        ),
    }
}

pub fn worker_retired(worker: Worker, requests: u64) {
    info!(
        message_id = WORKER_RETIRED,
        worker_id = worker.id,
        object_pid = worker.pid,
        generation = worker.generation,
        requests,
        "Worker {} retired (pid {}, generation {}, after {})",
        worker.id,
        worker.pid,
        worker.generation,
        counted(requests, "request"),
    );
}

/// `process` is a worker, or a fork server that preloads.
pub fn load_failed(process: AppProcess, failure: &LoadFailure) {
    let LoadFailure {
        status, summary, ..
    } = failure;
    let text = in_full(failure);
    match process {
        AppProcess::Worker(Worker {
            id,
            pid,
            generation,
        }) => error!(
            message_id = LOAD_FAILED,
            worker_id = id,
            object_pid = pid,
            generation,
            exit_status = status,
            reason = summary.as_str(),
            "Worker {id} cannot load the application: {text}",
        ),
        AppProcess::ForkServer { pid, generation } => error!(
            message_id = LOAD_FAILED,
            object_pid = pid,
            generation,
            exit_status = status,
            reason = summary.as_str(),
            "The fork server of generation {generation} cannot load the application: {text}",
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

/// Workers failed one after the other; the next starts after `pause`.
pub fn respawn_delayed(pause: Duration) {
    warn!(
        message_id = RESPAWN_DELAYED,
        pause_usec = micros(pause),
        "Workers fail one after the other: the next is tried in {}",
        seconds(pause),
    );
}

pub fn fork_failed(worker: u32, generation: u32, reason: &str) {
    error!(
        message_id = FORK_FAILED,
        worker_id = worker,
        generation,
        reason,
        "Worker {worker} could not be forked: {reason}",
    );
}

/// `exit`: how it ended, or why it was killed.
pub fn fork_server_died(pid: u32, generation: u32, exit: &str) {
    error!(
        message_id = FORK_SERVER_DIED,
        object_pid = pid,
        generation,
        exit,
        "The fork server of generation {generation} is lost: {exit} (pid {pid})",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_a_failure_is_not_repeated_below_its_traceback() {
        let text = |summary: &str, traceback: &str| {
            in_full(&LoadFailure {
                status: 3,
                summary: summary.to_owned(),
                traceback: traceback.to_owned(),
            })
        };

        let no_module = "ModuleNotFoundError: No module named 'shop'";
        assert_eq!(text(no_module, &format!("{no_module}\n")), no_module);
        assert_eq!(text("it is no callable", ""), "it is no callable");
        assert_eq!(
            text("KeyError: 'x'", "Traceback:\n  line 1\nKeyError: 'x'\n"),
            "KeyError: 'x'\nTraceback:\n  line 1"
        );
        assert_eq!(
            text(
                "the factory raised",
                "Traceback:\n  line 1\nKeyError: 'x'\n"
            ),
            "the factory raised\nTraceback:\n  line 1\nKeyError: 'x'"
        );
    }
}
