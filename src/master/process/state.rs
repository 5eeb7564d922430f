//! What the kernel says a process is doing.

use std::fs;

/// The state of a process in the kernel's words, for instance `T (stopped)`. `None`: it is
/// gone.
pub fn state(pid: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let state = status
        .lines()
        .find_map(|line| line.strip_prefix("State:"))?;
    Some(state.trim().to_owned())
}

/// Whether no signal but SIGCONT and SIGKILL reaches the process: SIGSTOP or SIGTSTP
/// stopped it. One that a debugger holds is not meant: its state is `t`.
pub fn is_stopped(pid: u32) -> bool {
    state(pid).is_some_and(|state| state.starts_with('T'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_state_of_a_process_is_the_kernels_words() {
        let state = state(std::process::id()).unwrap();

        assert!(state.starts_with(['R', 'S']), "{state}");
        assert!(state.ends_with(')'), "{state}");
        assert!(!is_stopped(std::process::id()));
    }

    #[test]
    fn a_process_that_is_gone_has_no_state() {
        assert_eq!(state(u32::MAX), None);
        assert!(!is_stopped(u32::MAX));
    }

    #[test]
    fn a_process_that_was_stopped_is_known_whatever_its_name() {
        let script = "printf 'a) S (' >/proc/self/comm; kill -STOP $$";
        let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();

        while !is_stopped(child.id()) {
            std::thread::yield_now();
            assert!(child.try_wait().unwrap().is_none());
        }

        child.kill().unwrap();
        child.wait().unwrap();
    }
}
