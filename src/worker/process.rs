//! What the process is called in a listing, and how many descriptors it may have.

use pyo3::prelude::*;
use rgunicorn_link::descriptors;
use rgunicorn_link::protocol::{Level, Site};
use rgunicorn_serving::Reporter;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// Shows `title` instead of the command line, as much of it as fits there.
///
/// A process may write its own memory through /proc/self/mem; where that is
/// forbidden, the listing shows the fork server's command line. No harm done,
/// so nothing is reported.
pub fn set_title(title: &str) {
    let _ = try_set_title(title);
}

fn try_set_title(title: &str) -> Option<()> {
    let status = fs::read_to_string("/proc/self/stat").ok()?;
    // proc_pid_stat(5): the name in parentheses may contain anything; fields 48
    // and 49 are where the arguments begin and end, and 3 follows the name.
    let mut fields = status
        .rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .skip(48 - 3);
    let start: u64 = fields.next()?.parse().ok()?;
    let end: u64 = fields.next()?.parse().ok()?;
    let room = usize::try_from(end.checked_sub(start)?)
        .ok()?
        .checked_sub(1)?;
    let mut bytes = title.as_bytes()[..title.len().min(room)].to_vec();
    bytes.resize(room + 1, 0);
    let memory = File::options().write(true).open("/proc/self/mem").ok()?;
    memory.write_all_at(&bytes, start).ok()
}

/// Loads what [`exit_with_threads`] needs: when a worker ends, an upgrade may have
/// removed the files.
pub fn prepare_exit(py: Python<'_>) -> PyResult<()> {
    py.import("rgunicorn.exiting").map(drop)
}

/// Ends the process while threads run that Python cannot end: as it exits, Python would
/// unwind them where they wait for the interpreter, and with them frames that are not its
/// own. The application's exit handlers are called as ever.
pub fn exit_with_threads(py: Python<'_>) -> PyResult<()> {
    let module = py.import("rgunicorn.exiting")?;
    module.call_method0("exit_with_threads")?;
    Ok(())
}

/// Raises the limit of descriptors as far as `worker_connections` needs: each
/// connection is one.
pub fn allow_descriptors(site: &Site, reporter: &Reporter) {
    /// For the files and sockets of the application itself.
    const OWN: u64 = 256;
    let needed = site.worker_connections as u64 + OWN;
    if let Err(allowed) = descriptors::allow(needed) {
        let text = format!(
            "worker_connections needs {needed} descriptors, but only {allowed} are allowed: \
             raise LimitNOFILE="
        );
        reporter.log(Level::Warning, text);
    }
}
