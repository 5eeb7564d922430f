//! Gives memory back when the machine is short of it.

use nix::unistd::{SysconfVar, sysconf};
use pyo3::prelude::*;
use std::fs;

/// Collects Python's garbage, and gives back to the system what the allocator keeps. Returns
/// how much smaller the resident memory is, in bytes.
pub fn collect(py: Python<'_>) -> PyResult<u64> {
    let before = resident();
    py.import("gc")?.call_method0("collect")?;
    trim();
    Ok(before.saturating_sub(resident()))
}

/// What is loaded now is never garbage: keeps the collector from writing to it, so that the
/// processes that are forked go on sharing its memory. What loading it took is given back.
pub fn keep_what_is_loaded(py: Python<'_>) -> PyResult<()> {
    let gc = py.import("gc")?;
    gc.call_method0("collect")?;
    gc.call_method0("freeze")?;
    trim();
    Ok(())
}

/// glibc gives the top of its heap back by itself, and the rest only when it is asked.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "a function of the C library")]
fn trim() {
    // SAFETY: it may be called at any time in any thread; it takes the allocator's own locks.
    unsafe { nix::libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}

/// Where /proc cannot be read, nothing is known.
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    let page_size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    let page_size = page_size.and_then(|size| u64::try_from(size).ok());
    pages.unwrap_or(0).saturating_mul(page_size.unwrap_or(0))
}
