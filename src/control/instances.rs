//! Which servers there are on this machine, by what is in `/run/rgunicorn`: a folder with a
//! control socket for each that runs, and the socket of each site.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Where each instance has a folder, and a socket.
pub const FOLDER: &str = "/run/rgunicorn";

/// The longest table of sockets that is read, in bytes.
const LONGEST_TABLE: u64 = 16 << 20;

/// The control socket of an instance.
pub fn control_socket(folder: &Path, name: &str) -> PathBuf {
    folder.join(name).join("control")
}

/// Those that run, in the order of their names.
pub fn running(folder: &Path) -> Vec<String> {
    let has_control = |name: &String| is_socket(&control_socket(folder, name));
    names(folder).into_iter().filter(has_control).collect()
}

/// Those that do not run, and whose socket waits for a connection, in the order of their
/// names. systemd starts them then, or is about to restart them.
pub fn waiting(folder: &Path) -> Vec<String> {
    match fs::File::open("/proc/self/net/unix") {
        Ok(table) => waiting_in(folder, BufReader::new(table.take(LONGEST_TABLE))),
        Err(_) => Vec::new(),
    }
}

/// `table` lists the unix sockets of this machine. The path in it is what whoever bound the
/// socket calls it, so the file has to be there, too.
fn waiting_in(folder: &Path, table: impl BufRead) -> Vec<String> {
    let Ok(listening) = listening(table) else {
        return Vec::new();
    };
    let site = |file: String| {
        let name = file.strip_suffix(".sock")?;
        let path = folder.join(&file);
        let waits =
            listening.contains(path.to_str()?) && is_socket(&path) && !folder.join(name).exists();
        (waits && !name.is_empty()).then(|| name.to_owned())
    };
    names(folder).into_iter().filter_map(site).collect()
}

/// The paths of listening sockets.
fn listening(table: impl BufRead) -> io::Result<BTreeSet<String>> {
    const ACCEPTS: u32 = 0x1_0000;
    let mut found = BTreeSet::new();
    for line in table.split(b'\n').skip(1) {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        // address, references, protocol, flags, type, state, inode, path
        let mut fields = line.split_ascii_whitespace();
        let flags = fields
            .nth(3)
            .and_then(|flags| u32::from_str_radix(flags, 16).ok());
        if flags.is_some_and(|flags| flags & ACCEPTS != 0) {
            found.extend(fields.nth(3).map(str::to_owned));
        }
    }
    Ok(found)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Not a link to one: a site may make links in its folder, to the socket of another.
fn is_socket(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|file| file.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn instances_that_run_are_found_by_their_control_sockets() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for name in ["shop", "blog", "empty", "file", "thief"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        let _sockets =
            ["shop", "blog"].map(|name| UnixListener::bind(control_socket(folder, name)).unwrap());
        fs::write(control_socket(folder, "file"), "").unwrap();
        symlink("../shop/control", control_socket(folder, "thief")).unwrap();
        // Where the service keeps its runtime directory.
        symlink("shop", folder.join("linked")).unwrap();

        assert_eq!(running(folder), ["blog", "linked", "shop"]);
        assert!(running(&folder.join("none")).is_empty());
    }

    #[test]
    fn instances_that_wait_have_a_socket_that_listens_and_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let bind = |name: &str| UnixListener::bind(folder.join(name)).unwrap();
        let _waiting = bind("waits.sock");
        let _running = bind("runs.sock");
        fs::create_dir(folder.join("runs")).unwrap();
        drop(bind("stale.sock"));
        let _other = [bind(".sock"), bind("other")];

        assert_eq!(waiting(folder), ["waits"]);
    }

    #[test]
    fn a_path_without_a_file_is_nobodys_site() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let table = format!(
            "Num RefCount Protocol Flags Type St Inode Path\n\
             0: 00000002 00000000 00010000 0001 01 7 {path}/forged.sock\n\
             short\n\n"
        );

        assert!(waiting_in(folder.path(), table.as_bytes()).is_empty());
    }
}
