//! How many processors there are for us: what affinity and cpuset allow, and
//! no more than the CPU quota of the control groups pays for.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// How many processors this process may use; at least one.
pub fn available() -> u32 {
    usable(allowed(), &quotas(Path::new("/")))
}

/// A quota: so much time on processors in each period of so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quota {
    time: u64,
    period: u64,
}

/// Whole processors only: a worker that must share one with the others'
/// quota is throttled in the middle of its requests.
fn usable(allowed: u32, quotas: &[Quota]) -> u32 {
    quotas
        .iter()
        .filter_map(|quota| quota.time.checked_div(quota.period))
        .map(|whole| u32::try_from(whole).unwrap_or(u32::MAX))
        .fold(allowed, u32::min)
        .max(1)
}

/// From `cpu.max` of control groups v2: `max 100000` or `150000 100000`.
fn quota_v2(text: &str) -> Option<Quota> {
    let (time, period) = text.trim().split_once(' ')?;
    Some(Quota {
        time: time.parse().ok()?,
        period: period.parse().ok()?,
    })
}

/// From `cpu.cfs_quota_us` (-1 for none) and `cpu.cfs_period_us` of v1.
fn quota_v1(time: &str, period: &str) -> Option<Quota> {
    Some(Quota {
        time: time.trim().parse().ok()?,
        period: period.trim().parse().ok()?,
    })
}

/// The control groups of a process for processors, from `/proc/self/cgroup`:
/// where they are mounted, usually, and the path below.
fn groups(text: &str) -> Vec<(PathBuf, &str)> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let root = Path::new("sys/fs/cgroup");
            if controllers.is_empty() {
                Some((root.to_owned(), path))
            } else if controllers.split(',').any(|name| name == "cpu") {
                Some((root.join(controllers), path))
            } else {
                None
            }
        })
        .collect()
}

/// All quotas that bind this process, from its own control group upwards.
fn quotas(root: &Path) -> Vec<Quota> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    groups(&text)
        .into_iter()
        .flat_map(|(mount, path)| {
            let mount = root.join(mount);
            // Inside a container the path may lead out of what is mounted.
            let below: PathBuf = Path::new(path)
                .components()
                .filter(|part| matches!(part, Component::Normal(_)))
                .collect();
            let depth = below.components().count();
            mount
                .join(below)
                .ancestors()
                .take(depth + 1)
                .filter_map(quota_of)
                .collect::<Vec<_>>()
        })
        .collect()
}

fn quota_of(group: &Path) -> Option<Quota> {
    let read = |name| fs::read_to_string(group.join(name)).ok();
    match read("cpu.max") {
        Some(text) => quota_v2(&text),
        None => quota_v1(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?),
    }
}

/// How many processors affinity and cpuset allow.
fn allowed() -> u32 {
    let count = match sched_getaffinity(Pid::from_raw(0)) {
        Ok(set) => (0..CpuSet::count())
            .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
            .count(),
        // More processors than the set can tell.
        Err(_) => CpuSet::count(),
    };
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(time: u64, period: u64) -> Quota {
        Quota { time, period }
    }

    #[test]
    fn the_least_of_affinity_and_quotas_counts_in_whole_processors() {
        assert_eq!(usable(8, &[]), 8);
        assert_eq!(usable(8, &[quota(250_000, 100_000)]), 2);
        assert_eq!(
            usable(8, &[quota(400_000, 100_000), quota(300_000, 100_000)]),
            3
        );
        assert_eq!(usable(2, &[quota(400_000, 100_000)]), 2);
        assert_eq!(usable(8, &[quota(10_000, 100_000)]), 1);
        assert_eq!(usable(0, &[]), 1);
        assert_eq!(usable(8, &[quota(1, 0)]), 8);
        assert_eq!(usable(8, &[quota(u64::MAX, 1)]), 8);
    }

    #[test]
    fn quotas_are_read_in_both_notations() {
        assert_eq!(quota_v2("max 100000\n"), None);
        assert_eq!(quota_v2("150000 100000\n"), Some(quota(150_000, 100_000)));
        assert_eq!(quota_v2("nonsense"), None);
        assert_eq!(quota_v1("-1\n", "100000\n"), None);
        assert_eq!(
            quota_v1("50000\n", "100000\n"),
            Some(quota(50_000, 100_000))
        );
    }

    #[test]
    fn every_group_above_may_have_a_quota() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "proc/self/cgroup",
            "0::/system.slice/rgunicorn@site.service\n",
        );
        write("sys/fs/cgroup/cpu.max", "900000 100000\n");
        write("sys/fs/cgroup/system.slice/cpu.max", "max 100000\n");
        write(
            "sys/fs/cgroup/system.slice/rgunicorn@site.service/cpu.max",
            "300000 100000\n",
        );

        assert_eq!(
            quotas(root.path()),
            [quota(300_000, 100_000), quota(900_000, 100_000)]
        );
    }

    #[test]
    fn the_older_control_groups_are_understood() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/self/cgroup", "5:memory:/x\n3:cpu,cpuacct:/../site\n");
        write(
            "sys/fs/cgroup/cpu,cpuacct/site/cpu.cfs_quota_us",
            "200000\n",
        );
        write(
            "sys/fs/cgroup/cpu,cpuacct/site/cpu.cfs_period_us",
            "100000\n",
        );

        assert_eq!(quotas(root.path()), [quota(200_000, 100_000)]);
    }

    #[test]
    fn a_machine_without_control_groups_has_no_quota() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(quotas(root.path()), []);
        assert!(available() >= 1);
    }
}
