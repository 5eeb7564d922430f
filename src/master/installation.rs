//! Where pip has put the program: into `bin` of a prefix, such as a virtual
//! environment, and the package `rgunicorn` among the modules of that prefix's Python.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The worker folder, below the folder of a Python's modules. The version is part
/// of it, as in `/usr/lib`.
const WORKER: &str = concat!("rgunicorn/", env!("CARGO_PKG_VERSION"), "/worker");

/// One Python for which a program of this version was installed with pip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    pub worker: PathBuf,
    /// That Python, if it is beside the program; else it is elsewhere on the machine,
    /// as after `pip install --user`.
    pub python: Option<PathBuf>,
}

/// The program that runs, as it was called if that was by its path: a link in the
/// path, as in `/srv/shop/current/venv`, may lead elsewhere at the next reload.
pub fn program() -> PathBuf {
    let called = env::args_os().next().map(PathBuf::from);
    called
        .filter(|path| path.is_absolute() && !by_pip(path).is_empty())
        // Where there is no /proc, only what is in /usr and in PATH is found.
        .unwrap_or_else(|| env::current_exe().unwrap_or_default())
}

/// All that belong to this program: normally one, and none if it came without pip.
pub fn by_pip(program: &Path) -> Vec<Installation> {
    let Some(bin) = program.parent() else {
        return Vec::new();
    };
    let Some(prefix) = bin.parent() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    // Some distributions have extension modules in `lib64`; in a virtual environment
    // it is a link.
    for library in ["lib", "lib64"] {
        for version in versions(&prefix.join(library)) {
            let modules = prefix.join(library).join(&version);
            let worker = ["site-packages", "dist-packages"]
                .map(|name| modules.join(name).join(WORKER))
                .into_iter()
                .find(|worker| worker.is_dir());
            let python = Some(bin.join(&version)).filter(|python| python.exists());
            found.extend(worker.map(|worker| Installation { worker, python }));
        }
    }
    found
}

/// `python3.11` and the like, sorted.
fn versions(library: &Path) -> Vec<String> {
    let entries = fs::read_dir(library).into_iter().flatten().flatten();
    let mut versions: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("python3."))
        .collect();
    versions.sort();
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(root: &Path, library: &str) -> PathBuf {
        let worker = root.join(library).join(WORKER);
        fs::create_dir_all(&worker).unwrap();
        worker
    }

    #[test]
    fn a_virtual_environment_has_the_worker_and_its_python() {
        let venv = tempfile::tempdir().unwrap();
        let worker = make(venv.path(), "lib/python3.11/site-packages");
        fs::create_dir(venv.path().join("bin")).unwrap();
        let python = venv.path().join("bin/python3.11");
        fs::write(&python, "").unwrap();

        let found = by_pip(&venv.path().join("bin/rgunicorn"));

        let python = Some(python);
        assert_eq!(found, [Installation { worker, python }]);
    }

    #[test]
    fn the_python_of_another_prefix_is_not_known() {
        let prefix = tempfile::tempdir().unwrap();
        let worker = make(prefix.path(), "lib64/python3.13/dist-packages");

        let found = by_pip(&prefix.path().join("bin/rgunicorn"));

        let python = None;
        assert_eq!(found, [Installation { worker, python }]);
    }

    #[test]
    fn other_versions_of_rgunicorn_are_not_its_own() {
        let prefix = tempfile::tempdir().unwrap();
        let other = "lib/python3.13/site-packages/rgunicorn/99.0.0/worker";
        fs::create_dir_all(prefix.path().join(other)).unwrap();

        assert_eq!(by_pip(&prefix.path().join("bin/rgunicorn")), []);
    }
}
