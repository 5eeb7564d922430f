//! An upgrade that replaces the server's files while it runs.

use super::threads::{begin_stuck, threaded};
use crate::harness::{
    Server, processes,
    program::{RGUNICORN, copy_folder, copy_program},
};
use nix::sys::signal::Signal;
use std::{
    fs,
    path::{Path, PathBuf},
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A prefix into which rgunicorn is installed, and the folder that an upgrade removes.
fn install(server: &Server) -> (PathBuf, PathBuf) {
    let prefix = PathBuf::from(server.path("prefix"));
    let files = prefix.join("lib/rgunicorn").join(VERSION);
    fs::create_dir_all(&files).unwrap();
    fs::create_dir(prefix.join("bin")).unwrap();
    copy_program(Path::new(RGUNICORN), &prefix.join("bin/rgunicorn"));
    let worker = Path::new(RGUNICORN).with_file_name("worker");
    copy_folder(&worker, &files.join("worker"));
    (prefix.join("bin/rgunicorn"), files)
}

/// An application that shows which descriptors its process has and how its package was loaded.
const CURIOUS: &str = "\
import os, sys
def opened(fd):
    try:
        return os.readlink(f'/proc/self/fd/{fd}')
    except FileNotFoundError:
        # Closed since it was listed.
        return ''
def app(environ, start_response):
    import rgunicorn
    start_response('200 OK', [])
    held = [file for file in map(opened, os.listdir('/proc/self/fd')) if 'worker' in file]
    return [f'{VERSION} {rgunicorn.__version__} {rgunicorn.__file__} {held} {sys.path[0]}'.encode()]
VERSION = 1
";

/// dpkg and rpm remove the old version's files long before the sites are restarted, if much
/// is upgraded at once.
#[test]
fn a_fork_server_is_replaced_and_code_reloaded_although_the_files_of_the_server_are_gone() {
    for (preload, safe_path) in [(false, ""), (true, ""), (false, "1")] {
        let server = Server::running("shop:app")
            .file("shop.py", CURIOUS)
            .setting("preload", preload)
            .env("PYTHONSAFEPATH", safe_path);
        let (program, files) = install(&server);
        let caches = server.path("caches");
        let server = server
            .env("PYTHONPYCACHEPREFIX", &caches)
            .workers(1)
            .program(&program)
            .start();
        let answer = server.get("/").text();
        assert!(answer.starts_with(&format!("1 {VERSION} {}", files.display())));
        let fork_server = *server.other_pids().first().unwrap();
        let traffic = server.under_load();
        fs::remove_dir_all(&files).unwrap();
        fs::remove_file(&program).unwrap();

        processes::signal(fork_server, Signal::SIGKILL);
        server.wait_until("there is another fork server", || {
            let others = server.other_pids();
            !others.is_empty() && !others.contains(&fork_server)
        });
        server.signal(Signal::SIGTTIN);
        server.wait_for_workers(2);
        server.write("shop.py", &CURIOUS.replace("VERSION = 1", "VERSION = 2"));
        server.reload();
        traffic.wait_for_answers(50);

        assert_eq!(traffic.finish(), [] as [&str; 0]);
        // The same but for the version, with no file open and no other path of modules.
        assert_eq!(server.get("/").text(), answer.replacen('1', "2", 1));
        assert!(!Path::new(&caches).join("proc").exists());
        assert_eq!(server.stop(), 0);
    }
}

/// What the script imports is in these files, too, and in none of its own.
#[test]
fn a_script_is_run_again_although_the_files_of_the_server_are_gone() {
    const SCRIPT: &str = "
from gunicorn.app.base import Application
from rgunicorn.http.errors import ParseException
class Shop(Application):
    def init(self, parser, opts, args):
        return {'workers': 1, 'wsgi_app': 'unused'}
    def load(self):
        def app(environ, start_response):
            start_response('200 OK', [])
            return [b'1']
        return app
Shop().run()
";
    let server = Server::typed("--config")
        .argument("script:serve.py")
        .file("serve.py", SCRIPT);
    let (program, files) = install(&server);
    let server = server.program(&program).start();
    fs::remove_dir_all(&files).unwrap();

    server.write("serve.py", &SCRIPT.replace("b'1'", "b'2'"));
    server.reload();

    assert_eq!(server.get("/").text(), "2");
}

/// Nothing is held for a folder that somebody names later.
#[test]
fn a_reload_with_a_worker_folder_that_is_not_there_is_refused() {
    let server = Server::running("hello:app").start();
    server.set("worker_dir", "/there/is/none");

    let reload = server.ctl(&["reload"]);

    assert_eq!(reload.status, 1, "{reload:?}");
    assert_eq!(server.get("/").status, 200);
}

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
