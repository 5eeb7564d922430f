//! The folder of the control socket of a server that no unit runs. It is there for comfort:
//! nothing depends on it.

use rgunicorn_control::{instances, terminals};
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A folder that is removed with this, once it is empty.
#[derive(Debug)]
pub struct TerminalFolder(PathBuf);

impl TerminalFolder {
    /// Makes the folder of the process `pid` among those in `parent`, and removes what
    /// servers have left there that were killed.
    pub fn create(parent: &Path, pid: u32) -> io::Result<Self> {
        DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(parent)?;
        remove_stale(parent);
        let path = parent.join(pid.to_string());
        match DirBuilder::new().mode(0o700).create(&path) {
            // Of an earlier process with this number, or of this one.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => created?,
        }
        Ok(Self(path))
    }

    /// The one that the program before in this process has made.
    pub fn adopt(path: PathBuf) -> Self {
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn control_socket(&self) -> PathBuf {
        self.0.join("control")
    }
}

impl Drop for TerminalFolder {
    fn drop(&mut self) {
        // The next server removes it if this fails.
        let _ = fs::remove_dir(&self.0);
    }
}

fn remove_stale(parent: &Path) {
    for name in instances::running(parent) {
        let is_stale = name.parse().is_ok_and(|pid| !terminals::is_alive(pid));
        if is_stale {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_file(instances::control_socket(parent, &name));
            let _ = fs::remove_dir(parent.join(&name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_folder_is_its_owners_alone_and_goes_with_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("rgunicorn");

        let own_folder = TerminalFolder::create(&parent, 77).unwrap();

        for path in [&parent, &parent.join("77")] {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        assert_eq!(own_folder.control_socket(), parent.join("77/control"));
        drop(own_folder);
        assert!(!parent.join("77").exists());
    }

    #[test]
    fn what_a_dead_server_has_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path();
        let own = std::process::id().to_string();
        let dead = u32::MAX.to_string();
        for name in [own.as_str(), "shop", dead.as_str()] {
            fs::create_dir(parent.join(name)).unwrap();
            drop(UnixListener::bind(instances::control_socket(parent, name)).unwrap());
        }

        let _made = TerminalFolder::create(parent, 77).unwrap();

        assert!(parent.join(own).exists() && parent.join("shop").exists());
        assert!(!parent.join(dead).exists());
    }
}
