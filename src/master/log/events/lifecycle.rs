//! The service: its start, its sockets, its end, and who asks something of it.

use super::naming::{counted, micros, seconds};
use rgunicorn_link::protocol::ListenAddress;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;
use tracing::{error, info, warn};

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
/// Somebody asked for something on the control socket.
pub const CONTROL_REQUEST: &str = "5c00173a7f6d4c0493211e26a3de0f1e";
/// systemd could not be told something.
pub const NOTIFY_FAILED: &str = "d929fd10dd7f45f7b8af0b3487ce215d";

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

/// `address` as people write it.
pub fn shown(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
        ListenAddress::Tcp { host, port } => format!("{host}:{port}"),
        ListenAddress::Unix(path) if path.is_empty() => "an unnamed unix socket".to_owned(),
        ListenAddress::Unix(path) => format!("unix:{}", Path::new(path).display()),
    }
}
