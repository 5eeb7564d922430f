//! A copy of this process.

use nix::unistd::{ForkResult, fork as nix_fork};
use std::fs;
use std::io;

/// Copies this process. Refuses to while it has several threads: the copy would have only the
/// one that calls, and perhaps locks that nobody opens again.
pub fn fork() -> io::Result<ForkResult> {
    let threads = fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other("the process has several threads"));
    }
    // SAFETY: there is no other thread whose locks or memory could be in an unfinished state
    // in the copy.
    Ok(unsafe { nix_fork() }?)
}
