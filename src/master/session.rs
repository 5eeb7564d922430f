//! Whether systemd runs the master, or somebody in a terminal session: there a remedy is
//! another, and SIGWINCH is no order.
//!
//! A terminal sends it to all processes in its foreground when its size changes, and whoever
//! started a server there, such as a container engine, passes it on. Gunicorn therefore
//! understands it only with `daemon`. Under systemd nothing of the kind can happen.

use std::env;
use std::ffi::OsStr;

/// Whether systemd has started this process.
pub fn is_service() -> bool {
    is_service_by(
        env::var_os("NOTIFY_SOCKET").as_deref(),
        env::var_os("SYSTEMD_EXEC_PID").as_deref(),
        std::process::id(),
    )
}

/// By the variables of these names. `SYSTEMD_EXEC_PID` is inherited: a terminal that is
/// started by systemd has shells that have it, with the number of another process.
fn is_service_by(notify_socket: Option<&OsStr>, exec_pid: Option<&OsStr>, pid: u32) -> bool {
    let is_notifying = notify_socket.is_some_and(|address| !address.is_empty());
    is_notifying || exec_pid.is_some_and(|exec_pid| exec_pid == OsStr::new(&pid.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_has_started_is_a_service_and_a_shell_in_its_terminal_is_not() {
        let is_service = |notify: Option<&str>, exec_pid: Option<&str>| {
            is_service_by(notify.map(OsStr::new), exec_pid.map(OsStr::new), 70)
        };

        assert!(is_service(Some("/run/systemd/notify"), None));
        assert!(is_service(None, Some("70")));
        assert!(!is_service(None, Some("7")));
        assert!(!is_service(Some(""), Some("")));
        assert!(!is_service(None, None));
    }
}
