//! The file that says under which pid the master runs. It is written when the server
//! listens, and removed at the end if it still says the same.

use crate::config::reason;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, process};

#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    #[error(
        "{} belongs to a server that runs, with the pid {pid}; stop it, or name another file",
        path.display()
    )]
    InUse { path: PathBuf, pid: i32 },

    #[error("cannot write {}: {}", path.display(), reason(source))]
    Unwritable { path: PathBuf, source: io::Error },
}

/// A file with the pid of this process.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes it, unless a server that runs has written it.
    pub fn write(path: &Path) -> Result<Self, PidFileError> {
        let path = path.to_owned();
        write(&path)?;
        Ok(Self { path })
    }

    /// The one that the program before in this process has written.
    pub fn adopt(path: PathBuf) -> Self {
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_at(&self, path: &Path) -> bool {
        self.path == path
    }

    /// Writes it again if it says something else, or is gone.
    pub fn renew(&self) -> Result<(), PidFileError> {
        if read(&self.path) == Some(own()) {
            return Ok(());
        }
        write(&self.path)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if read(&self.path) == Some(own()) {
            // It may lie in a folder that this account cannot write to any more: then it
            // is stale, and replaced by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn own() -> i32 {
    Pid::this().as_raw()
}

fn write(path: &Path) -> Result<(), PidFileError> {
    if let Some(pid) = read(path).filter(|pid| *pid != own() && is_server(*pid)) {
        let path = path.to_owned();
        return Err(PidFileError::InUse { path, pid });
    }
    replace(path).map_err(|source| PidFileError::Unwritable {
        path: path.to_owned(),
        source,
    })
}

/// The pid in a file. `None`: there is no such file, or it says nothing of the kind.
fn read(path: &Path) -> Option<i32> {
    const LONGEST: u64 = 32;
    // What is no file, such as a pipe, must not hold up the master.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    let file = fs::File::open(path).ok()?;
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 0)
}

/// Whether the process exists and is a server. A pid may have been given to any other
/// process since the file was written.
fn is_server(pid: i32) -> bool {
    if kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH) {
        return false;
    }
    match fs::read(format!("/proc/{pid}/cmdline")) {
        // Of a process that has ended, and is not reaped yet.
        Ok(words) if words.is_empty() => false,
        Ok(words) => String::from_utf8_lossy(&words).contains("gunicorn"),
        // It cannot be looked at, so it may be one.
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// At once, whoever reads it meanwhile.
fn replace(path: &Path) -> io::Result<()> {
    const MODE: u32 = 0o644;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", process::id()));
    let draft = path.with_file_name(name);
    let written = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&draft)
        .and_then(|mut file| {
            file.set_permissions(fs::Permissions::from_mode(MODE))?;
            writeln!(file, "{}", own())
        })
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // If this fails, too, there is nothing else to try.
        let _ = fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_says_something_else_at_the_end_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let file = PidFile::write(&path).unwrap();
        assert!(file.is_at(&path) && read(&path) == Some(own()));

        fs::write(&path, "1\n").unwrap();
        drop(file);

        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_no_server_has_written_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        // A process that runs and is no server; one that does not run; no pid at all.
        for text in ["1\n", "2147483647\n", "nonsense", "-5", ""] {
            fs::write(&path, text).unwrap();
            let file = PidFile::write(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", own()));
            drop(file);
            assert!(!path.exists(), "{text:?}");
        }
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let error = PidFile::write(Path::new("/nowhere/pid")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write /nowhere/pid: No such file or directory"
        );
    }
}
