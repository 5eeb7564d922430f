//! The service: its start, its sockets, its end, and who asks something of it.

use super::naming::{counted, micros, seconds};
use rgunicorn_link::protocol::ListenAddress;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;
use tracing::{error, info, warn};

pub const STARTED: &str = "86756631b0d848568e870207c94a6d14";
pub const LISTENING: &str = "497ad73684d84ceaa7bdae4c8b5ca56f";
pub const BIND_IGNORED: &str = "df27a035b90f438783d3f51bbb5ea83c";
pub const UNIT_SETTINGS_UNUSED: &str = "cb7f2f74cebc45d1b43bbb4109b493dd";
pub const DANGEROUS_SETTINGS: &str = "65315734680d45e1bbdbbeb27ad45861";
pub const SETTING_IGNORED: &str = "cf1a37a4a854462eaddac9f5458c0002";
pub const CONFIGURATION_REFUSED: &str = "66199c31a57e403ca1a29984187ce524";
pub const START_FAILED: &str = "0f9d8a915246459894e3250dc4fb5799";
pub const READY: &str = "c5efddd5be3e4308acd5eb1a3306a570";
pub const STOPPING: &str = "cea67d2467d24f219dbf42990cee02ec";
pub const DRAINING: &str = "c99c3367365141fa9717986281dc0473";
pub const STOPPED: &str = "88899ad859b742219c50f69be83fb6e8";
pub const CONTROL_REQUEST: &str = "5c00173a7f6d4c0493211e26a3de0f1e";
pub const NOTIFY_FAILED: &str = "d929fd10dd7f45f7b8af0b3487ce215d";

pub fn started(version: &str, source: &str) {
    info!(
        message_id = STARTED,
        version, source, "rgunicorn {version} started, configured by {source}",
    );
}

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

/// `addresses` are configured, but systemd passed sockets, and those are served.
pub fn bind_ignored(addresses: &[impl Display]) {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let addresses = addresses.join(", ");
    warn!(
        message_id = BIND_IGNORED,
        address = addresses.as_str(),
        "Not listening on {addresses}: systemd opened the sockets, and these were not among \
         them; run `systemctl daemon-reload` and restart the socket unit",
    );
}

/// `settings` are for units, but the units were not made of them as they are.
pub fn unit_settings_unused(settings: &str, remedy: &str) {
    warn!(
        message_id = UNIT_SETTINGS_UNUSED,
        settings, remedy, "Without effect as configured: {settings}; {remedy}",
    );
}

/// Requests are accepted by which clients may get past a proxy.
pub fn dangerous_settings(settings: &[&str]) {
    let settings = settings.join(", ");
    warn!(
        message_id = DANGEROUS_SETTINGS,
        settings = settings.as_str(),
        "Dangerous behind a proxy that reads requests in another way: {settings}",
    );
}

/// A setting of Gunicorn that is accepted.
pub fn setting_ignored(setting: &str, place: &str, reason: &str) {
    let reason = reason.replace('`', "");
    info!(
        message_id = SETTING_IGNORED,
        setting,
        place,
        reason = reason.as_str(),
        "{setting} has no effect here ({place}): {reason}",
    );
}

pub fn configuration_refused(reason: &str) {
    error!(
        message_id = CONFIGURATION_REFUSED,
        reason, "Configuration refused: {reason}",
    );
}

/// For another reason than its configuration or its application.
pub fn start_failed(reason: &str) {
    error!(message_id = START_FAILED, reason, "Cannot start: {reason}",);
}

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

/// `time`: how long the service serves on.
pub fn draining(reason: &str, time: Duration) {
    info!(
        message_id = DRAINING,
        reason,
        drain_usec = micros(time),
        "Serving for another {} before the stop ({reason}), as drain_time says",
        seconds(time),
    );
}

/// `within`: how long workers have to finish; `None`, they exit at once.
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

pub fn stopped() {
    info!(message_id = STOPPED, "Stopped");
}

/// `pid` and `uid` are those of the client.
pub fn control_request(request: &str, pid: u32, uid: u32) {
    info!(
        message_id = CONTROL_REQUEST,
        request,
        client_pid = pid,
        client_uid = uid,
        "Control client asked for {request} (pid {pid}, user {uid})",
    );
}

pub fn notify_failed(error: &dyn Display) {
    let reason = error.to_string();
    warn!(
        message_id = NOTIFY_FAILED,
        reason = reason.as_str(),
        "systemd could not be notified: {reason}",
    );
}

/// As it is written in a configuration.
pub fn shown(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
        ListenAddress::Tcp { host, port } => format!("{host}:{port}"),
        ListenAddress::Unix(path) if path.is_empty() => "an unnamed unix socket".to_owned(),
        ListenAddress::Unix(path) => format!("unix:{}", Path::new(path).display()),
    }
}
