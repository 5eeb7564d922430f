//! Processes as `/proc` shows them.

use nix::sys::signal::{Signal, kill};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
};

/// A process id.
pub type Pid = i32;

/// The process id in the first line of a text.
pub fn pid_in(text: &str) -> Pid {
    text.lines().next().unwrap().trim().parse().unwrap()
}

/// The process id of a child of this process.
pub fn pid_of(child: &Child) -> Pid {
    Pid::try_from(child.id()).unwrap()
}

/// Sends a signal. A process that has gone already does not matter.
pub fn signal(pid: Pid, signal: Signal) {
    let _ = kill(nix::unistd::Pid::from_raw(pid), signal);
}

/// Every process there is.
fn all() -> impl Iterator<Item = Pid> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// A field of `/proc/PID/stat`, counted as proc(5) does, from 3 on.
fn stat(pid: Pid, field: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses and may hold anything.
    let rest = &text[text.rfind(')')? + 2..];
    rest.split(' ').nth(field - 3).map(str::to_owned)
}

/// The parent of a process.
pub fn parent(pid: Pid) -> Option<Pid> {
    stat(pid, 4)?.parse().ok()
}

/// `R`, `S`, `T`, `Z`… or nothing once it is gone.
pub fn state(pid: Pid) -> Option<char> {
    stat(pid, 3)?.chars().next()
}

/// Whether a process exists and is not a zombie.
pub fn runs(pid: Pid) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// What the threads of a process are called.
pub fn thread_names(pid: Pid) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // One may have ended meanwhile.
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    tasks
        .filter_map(|task| name(task.ok()?))
        .map(|name| name.trim_end().to_owned())
        .collect()
}

/// Whether no thread of a process runs until SIGCONT comes.
pub fn is_stopped(pid: Pid) -> bool {
    fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|mut threads| {
        threads.all(|thread| {
            let id = thread
                .ok()
                .and_then(|entry| entry.file_name().to_str()?.parse().ok());
            id.is_some_and(|id| state(id) == Some('T'))
        })
    })
}

/// The children of a process that run.
pub fn children(pid: Pid) -> BTreeSet<Pid> {
    all()
        .filter(|child| parent(*child) == Some(pid) && runs(*child))
        .collect()
}

/// The children of a process that have ended and are not reaped.
pub fn zombies(pid: Pid) -> BTreeSet<Pid> {
    all()
        .filter(|child| parent(*child) == Some(pid) && state(*child) == Some('Z'))
        .collect()
}

/// Every process that runs with `folder` in its environment.
pub fn started_for(folder: &Path) -> Vec<Pid> {
    let needle = folder.to_str().unwrap().as_bytes().to_vec();
    all()
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.windows(needle.len()).any(|window| window == needle))
        })
        .filter(|pid| runs(*pid))
        .collect()
}

/// What the descriptors of a process lead to.
pub fn descriptors(pid: Pid) -> Vec<PathBuf> {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .collect()
}

/// The size of the files that a process has open and that have no name.
pub fn unlinked_bytes(pid: Pid) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let target = fs::read_link(&path).ok()?;
            let target = target.to_string_lossy();
            let is_file = target.ends_with("(deleted)") && !target.starts_with("/memfd:");
            is_file.then(|| fs::metadata(&path).ok())?
        })
        .map(|file| file.len())
        .sum()
}

/// Whether a process has the socket with this inode open.
pub fn holds_socket(pid: Pid, inode: u64) -> bool {
    let wanted = PathBuf::from(format!("socket:[{inode}]"));
    descriptors(pid).contains(&wanted)
}

/// The ports of the clients whose connections to a TCP port a process has open.
pub fn clients_of(pid: Pid, port: u16) -> BTreeSet<u16> {
    let open = descriptors(pid);
    let text = fs::read_to_string("/proc/net/tcp").unwrap();
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let socket = PathBuf::from(format!("socket:[{}]", fields[9]));
            (port_in(fields[1])? == port && open.contains(&socket)).then(|| port_in(fields[2]))?
        })
        .filter(|client| *client != 0)
        .collect()
}

/// The port of an address as `/proc/net/tcp` shows it.
fn port_in(address: &str) -> Option<u16> {
    u16::from_str_radix(address.rsplit(':').next()?, 16).ok()
}

/// The program that a process runs.
pub fn executable(pid: Pid) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// What a process is called in a process listing.
pub fn command_line(pid: Pid) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .replace('\0', " ")
        .trim()
        .to_owned()
}

/// Memory of its own, in KiB: the pages that are in no file.
pub fn own_memory(pid: Pid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    ["RssAnon:", "RssShmem:"]
        .iter()
        .map(|name| {
            let value = text.lines().find_map(|line| line.strip_prefix(name))?;
            value.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        })
        .sum()
}

/// The inode of the socket that listens on a TCP port of this machine.
pub fn listening_on_port(port: u16) -> Option<u64> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| {
            let text = fs::read_to_string(table).ok()?;
            text.lines().skip(1).find_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let here = port_in(fields[1])?;
                (here == port && fields[3] == "0A").then(|| fields[9].parse().ok())?
            })
        })
}

/// The inode of the unix socket that listens at a path.
pub fn listening_on_path(path: &Path) -> Option<u64> {
    const LISTENS: &str = "00010000";
    let text = fs::read_to_string("/proc/net/unix").ok()?;
    text.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(7).is_some_and(|name| Path::new(name) == path) && fields[3] == LISTENS)
            .then(|| fields[6].parse().ok())?
    })
}

/// Processor time a process has used, in ticks of 10 ms.
pub fn processor_ticks(pid: Pid) -> u64 {
    const USER: usize = 14;
    const SYSTEM: usize = 15;
    [USER, SYSTEM]
        .iter()
        .filter_map(|field| stat(pid, *field)?.parse::<u64>().ok())
        .sum()
}

/// How often each thread of a process has gone to sleep, by its id; the main thread has the
/// process's.
pub fn sleeps(pid: Pid) -> BTreeMap<Pid, u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let count = |task: fs::DirEntry| {
        // It may have ended.
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let mut lines = status.lines();
        let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        let id = task.file_name().to_str()?.parse().ok()?;
        Some((id, count.trim().parse().ok()?))
    };
    tasks.filter_map(|task| count(task.ok()?)).collect()
}

/// The signals that this process was started to ignore, as a mask.
pub fn ignored_signals() -> u64 {
    let output = Command::new("grep")
        .args(["SigIgn", "/proc/self/status"])
        .output()
        .unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    u64::from_str_radix(line.trim_start_matches("SigIgn:").trim(), 16).unwrap()
}
