//! Whether a process was killed because memory ran out.
//!
//! The kernel kills with SIGKILL, and so does an operator. The kernel counts its
//! own, so a counter that has grown tells the two apart.

use rgunicorn_control::groups::unified_path;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How old the count at least is with which the present one is compared. A large
/// process takes a while to die: it must not have been counted before.
const SETTLED: Duration = Duration::from_secs(10);

/// Where the kernel counts those of the whole machine.
const VMSTAT: &str = "/proc/vmstat";

/// Compares the kernel's count of now with one from a while ago.
#[derive(Debug)]
pub struct OomKills {
    /// Where the kernel counts those of the service, or else those of the whole machine.
    file: PathBuf,
    /// The count when the period before this one began. What was counted since
    /// may be a process that is reaped now.
    before: u64,
    /// The count when this period began.
    latest: u64,
    began: Instant,
}

impl OomKills {
    /// `group`: the control group of the service, if it is not the one of this process.
    pub fn new(group: Option<&Path>, now: Instant) -> Self {
        let group = group.map(Path::to_owned).or_else(own_group);
        // Without the unified hierarchy, or where it is hidden from us.
        let file = group.and_then(|group| counter(&group));
        let file = file.unwrap_or_else(|| VMSTAT.into());
        let count = read_count(&file).unwrap_or(0);
        Self {
            file,
            before: count,
            latest: count,
            began: now,
        }
    }

    /// When the counter has to be read again, so that a kill of long ago is not taken
    /// for one of now.
    pub fn due(&self) -> Instant {
        self.began + SETTLED
    }

    /// Reads the counter if that is due.
    pub fn refresh(&mut self, now: Instant) {
        let file = self.file.clone();
        self.refresh_with(|| read_count(&file), now);
    }

    fn refresh_with(&mut self, read_count: impl FnOnce() -> Option<u64>, now: Instant) {
        if now >= self.due() {
            // A counter that cannot be read has not grown.
            let count = read_count().unwrap_or(self.latest);
            self.begin_period(count, now);
        }
    }

    /// Whether a process of ours that died of SIGKILL just now was killed by the
    /// kernel. Each kill that it counted explains one death.
    pub fn explains_a_death(&mut self) -> bool {
        read_count(&self.file).is_some_and(|count| self.take_one(count))
    }

    fn begin_period(&mut self, count: u64, now: Instant) {
        self.before = self.latest;
        self.latest = count;
        self.began = now;
    }

    fn take_one(&mut self, count: u64) -> bool {
        let grown = count > self.before;
        if grown {
            self.before += 1;
            self.latest = self.latest.max(self.before);
        }
        grown
    }
}

/// How many processes the kernel has killed because memory ran out.
fn read_count(file: &Path) -> Option<u64> {
    count_in(&fs::read_to_string(file).ok()?)
}

/// Where the kernel counts for this group, or else for the nearest above it: one below that of
/// a service, where systemd starts it with `DelegateSubgroup=`, need not have the controller.
fn counter(group: &Path) -> Option<PathBuf> {
    let mut files = group.ancestors().map(|group| group.join("memory.events"));
    files.find(|file| read_count(file).is_some())
}

/// The control group of this process.
fn own_group() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = unified_path(&text)?;
    Some(PathBuf::from(format!("/sys/fs/cgroup{path}")))
}

/// The line `oom_kill N` of `memory.events` or `/proc/vmstat`.
pub(super) fn count_in(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kills(count: u64, now: Instant) -> OomKills {
        OomKills {
            file: VMSTAT.into(),
            before: count,
            latest: count,
            began: now,
        }
    }

    #[test]
    fn each_kill_of_the_kernel_explains_one_death() {
        let mut kills = kills(3, Instant::now());

        assert!(!kills.take_one(3));
        assert!(kills.take_one(5));
        assert!(kills.take_one(5));
        assert!(!kills.take_one(5));
    }

    #[test]
    fn a_kill_that_was_counted_just_before_the_count_was_read_still_explains_a_death() {
        let now = Instant::now();
        let mut kills = kills(3, now);

        kills.begin_period(4, now + SETTLED);

        assert!(kills.take_one(4));
        assert!(!kills.take_one(4));
    }

    #[test]
    fn a_kill_of_long_ago_explains_nothing() {
        let now = Instant::now();
        let mut kills = kills(3, now);
        kills.begin_period(4, now + SETTLED);
        kills.begin_period(4, now + 2 * SETTLED);

        assert!(!kills.take_one(4));
    }

    #[test]
    fn the_count_is_read_when_it_is_due_and_not_before() {
        let now = Instant::now();
        let mut kills = kills(3, now);
        assert_eq!(kills.due(), now + SETTLED);

        kills.refresh_with(|| unreachable!("it is not due"), now + SETTLED / 2);
        kills.refresh_with(|| Some(4), kills.due());
        kills.refresh_with(|| None, kills.due());

        assert_eq!(kills.due(), now + 3 * SETTLED);
        assert!(!kills.take_one(4));
    }

    #[test]
    fn a_death_that_was_explained_is_not_counted_again_later() {
        let now = Instant::now();
        let mut kills = kills(3, now);
        assert!(kills.take_one(4));

        kills.begin_period(4, now + SETTLED);

        assert!(!kills.take_one(4));
    }

    #[test]
    fn the_counter_is_found_in_both_files() {
        let events = "low 0\nhigh 0\nmax 7\noom 2\noom_kill 5\noom_group_kill 1\n";
        let vmstat = "pgfree 12\noom_kill 8\nnuma_hit 3\n";

        assert_eq!(count_in(events), Some(5));
        assert_eq!(count_in(vmstat), Some(8));
        assert_eq!(count_in("oom 2\n"), None);
        assert!(read_count(Path::new(VMSTAT)).is_some());
    }

    #[test]
    fn the_service_is_counted_and_not_the_group_of_the_master() {
        let folder = tempfile::tempdir().unwrap();
        let write = |count| {
            let events = folder.path().join("memory.events");
            fs::write(events, format!("oom_kill {count}\n")).unwrap();
        };
        write(3);
        let mut kills = OomKills::new(Some(folder.path()), Instant::now());

        assert!(!kills.explains_a_death());
        write(4);
        assert!(kills.explains_a_death());
    }

    #[test]
    fn the_nearest_group_that_counts_is_used_and_never_that_of_another_service() {
        let folder = tempfile::tempdir().unwrap();
        let service = folder.path().join("rgunicorn@shop.service");
        let master = service.join("master");
        fs::create_dir_all(&master).unwrap();
        let write = |group: &Path, count| {
            fs::write(group.join("memory.events"), format!("oom_kill {count}\n")).unwrap();
        };
        // Of the slice: a kill in another service counts there, too.
        write(folder.path(), 7);
        write(&service, 3);
        let mut kills = OomKills::new(Some(&master), Instant::now());

        write(folder.path(), 8);
        assert!(!kills.explains_a_death());
        write(&service, 4);
        assert!(kills.explains_a_death());

        // Nor does it ever take a count from elsewhere when this one is gone.
        fs::remove_file(service.join("memory.events")).unwrap();
        assert!(!kills.explains_a_death());
    }
}
