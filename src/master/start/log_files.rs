//! Log files for another account: made by root, in directories where only root can make files.

use rgunicorn_link::protocol::AccountIds;
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Permissions to write, of the group and of others.
const BY_OTHERS: u32 = 0o022;

/// Gives the account the file at `path`, which is made if there is none. Only in a directory
/// that no other account than root can change, and that no link leads to: elsewhere, the
/// account can make it itself, or could have put anything there.
pub fn prepare(path: &Path, account: &AccountIds) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = open_without_links(folder)?;
    let owner = rustix::fs::fstat(&folder)?;
    if owner.st_uid != 0 || owner.st_mode & BY_OTHERS != 0 {
        return Err(io::Error::other(
            "others than root can change its directory",
        ));
    }
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
    let safely = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let mode = Mode::from_raw_mode(0o640);
    let file = rustix::fs::openat(&folder, name, flags | safely, mode)?;
    let is = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(is.st_mode) != FileType::RegularFile || is.st_nlink != 1 {
        return Err(io::Error::other("it is no file of its own"));
    }
    let (user, group) = (Uid::from_raw(account.user), Gid::from_raw(account.group));
    rustix::fs::fchown(&file, Some(user), Some(group))?;
    Ok(())
}

fn open_without_links(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat2(CWD, folder, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
    Ok(opened?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    /// One that exists everywhere.
    fn own() -> AccountIds {
        AccountIds {
            user: rustix::process::geteuid().as_raw(),
            group: rustix::process::getegid().as_raw(),
            others: Vec::new(),
        }
    }

    #[test]
    fn a_file_is_made_only_where_nobody_else_can_make_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("access.log");
        let is_root = own().user == 0;

        assert_eq!(prepare(&path, &own()).is_ok(), is_root);
        assert_eq!(path.exists(), is_root);

        let shared = folder.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
        prepare(&shared.join("access.log"), &own()).unwrap_err();
        assert!(!shared.join("access.log").exists());
    }

    #[test]
    fn no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (target, link) = (folder.join("target"), folder.join("link"));
        fs::create_dir(folder.join("real")).unwrap();
        symlink(folder.join("real"), folder.join("other")).unwrap();
        fs::write(&target, "").unwrap();
        symlink(&target, &link).unwrap();
        fs::hard_link(&target, folder.join("hard")).unwrap();

        for name in ["link", "hard", "other/access.log"] {
            prepare(&folder.join(name), &own()).unwrap_err();
        }

        assert_eq!(fs::metadata(&target).unwrap().uid(), own().user);
        assert!(!folder.join("real/access.log").exists());
    }
}
