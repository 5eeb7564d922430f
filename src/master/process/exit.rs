//! How a process ended, in words.

use nix::sys::wait::WaitStatus;

/// `exit status 3`, `killed by SIGKILL (…)`; `None` while it has not ended.
pub fn describe(status: WaitStatus) -> Option<String> {
    match status {
        WaitStatus::Exited(_, status) => Some(format!("exit status {status}")),
        WaitStatus::Signaled(_, signal, dumped) => {
            let core = if dumped { ", core dumped" } else { "" };
            let hint = match signal {
                nix::sys::signal::Signal::SIGKILL => " (out of memory?)",
                _ => "",
            };
            Some(format!("killed by {signal}{core}{hint}"))
        }
        WaitStatus::Stopped(..)
        | WaitStatus::PtraceEvent(..)
        | WaitStatus::PtraceSyscall(_)
        | WaitStatus::Continued(_)
        | WaitStatus::StillAlive => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::Signal;
    use nix::unistd::Pid;

    #[test]
    fn an_operator_reads_how_a_process_ended() {
        let pid = Pid::from_raw(7);

        for (status, words) in [
            (WaitStatus::Exited(pid, 3), Some("exit status 3")),
            (
                WaitStatus::Signaled(pid, Signal::SIGSEGV, true),
                Some("killed by SIGSEGV, core dumped"),
            ),
            (
                WaitStatus::Signaled(pid, Signal::SIGKILL, false),
                Some("killed by SIGKILL (out of memory?)"),
            ),
            (WaitStatus::StillAlive, None),
        ] {
            assert_eq!(describe(status).as_deref(), words);
        }
    }
}
