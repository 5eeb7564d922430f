//! Who can decide which file a name is: whoever can write to a directory on the
//! way to it can put another in its place.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// Whether nobody but `account` and root can write to what has this owner and mode.
/// The sticky bit does not help: others can still add names.
pub(super) fn is_written_only_by(account: u32, owner: u32, mode: u32) -> bool {
    const OTHERS_WRITE: u32 = 0o022;
    (owner == account || owner == 0) && mode & OTHERS_WRITE == 0
}

/// The first directory on the way to the file at `path` that others than `account`
/// and root can write to, or what cannot be followed. The way begins in the folder
/// that holds the name and, if that or the name is a link, has each directory that
/// is passed up to the file.
pub(super) fn foreign_directory(path: &Path, account: u32) -> Option<PathBuf> {
    let mut left = match std::path::absolute(path) {
        Ok(path) => names(&path),
        Err(_) => return Some(path.to_owned()),
    };
    // What the operator has put above the folder is not the way of a link.
    let above: PathBuf = left.drain(..left.len().saturating_sub(2)).collect();
    let Ok(mut at) = fs::canonicalize(&above) else {
        return Some(above);
    };
    let is_own = |metadata: &Metadata| is_written_only_by(account, metadata.uid(), metadata.mode());
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        let next = if name == ".." {
            at.parent().unwrap_or(&at).to_owned()
        } else {
            // Absolute in a link's target: it replaces the whole.
            at.join(&name)
        };
        let Ok(metadata) = fs::symlink_metadata(&next) else {
            return Some(next);
        };
        if metadata.is_symlink() {
            links += 1;
            let Ok(target) = fs::read_link(&next) else {
                return Some(next);
            };
            if links > MOST_LINKS {
                return Some(next);
            }
            // Before what is left, and in their own order.
            for name in names(&target).into_iter().rev() {
                left.push_front(name);
            }
        } else if metadata.is_dir() {
            if !is_own(&metadata) {
                return Some(next);
            }
            at = next;
        }
    }
    None
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| component.as_os_str().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use tempfile::TempDir;

    /// `sites/shop.toml`, the file of another site, and a folder that a group can write to.
    fn folder() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        set_mode(&folder, "", 0o755);
        for (name, mode) in [("sites", 0o755), ("own", 0o755), ("shared", 0o2775)] {
            fs::create_dir(folder.path().join(name)).unwrap();
            set_mode(&folder, name, mode);
        }
        for name in ["sites/shop.toml", "sites/blog.toml", "own/a", "shared/a"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        folder
    }

    fn set_mode(folder: &TempDir, name: &str, mode: u32) {
        let path = folder.path().join(name);
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    /// What is foreign on the way to `sites/shop.toml`, below the folder.
    fn foreign(folder: &TempDir) -> Option<String> {
        let path = folder.path().join("sites/shop.toml");
        let account = rustix::process::geteuid().as_raw();
        let found = foreign_directory(&path, account)?;
        let base = fs::canonicalize(folder.path()).unwrap();
        let name = found.strip_prefix(base).unwrap_or(&found);
        Some(name.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_folder_that_holds_the_name_is_on_the_way() {
        let folder = folder();
        assert_eq!(foreign(&folder), None);
        for mode in [0o775, 0o757, 0o1777] {
            set_mode(&folder, "sites", mode);
            assert_eq!(foreign(&folder).as_deref(), Some("sites"), "{mode:o}");
        }
    }

    #[test]
    fn so_is_each_directory_that_a_link_leads_through() {
        for (target, expected) in [
            ("blog.toml", None),
            ("../own/a", None),
            ("../shared/a", Some("shared")),
            // Whoever writes there decides where this one leads to.
            ("../shared/link", Some("shared")),
            ("../own/../shared/../sites/blog.toml", Some("shared")),
            ("../through/blog.toml", Some("shared")),
            ("../own/nothing", Some("own/nothing")),
            ("shop.toml", Some("sites/shop.toml")),
        ] {
            let folder = folder();
            let base = folder.path();
            symlink("../sites/blog.toml", base.join("shared/link")).unwrap();
            symlink("../sites", base.join("shared/sites")).unwrap();
            symlink("shared/sites", base.join("through")).unwrap();
            let name = base.join("sites/shop.toml");
            fs::remove_file(&name).unwrap();
            symlink(target, &name).unwrap();
            assert_eq!(foreign(&folder).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn an_absolute_link_begins_at_the_root() {
        let folder = folder();
        let name = folder.path().join("sites/shop.toml");
        fs::remove_file(&name).unwrap();
        symlink(folder.path().join("shared/link"), &name).unwrap();
        // The folder for temporary files, or the shared one.
        assert!(foreign(&folder).is_some());

        fs::remove_file(&name).unwrap();
        symlink("/etc/passwd", &name).unwrap();
        assert_eq!(foreign(&folder), None);
    }

    #[test]
    fn what_belongs_to_another_account_is_foreign() {
        for (account, owner, own) in [(0, 0, true), (0, 1000, false), (1000, 0, true)] {
            assert_eq!(is_written_only_by(account, owner, 0o40_755), own);
        }
    }
}
