//! What the application writes, and what workers log on its behalf.

use super::naming::{AppProcess, Stream, Worker};
use rgunicorn_link::protocol::{Level, Record};
use tracing::{debug, error, info, warn};

pub const APP_OUTPUT: &str = "1e37f612d9594b5b8f822be4ff6007b8";
pub const LOG_RECORDS_DROPPED: &str = "d9d3fc9400404ca7bdc6830b5f68c0e4";

/// The fields of what an application wrote, in the names that the journal has.
pub fn output_fields(process: AppProcess, stream: Stream) -> Vec<(&'static str, String)> {
    let (worker, pid, generation) = numbers(process);
    let mut fields = vec![
        ("MESSAGE_ID", APP_OUTPUT.to_owned()),
        ("STREAM", stream.name().to_owned()),
        ("OBJECT_PID", pid.to_string()),
        ("GENERATION", generation.to_string()),
    ];
    fields.extend(worker.map(|id| ("WORKER_ID", id.to_string())));
    fields
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
