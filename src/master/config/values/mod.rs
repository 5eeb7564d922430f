//! The types of the settings. A value that its setting forbids cannot be made.

mod app;
mod bind;
mod environment;
mod health_path;
mod loglevel;
mod number;
mod path;
mod peers;
mod span;
mod unit;
mod worker_class;
mod workers;

pub use app::{App, ProcName};
pub use bind::Binds;
pub use environment::Environment;
pub use health_path::HealthPath;
pub use loglevel::LogLevel;
pub use number::{BodyLimit, Seconds, Timeout, Within};
pub use path::{Directory, Python, PythonPath};
pub use peers::{Peer, Peers};
pub use span::TimeSpan;
pub use unit::{Account, CpuQuota, Credentials, MemoryLimit, TasksLimit, UnitPaths, is_unit_path};
pub use worker_class::{WorkerClass, WorkerClassChoice};
pub use workers::{Workers, processors};
