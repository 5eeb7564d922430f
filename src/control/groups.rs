//! Control groups of workers: how they are named, and which one a process is in.

/// What their names begin with. The worker's number follows.
const PREFIX: &str = "worker-";

/// The name of the group of a worker, below that of the service.
pub fn name(worker: u32) -> String {
    format!("{PREFIX}{worker}")
}

/// Whether a group is called like that of a worker.
pub fn is_name(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Its path in the unified hierarchy, given `/proc/PID/cgroup` of a process in it.
pub fn unified_path(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The same, if it is a group that a master has made for a worker. Any other has more
/// processes than that one.
pub fn worker_path(text: &str) -> Option<&str> {
    let path = unified_path(text)?;
    let (_, last) = path.rsplit_once('/')?;
    is_name(last).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "/system.slice/system-rgunicorn.slice/rgunicorn@shop.service";

    #[test]
    fn the_place_in_the_unified_hierarchy_is_the_one_without_controllers() {
        let text = format!("4:memory:/old\n0::{SERVICE}\n");

        assert_eq!(unified_path(&text), Some(SERVICE));
        assert_eq!(unified_path("4:memory:/old\n"), None);
    }

    #[test]
    fn only_a_group_with_one_worker_tells_what_that_uses() {
        let of = |path: &str| {
            let text = format!("4:memory:/old\n0::{path}\n");
            worker_path(&text).map(str::to_owned)
        };

        let worker = format!("{SERVICE}/{}", name(12));
        assert_eq!(of(&worker), Some(worker));
        assert_eq!(of(SERVICE), None);
        assert_eq!(of(&format!("{SERVICE}/master")), None);
        assert_eq!(of("/user.slice/worker-shop.scope"), None);
        assert_eq!(of("/"), None);
    }
}
