//! The messages on the links: reports in the past tense, orders in the imperative.
//! A master starts fork servers of its own release only, and those of another one
//! refuse to start ([`MASTER_VERSION`]): so the messages carry no version. Only
//! [`FromForkServer::LoadFailed`], by which they refuse, has to stay as it is. A master that
//! takes over from one of another release adopts what that has started, see [`VERSION`].

use crate::{AccessFilter, Statsd, Syslog};
use serde::{Deserialize, Serialize};
use std::fmt;
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

/// A configuration in Python, which the fork server is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluate {
    pub program: Program,
    /// The names that may be settings. Others are the program's own business.
    pub names: Vec<String>,
    /// As far as it is known before.
    pub python_log: PythonLog,
}

impl Evaluate {
    pub fn is_script(&self) -> bool {
        matches!(self.program, Program::Script(_))
    }
}

/// Where a configuration in Python is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    File(PathBuf),
    /// One that can be imported, such as `shop.server`.
    Module(String),
    /// One that starts the server itself, see [`Script`].
    Script(Script),
}

/// A script with an application of its own (`BaseApplication` in Python), and its arguments. It
/// runs up to the call of `run()`, from where the fork server goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    pub main: Main,
    /// `sys.argv` without its first item.
    pub arguments: Vec<String>,
}

/// What Python runs as `__main__`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Main {
    File(PathBuf),
    /// As `python -m` would.
    Module(String),
}

impl fmt::Display for Program {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(to),
            Self::Module(name) => name.fmt(to),
            Self::Script(script) => script.main.fmt(to),
        }
    }
}

impl fmt::Display for Main {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(to),
            Self::Module(name) => name.fmt(to),
        }
    }
}

/// What a configuration in Python has set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The file that it stands in.
    pub file: PathBuf,
    pub settings: Vec<Assigned>,
    /// Names that are none of the settings, and that nothing in the file uses.
    pub unused: Vec<Unused>,
}

/// A setting in a configuration in Python.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    pub name: String,
    pub value: AssignedValue,
    /// Where in the file, counted from 1; `None` if that is not known.
    pub line: Option<usize>,
}

/// The value of a name in Python.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AssignedValue {
    /// What JSON has: a text, a number, true or false, a list, a table, or `null` for `None`.
    Plain(serde_json::Value),
    /// A class, as `module.name`.
    Class(String),
    /// A function or another object that can be called.
    Callable,
    /// A hook that cannot be called as it has to be: what is wrong with it.
    Uncallable(String),
    /// Anything else, as Python shows it.
    Other(String),
}

/// A name that is assigned in a configuration in Python, and never used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unused {
    pub name: String,
    pub line: usize,
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

/// How a worker runs requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerClass {
    /// One at a time.
    Sync,
    Gthread {
        threads: usize,
    },
}

/// Where the records of the access log go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessDestination {
    /// By an absolute path.
    File(PathBuf),
    /// As entries with fields.
    Journal,
    Stdout,
    Stderr,
    Syslog(Syslog),
}

/// The access log that workers write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLog {
    pub destinations: Vec<AccessDestination>,
    /// The text of an [`AccessFormat`](crate::AccessFormat).
    pub format: String,
    pub filter: AccessFilter,
    /// Fields that all its records have in the journal, with their values.
    pub fields: Vec<(String, String)>,
}

/// How records of Python's `logging` get into the server's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonLog {
    pub destination: LogDestination,
    /// The file that records go to instead, by an absolute path.
    pub file: Option<PathBuf>,
    /// The least level that is logged, as `logging` counts them.
    pub level: u8,
    /// Fields that all records have in the journal, with their values.
    pub fields: Vec<(String, String)>,
}

/// How the settings configure Python's `logging`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Every setting of Gunicorn by its name, as in [`HookSite`].
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// Where the server's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogDestination {
    /// As entries with fields.
    Journal,
    Stderr,
}

/// What an engine refuses in a request head unless it is permitted. Named after the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deviation {
    ObsoleteFolding,
    HeaderSpaces,
    UnconventionalMethod,
    UnconventionalVersion,
    /// Permits nothing by itself: methods become upper case.
    CasefoldMethod,
}

/// What becomes of a header whose name has an underscore: in the environ it could pass for
/// the one with a dash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeaderMap {
    Drop,
    /// The request is answered 400.
    Refuse,
    /// It goes to the environ.
    Dangerous,
}

/// How a proxy says whom it speaks for, when it connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyProtocol {
    pub versions: ProxyVersions,
    /// Peers (addresses or networks) that may send the header; `*` for all.
    pub allow_ips: Vec<String>,
    /// Connections that begin without it are refused.
    pub is_required: bool,
}

/// The versions of the PROXY protocol that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProxyVersions {
    V1,
    V2,
    Both,
}

/// What a fork server and its workers need to know of the configuration.
///
/// The environment and the working directory are here only if a configuration in Python has a
/// say in them: else the master sets them when it starts the fork server.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The generation's number, from 1.
    pub generation: u32,
    /// Where to go before the application is loaded.
    pub surroundings: Option<Surroundings>,
    /// The account to change to, where only a configuration in Python has named it: it was
    /// run as root.
    pub account: Option<AccountIds>,
    /// What the hooks of a configuration in Python are told.
    pub hooks: Option<HookSite>,
    /// `module`, `module:callable` or `module:factory("argument")`.
    pub app: String,
    /// Entries for the front of `sys.path`, after the working directory.
    pub pythonpath: Vec<PathBuf>,
    /// Load the application in the fork server, once for all workers.
    pub preload: bool,
    /// Tell the master where modules are that the application imports.
    pub watches_code: bool,
    /// Log each line of Python.
    pub spew: bool,
    /// Let the kernel send files.
    pub sendfile: bool,
    /// What the processes are called in a process listing.
    pub proc_name: String,
    /// Permissions that new files do not get; `None`: those of the master.
    pub umask: Option<u32>,
    pub worker_class: WorkerClass,
    /// Whether more than one worker is wanted (`wsgi.multiprocess`).
    pub multiprocess: bool,
    /// Milliseconds after which a request is reported as stuck; 0 = never.
    pub timeout_ms: u64,
    /// Milliseconds that a request may wait for the application, and that the application
    /// may take; 0 = no limit.
    pub request_timeout_ms: u64,
    /// The longest time between two heartbeats of an idle worker, in milliseconds.
    pub beat_ms: u64,
    /// The least level of records worth sending to the master.
    pub loglevel: Level,
    /// Whether the master reads what the application writes, and takes marks off.
    pub marks_output: bool,
    /// Milliseconds a kept-alive connection may be idle; 0 closes after each response.
    pub keepalive_ms: u64,
    /// Milliseconds a client may take for a request head, or be silent in the
    /// middle of a body or while a response waits to be taken.
    pub client_timeout_ms: u64,
    /// The most connections one worker holds.
    pub worker_connections: usize,
    /// The longest request line in bytes.
    pub limit_request_line: usize,
    /// The most header fields of a request.
    pub limit_request_fields: usize,
    /// The longest header field in bytes.
    pub limit_request_field_size: usize,
    /// The largest request body in bytes.
    pub limit_request_body: u64,
    /// Where large request bodies are stored; `None`: where `TMPDIR` says.
    pub tmp_upload_dir: Option<PathBuf>,
    /// The most bytes of a response that wait for the client in a file.
    pub limit_response_buffer: u64,
    /// The path that is answered without the application, for a balancer.
    pub health_path: Option<String>,
    /// `None`: there is none.
    pub access_log: Option<AccessLog>,
    /// Where metrics of requests go; `None`: there are none.
    pub statsd: Option<Statsd>,
    pub python_log: PythonLog,
    /// What is to be done with `logging`, if the settings say something of it.
    pub log_config: Option<LogConfig>,
    /// Whether connections may begin with a header of the PROXY protocol.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// What of a request head may deviate from HTTP/1.1.
    pub permitted: Vec<Deviation>,
    /// Peers (addresses or networks) whose forwarding headers are believed; `*` for all.
    pub forwarded_allow_ips: Vec<String>,
    /// What becomes of headers with an underscore in their names.
    pub header_map: HeaderMap,
    /// The names with an underscore that a believed peer may send, in upper case; `*` for all.
    pub forwarder_headers: Vec<String>,
    /// The headers by which a believed peer says that its client spoke TLS: names in upper
    /// case, and the value that says so.
    pub secure_scheme_headers: Vec<(String, String)>,
}

/// An account, with its groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountIds {
    pub user: u32,
    pub group: u32,
    /// The supplementary groups.
    pub others: Vec<u32>,
}

/// What the master could not give a fork server when it started it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// The working directory.
    pub chdir: PathBuf,
    /// Variables that are added to the environment.
    pub environment: Vec<(String, String)>,
}

/// What the hooks of a configuration in Python are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookSite {
    pub moment: Moment,
    /// Every setting of Gunicorn by its name; `null` where it has none, or where only the
    /// configuration knows the value.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Where the service listens.
    pub addresses: Vec<ListenAddress>,
    /// How many workers are wanted.
    pub count: usize,
}

/// Why there is a new generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moment {
    /// The service starts.
    Start,
    /// The configuration was read again.
    Reload {
        /// How many workers were wanted.
        count_before: usize,
    },
    /// The fork server of the generation that serves was lost.
    Replacement,
}
