//! Whether a process was stopped by a signal.

/// Whether no signal but SIGCONT and SIGKILL reaches the process: SIGSTOP or SIGTSTP
/// stopped it. One that a debugger holds is not meant.
pub fn is_stopped(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| state(&stat) == Some('T'))
}

/// The state in a line of `/proc/PID/stat`. Before it stands a name in parentheses,
/// which may hold anything.
fn state(stat: &str) -> Option<char> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_follows_the_name() {
        assert_eq!(state("7 (python3) T 1 7 7 0"), Some('T'));
        assert_eq!(state("7 (a) T (b) S 1 7 7 0"), Some('S'));
        assert_eq!(state("7 (python3)"), None);
        assert_eq!(state(""), None);
    }

    #[test]
    fn this_process_is_not_stopped() {
        assert!(!is_stopped(std::process::id()));
    }
}
