//! How a process ended. Decisions are made on this; text is made where it is shown.

use nix::sys::signal::Signal;
use std::fmt;

/// Why a worker exits with status 0 that was neither told to leave nor sent TERM.
pub const LEFT_BY_ITSELF: &str = "it was sent SIGINT or SIGQUIT, or the application has ended it";

/// How a worker or a fork server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited by itself.
    Code(u8),
    /// A signal killed it.
    Signal {
        /// A plain number: the real-time signals have no names.
        number: i32,
        /// Whether the kernel has written a core dump.
        core_dumped: bool,
    },
    /// The kernel killed it because memory ran out: its counters say so.
    OutOfMemory,
    /// It was ordered from a fork server, which never forked it.
    NeverStarted,
}

impl ExitStatus {
    /// Whether this signal killed it.
    pub fn is_signal(self, signal: Signal) -> bool {
        matches!(self, Self::Signal { number, .. } if number == signal as i32)
    }

    /// Whether a worker that was asked to leave ended as it was asked to, or for a
    /// reason that is in the log already.
    pub fn is_expected_when_leaving(self) -> bool {
        match self {
            // 3 and 4: it could not load the application.
            Self::Code(code) => matches!(code, 0 | 3 | 4),
            // The signals that the master sends.
            Self::Signal { .. } => [
                Signal::SIGTERM,
                Signal::SIGQUIT,
                Signal::SIGABRT,
                Signal::SIGKILL,
            ]
            .iter()
            .any(|signal| self.is_signal(*signal)),
            Self::NeverStarted => true,
            Self::OutOfMemory => false,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(to, "exit status {code}"),
            Self::Signal {
                number,
                core_dumped,
            } => {
                match Signal::try_from(*number) {
                    Ok(signal) => write!(to, "killed by {signal}")?,
                    Err(_) => write!(to, "killed by signal {number}")?,
                }
                to.write_str(if *core_dumped { ", core dumped" } else { "" })
            }
            Self::OutOfMemory => to.write_str("killed by SIGKILL (out of memory)"),
            Self::NeverStarted => to.write_str("never started"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn killed(signal: Signal) -> ExitStatus {
        ExitStatus::Signal {
            number: signal as i32,
            core_dumped: false,
        }
    }

    #[test]
    fn an_exit_status_is_displayed_in_words() {
        let crashed = ExitStatus::Signal {
            number: Signal::SIGSEGV as i32,
            core_dumped: true,
        };
        let real_time = ExitStatus::Signal {
            number: 34,
            core_dumped: false,
        };

        for (status, text) in [
            (ExitStatus::Code(3), "exit status 3"),
            (crashed, "killed by SIGSEGV, core dumped"),
            (killed(Signal::SIGKILL), "killed by SIGKILL"),
            (ExitStatus::OutOfMemory, "killed by SIGKILL (out of memory)"),
            (real_time, "killed by signal 34"),
        ] {
            assert_eq!(status.to_string(), text);
        }
    }

    #[test]
    fn a_crash_is_not_expected_when_leaving() {
        for (status, expected) in [
            (ExitStatus::Code(0), true),
            (ExitStatus::Code(4), true),
            (ExitStatus::Code(1), false),
            (killed(Signal::SIGKILL), true),
            (killed(Signal::SIGSEGV), false),
            (ExitStatus::OutOfMemory, false),
        ] {
            assert_eq!(status.is_expected_when_leaving(), expected, "{status}");
        }
    }
}
