//! The Python side: an extension module that makes a Python process a fork
//! server, and its children workers.
//!
//! ```text
//! __main__.py ─▶ main() ─▶ fork_server ─ fork ─▶ worker ─▶ sync, gthread ─▶ wsgi ─▶ the application
//!                                                             └────┴─▶ in_line ─┘
//! ```
//!
//! What a worker does without Python is in the crate `serving`.
//!
//! There is no test binary of this crate (no interpreter could be linked to
//! it), so it is thin: what can be decided without Python is decided in `serving`
//! and the engine, and the rest is tested by the stories that run the real thing.

mod abort;
mod application;
mod configuration;
mod current_request;
mod fork_server;
mod forking;
mod garbage;
mod gthread;
mod hooks;
mod in_line;
mod last_records;
mod local_time;
mod pool_thread;
mod process;
mod python_log;
mod python_syslog;
mod reloading;
mod retire_flag;
mod script;
mod signals;
mod stacks;
mod sync;
mod worker;
mod wsgi;

use pyo3::prelude::*;

/// What `Server:` and `SERVER_SOFTWARE` say.
const SERVER_SOFTWARE: &str = concat!("rgunicorn/", env!("CARGO_PKG_VERSION"));

/// The extension module `rgunicorn._worker`.
#[pymodule]
mod _worker {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::main;
    #[pymodule_export]
    use crate::current_request::{output_mark, request_id};
    #[pymodule_export]
    use crate::python_syslog::send_to_syslog;
    #[pymodule_export]
    use crate::wsgi::FileWrapper;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// Runs a fork server and, in its children, the workers. Returns the process's exit status.
#[pyfunction]
fn main(py: Python<'_>) -> PyResult<u8> {
    let status = fork_server::run(py);
    signals::ignore_to_the_end(py);
    status
}
