//! Opening a log file: the same for the access log, which workers write, and the error log,
//! which the master does.

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// A file that was opened to be added to.
#[derive(Debug)]
pub struct Opened {
    pub file: OwnedFd,
    /// Not a FIFO or a device, of which writing may wait.
    pub is_regular: bool,
}

/// Opens a file to add to its end. Makes it if it is not there.
pub fn open(path: &Path) -> io::Result<Opened> {
    let found = rustix::fs::stat(path);
    let is_fifo =
        found.is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Fifo);
    // A FIFO that is open for reading as well can be opened, and written to, also while nobody
    // reads it.
    let access = if is_fifo {
        OFlags::RDWR
    } else {
        OFlags::WRONLY
    };
    let flags = OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY;
    let mode = Mode::from_raw_mode(0o666);
    let file = rustix::fs::open(path, access | flags | OFlags::NONBLOCK, mode)?;
    let status = rustix::fs::fstat(&file)?;
    let is_regular = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
    Ok(Opened { file, is_regular })
}

/// Whether a file has no name any more.
pub fn is_deleted(file: impl AsFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|status| status.st_nlink == 0)
}
