//! Unix sockets in the file system: made, never taken from a server that lives,
//! and removed. For listeners and the control socket alike.

use crate::upgrade::state::SocketFileState;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a unix socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NotListening {
    #[error("a server is listening there already")]
    InUse,

    #[error("the file exists and is not a socket; remove it")]
    NotASocket,

    #[error("there is no directory {}", .0.display())]
    NoDirectory(PathBuf),

    #[error("Permission denied: user {user} may not create a socket in {}", directory.display())]
    NoPermission { directory: PathBuf, user: u32 },

    #[error(transparent)]
    Other(#[from] io::Error),
}

impl From<Errno> for NotListening {
    fn from(errno: Errno) -> Self {
        Self::Other(errno.into())
    }
}

/// The file of a unix socket of ours: removed when this is dropped, unless
/// there is another file in its place by then.
#[derive(Debug, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Opens a non-blocking listening socket at `path` whose file has the mode
    /// `mode`, whatever the umask, and belongs to `owner`, a user and a group. A file that
    /// a dead server left is replaced.
    pub fn listen(
        path: &Path,
        mode: u32,
        owner: Option<(u32, u32)>,
        backlog: i32,
    ) -> Result<(OwnedFd, Self), NotListening> {
        let name = SocketAddrUnix::new(path)?;
        remove_stale(path, &name)?;
        let fd = socket()?;
        rustix::net::bind(&fd, &name).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => NotListening::NoDirectory(directory(path)),
            Errno::ACCESS | Errno::PERM | Errno::ROFS => no_permission(path),
            Errno::ADDRINUSE => NotListening::InUse,
            errno => errno.into(),
        })?;
        let file = Self::at(path)?;
        // Nobody can connect before listen(2), so the umask's mode never applies to a
        // client.
        match owner {
            Some(owner) => give(path, mode, owner)?,
            None => fs::set_permissions(path, Permissions::from_mode(mode))?,
        }
        rustix::net::listen(&fd, backlog)?;
        Ok((fd, file))
    }

    /// Which file it is, whatever its path.
    pub fn identity(&self) -> String {
        identity(self.device, self.inode)
    }

    /// Whether no account but the owner of the directory, and those of its group, can get
    /// past the directory; and the file's group is that group.
    pub fn is_reached_by_owner_and_group_only(&self) -> io::Result<bool> {
        const SEARCH_BY_OTHERS: u32 = 0o001;
        let directory = fs::metadata(directory(&self.path))?;
        let file = self.path.symlink_metadata()?;
        Ok(directory.mode() & SEARCH_BY_OTHERS == 0 && directory.gid() == file.gid())
    }

    /// Changes the mode, unless there is another file in its place.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        let file = self.path.symlink_metadata()?;
        if (file.dev(), file.ino()) != (self.device, self.inode) {
            return Err(io::Error::other("it was replaced by another file"));
        }
        fs::set_permissions(&self.path, Permissions::from_mode(mode))
    }

    /// For the program that takes over, which removes it.
    pub fn hand_over(&self) -> SocketFileState {
        SocketFileState {
            path: self.path.clone(),
            device: self.device,
            inode: self.inode,
        }
    }

    pub fn adopt(state: SocketFileState) -> Self {
        Self {
            path: state.path,
            device: state.device,
            inode: state.inode,
        }
    }

    /// Lets the file stay when this program ends.
    pub fn leave(self) {
        std::mem::forget(self);
    }

    fn at(path: &Path) -> io::Result<Self> {
        // The working directory may change before it is removed.
        let path = std::path::absolute(path)?;
        let file = path.symlink_metadata()?;
        Ok(Self {
            path,
            device: file.dev(),
            inode: file.ino(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = self
            .path
            .symlink_metadata()
            .is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode));
        if is_ours {
            // The next start replaces it if this fails.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Which file the socket at `path` is, if there is one.
pub fn identity_at(path: &Path) -> Option<String> {
    let file = path.symlink_metadata().ok()?;
    let is_socket = file.file_type().is_socket();
    is_socket.then(|| identity(file.dev(), file.ino()))
}

/// Gives the socket at `path` away. Whoever can write to its directory may have put another
/// file in its place, perhaps a link: that stays as it is.
fn give(path: &Path, mode: u32, (user, group): (u32, u32)) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::Socket {
        return Err(io::Error::other("it was replaced by another file"));
    }
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    rustix::fs::chownat(&file, "", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
    let same = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(same, Permissions::from_mode(mode))
}

fn identity(device: u64, inode: u64) -> String {
    format!("{device}.{inode}")
}

fn socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Removes the file of a socket that no process listens on.
fn remove_stale(path: &Path, name: &SocketAddrUnix) -> Result<(), NotListening> {
    match path.symlink_metadata() {
        // If there is no such file, or it cannot be looked at, `bind` says what
        // that means.
        Err(_) => return Ok(()),
        Ok(file) if !file.file_type().is_socket() => return Err(NotListening::NotASocket),
        Ok(_) => {}
    }
    match rustix::net::connect(&socket()?, name) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => no_permission(path),
            _ => error.into(),
        }),
        Err(Errno::NOENT) => Ok(()),
        // It answers, or its backlog is full, or it is of another type, or it is
        // not for this user.
        Ok(()) | Err(_) => Err(NotListening::InUse),
    }
}

fn directory(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn no_permission(path: &Path) -> NotListening {
    NotListening::NoPermission {
        directory: directory(path),
        user: rustix::process::geteuid().as_raw(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    /// A path for a socket in a folder that goes away.
    fn somewhere() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.sock");
        (folder, path)
    }

    fn listen(path: &Path) -> Result<(OwnedFd, SocketFile), NotListening> {
        SocketFile::listen(path, 0o600, None, 16)
    }

    #[test]
    fn the_file_has_its_mode_and_is_removed_in_the_end() {
        let (_folder, path) = somewhere();
        let socket = listen(&path).unwrap();

        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_replaced_ours_is_not_removed() {
        let (folder, path) = somewhere();
        let socket = listen(&path).unwrap();

        let other = folder.path().join("new");
        let _successor = UnixListener::bind(&other).unwrap();
        fs::rename(&other, &path).unwrap();
        drop(socket);

        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_socket_that_no_process_listens_on_is_replaced() {
        let (_folder, path) = somewhere();
        drop(UnixListener::bind(&path).unwrap());

        let socket = listen(&path).unwrap();

        assert!(UnixStream::connect(&path).is_ok());
        drop(socket);
    }

    #[test]
    fn a_socket_in_use_is_not_replaced_whatever_its_type() {
        let (folder, path) = somewhere();
        let _stream = UnixListener::bind(&path).unwrap();
        let datagrams = folder.path().join("datagrams");
        let _datagrams = UnixDatagram::bind(&datagrams).unwrap();

        assert!(matches!(listen(&path), Err(NotListening::InUse)));
        assert!(matches!(listen(&datagrams), Err(NotListening::InUse)));
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn another_file_is_not_replaced() {
        let (_folder, path) = somewhere();
        fs::write(&path, "precious").unwrap();

        assert!(matches!(listen(&path), Err(NotListening::NotASocket)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
