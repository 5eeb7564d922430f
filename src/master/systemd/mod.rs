//! What is said to systemd, and when.
//!
//! The sockets that systemd hands over are taken in [`crate::listeners`].

pub mod notify;
pub mod watchdog;

pub use notify::{Notifier, State};

/// Variables that systemd sets for the main process alone. A child that
/// inherited them would speak in the master's name.
pub const PRIVATE_VARIABLES: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "LISTEN_FDS_FIRST_FD",
];
