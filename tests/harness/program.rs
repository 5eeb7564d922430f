//! The binaries, run to their end.

use super::{
    files::Folder,
    wait::{DEADLINE, holds_within},
};
use std::{
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The server.
pub const RGUNICORN: &str = env!("CARGO_BIN_EXE_rgunicorn");
/// The client of its control socket.
pub const RGUNICORNCTL: &str = env!("CARGO_BIN_EXE_rgunicornctl");

/// What systemd runs before it reads its units.
pub const RGUNICORN_GENERATOR: &str = env!("CARGO_BIN_EXE_rgunicorn-generator");

/// Variables that would make a test depend on where it runs.
const UNWANTED: &[&str] = &[
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
    "SYSTEMD_EXEC_PID",
    "SYSTEMD_SCOPE",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "NO_COLOR",
    "RUNTIME_DIRECTORY",
    "XDG_RUNTIME_DIR",
    "CREDENTIALS_DIRECTORY",
    "GUNICORN_CMD_ARGS",
    "RGUNICORN_CMD_ARGS",
    "WEB_CONCURRENCY",
    "PORT",
    "SCRIPT_NAME",
    "SENDFILE",
    "FORWARDED_ALLOW_IPS",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONUNBUFFERED",
    "PYTHONDEVMODE",
    "PYTHONOPTIMIZE",
    "PYTHONSAFEPATH",
    "PYTHONWARNINGS",
    "VIRTUAL_ENV",
];

/// Removes what a command would inherit from the environment of the tests. Python writes no byte code: a
/// source that changes twice in a second would not be read again.
pub fn isolate(command: &mut Command, folder: &Path) {
    for name in UNWANTED {
        command.env_remove(name);
    }
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("RGUNICORN_TEST_FOLDER", folder)
        .current_dir(folder);
}

/// What a program did from start to end.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status, or 128 and the signal that ended it.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A program to be run to its end in a folder of its own.
pub struct Program {
    pub folder: Folder,
    path: PathBuf,
    command: Command,
}

impl Program {
    /// The server with these arguments, which is expected to exit.
    pub fn rgunicorn(arguments: &[&str]) -> Self {
        Self::new(RGUNICORN, arguments)
    }

    pub fn new(path: &str, arguments: &[&str]) -> Self {
        let folder = Folder::with_apps();
        let mut command = Command::new(path);
        isolate(&mut command, folder.path());
        command.args(arguments);
        Self {
            folder,
            path: path.into(),
            command,
        }
    }

    /// Writes a file into the folder.
    #[must_use]
    pub fn file(self, name: &str, text: &str) -> Self {
        self.folder.write(name, text);
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs as the user `nobody`, from a copy that `nobody` can reach, with the
    /// worker folder beside it.
    #[must_use]
    pub fn unprivileged(self) -> Self {
        const NOBODY: u32 = 65534;
        self.unprivileged_as(NOBODY)
    }

    /// The same as the user and group with this number.
    #[must_use]
    pub fn unprivileged_as(mut self, account: u32) -> Self {
        let copy = self.folder.join("program");
        copy_program(&self.path, &copy);
        copy_folder(
            &self.path.with_file_name("worker"),
            &self.folder.join("worker"),
        );
        let mut command = Command::new(copy);
        isolate(&mut command, self.folder.path());
        command
            .args(self.command.get_args())
            .uid(account)
            .gid(account);
        self.command = command;
        self
    }

    /// Runs it to its end; a program that does not end is a failure.
    #[track_caller]
    pub fn run(&mut self) -> Outcome {
        // Files, not pipes: nothing can fill up while nobody reads.
        let (out, err) = (self.folder.join("stdout"), self.folder.join("stderr"));
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let ended = holds_within(DEADLINE, || child.try_wait().unwrap().is_some());
        if !ended {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        let outcome = Outcome {
            status: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: self.folder.read("stdout"),
            stderr: self.folder.read("stderr"),
        };
        assert!(ended, "{} did not end: {outcome:?}", self.path.display());
        outcome
    }
}

/// Copies a program in a process of its own: what one that another test is just starting has
/// inherited open for writing cannot be run (ETXTBSY of execve(2)).
pub fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("install").args([from, to]).status();
    assert!(
        status.unwrap().success(),
        "{} is not copied",
        from.display()
    );
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &copy);
        } else {
            fs::copy(entry.path(), copy).unwrap();
        }
    }
}
