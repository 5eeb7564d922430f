//! How much memory a worker uses, read from /proc by this program: it costs the server
//! nothing, and nobody anything who does not ask.

use crate::groups::worker_path;
use crate::proc_fields::{bytes, number};
use std::fs;
use std::path::Path;

/// In bytes. `None`: the process is gone, is not in this PID namespace, or belongs to
/// somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// The proportional set size: a page that several processes share counts in parts.
    pub pss: Option<u64>,
    /// The resident set size: it counts whole for each of them.
    pub rss: Option<u64>,
    /// What the kernel accounts in the worker's control group: with its child processes,
    /// and what of files and of the kernel's own memory it was the first to use.
    pub group: Option<u64>,
}

impl Memory {
    /// That of process `pid`, if it is a child of `parent`: seen from another container,
    /// the number may be that of a stranger.
    pub fn of(pid: u32, parent: u32) -> Self {
        let folder = format!("/proc/{pid}");
        let Some(memory) = Self::in_folder(Path::new(&folder), parent) else {
            return Self::default();
        };
        let groups = fs::read_to_string(format!("{folder}/cgroup")).unwrap_or_default();
        let group = worker_path(&groups).and_then(|path| {
            let current = format!("/sys/fs/cgroup{path}/memory.current");
            fs::read_to_string(current).ok()?.trim_end().parse().ok()
        });
        Self { group, ..memory }
    }

    /// That of process `pid`, if it is called like the server.
    pub fn of_master(pid: u32) -> Self {
        let folder = Path::new("/proc").join(pid.to_string());
        let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
        if name.trim_end() != "rgunicorn" {
            return Self::default();
        }
        let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
        Self::with_status(&folder, &status)
    }

    fn in_folder(folder: &Path, parent: u32) -> Option<Self> {
        let status = fs::read_to_string(folder.join("status")).ok()?;
        if number(&status, "PPid:")? != u64::from(parent) {
            return None;
        }
        Some(Self::with_status(folder, &status))
    }

    fn with_status(folder: &Path, status: &str) -> Self {
        let rollup = fs::read_to_string(folder.join("smaps_rollup")).ok();
        Self {
            pss: rollup.and_then(|text| bytes(&text, "Pss:")),
            rss: bytes(status, "VmRSS:"),
            group: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sizes_are_read_in_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name, text| fs::write(folder.path().join(name), text).unwrap();
        write("status", "Name:\tpython\nPPid:\t70\nVmRSS:\t   24000 kB\n");
        write(
            "smaps_rollup",
            "5581-7fff ---p 00000000 00:00 0  [rollup]\nRss:   24000 kB\nPss:    9000 kB\nPss_Dirty: 1 kB\n",
        );

        let memory = Memory::in_folder(folder.path(), 70);

        assert_eq!(
            memory,
            Some(Memory {
                pss: Some(9000 * 1024),
                rss: Some(24000 * 1024),
                group: None,
            })
        );
        assert_eq!(Memory::in_folder(folder.path(), 71), None);
    }

    #[test]
    fn of_a_process_of_another_user_only_the_resident_size_is_known() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("status"),
            "PPid:\t70\nVmRSS:\t 24000 kB\n",
        )
        .unwrap();

        let memory = Memory::in_folder(folder.path(), 70).unwrap();

        assert_eq!(memory.pss, None);
        assert!(memory.rss.is_some());
    }

    #[test]
    fn a_process_that_is_gone_has_no_memory() {
        assert_eq!(Memory::of(u32::MAX, 1), Memory::default());
    }
}
