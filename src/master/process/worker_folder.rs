//! Where the worker's Python files and extension module lie.
//!
//! A master holds them open. An upgrade removes those of the old version, and restarts the
//! sites when everything else is done that is upgraded with it; until then a master may have
//! to start another fork server, because one has died or for a reload.

use super::held_files::HeldFiles;
use crate::installation;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where packages put it, below the prefix of the program. The version is part of
/// it: a master that still runs when another version is installed must not start
/// that version's workers, which it may not understand.
const INSTALLED: &str = concat!("lib/rgunicorn/", env!("CARGO_PKG_VERSION"), "/worker");

/// A folder that a Python interpreter can be given to run.
#[derive(Debug, Clone)]
pub struct WorkerFolder {
    path: PathBuf,
    files: Arc<HeldFiles>,
}

impl WorkerFolder {
    fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            files: Arc::new(HeldFiles::of(path)),
        }
    }

    /// The folder.
    pub fn as_path(&self) -> &Path {
        &self.path
    }

    /// Its files, if not all of them have their names any more.
    pub fn without_names(&self) -> Option<&HeldFiles> {
        let files = self.files.as_ref();
        (!files.have_names()).then_some(files)
    }
}

/// There is none at the places that were searched.
#[derive(Debug, thiserror::Error)]
#[error(
    "no worker folder (one with __main__.py and rgunicorn/_worker.abi3.so): looked in {}; \
     restart the service if rgunicorn was upgraded, build it with `cargo build`, \
     or name it with worker_dir",
    looked_in(tried)
)]
pub struct NoWorkerFolder {
    tried: Vec<PathBuf>,
}

impl NoWorkerFolder {
    /// The folder that is in use, if it would have been found before its files were removed.
    pub fn or_held(self, used: &WorkerFolder) -> Result<WorkerFolder, Self> {
        if self.tried.contains(&used.path) && !used.files.is_empty() {
            Ok(used.clone())
        } else {
            Err(self)
        }
    }
}

fn looked_in(tried: &[PathBuf]) -> String {
    let tried: Vec<_> = tried
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    tried.join(", ")
}

/// Finds the folder: the configured one, or beside the program (in a build
/// tree), or where packages and pip put it, seen from the program first.
pub fn find(configured: Option<&Path>, program: &Path) -> Result<WorkerFolder, NoWorkerFolder> {
    let tried = candidates(configured, program);
    match tried.iter().find(|folder| is_complete(folder)) {
        Some(folder) => Ok(WorkerFolder::at(folder)),
        None => Err(NoWorkerFolder { tried }),
    }
}

fn candidates(configured: Option<&Path>, program: &Path) -> Vec<PathBuf> {
    if let Some(folder) = configured {
        return vec![folder.to_owned()];
    }
    let mut folders = Vec::new();
    if let Some(directory) = program.parent() {
        folders.push(directory.join("worker"));
        if let Some(prefix) = directory.parent() {
            folders.push(prefix.join(INSTALLED));
        }
    }
    let by_pip = installation::by_pip(program);
    folders.extend(by_pip.into_iter().map(|found| found.worker));
    let installed = Path::new("/usr").join(INSTALLED);
    if !folders.contains(&installed) {
        folders.push(installed);
    }
    folders
}

fn is_complete(folder: &Path) -> bool {
    folder.join("__main__.py").is_file() && folder.join("rgunicorn/_worker.abi3.so").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder_in(directory: &Path, name: &str) -> PathBuf {
        let folder = directory.join(name);
        fs::create_dir_all(folder.join("rgunicorn")).unwrap();
        for file in [
            "__main__.py",
            "rgunicorn_held.py",
            "rgunicorn_start.py",
            "rgunicorn/_worker.abi3.so",
        ] {
            fs::write(folder.join(file), "").unwrap();
        }
        folder
    }

    #[test]
    fn a_build_tree_has_it_beside_the_program_and_a_prefix_under_lib() {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("bin/rgunicorn");

        let installed = folder_in(root.path(), INSTALLED);
        assert_eq!(find(None, &program).unwrap().as_path(), installed);
        let built = folder_in(root.path(), "bin/worker");
        assert_eq!(find(None, &program).unwrap().as_path(), built);
    }

    #[test]
    fn pip_puts_it_among_the_modules_of_a_python() {
        let root = tempfile::tempdir().unwrap();
        let modules = "lib/python3.12/site-packages/rgunicorn";
        let name = format!("{modules}/{}/worker", env!("CARGO_PKG_VERSION"));
        let folder = folder_in(root.path(), &name);

        let found = find(None, &root.path().join("bin/rgunicorn")).unwrap();

        assert_eq!(found.as_path(), folder);
    }

    #[test]
    fn a_configured_folder_is_the_only_one_looked_at() {
        let root = tempfile::tempdir().unwrap();
        folder_in(root.path(), "bin/worker");
        let program = root.path().join("bin/rgunicorn");

        let error = find(Some(Path::new("/nowhere")), &program).unwrap_err();

        let text = error.to_string();
        assert!(
            text.contains("looked in /nowhere; restart the service if"),
            "{text}"
        );
    }

    #[test]
    fn a_folder_in_use_is_found_although_its_files_were_removed_but_no_other() {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("bin/rgunicorn");
        folder_in(root.path(), INSTALLED);
        let used = find(None, &program).unwrap();
        assert!(used.without_names().is_none());
        fs::remove_dir_all(used.as_path()).unwrap();

        let again = find(None, &program).or_else(|missing| missing.or_held(&used));
        let other =
            find(Some(Path::new("/nowhere")), &program).or_else(|missing| missing.or_held(&used));

        assert_eq!(again.unwrap().as_path(), used.as_path());
        assert!(used.without_names().is_some());
        assert!(other.is_err());
    }

    /// As after an upgrade, when the files of the running version are gone.
    #[test]
    fn the_folder_of_another_version_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        folder_in(root.path(), "lib/rgunicorn/worker");
        folder_in(root.path(), "lib/rgunicorn/99.0.0/worker");
        let program = root.path().join("bin/rgunicorn");

        assert!(
            !candidates(None, &program)
                .iter()
                .any(|place| is_complete(place) && place.starts_with(root.path()))
        );
    }

    #[test]
    fn without_any_all_places_are_named() {
        let text = candidates(None, Path::new("/opt/x/bin/rgunicorn"));

        assert_eq!(
            text,
            [
                Path::new("/opt/x/bin/worker"),
                &Path::new("/opt/x").join(INSTALLED),
                &Path::new("/usr").join(INSTALLED),
            ]
        );
    }
}
