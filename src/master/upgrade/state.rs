//! What the master hands over to another program, which may be of another release: as JSON
//! in a memory file. Fields are only ever added, with a default; anything else is a new
//! [`FORMAT`].

use crate::pool::PoolState;
use crate::process::{OutputTo, Stage};
use crate::sys::handed_over::Number;
use rgunicorn_link::protocol::{Evaluation, ListenAddress, ToForkServer};
use rustix::fs::{MemfdFlags, SealFlags};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The version of [`State`].
pub const FORMAT: u32 = 1;

/// More than the state of as many workers as there can be.
const LONGEST: u64 = 16 * 1024 * 1024;

/// All that a master knows and holds, except for what its command line and its environment
/// say: the program that takes over has the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub format: u32,
    /// [`rgunicorn_link::protocol::VERSION`] of the workers and fork servers.
    pub protocol: u32,
    /// The release that hands over.
    pub release: String,
    /// The process that it is meant for.
    pub pid: u32,
    pub pool: PoolState,
    pub processes: ProcessesState,
    pub listeners: Vec<ListenerState>,
    pub control: Option<ControlState>,
    pub pid_file: Option<PathBuf>,
    /// What the program has set that has a say in the configuration.
    pub evaluation: Option<Evaluation>,
    pub counters: CountersState,
    /// Since the service was started.
    pub uptime_ms: u64,
    pub reload_failure: Option<String>,
    /// Whether SIGWINCH, and SIGQUIT, are still expected after SIGUSR2.
    pub expected: (bool, bool),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessesState {
    pub fork_servers: Vec<ForkServerState>,
    pub workers: Vec<WorkerState>,
    pub scoreboard: Number,
    pub nudge: Number,
    pub give: Number,
    pub take: Number,
    pub missed_calls: Vec<ToForkServer>,
    pub outliving: Vec<OutlivingState>,
    /// Requests, errors and bytes of workers that are gone.
    pub past: (u64, u64, u64),
    #[serde(default)]
    pub past_lost: LostState,
}

/// What access log, StatsD and syslog did not get, of the master and of workers that are gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LostState {
    pub access: u64,
    pub metrics: u64,
    pub syslog: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForkServerState {
    pub generation: u32,
    pub pid: u32,
    pub link: Option<Number>,
    pub pipes: Option<[OutputState; 2]>,
    pub ready: bool,
    pub python: PathBuf,
    pub stage: Stage,
    pub worker_output: OutputTo,
    pub has_hooks: bool,
    pub is_ending: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerState {
    pub worker: u32,
    pub generation: u32,
    pub row: usize,
    pub for_ms: u64,
    pub link: Option<Number>,
    pub pid: Option<u32>,
    pub pipes: Option<[OutputState; 2]>,
    pub is_in_group: bool,
    /// The pipe, and the number of the signal.
    pub stacks: Option<(Number, i32)>,
    pub was_aborted: bool,
}

/// A pipe that the application writes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputState {
    pub pipe: Number,
    pub in_packets: bool,
}

/// The pipe of a process that is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutlivingState {
    /// `None`: it was a fork server.
    pub worker: Option<u32>,
    pub pid: u32,
    pub generation: u32,
    pub is_stderr: bool,
    pub output: OutputState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenerState {
    pub fd: Number,
    pub name: String,
    pub address: ListenAddress,
    pub origin: OriginState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum OriginState {
    Systemd,
    Inherited,
    Own(Option<SocketFileState>),
    Stored { name: String, is_back: bool },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SocketFileState {
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlState {
    pub listener: Number,
    pub place: PlaceState,
    pub clients: Vec<ClientState>,
    pub last_client: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PlaceState {
    Systemd,
    Elsewhere(SocketFileState),
    Terminal {
        file: SocketFileState,
        folder: PathBuf,
    },
    RuntimeDirectory(SocketFileState),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientState {
    pub number: u32,
    pub stream: Number,
    pub pid: u32,
    pub uid: u32,
    pub has_full_access: bool,
    pub fields: bool,
    pub waits: WaitsState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum WaitsState {
    /// It has sent this so far.
    Silent(Vec<u8>),
    Reload(u32),
    Replaced(u32),
    Stop,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CountersState {
    pub started_at: u64,
    pub worker_exits: BTreeMap<String, u64>,
    pub reloads: rgunicorn_control::protocol::ReloadCounts,
    pub dropped_by_workers: u64,
}

/// Why a state is not adopted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("the state of the running server cannot be read: {0}")]
    Unreadable(String),

    #[error(
        "the running server, {release}, hands over a state of format {found}, and this one reads \
         {FORMAT}; restart the service instead"
    )]
    Format { release: String, found: u32 },

    #[error(
        "the workers of {release} speak version {found} of the protocol, and this one speaks {}; \
         restart the service instead",
        rgunicorn_link::protocol::VERSION
    )]
    Protocol { release: String, found: u32 },

    #[error("the state of the running server contradicts itself")]
    Contradiction,
}

/// What any version of a state has.
#[derive(Deserialize)]
struct Versions {
    format: u32,
    #[serde(default)]
    protocol: u32,
    #[serde(default)]
    release: String,
}

impl State {
    /// A file with it that nobody can change.
    pub fn write(&self) -> io::Result<OwnedFd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("rgunicorn-state", flags)?;
        let mut file = File::from(file);
        file.write_all(&serde_json::to_vec(self)?)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        Ok(file.into())
    }

    pub fn read(file: OwnedFd) -> Result<Self, Refused> {
        let unreadable = |error: io::Error| Refused::Unreadable(error.to_string());
        let file = File::from(file);
        let mut bytes = Vec::new();
        // From the beginning, whoever has read of it before.
        let mut at = 0;
        let mut part = [0; 16 * 1024];
        loop {
            let count = file.read_at(&mut part, at).map_err(unreadable)?;
            if count == 0 {
                return Self::parse(&bytes);
            }
            at += count as u64;
            bytes.extend_from_slice(&part[..count]);
            if at > LONGEST {
                return Err(Refused::Unreadable("it is too long".into()));
            }
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        let unreadable = |error: serde_json::Error| Refused::Unreadable(error.to_string());
        let Versions {
            format: found,
            protocol,
            release,
        } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if found != FORMAT {
            return Err(Refused::Format { release, found });
        }
        if protocol != rgunicorn_link::protocol::VERSION {
            let found = protocol;
            return Err(Refused::Protocol { release, found });
        }
        let state: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        let workers = state.processes.workers.iter().map(|worker| worker.worker);
        let servers = state.processes.fork_servers.iter();
        if !(state.pool).is_about(workers, servers.map(|server| server.generation)) {
            return Err(Refused::Contradiction);
        }
        Ok(state)
    }
}
