//! Programs of Debian that are unpacked, not installed.

use super::files::source;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A program that can be run, without its arguments.
#[track_caller]
pub fn program(name: &str) -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|program| program.exists());
    if let Some(program) = installed {
        return Command::new(program);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(name);
    let status = Command::new(source("tests/setup-debian"))
        .arg(name)
        .arg(&folder)
        .status()
        .unwrap();
    assert!(status.success(), "tests/setup-debian {name}: {status}");
    let mut command = Command::new(folder.join("usr/sbin").join(name));
    command.env("LD_LIBRARY_PATH", libraries(&folder));
    command
}

/// `usr/lib/TRIPLET`: those that are not installed, if it needs any.
fn libraries(folder: &Path) -> PathBuf {
    let entries = fs::read_dir(folder.join("usr/lib"));
    (entries.into_iter().flatten())
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("-linux-"))
        .unwrap_or_default()
}
