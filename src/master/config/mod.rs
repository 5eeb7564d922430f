//! The configuration: the settings ([`SETTINGS`]), where they are read from
//! ([`load`]), and the result ([`Config`]).
//!
//! To add a setting, add a row to the table in `settings.rs`, a type in
//! `values` if none fits, and a test. The command line, `--help`,
//! `--print-config`, the manual pages and the example file follow.

mod error;
mod file;
mod gunicorn;
mod load;
mod origin;
mod print;
mod settings;
mod unknown;
mod value;
mod values;

pub use error::{ConfigError, ConfigErrors, reason};
pub use gunicorn::{RENAMED, UNSUPPORTED, Unsupported};
pub use load::{Sources, Start, load};
pub use origin::{Origin, Place};
pub use print::{print, print_setting};
pub use settings::{Applies, Config, Group, Partial, SETTINGS, Setting};
pub use value::{Takes, Value};
pub use values::{
    Account, App, Binds, BodyLimit, CpuQuota, Credentials, Directory, Environment, LogLevel,
    MemoryLimit, Peer, Peers, ProcName, Python, PythonPath, Seconds, TasksLimit, TimeSpan, Timeout,
    UnitPaths, Within, WorkerClass, WorkerClassChoice, Workers, is_unit_path, processors,
};

pub(crate) use file::{Contents, parse_contents, read_contents};
pub(crate) use unknown::{foreign_flag, unknown_flag};
