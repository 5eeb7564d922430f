//! The rgunicorn master: holds the sockets, never accepts on one; keeps the
//! pool, never runs Python. And its small client, `rgunicornctl`.
//!
//! | room         | what is in it                                                  |
//! | ------------ | -------------------------------------------------------------- |
//! | `start`      | from the command line to a running master, or to a reason      |
//! | `master`     | the loop: wait for an event, decide, act                       |
//! | `pool/`      | the decisions: a pure function, tried in a simulated world     |
//! | `process/`   | fork servers and workers as processes, and what they say       |
//! | `config/`    | the settings, once, and where their values come from           |
//! | `cli`        | the command line, made from the settings                       |
//! | `listeners/` | the listening sockets, taken over from systemd or bound        |
//! | `systemd/`   | what systemd is told                                           |
//! | `control/`   | the control socket: the master's end and the wire              |
//! | `ctl/`       | `rgunicornctl`: the client's end                               |
//! | `log/`       | where every record goes; `log::events` names the events            |
//! | `sys/`       | the only unsafe code                                           |

pub mod cli;
pub mod config;
pub mod control;
#[path = "../ctl/mod.rs"]
pub mod ctl;
pub mod listeners;
pub mod log;
mod master;
#[cfg(test)]
#[path = "../../man/pages.rs"]
mod pages;
pub mod pool;
mod process;
mod signals;
pub mod start;
mod status;
pub mod sys;
pub mod systemd;
pub mod usage;
mod wakeups;
