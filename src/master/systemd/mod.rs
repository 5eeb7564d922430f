//! What systemd is told, and when. The sockets that it hands over are taken in
//! [`crate::listeners`], the journal is written in [`crate::log`].
//!
//! # What crates do here, and what stays ours
//!
//! | what                     | by                   | ours, and why |
//! | ------------------------ | -------------------- | ------------- |
//! | states and their wording | `sd-notify`          | the socket: `notify()` blocks when systemd is busy, and opens a socket for each call; a status is made one line |
//! | the watchdog's period    | `sd-notify`          | an alarm of the kernel beside it, see [`watchdog`] |
//! | memory pressure          | `base64`             | [`pressure`]: no crate watches it |
//! | names of sockets         | `sd-notify`          | the case without `LISTEN_PID`, which it takes for no sockets and tools for development leave out |
//! | the sockets themselves   | `listenfd`           | what can be served and what cannot |
//! | whether stderr leads to the journal | `libsystemd` | a check that the journal's socket can be reached: a service with a root directory of its own has lost it |
//! | the application's output in the journal | `libsystemd` | the queue, repetition and order, see [`crate::log`] |
//! | the program's records in the journal | `tracing-journald` | the same; and a check before each record that journald is there, as it reports no error |
//!
//! Both journal crates send on a socket that blocks, so they are called by the
//! log's thread only. `tracing-journald` knows five levels and could not write
//! the eight priorities of an application's output; `libsystemd` knows no events
//! and no places in the source. For an entry that no datagram holds,
//! `libsystemd` makes a file that a fork server started in that instant would
//! inherit: what it writes is at most 48 KiB, which a datagram holds unless
//! `net.core.wmem_default` was set below.
//!
//! Descriptors for systemd to keep are sent on the socket of the states, too, and in
//! words of our own: `sd-notify` has these with a crate more, which sends on a socket
//! that blocks. `libsystemd` could take sockets over; it loses all of them when names
//! are missing.

pub mod notify;
pub mod pressure;
pub mod watchdog;

pub use notify::{Notifier, State};
pub use pressure::PressureWatch;

/// How many descriptors systemd keeps for the service while it restarts. systemd sets it
/// from version 254 on; before that, our unit does.
pub const FDSTORE: &str = "FDSTORE";

/// Variables that systemd sets, or our units, for the main process alone. A child that
/// inherited them would notify in the master's name.
pub const PRIVATE_VARIABLES: [&str; 12] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "LISTEN_FDS_FIRST_FD",
    FDSTORE,
    crate::units::MARK,
    crate::units::WITHHELD,
    crate::upgrade::program::STATE,
];
