//! The files of a worker folder, held open: a process that is given them can be started from
//! them although they have no names any more.

use command_fds::FdMapping;
use std::fs::{self, File};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};

/// What Python runs to start from them.
const MAIN: &str = "rgunicorn_held.py";

/// What Python runs as long as the files have names.
const ORDINARY: &str = "__main__.py";

/// What both have in common.
const START: &str = "rgunicorn_start.py";

/// The folder of the modules, below that of the worker.
const PACKAGE: &str = "rgunicorn";

/// Far more than there are.
const MOST_FILES: usize = 64;

#[derive(Debug)]
pub struct HeldFiles {
    folder: PathBuf,
    /// With their paths below the folder. [`MAIN`] is the first.
    files: Vec<(String, OwnedFd)>,
}

/// How a process is started from them.
#[derive(Debug)]
pub struct Passed {
    /// What Python is to run.
    pub main: PathBuf,
    /// The text of `HELD_FILES`.
    pub list: std::ffi::OsString,
    pub descriptors: Vec<FdMapping>,
}

impl HeldFiles {
    /// Those of a folder; none if not all of them can be opened.
    pub fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            files: open(folder).unwrap_or_default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether all still have their names, and what Python runs then: an upgrade removes one
    /// after the other.
    pub fn have_names(&self) -> bool {
        let names = self.files.iter().map(|(name, _)| name.as_str());
        (names.chain([ORDINARY])).all(|name| self.folder.join(name).exists())
    }

    /// As descriptors of another process, from the number `first` on.
    pub fn pass(&self, first: RawFd) -> io::Result<Passed> {
        let mut list = self.folder.clone().into_os_string();
        let mut descriptors = Vec::new();
        for (number, (name, file)) in (first..).zip(&self.files) {
            list.push(format!("\n{number} {name}"));
            descriptors.push(FdMapping {
                parent_fd: file.try_clone()?,
                child_fd: number,
            });
        }
        Ok(Passed {
            main: PathBuf::from(format!("/proc/self/fd/{first}")),
            list,
            descriptors,
        })
    }
}

fn open(folder: &Path) -> io::Result<Vec<(String, OwnedFd)>> {
    let mut modules = Vec::new();
    for entry in fs::read_dir(folder.join(PACKAGE))?.take(MOST_FILES) {
        let name = entry?.file_name();
        let module = name.to_str().filter(|name| is_module(name));
        modules.extend(module.map(|name| format!("{PACKAGE}/{name}")));
    }
    modules.sort();
    let names = [MAIN.to_owned(), START.to_owned()]
        .into_iter()
        .chain(modules);
    names
        .map(|name| Ok((name.clone(), File::open(folder.join(name))?.into())))
        .collect()
}

fn is_module(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.".contains(&byte);
    let extension = Path::new(name).extension();
    name.bytes().all(plain) && extension.is_some_and(|it| it == "py" || it == "so")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn files_are_passed_with_their_names_although_they_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let package = root.path().join(PACKAGE);
        fs::create_dir_all(package.join("__pycache__")).unwrap();
        fs::write(root.path().join(MAIN), "the program").unwrap();
        for name in [START, ORDINARY] {
            fs::write(root.path().join(name), "").unwrap();
        }
        for name in ["__init__.py", "_worker.abi3.so", "notes.txt"] {
            fs::write(package.join(name), name).unwrap();
        }
        let held = HeldFiles::of(root.path());
        assert!(held.have_names());
        fs::remove_file(root.path().join(ORDINARY)).unwrap();
        assert!(!held.have_names());
        fs::write(root.path().join(ORDINARY), "").unwrap();
        fs::remove_file(package.join("__init__.py")).unwrap();
        assert!(!held.have_names());
        fs::remove_dir_all(&package).unwrap();
        fs::remove_file(root.path().join(MAIN)).unwrap();

        let mut passed = held.pass(5).unwrap();

        assert_eq!(passed.main, Path::new("/proc/self/fd/5"));
        let list = format!(
            "{}\n5 rgunicorn_held.py\n6 rgunicorn_start.py\n7 rgunicorn/__init__.py\n\
             8 rgunicorn/_worker.abi3.so",
            root.path().display()
        );
        assert_eq!(passed.list, *list);
        let numbers: Vec<_> = (passed.descriptors.iter())
            .map(|mapping| mapping.child_fd)
            .collect();
        assert_eq!(numbers, [5, 6, 7, 8]);
        let mut text = String::new();
        let main = passed.descriptors.swap_remove(0).parent_fd;
        File::from(main).read_to_string(&mut text).unwrap();
        assert_eq!(text, "the program");
    }

    #[test]
    fn of_a_folder_that_is_not_complete_nothing_is_held() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(MAIN), "").unwrap();

        assert!(HeldFiles::of(root.path()).is_empty());
    }
}
