//! Control groups: where systemd has left us that of the service (`Delegate=`), each
//! worker has one of its own below it, with the processes that it starts. The kernel
//! accounts and limits the memory of each, and tells in which one it has killed a process.
//!
//! Nothing depends on them: in a terminal, in a container, and where the unit does not
//! delegate, there are none. Only unified hierarchies are used, cgroups(7).

use super::oom;
use crate::pool::WorkerId;
use rgunicorn_control::groups::{self, unified_path};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use tracing::{debug, info, warn};

const HIERARCHY: &str = "/sys/fs/cgroup";

/// The group of the master and the fork servers. A group that has others below it, with
/// controllers, may have no process itself. A drop-in for systemd 254 and later has the
/// service begin in this one (`units/newer_systemd.rs`).
const MASTER: &str = "master";

/// A worker that needs more for a while is replaced, and not killed, when it has served
/// the request: what the kernel keeps to is so many times `worker_memory_max`.
const SLACK: u64 = 2;

/// Groups that could not be removed yet are remembered up to this number. The others go
/// with that of the service.
const MOST_LEFT: usize = 64;

/// The groups of this service.
#[derive(Debug)]
pub struct ControlGroups {
    /// That of the service, a folder.
    service: PathBuf,
    /// Whether those of the workers have the memory controller.
    has_memory: bool,
    /// The workers are gone, but processes that they have started may be left.
    left: Vec<WorkerId>,
    /// That no group can be made was logged, and none was made since.
    is_failure_logged: bool,
}

impl ControlGroups {
    /// Moves this process, which has no children yet, to make room for the groups of
    /// workers. `None`: there can be none.
    pub fn take_over() -> Option<Self> {
        // Else the group may have other processes, such as a shell that has started this one.
        let executed = std::env::var("SYSTEMD_EXEC_PID").ok()?;
        if executed != std::process::id().to_string() {
            return None;
        }
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let service = delegated(unified_path(&own)?, is_delegated)?;
        match Self::prepare(service) {
            Ok(groups) => {
                let memory = if groups.has_memory { "" } else { "out" };
                debug!(
                    "Each worker has a control group of its own, with{memory} the controller of memory"
                );
                Some(groups)
            }
            Err(error) => {
                info!("Workers have no control groups of their own: {error}");
                None
            }
        }
    }

    fn prepare(service: PathBuf) -> io::Result<Self> {
        let master = service.join(MASTER);
        make(&master).map_err(|error| named("make", &master, &error))?;
        let procs = master.join("cgroup.procs");
        write(&procs, "0").map_err(|error| named("move to", &master, &error))?;
        remove_empty(&service);
        let controllers = fs::read_to_string(service.join("cgroup.controllers"));
        let has_memory = controllers.is_ok_and(|names| has_word(&names, "memory"))
            && write(&service.join("cgroup.subtree_control"), "+memory").is_ok();
        Ok(Self {
            service,
            has_memory,
            left: Vec::new(),
            is_failure_logged: false,
        })
    }

    /// Below a folder that stands for a group.
    #[cfg(test)]
    pub fn below(folder: &Path) -> Self {
        Self {
            service: folder.to_owned(),
            has_memory: true,
            left: Vec::new(),
            is_failure_logged: false,
        }
    }

    /// That of the service, which counts what happens in all of them.
    pub fn service(&self) -> &Path {
        &self.service
    }

    /// Makes the group of a worker. A process that writes `0` to the file moves there.
    pub fn create(&mut self, worker: WorkerId, worker_memory_max: Option<u64>) -> Option<OwnedFd> {
        match self.try_to_create(worker, worker_memory_max) {
            Ok(procs) => {
                self.is_failure_logged = false;
                Some(procs)
            }
            Err(error) => {
                if self.is_failure_logged {
                    debug!("Worker {worker} has no control group of its own: {error}");
                } else {
                    warn!(
                        "Worker {worker} has no control group of its own: {error}; new workers \
                         are in that of the master, without limits of their own, until the \
                         service is restarted or groups can be made again"
                    );
                }
                self.is_failure_logged = true;
                self.remove(worker);
                None
            }
        }
    }

    fn try_to_create(&self, worker: WorkerId, max: Option<u64>) -> io::Result<OwnedFd> {
        let folder = self.folder(worker);
        make(&folder)?;
        if let (true, Some(max)) = (self.has_memory, max) {
            let limit = max.saturating_mul(SLACK).to_string();
            write(&folder.join("memory.max"), &limit)?;
        }
        let procs = folder.join("cgroup.procs");
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(procs, flags, Mode::empty())?)
    }

    /// Whether the kernel has killed a process in the group of a worker for lack of memory.
    /// `None` if it does not tell. A worker that could not move there is not counted there.
    pub fn had_oom_kill(&self, worker: WorkerId) -> Option<bool> {
        let events = fs::read_to_string(self.folder(worker).join("memory.events")).ok()?;
        Some(oom::count_in(&events)? > 0)
    }

    /// The worker is gone. Its group goes with the last process that it has left.
    pub fn remove(&mut self, worker: WorkerId) {
        self.left.push(worker);
        let service = &self.service;
        self.left.retain(|worker| {
            let removed = rustix::fs::rmdir(folder(service, *worker));
            removed == Err(Errno::BUSY)
        });
        let excess = self.left.len().saturating_sub(MOST_LEFT);
        self.left.drain(..excess);
    }

    fn folder(&self, worker: WorkerId) -> PathBuf {
        folder(&self.service, worker)
    }
}

impl Drop for ControlGroups {
    /// If a worker hangs in the kernel and is left behind, the next start finds its group,
    /// and must be able to begin in that of the service all the same.
    fn drop(&mut self) {
        if self.has_memory {
            // Else the group goes when the service has ended.
            let _ = write(&self.service.join("cgroup.subtree_control"), "-memory");
        }
    }
}

fn folder(service: &Path, worker: WorkerId) -> PathBuf {
    service.join(groups::name(worker.0))
}

/// The folder of the service's group, if a process in the group `own` may make others there.
fn delegated(own: &str, is_delegated: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    // Of a container, the root is all that is seen: it belongs to who runs that.
    let path = own.strip_prefix('/').filter(|path| !path.is_empty())?;
    let folder = Path::new(HIERARCHY).join(path);
    if is_delegated(&folder) {
        return Some(folder);
    }
    let is_ours = folder.file_name().is_some_and(|name| name == MASTER);
    let service = folder.parent().filter(|_| is_ours)?;
    is_delegated(service).then(|| service.to_owned())
}

/// systemd says so.
fn is_delegated(folder: &Path) -> bool {
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(folder, "user.delegate", &mut value);
    length.is_ok_and(|length| value.get(..length) == Some(b"1"))
}

/// Groups that an earlier master has left, if they have no process.
fn remove_empty(service: &Path) {
    let Ok(entries) = fs::read_dir(service) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(groups::is_name) {
            // One that still has a process is used again, or stays.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// A folder that may exist already.
fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Into a file that the kernel has made.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(file)?;
    rustix::io::write(&file, text.as_bytes())?;
    Ok(())
}

fn has_word(text: &str, word: &str) -> bool {
    text.split_whitespace().any(|each| each == word)
}

fn named(what: &str, folder: &Path, error: &io::Error) -> io::Error {
    let text = format!("cannot {what} {}: {error}", folder.display());
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Manager, common_drop_ins};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt};

    const SERVICE: &str = "/system.slice/system-rgunicorn.slice/rgunicorn@shop.service";

    #[test]
    fn only_a_group_that_systemd_has_delegated_is_used() {
        let service = Path::new(HIERARCHY).join(&SERVICE[1..]);
        let is_service = |folder: &Path| folder == service;

        assert_eq!(delegated(SERVICE, is_service), Some(service.clone()));
        let below = |name: &str| delegated(&format!("{SERVICE}/{name}"), is_service);
        // With `DelegateSubgroup=`.
        assert_eq!(below("master"), Some(service.clone()));
        assert_eq!(below("worker-1"), None);
        assert_eq!(below("master/more"), None);
        // A terminal, and a container.
        assert_eq!(delegated("/user.slice/session-1.scope", is_service), None);
        assert_eq!(delegated("/", |_| true), None);
        assert_eq!(delegated("", |_| true), None);
    }

    /// A folder that is no control group has no such files of its own.
    fn service() -> (tempfile::TempDir, ControlGroups) {
        let folder = tempfile::tempdir().unwrap();
        let groups = ControlGroups::below(folder.path());
        (folder, groups)
    }

    #[test]
    fn a_worker_is_limited_to_twice_what_it_is_replaced_for() {
        let (folder, mut groups) = service();
        let of_worker = folder.path().join("worker-1");
        fs::create_dir(&of_worker).unwrap();
        fs::write(of_worker.join("memory.max"), "").unwrap();
        fs::write(of_worker.join("cgroup.procs"), "").unwrap();

        assert!(groups.create(WorkerId(1), Some(300 << 20)).is_some());

        let limit = fs::read_to_string(of_worker.join("memory.max")).unwrap();
        assert_eq!(limit, (600 << 20).to_string());
    }

    #[test]
    fn a_group_that_cannot_be_used_is_not_left() {
        let (folder, mut groups) = service();

        assert!(groups.create(WorkerId(1), None).is_none());

        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Counts them.
    struct Warnings(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Warnings {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            if *event.metadata().level() == Level::WARN {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn that_no_group_can_be_made_any_more_is_a_warning_once() {
        let (folder, mut groups) = service();
        let count = Arc::new(AtomicUsize::new(0));
        let subscriber = tracing_subscriber::registry().with(Warnings(Arc::clone(&count)));
        let created = |groups: &mut ControlGroups, number| {
            let created = groups.create(WorkerId(number), None);
            (created.is_some(), count.load(Ordering::Relaxed))
        };

        tracing::subscriber::with_default(subscriber, || {
            assert_eq!(created(&mut groups, 1), (false, 1));
            assert_eq!(created(&mut groups, 2), (false, 1));

            // It is said again when it happens again.
            fs::create_dir(folder.path().join("worker-3")).unwrap();
            fs::write(folder.path().join("worker-3/cgroup.procs"), "").unwrap();
            assert_eq!(created(&mut groups, 3), (true, 1));
            assert_eq!(created(&mut groups, 4), (false, 2));
        });
    }

    #[test]
    fn empty_groups_of_an_earlier_master_are_removed() {
        let (folder, _groups) = service();
        for name in ["worker-1", "worker-2", "other"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("worker-2/process"), "").unwrap();

        remove_empty(folder.path());

        assert!(!folder.path().join("worker-1").exists());
        assert!(folder.path().join("worker-2").exists());
        assert!(folder.path().join("other").exists());
    }

    #[test]
    fn a_kill_is_told_by_the_group_that_it_happened_in() {
        let (folder, groups) = service();
        for (number, kills) in [(1, 0), (2, 1)] {
            let of_worker = folder.path().join(format!("worker-{number}"));
            fs::create_dir(&of_worker).unwrap();
            let events = format!("oom {kills}\noom_kill {kills}\noom_group_kill 0\n");
            fs::write(of_worker.join("memory.events"), events).unwrap();
        }

        assert_eq!(groups.had_oom_kill(WorkerId(1)), Some(false));
        assert_eq!(groups.had_oom_kill(WorkerId(2)), Some(true));
        assert_eq!(groups.had_oom_kill(WorkerId(3)), None);
    }

    #[test]
    fn systemd_starts_the_master_in_the_group_that_it_would_move_to() {
        let drop_ins = common_drop_ins("systemd 254", Manager::System);
        let lines = drop_ins.iter().flat_map(|drop_in| drop_in.text.lines());
        let names: Vec<_> = lines
            .filter_map(|line| line.strip_prefix("DelegateSubgroup="))
            .collect();

        assert_eq!(names, [MASTER]);
    }
}
