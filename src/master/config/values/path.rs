//! Directories, and the interpreter.

use crate::config::error::reason;
use crate::config::value::{Refusal, Value, between_commas, from_texts, misfit, quoted};
use rustix::fs::{Access, access};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::DeValue;

fn path<T: Value>(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err(misfit::<T>(&format!("{text:?}")));
    }
    Ok(PathBuf::from(text))
}

fn to_toml(path: &Path) -> toml::Value {
    path.to_string_lossy().into_owned().into()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(PathBuf);

impl Directory {
    pub fn here() -> Self {
        Self(PathBuf::from("."))
    }

    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The control socket that rgunicornctl finds by itself.
    pub fn control_socket_in(runtime_directory: &Path) -> Self {
        Self(runtime_directory.join("control"))
    }

    /// Absolute once the configuration is loaded.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The same place seen from `base`, as it is written: symbolic links are
    /// followed when it is used, not before.
    #[must_use]
    pub fn seen_from(&self, base: &Path) -> Self {
        Self(joined(base, &self.0))
    }

    /// Whether a process started now could change to it; else why not. Without
    /// this, the failure would be taken for one of the program that is started.
    pub fn check(&self) -> Result<(), String> {
        let cause = match fs::metadata(&self.0) {
            Ok(metadata) if !metadata.is_dir() => Errno::NOTDIR,
            Ok(_) => match access(&self.0, Access::EXEC_OK) {
                Ok(()) => return Ok(()),
                Err(errno) => errno,
            },
            Err(error) => Errno::from_io_error(&error).unwrap_or(Errno::IO),
        };
        let remedy = match cause {
            Errno::NOENT => "; create it, or name another directory".to_owned(),
            Errno::NOTDIR => "; name a directory".to_owned(),
            Errno::ACCESS => format!(
                "; user {} needs execute permission for it and for all directories above it",
                rustix::process::geteuid().as_raw()
            ),
            _ => String::new(),
        };
        let reason = reason(&cause.into());
        Err(format!(
            "cannot enter {}: {reason}{remedy}",
            quoted(&self.0)
        ))
    }
}

/// `base.join(path)`, without `.` components.
pub(super) fn joined(base: &Path, path: &Path) -> PathBuf {
    base.join(path).components().collect()
}

impl Value for Directory {
    fn expects() -> String {
        "a path".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(to_toml(&self.0))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        path::<Self>(text).map(Self)
    }
}

/// Directories that the application's modules are looked for in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PythonPath(Vec<PathBuf>);

impl PythonPath {
    /// Absolute once the configuration is loaded.
    pub fn entries(&self) -> &[PathBuf] {
        &self.0
    }

    /// The same directories seen from `base`.
    #[must_use]
    pub fn seen_from(&self, base: &Path) -> Self {
        Self(self.0.iter().map(|entry| joined(base, entry)).collect())
    }

    fn add(&mut self, entry: &str) -> Result<(), String> {
        self.0.push(path::<Self>(entry)?);
        Ok(())
    }
}

impl Value for PythonPath {
    fn expects() -> String {
        "directories separated by commas, or a list of them".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(
            self.0
                .iter()
                .map(|entry| to_toml(entry))
                .collect::<Vec<_>>()
                .into(),
        )
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let mut directories = Self::default();
        between_commas(text).try_for_each(|entry| directories.add(entry))?;
        Ok(directories)
    }

    fn from_list(items: &[Spanned<DeValue<'_>>]) -> Result<Self, Vec<Refusal>> {
        from_texts(Self::default(), items, Self::add)
    }
}

/// The interpreter that runs the application: a path, or a name that is
/// looked for in `PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python(PathBuf);

impl Python {
    pub fn python3() -> Self {
        Self(PathBuf::from("python3"))
    }

    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// As it was given; a path is absolute once the configuration is loaded.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// A path seen from `base`; a bare name stays one.
    #[must_use]
    pub fn seen_from(&self, base: &Path) -> Self {
        if self.is_bare_name() {
            self.clone()
        } else {
            Self(joined(base, &self.0))
        }
    }

    /// The program to execute, or the reason why there is none.
    ///
    /// Links are not followed: Python finds its virtual environment by the path
    /// that it is started with.
    pub fn find(&self, search_path: &OsStr) -> Result<PathBuf, String> {
        if self.is_bare_name() {
            return std::env::split_paths(search_path)
                .map(|directory| directory.join(&self.0))
                .find(|candidate| candidate.is_file() && access(candidate, Access::EXEC_OK).is_ok())
                .ok_or_else(|| {
                    format!(
                        "{} is not in PATH; give the path of an interpreter, such as \"/srv/site/venv/bin/python\"", quoted(&self.0)
                    )
                });
        }
        let reason = if self.0.is_dir() {
            "it is a directory".to_owned()
        } else {
            match access(&self.0, Access::EXEC_OK) {
                Ok(()) => return Ok(self.0.clone()),
                Err(errno) => reason(&errno.into()),
            }
        };
        Err(format!(
            "cannot run {}: {reason}; give the path of a Python interpreter",
            quoted(&self.0)
        ))
    }

    fn is_bare_name(&self) -> bool {
        !self.0.as_os_str().as_encoded_bytes().contains(&b'/')
    }
}

impl Value for Python {
    fn expects() -> String {
        "the name or path of a Python interpreter".into()
    }

    fn to_toml(&self) -> Option<toml::Value> {
        Some(to_toml(&self.0))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        path::<Self>(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn paths_are_seen_from_where_they_belong() {
        let base = Path::new("/srv/site");
        let directory = |text| Directory::from_text(text).unwrap().seen_from(base);
        assert_eq!(directory(".").as_path(), base);
        assert_eq!(directory("app").as_path(), Path::new("/srv/site/app"));
        assert_eq!(directory("/else").as_path(), Path::new("/else"));
        assert_eq!(
            PythonPath::from_text("lib, /opt/lib,")
                .unwrap()
                .seen_from(base)
                .entries(),
            [Path::new("/srv/site/lib"), Path::new("/opt/lib")]
        );
        assert_eq!(
            Python::python3().seen_from(base).as_path(),
            Path::new("python3")
        );
        let venv = Python::from_text("venv/bin/python")
            .unwrap()
            .seen_from(base);
        assert_eq!(venv.as_path(), Path::new("/srv/site/venv/bin/python"));
    }

    #[test]
    fn a_directory_that_cannot_be_entered_is_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let check = |path: &Path| Directory(path.to_owned()).check();

        assert_eq!(check(folder.path()), Ok(()));
        for (name, reason) in [
            (
                "none",
                "No such file or directory; create it, or name another directory",
            ),
            ("file", "Not a directory; name a directory"),
            ("file/x", "Not a directory; name a directory"),
        ] {
            let path = folder.path().join(name);
            let problem = format!("cannot enter {path:?}: {reason}");
            assert_eq!(check(&path), Err(problem));
        }
    }

    #[test]
    fn an_empty_path_is_refused() {
        assert_eq!(
            Directory::from_text(""),
            Err("must be a path, not \"\"".into())
        );
        assert_eq!(
            Python::from_text(""),
            Err("must be the name or path of a Python interpreter, not \"\"".into())
        );
    }

    #[test]
    fn an_interpreter_by_name_is_the_first_executable_one_in_the_search_path() {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in [("a", 0o644), ("b", 0o755), ("c", 0o755)] {
            let program = folder.path().join(name).join("snake");
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(&program, "").unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        }
        let in_folder = |name: &str| folder.path().join(name);
        let search_path = std::env::join_paths(["a", "b", "c"].map(in_folder)).unwrap();

        let found = Python::from_text("snake").unwrap().find(&search_path);

        assert_eq!(found, Ok(folder.path().join("b/snake")));
    }

    #[test]
    fn a_missing_interpreter_is_named_with_the_reason() {
        let find = |text| {
            Python::from_text(text)
                .unwrap()
                .find(OsStr::new("/nowhere"))
        };
        assert_eq!(
            find("python9"),
            Err("\"python9\" is not in PATH; give the path of an interpreter, such as \"/srv/site/venv/bin/python\"".into())
        );
        assert_eq!(
            find("/nowhere/python"),
            Err("cannot run \"/nowhere/python\": No such file or directory; give the path of a Python interpreter".into())
        );
        assert_eq!(
            find("/usr/"),
            Err(
                "cannot run \"/usr/\": it is a directory; give the path of a Python interpreter"
                    .into()
            )
        );
    }
}
