//! Real applications from `PyPI`, nearly always beside Gunicorn: their answers
//! are the same.

mod access_log;
mod configurations;
mod django;
mod exit_statuses;
mod flask;
mod gunicorn;
mod httpbin;
mod log_servers;
mod pair;
mod requests;
mod settings;

use crate::harness::files::source;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// A virtual environment with the applications and with Gunicorn; made once
/// and kept in the build directory.
pub fn venv() -> &'static PathBuf {
    static VENV: OnceLock<PathBuf> = OnceLock::new();
    VENV.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("venv");
        let status = Command::new(source("tests/setup-venv"))
            .arg(&folder)
            .arg(source("tests/requirements.txt"))
            .status()
            .unwrap();
        assert!(
            status.success(),
            "the virtual environment of the tests cannot be made"
        );
        folder
    })
}
