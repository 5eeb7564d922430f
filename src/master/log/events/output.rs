//! What the application writes, and what workers log on its behalf.

use super::naming::{AppProcess, Stream, Worker};
use crate::log::remote::TARGET as NOT_SENT;
use rgunicorn_link::protocol::{Level, Record};
use rgunicorn_link::remote::RemoteAddress;
use std::io;
use std::path::Path;
use tracing::{debug, error, info, warn};

pub const APP_OUTPUT: &str = "1e37f612d9594b5b8f822be4ff6007b8";
pub const APP_RECORD: &str = "77f47544cdff4e7c8bb03907cfd6aa36";
pub const ACCESS_RECORD: &str = "6c3835d508b742b7a57a34212310e482";
pub const ERROR_LOG_FAILED: &str = "9c06237c23094549b1e63b3f0305d2d9";
pub const LOG_NOT_SENT: &str = "245f0a1be20f49cc9992650fabd65806";
pub const LOG_RECORDS_DROPPED: &str = "d9d3fc9400404ca7bdc6830b5f68c0e4";

/// The fields of what an application wrote, in the names that the journal has.
pub fn output_fields(
    process: AppProcess,
    stream: Stream,
    request: Option<&str>,
) -> Vec<(&'static str, String)> {
    let (worker, pid, generation) = numbers(process);
    let mut fields = vec![
        ("MESSAGE_ID", APP_OUTPUT.to_owned()),
        ("STREAM", stream.name().to_owned()),
        ("OBJECT_PID", pid.to_string()),
        ("GENERATION", generation.to_string()),
    ];
    fields.extend(worker.map(|id| ("WORKER_ID", id.to_string())));
    fields.extend(request.map(|id| ("REQUEST_ID", id.to_owned())));
    fields
}

/// The fields of all records of the access log. Workers send them to the journal, with
/// fields about the request.
pub fn access_fields(generation: u32) -> Vec<(&'static str, String)> {
    vec![
        ("MESSAGE_ID", ACCESS_RECORD.to_owned()),
        ("GENERATION", generation.to_string()),
        ("SYSLOG_IDENTIFIER", "rgunicorn".to_owned()),
    ]
}

/// The fields of all records that the application logs with our handler. Its processes send
/// them to the journal, with fields about the record.
pub fn application_fields(generation: u32) -> Vec<(&'static str, String)> {
    vec![
        ("MESSAGE_ID", APP_RECORD.to_owned()),
        ("GENERATION", generation.to_string()),
        ("SYSLOG_IDENTIFIER", "rgunicorn".to_owned()),
    ]
}

/// The number of a worker, the pid and the generation.
fn numbers(process: AppProcess) -> (Option<u32>, u32, u32) {
    match process {
        AppProcess::Worker(Worker {
            id,
            pid,
            generation,
        }) => (Some(id), pid, generation),
        AppProcess::ForkServer { pid, generation } => (None, pid, generation),
    }
}

/// This many records were dropped, because `destination` did not take them.
pub fn records_dropped(dropped: u64, destination: &str) {
    let text = records_dropped_text(dropped, destination);
    warn!(message_id = LOG_RECORDS_DROPPED, dropped, "{text}");
}

/// The sentence of [`records_dropped`].
pub fn records_dropped_text(dropped: u64, destination: &str) -> String {
    let (s, them) = match dropped {
        1 => (" was", "it"),
        _ => ("s were", "them"),
    };
    format!("{dropped} log record{s} dropped because {destination} did not take {them}")
}

/// So many records for syslog, or metrics for StatsD, could not be sent.
pub fn not_sent(count: u64, server: &str, address: &RemoteAddress, why: &str) {
    let s = if count == 1 { " was" } else { "s were" };
    // It is not sent there, either.
    warn!(
        target: NOT_SENT,
        message_id = LOG_NOT_SENT,
        dropped = count,
        "{count} record{s} not sent to {server} at {address}: {why}"
    );
}

/// The file of the error log takes no records.
pub fn error_log_failed(text: &str) {
    error!(message_id = ERROR_LOG_FAILED, "{text}");
}

/// The sentence of [`error_log_failed`].
pub fn error_log_failed_text(path: &Path, error: &io::Error) -> String {
    format!(
        "Cannot write the error log {}, its records are here meanwhile: {error}",
        path.display()
    )
}

/// The file of the error log could not be opened anew.
pub fn error_log_not_reopened(path: &Path, error: &io::Error) {
    error!(
        message_id = ERROR_LOG_FAILED,
        "Cannot open the error log {} anew, and go on with the old file: {error}",
        path.display()
    );
}

/// So many records are not in the file of the error log.
pub fn error_log_misses(missing: u64) {
    let text = error_log_misses_text(missing);
    warn!(message_id = ERROR_LOG_FAILED, missing, "{text}");
}

/// The sentence of [`error_log_misses`].
pub fn error_log_misses_text(missing: u64) -> String {
    let s = if missing == 1 { " is" } else { "s are" };
    format!("{missing} record{s} not in this file, which took none")
}

/// A record that the engine in a worker or a fork server logged. It has no id: the
/// sentence is written there.
pub fn relayed(process: AppProcess, record: &Record) {
    let Record {
        level,
        text,
        dropped,
        request,
    } = record;
    let (worker_id, object_pid, generation) = numbers(process);
    if *dropped > 0 {
        let s = if *dropped == 1 { " was" } else { "s were" };
        let name = match worker_id {
            Some(id) => format!("Worker {id}"),
            None => format!("The fork server of generation {generation}"),
        };
        warn!(
            message_id = LOG_RECORDS_DROPPED,
            dropped, "{name} logged too fast: {dropped} log record{s} dropped",
        );
    }
    let request = request.as_ref();
    let request_id = request.map(|request| request.id.as_str());
    let http_method = request.map(|request| request.method.as_str());
    let http_path = request.map(|request| request.path.as_str());
    // A field without a value is left out.
    macro_rules! record {
        ($level:ident) => {
            $level!(
                worker_id,
                object_pid,
                generation,
                request_id,
                http_method,
                http_path,
                "{text}",
            )
        };
    }
    match level {
        Level::Error => record!(error),
        Level::Warning => record!(warn),
        Level::Info => record!(info),
        Level::Debug => record!(debug),
    }
}
