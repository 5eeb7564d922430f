//! The configuration: the settings ([`SETTINGS`]), where they are read from
//! ([`load`]), and the result ([`Config`]).
//!
//! To add a setting, add a row to the table in `settings/`, a type in
//! `values` if none fits, and a test. The command line, `--help`,
//! `--print-config`, the manual pages and the example file follow.

mod convert;
mod dangerous;
mod error;
mod file;
mod former;
mod gunicorn;
mod gunicorn_settings;
mod hooks;
mod ignored;
mod load;
mod log_servers;
#[cfg(test)]
mod order;
mod origin;
mod print;
mod program;
mod setting;
mod settings;
mod support;
mod table;
mod unfinished;
mod unknown;
mod value;
mod values;

pub use convert::convert;
pub use error::{ConfigError, ConfigErrors, reason};
pub use former::{FORMER, Former};
pub use gunicorn::{OPTIONS, RENAMED, UNSUPPORTED, Unsupported};
pub use gunicorn_settings::{THEIRS, Theirs};
pub use hooks::HOOKS;
pub use ignored::{IGNORED, Ignored};
#[cfg(test)]
pub use load::load;
pub use load::{
    ARGUMENT_VARIABLES, GUNICORN_ARGUMENTS, Loaded, Mistake, NamedFile, Sources, Start, read,
};
pub use origin::{Origin, Place};
pub use print::{print, print_setting};
pub use setting::{Applies, Group, Setting};
pub use settings::{Config, Partial, SETTINGS};
pub use support::{Support, support};
pub use unfinished::{Settled, Unfinished};
pub use value::{Takes, Value};
pub use values::log_file_refusal;
pub use values::{
    AccessLog, Account, App, Binds, BodyLimit, ConfigProgram, CpuQuota, Credentials, Directory,
    Environment, LogLevel, MemoryLimit, Peer, Peers, ProcName, Python, PythonPath, Seconds,
    TasksLimit, TimeSpan, Timeout, Umask, UnitPaths, Within, WorkerClass, WorkerClassChoice,
    Workers, is_unit_path, processors,
};

pub(crate) use file::{Contents, parse_contents, read_contents};
pub(crate) use program::names as names_in_programs;
pub(crate) use support::Foreign;
pub(crate) use unknown::{foreign_flag, unknown_flag};
