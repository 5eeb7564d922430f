//! An upgrade that replaces the server's files while it runs.

use super::threads::{begin_stuck, threaded};
use crate::harness::{
    processes,
    program::{RGUNICORN, copy_folder},
};
use nix::sys::signal::Signal;
use std::{fs, path::Path};

/// Between the removal of the old version's files and the restart, the old master may
/// have to replace a worker, and its workers have to end as ever.
#[test]
fn a_worker_is_replaced_and_ends_although_the_files_of_the_server_are_gone() {
    let server = threaded(3);
    let files = server.path("files");
    copy_folder(
        &Path::new(RGUNICORN).with_file_name("worker"),
        Path::new(&files),
    );
    let server = server.setting("worker_dir", files.as_str()).start();
    let killed = *server.worker_pids().first().unwrap();
    fs::remove_dir_all(&files).unwrap();

    processes::signal(killed, Signal::SIGKILL);
    server.wait_until("another worker serves", || {
        let workers = server.worker_pids();
        !workers.is_empty() && !workers.contains(&killed)
    });
    let worker = server.get("/").text();
    let _stuck = begin_stuck(&server, 2);
    server.signal(Signal::SIGQUIT);

    assert_eq!(server.wait_for_exit(), 0);
    assert_eq!(server.read("exited").trim(), worker);
    let log = server.stderr();
    assert!(!log.contains("rgunicorn.exiting"), "{log}");
}
