//! The files a server is tested with: a folder per server, filled with the
//! test applications.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A folder that is deleted at the end, unless its test failed.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    /// An empty folder that any user may enter.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("rgunicorn-")
            .tempdir()
            .unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    /// A folder with a copy of every test application.
    pub fn with_apps() -> Self {
        let folder = Self::new();
        for entry in fs::read_dir(source("tests/apps")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "py") {
                fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Replaces a file atomically: a reader gets the old or the new text.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let draft = path.with_extension("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, &path).unwrap();
    }

    /// A file's text; empty while it does not exist.
    pub fn read(&self, name: &str) -> String {
        fs::read(self.join(name)).map_or_else(
            |_| String::new(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// Does not delete the folder at the end: it helps to explain a failure.
    pub fn keep(&mut self) {
        self.0.disable_cleanup(true);
    }
}

/// A file of the source tree.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
