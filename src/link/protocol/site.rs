//! What the processes of a site are told to serve, and how.

use super::{Level, ListenAddress};
use crate::{AccessFilter, Statsd, Syslog};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
    /// Where workers send them, too.
    pub syslog: Option<Box<Syslog>>,
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
    /// Whether the settings say what is to be done with `logging`.
    pub configures_logging: bool,
    /// Every setting of Gunicorn by its name; `null` where it has none, or where only the
    /// configuration knows the value. Empty where neither hooks nor `logging` are given them.
    pub gunicorn_settings: serde_json::Map<String, serde_json::Value>,
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
