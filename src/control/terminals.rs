//! Servers that no unit runs, as in a terminal: each has its control socket in a folder of its
//! own, which has the number of its process, in the runtime directory of its user.

use crate::instances;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the servers of a user have their folders, by `XDG_RUNTIME_DIR`.
pub fn folder(runtime: Option<OsString>) -> Option<PathBuf> {
    let runtime = runtime.map(PathBuf::from);
    let runtime = runtime.filter(|folder| folder.is_absolute())?;
    Some(runtime.join("rgunicorn"))
}

/// Those that run: their processes, and their control sockets.
pub fn running(folder: &Path) -> Vec<(u32, PathBuf)> {
    let pids = instances::running(folder).into_iter();
    let pids = pids.filter_map(|name| name.parse().ok());
    pids.filter(|pid| is_alive(*pid))
        .map(|pid: u32| (pid, instances::control_socket(folder, &pid.to_string())))
        .collect()
}

/// Whether there is such a process.
pub fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn the_folder_is_in_a_runtime_directory_that_is_known() {
        let folder_in = |runtime: &str| folder(Some(runtime.into()));

        assert_eq!(
            folder_in("/run/user/1000"),
            Some("/run/user/1000/rgunicorn".into())
        );
        assert_eq!(folder_in("relative"), None);
        assert_eq!(folder_in(""), None);
        assert_eq!(folder(None), None);
    }

    #[test]
    fn only_servers_whose_process_lives_run() {
        let folder = tempfile::tempdir().unwrap();
        let own = std::process::id();
        let dead = u32::MAX.to_string();
        let _sockets = [own.to_string(), dead, "shop".to_owned()].map(|name| {
            std::fs::create_dir(folder.path().join(&name)).unwrap();
            UnixListener::bind(instances::control_socket(folder.path(), &name)).unwrap()
        });

        let expected = folder.path().join(own.to_string()).join("control");
        assert_eq!(running(folder.path()), [(own, expected)]);
    }
}
