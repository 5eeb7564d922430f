//! The messages on the links: reports in the past tense, orders in the imperative.
//! A master starts fork servers of its own release only, and those of another one
//! refuse to start ([`MASTER_VERSION`]): so the messages carry no version. Only
//! [`FromForkServer::LoadFailed`], by which they refuse, has to stay as it is. A master that
//! takes over from one of another release adopts what that has started, see [`VERSION`].

mod evaluation;
mod site;

pub use evaluation::{
    Assigned, AssignedValue, Evaluate, Evaluation, Main, Program, Script, Unused,
};
use serde::{Deserialize, Serialize};
pub use site::{
    AccessDestination, AccessLog, AccountIds, Deviation, HeaderMap, HookSite, LogDestination,
    Moment, ProxyProtocol, ProxyVersions, PythonLog, Site, Surroundings, WorkerClass,
};
use std::path::PathBuf;
use std::time::Duration;

/// The version of the messages between a master and what runs already when it takes over:
/// [`ToForkServer`], [`FromForkServer`], [`ToWorker`], [`FromWorker`], and the layout of the
/// [`Scoreboard`](crate::Scoreboard). A master of another version refuses to take over, so it
/// counts up whenever one of the two could not understand the other.
pub const VERSION: u32 = 1;

/// The environment variable in which the master tells a fork server its own version.
pub const MASTER_VERSION: &str = "RGUNICORN_MASTER_VERSION";

/// The environment variable in which the master tells a fork server which descriptors are the
/// worker's files, if these have no names any more. The first line is the folder that they
/// were in, and each of the others a number and the path below it: `5 rgunicorn/__init__.py`.
pub const HELD_FILES: &str = "RGUNICORN_HELD_FILES";

/// A time as messages have it: in whole milliseconds, the longest being `u64::MAX`.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The master's orders to a fork server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToForkServer {
    /// The first message where settings stand in a Python file: run it, and say what it sets.
    Evaluate(Evaluate),
    /// What to serve; the first message where there is no such file. Carries the scoreboard's
    /// descriptor.
    Configure(Box<Site>),
    /// A worker is gone: its number, and the pid that it had. Only of interest to hooks, like
    /// the next two.
    WorkerGone { worker: u32, pid: u32 },
    /// An order has changed how many workers are wanted.
    CountChanged(usize),
    /// Another program is about to take over from the master. Answered with
    /// [`FromForkServer::PreExecCalled`].
    PreExec,
    /// The service has ended: exit when the hooks have heard of it.
    ServiceEnds,
    /// Fork a worker. Carries the worker's end of its own link; then, if it has a control
    /// group of its own, the file by which it moves there; then, if the master reads the
    /// app's output, a pipe for stdout and one for stderr.
    Spawn(Spawn),
}

/// One worker to be forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawn {
    /// The worker's number: counts up from 1 for as long as the master lives.
    pub worker: u32,
    /// Its row on the scoreboard.
    pub row: usize,
    /// Whether it has a control group of its own.
    pub has_group: bool,
}

/// What a fork server tells the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromForkServer {
    /// The configuration in Python has run; it is to be told what to serve.
    Evaluated(Box<Evaluation>),
    /// It could not be run.
    EvaluationFailed {
        /// One line, with the place.
        summary: String,
        /// The Python traceback.
        traceback: String,
    },
    /// It can fork workers; with `preload` the application is loaded.
    Ready,
    /// The preloaded application could not be loaded.
    LoadFailed(LoadFailure),
    /// The hook has been called; if it failed, the log has the reason.
    PreExecCalled {
        succeeded: bool,
    },
    /// The operating system refused to fork.
    ForkFailed {
        worker: u32,
        /// The operating system's error message.
        reason: String,
    },
    Log(Record),
}

/// The master's orders to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Start to serve. Carries one descriptor for each listener named, then the
    /// eventfd by which one worker wakes another when connections wait, then the two
    /// ends of the socket pair by which connections go from worker to worker.
    Listen(Vec<ListenerInfo>),
    /// Leave the listeners, finish what is under way, and exit.
    Retire {
        /// Milliseconds until the master kills what is left.
        within_ms: u64,
        /// What becomes of connections that are kept alive.
        idle: Idle,
    },
    /// Memory is short: collect garbage between two requests.
    Collect,
    /// Open the log files anew: they may have been renamed.
    ReopenLogs,
}

/// What becomes of kept-alive connections when their worker leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Idle {
    /// They go to other workers, which serve on.
    HandOver,
    /// They get one more response if they ask for it within a second: the service
    /// stops, and that must not take as long as idle clients may be silent.
    CloseSoon,
}

/// What a worker tells the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The process exists. The application is not loaded yet. Carries a pipe into which the
    /// worker writes the stacks of its threads, and a zero byte behind them.
    Started {
        pid: i32,
        /// Whether it has moved into a control group of its own.
        is_in_group: bool,
        /// The number of the signal upon which it does.
        stacks_signal: i32,
    },
    /// The application is loaded; the listeners may come.
    Ready,
    /// The application could not be loaded; the worker exits.
    LoadFailed(LoadFailure),
    /// Directories with modules that are imported.
    Imported(Vec<PathBuf>),
    /// The garbage is collected.
    Collected {
        /// How much smaller the resident memory is, in bytes.
        freed: u64,
    },
    Log(Record),
}

/// Why an application could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadFailure {
    /// The exit status that says so: 3, it failed to boot; 4, there is no such
    /// application object, or it is not a WSGI application.
    pub status: u8,
    /// One line for the operator.
    pub summary: String,
    /// The Python traceback; empty where it would explain nothing.
    pub traceback: String,
}

/// How much a log record matters, in the names the configuration uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What only a developer wants.
    Debug,
    /// A state changed.
    Info,
    /// Something went wrong and was handled.
    Warning,
    /// Somebody must act.
    Error,
}

/// One log record on its way to the master, which writes all logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub level: Level,
    /// What to say; may have several lines.
    pub text: String,
    /// Records that were dropped before this one because the link was full.
    pub dropped: u64,
    /// The request it is about, if it is about one.
    pub request: Option<RequestInfo>,
}

/// A request, as the fields of a log record name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestInfo {
    pub id: String,
    pub method: String,
    /// As the client wrote it.
    pub path: String,
}

/// A listener, as a worker needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerInfo {
    pub address: ListenAddress,
    /// When the service stops, what waits there is served, and then it is closed. Else it
    /// is somebody else's, who keeps it open.
    pub closes_at_stop: bool,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenAddress {
    /// TCP over IPv4 or IPv6.
    Tcp {
        /// The numeric address.
        host: String,
        port: u16,
    },
    /// A unix socket; empty for an unnamed one.
    Unix(String),
}
