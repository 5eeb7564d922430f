//! Reloads that fail, or that crashes in requests must not fail: the old code serves.

use super::shop::{assert_all_say, selling, shop};
use crate::harness::{Server, client::Connection, processes};
use nix::sys::signal::Signal;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// Takes a while to load; `/crash` ends the worker.
const SLOW_AND_CRASHING: &str = "\
import hello, os, time
time.sleep(1.5)
def app(environ, start_response):
    if environ['PATH_INFO'] == '/crash':
        os.abort()
    return hello.app(environ, start_response)
";

#[test]
fn a_url_that_crashes_a_worker_twice_a_second_does_not_fail_a_reload() {
    let server = Server::running("shop:app")
        .workers(4)
        .file("shop.py", SLOW_AND_CRASHING)
        .start();
    server.wait_for_workers(4);
    let over = AtomicBool::new(false);
    let address = server.address();

    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                Connection::open(&address)
                    .unwrap()
                    .send("GET /crash HTTP/1.1\r\nHost: a\r\n\r\n")
                    .try_receive()
                    .unwrap_err();
                thread::sleep(Duration::from_millis(500));
            }
        });
        server.wait_for_log("SIGABRT");
        let outcome = server.ctl(&["reload"]);
        over.store(true, Ordering::SeqCst);
        outcome
    });

    assert_eq!(outcome.status, 0, "{outcome:?}\n{}", server.stderr());
    server.wait_for_workers(4);
}

#[test]
fn code_that_cannot_be_loaded_leaves_the_old_code_serving() {
    for preload in [false, true] {
        let server = selling("old").setting("preload", preload).start();
        let before = server.wait_for_workers(2);
        let traffic = server.under_load();
        server.write("shop.py", "raise RuntimeError('not in stock')\n");

        server.reload();

        assert_eq!(server.worker_pids(), before);
        assert_all_say(&server, "old");
        assert_eq!(traffic.finish(), [] as [&str; 0]);
        server.wait_for_log("RuntimeError: not in stock");
        assert_eq!(server.log_count("Traceback (most recent call last)"), 1);
        let status = server.notified("STATUS");
        assert!(
            status.iter().any(|line| line.contains("not in stock")),
            "{status:?}"
        );
        let failed = "; last reload failed: RuntimeError: not in stock";
        assert!(server.ctl(&["status"]).stdout.contains(failed));

        server.write("shop.py", "from hello import app\n");
        server.reload();
        assert!(!server.ctl(&["status"]).stdout.contains("failed"));
    }
}

#[test]
fn after_a_failed_reload_the_next_one_may_succeed() {
    let server = selling("old").start();
    server.write("shop.py", "def app(:\n");
    server.reload();
    server.write("shop.py", &shop("new"));

    server.reload();

    assert_all_say(&server, "new");
    assert_eq!(server.wait_for_workers(2).len(), 2);
}

#[test]
fn after_a_failed_reload_a_worker_that_dies_is_replaced_by_the_old_code() {
    let server = selling("old").setting("preload", true).start();
    server.write("shop.py", "raise RuntimeError('not in stock')\n");
    server.reload();
    let before = server.wait_for_workers(2);

    processes::signal(*before.first().unwrap(), Signal::SIGKILL);

    server.wait_until("two workers serve again", || {
        let now = server.worker_pids();
        now.len() == 2 && now != before
    });
    assert_all_say(&server, "old");
}

#[test]
fn a_bad_config_is_refused_and_the_old_one_keeps_serving() {
    let server = Server::running("hello:app").workers(2).start();
    let before = server.wait_for_workers(2);
    server.write_raw_config("app = \"hello:app\"\nworkers = 0\n");

    server.reload();

    assert_eq!(server.notices(), ["RELOADING=1", "READY=1"]);
    assert_eq!(server.worker_pids(), before);
    server.wait_for_log("shop.toml:2");
    server.wait_for_log("between 1 and");
}

#[test]
fn an_interpreter_that_does_not_exist_is_refused_and_the_old_one_keeps_serving() {
    let server = Server::running("hello:app").start();
    let before = server.worker_pids();
    server.set("python", "/nowhere/bin/python");

    server.reload();

    assert_eq!(server.worker_pids(), before);
    server.wait_for_log("/nowhere/bin/python");
    assert_eq!(server.get("/").status, 200);
}
