//! Which file is executed, and with what.

use crate::config::Start;
use crate::sys::handed_over::Number;
use nix::unistd::execve;
use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, process};

/// The variable by which a program learns that it is to adopt a state: `PID:DESCRIPTOR`. The
/// pid is that of the process: one that inherits the variable is not meant.
pub const STATE: &str = "RGUNICORN_STATE";

/// What this process was started with, and is executed again with.
#[derive(Debug)]
pub struct Program {
    /// How it was called: a path, or a name to look for in `PATH`.
    called: PathBuf,
    directory: PathBuf,
    search_path: OsString,
    arguments: Vec<OsString>,
}

/// Which file it is. Another one that is put into its place differs in something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Program {
    /// The one that runs. `start` is what was true when it was started.
    pub fn of_this_process(start: &Start) -> Self {
        let mut program = Self {
            called: PathBuf::new(),
            directory: start.directory.clone(),
            search_path: start.search_path.clone(),
            arguments: env::args_os().collect(),
        };
        program.called = program
            .arguments
            .first()
            .map(PathBuf::from)
            .unwrap_or_default();
        if !is_executable(&program.path()) {
            // Whoever has started it called it by another name.
            program.called = env::current_exe().unwrap_or_default();
        }
        program
    }

    /// The file that would be executed now.
    pub fn path(&self) -> PathBuf {
        if self.called.as_os_str().as_bytes().contains(&b'/') {
            return self.directory.join(&self.called);
        }
        env::split_paths(&self.search_path)
            .map(|folder| self.directory.join(folder).join(&self.called))
            .find(|path| is_executable(path))
            .unwrap_or_else(|| self.called.clone())
    }

    pub fn identity(&self) -> io::Result<Identity> {
        let file = fs::metadata(self.path())?;
        Ok(Identity {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
        })
    }

    /// How it calls itself.
    pub fn name(&self) -> &OsStr {
        self.arguments
            .first()
            .map_or(OsStr::new("rgunicorn"), OsString::as_os_str)
    }

    /// The words after the name.
    pub fn arguments(&self) -> &[OsString] {
        self.arguments.get(1..).unwrap_or_default()
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Executes it in this process. Returns only if that is not possible.
    pub fn execute(&self, state: Number) -> io::Error {
        match self.try_to_execute(state) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    fn try_to_execute(&self, state: Number) -> io::Result<Infallible> {
        let text = |text: OsString| CString::new(text.into_vec()).map_err(io::Error::from);
        let words = self.arguments.iter().cloned().map(text);
        let words = words.collect::<io::Result<Vec<_>>>()?;
        let others = env::vars_os().filter(|(name, _)| name != STATE);
        let own = (STATE.into(), format!("{}:{state}", process::id()).into());
        let variables = others
            .chain([own])
            .map(|(mut name, value): (OsString, OsString)| {
                name.push("=");
                name.push(value);
                text(name)
            });
        let variables = variables.collect::<io::Result<Vec<_>>>()?;
        // Its links and relative paths are to mean the same.
        env::set_current_dir(&self.directory)?;
        let path = text(self.path().into_os_string())?;
        Ok(execve(&path, &words, &variables)?)
    }
}

/// The state that this program is to adopt, if it was executed for that.
pub fn handed_over() -> Option<Number> {
    state_in(&env::var(STATE).ok()?, process::id())
}

fn state_in(value: &str, own: u32) -> Option<Number> {
    let (pid, number) = value.split_once(':')?;
    let is_ours = pid.parse() == Ok(own);
    Number::parse(number).filter(|_| is_ours)
}

fn is_executable(path: &Path) -> bool {
    const ANYBODY: u32 = 0o111;
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.mode() & ANYBODY != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(name: &str) -> Program {
        Program {
            called: name.into(),
            directory: "/".into(),
            search_path: "/nowhere:/bin".into(),
            arguments: vec![name.into(), "shop:app".into()],
        }
    }

    #[test]
    fn a_name_is_looked_for_where_it_was_at_the_start_and_a_path_is_not() {
        assert_eq!(called("sh").path(), Path::new("/bin/sh"));
        assert_eq!(called("bin/sh").path(), Path::new("/bin/sh"));
        assert_eq!(called("/opt/rgunicorn").path(), Path::new("/opt/rgunicorn"));
        assert_eq!(called("/bin/sh").arguments(), ["shop:app"]);
    }

    #[test]
    fn a_file_in_the_place_of_another_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, "1").unwrap();
        let program = called(path.to_str().unwrap());
        let before = program.identity().unwrap();
        assert_eq!(program.identity().unwrap(), before);

        fs::write(folder.path().join("next"), "2").unwrap();
        fs::rename(folder.path().join("next"), &path).unwrap();

        assert_ne!(program.identity().unwrap(), before);
    }

    #[test]
    fn a_state_is_for_one_process() {
        assert_eq!(state_in("70:5", 70), Number::parse("5"));
        for text in ["70:5x", "7:5", "5", ""] {
            assert_eq!(state_in(text, 70), None, "{text}");
        }
    }
}
