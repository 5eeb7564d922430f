//! Lays the worker folder beside the binaries, as it will be installed:
//! `target/PROFILE/worker/`, with a link to the extension module in it. So the
//! master of a build tree finds and starts the very same thing.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=python");
    let source = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    // OUT_DIR is target/PROFILE/build/PACKAGE-HASH/out.
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let profile = out.ancestors().nth(3).ok_or(io::ErrorKind::NotFound)?;
    let folder = profile.join("worker");
    copy(&source.join("python"), &folder)?;
    let module = folder.join("rgunicorn/_worker.abi3.so");
    match fs::remove_file(&module) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink("../../deps/librgunicorn_worker.so", module)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "__pycache__" {
                copy(&from, &to)?;
            }
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}
