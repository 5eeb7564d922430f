//! The rgunicorn master: holds the sockets, never accepts on one; keeps the
//! pool, never runs Python. What its client `rgunicornctl` needs, too, is public.
//!
//! | room           | what is in it                                              |
//! | -------------- | ---------------------------------------------------------- |
//! | `start`        | from the command line to a running master, or to a reason  |
//! | `account`      | the account that the application runs in                   |
//! | `master`       | the loop: wait for an event, decide, act                   |
//! | `pool/`        | the decisions: a pure function, tried in a simulated world |
//! | `process/`     | fork servers and workers as processes, and what they say   |
//! | `config/`      | the settings, once, and where their values come from       |
//! | `cli`          | the command line, made from the settings                   |
//! | `listeners/`   | the listening sockets, taken over from systemd or bound    |
//! | `systemd/`     | what systemd is told                                       |
//! | `explain/`     | what a command line becomes under systemd                  |
//! | `units/`       | what a configuration says about the units of its site      |
//! | `installation` | where pip has put the program                              |
//! | `code_watch`   | when the application's files have changed                  |
//! | `control/`     | the control socket: the master's end and the protocol      |
//! | `log/`         | where every record goes; `log::events` names the events    |
//! | `pid_file`     | the file that says under which pid the master runs         |
//! | `upgrade/`     | another program takes over in this process                 |
//! | `sys/`         | the only unsafe code                                       |

mod account;
pub mod cli;
mod code_watch;
pub mod config;
pub mod control;
mod explain;
mod installation;
pub mod listeners;
pub mod log;
mod master;
mod pid_file;
pub mod pool;
mod process;
mod session;
mod signals;
pub mod start;
mod status;
pub mod sys;
pub mod systemd;
pub mod units;
mod upgrade;
pub mod usage;
mod wakeups;
