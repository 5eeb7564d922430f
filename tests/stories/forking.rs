//! Processes that the application forks or starts: ordinary ones, with nothing of
//! the worker's but the memory.

use crate::harness::{
    Server,
    processes::{self, pid_in},
};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};

fn bit(signal: Signal) -> u64 {
    1 << (signal as u64 - 1)
}

#[test]
fn multiprocessing_can_end_its_processes() {
    let server = Server::running("forking:app").workers(1).start();

    let text = server.get("/process-terminate").text();

    assert_eq!(text, format!("exit code -{}", Signal::SIGTERM as i32));
}

#[test]
fn a_pool_of_multiprocessing_ends() {
    let server = Server::running("forking:app").workers(1).start();

    assert_eq!(server.get("/pool").text(), "[2, 4, 6]");
}

#[test]
fn a_thread_may_fork() {
    let server = Server::running("forking:app").workers(1).start();

    assert_eq!(server.get("/thread").text(), "[5]");
    assert_eq!(server.get("/").text(), "fine");
}

#[track_caller]
fn assert_is_clean_child(found: &Value) {
    for signal in [Signal::SIGTERM, Signal::SIGQUIT] {
        for set in ["caught", "ignored", "blocked"] {
            let is_in = found[set].as_u64().unwrap() & bit(signal) != 0;
            assert!(!is_in, "{signal} is {set}: {found}");
        }
    }
    let descriptors = found["descriptors"].as_array().unwrap();
    assert!(descriptors.len() > 3, "{found}");
    for descriptor in descriptors {
        let target = descriptor.as_str().unwrap();
        for kind in ["socket:", "anon_inode:"] {
            assert!(!target.contains(kind), "{found}");
        }
    }
}

#[test]
fn a_forked_child_has_the_signals_and_descriptors_of_a_new_process() {
    let server = Server::running("forking:app")
        .workers(1)
        .setting("keepalive", 60)
        .start();
    let mut idle = server.connect();
    idle.get("/");

    // The first request of a connection, and a later one.
    let first = server.get("/show-child").json();
    let later = idle.get("/show-child").json();

    for found in [first, later] {
        assert_is_clean_child(&found);
        assert_eq!(found["wakeup"], -1, "{found}");
        for name in ["SIGTERM", "SIGQUIT"] {
            assert_eq!(found["handlers"][name], "0", "{found}");
        }
        let interrupt = found["handlers"]["SIGINT"].as_str().unwrap();
        assert!(interrupt.contains("default_int_handler"), "{found}");
    }
    assert!(idle.is_open_and_quiet());
    assert_eq!(idle.get("/").text(), "fine");
}

/// Nor does it take the space on disk for as long as it lives.
#[test]
fn a_forked_child_has_no_copy_of_the_file_with_the_request_body() {
    let server = Server::running("forking:app").workers(1).start();

    let found = server.post("/show-child", &vec![b'x'; 4 << 20]).json();

    let of_body: Vec<_> = found["descriptors"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|target| target.as_str().unwrap().ends_with("(deleted)"))
        .collect();
    // What is left belongs to `wsgi.input`, which the child may read.
    assert!(of_body.len() <= 1, "{found}");
}

#[test]
fn a_child_of_a_raw_fork_has_them_too() {
    let server = Server::running("forking:app")
        .workers(1)
        .setting("keepalive", 60)
        .start();
    let mut idle = server.connect();
    idle.get("/");

    let found = server.get("/show-raw-child").json();

    assert_is_clean_child(&found);
    assert_eq!(idle.get("/").text(), "fine");
}

#[test]
fn a_child_of_a_raw_fork_can_be_terminated() {
    let server = Server::running("forking:app").workers(1).start();
    let running = server.get_in_background("/raw-and-wait");
    server.wait_until("the child and its parent wait", || {
        !server.read("raw").is_empty() && !server.read("raw.parent").is_empty()
    });

    processes::signal(pid_in(&server.read("raw")), Signal::SIGTERM);

    let text = running.join().unwrap().unwrap().text();
    assert_eq!(text, format!("-{}", Signal::SIGTERM as i32));
}

#[test]
fn a_signal_handler_of_the_application_is_its_childs_too() {
    let server = Server::running("forking:app").workers(1).start();

    assert_eq!(server.get("/own-handler").text(), "exit code 9");
}

#[test]
fn a_surviving_child_does_not_keep_the_address() {
    let server = Server::running("forking:app")
        .workers(1)
        .binding_a_port()
        .start();
    assert_eq!(server.get("/surviving").text(), "left");
    server.wait_until("the child runs", || !server.read("child").is_empty());
    let child = pid_in(&server.read("child"));

    assert_eq!(server.stop(), 0);
    assert!(processes::runs(child));
    server.start_again();

    server.wait_until("the new server answers", || {
        !server.worker_pids().is_empty() && server.get("/").text() == "fine"
    });
}

#[test]
fn a_child_that_returns_does_not_hide_that_its_worker_is_stuck() {
    let server = Server::running("forking:app")
        .workers(1)
        .setting("timeout", 2)
        .start();
    let mut connection = server.connect();

    connection.send("GET /raw-and-return HTTP/1.1\r\nHost: localhost\r\n\r\n");
    server.wait_until("the request runs", || {
        !server.read("stuck.started").is_empty()
    });
    let worker = pid_in(&server.read("stuck.started"));

    server.wait_until("the stuck worker is replaced", || {
        let workers = server.worker_pids();
        !processes::runs(worker) && workers.len() == 1 && !workers.contains(&worker)
    });
    connection.try_receive().unwrap_err();
    assert_eq!(server.get("/").text(), "fine");
}

#[test]
fn a_child_that_returns_in_a_body_sends_nothing() {
    let server = Server::running("forking:app")
        .workers(1)
        .setting("keepalive", 60)
        .start();
    let mut connection = server.connect();

    for _ in 0..3 {
        let text = connection.get("/raw-and-return-in-a-body").text();
        assert_eq!(text, "first by the worker");
    }
    assert!(connection.is_open_and_quiet());
}

#[test]
fn the_message_with_which_a_child_exits_is_in_the_log() {
    let server = Server::running("forking:app").workers(1).start();

    let statuses = server.get("/exiting-with-a-message").text();

    assert_eq!(statuses, "[0, 3, 1]");
    server.wait_for_log("cannot go on");
}

#[test]
fn a_child_forked_while_the_application_is_preloaded_is_an_ordinary_process() {
    let server = Server::running("shop:app")
        .workers(2)
        .setting("preload", true)
        .file(
            "shop.py",
            "import forking\nif forking.raw_fork() == 0:\n    forking.mark('child')\n    forking.sleep()\n\
             from forking import app\n",
        )
        .start();
    server.wait_until("the child runs", || !server.read("child").is_empty());
    server.wait_for_workers(2);
    let child = pid_in(&server.read("child"));

    let shared = processes::descriptors(child)
        .into_iter()
        .filter(|target| {
            let target = target.to_string_lossy();
            target.starts_with("socket:") || target.starts_with("/memfd:")
        })
        .count();
    assert_eq!(shared, 0);
    processes::signal(child, Signal::SIGQUIT);
    server.wait_until("the child is gone", || !processes::runs(child));
    assert_eq!(server.get("/").text(), "fine");
}

#[test]
fn programs_that_the_app_starts_have_a_clean_signal_state() {
    let server = Server::running("children:app").start();

    let found = server.get("/").json();

    // Python itself ignores SIGPIPE and SIGXFSZ; subprocess restores them, the
    // plainer ways do not. What the tests were started with is not the server's.
    let pythons_own = (1 << (Signal::SIGPIPE as u64 - 1))
        | (1 << (Signal::SIGXFSZ as u64 - 1))
        | processes::ignored_signals();
    let mask = |way: &str, set: &str| found[way][set].as_u64().unwrap();
    for way in ["subprocess", "popen", "posix_spawn", "own"] {
        assert_eq!(mask(way, "SigBlk"), 0, "blocked in {way}: {found}");
    }
    for way in ["popen", "posix_spawn"] {
        assert_eq!(
            mask(way, "SigIgn") & !pythons_own,
            0,
            "ignored in {way}: {found}"
        );
    }
    assert_eq!(
        mask("subprocess", "SigIgn") & !processes::ignored_signals(),
        0,
        "{found}"
    );
}

#[test]
fn the_app_can_wait_for_its_own_children() {
    let server = Server::running("children:app").start();

    let found = server.get("/").json();

    assert_eq!(found["exit_status"], 0);
    assert_eq!(found["failure"], 1);
}

#[test]
fn programs_that_the_app_starts_inherit_no_descriptor_of_the_server() {
    let server = Server::running("children:app").start();

    let found = server.get("/").json();

    let lines: Vec<&str> = found["descriptors"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(lines.len() >= 3, "{lines:?}");
    for kind in ["socket:", "anon_inode:", "memfd:", "control"] {
        assert!(!lines.iter().any(|line| line.contains(kind)), "{lines:?}");
    }
}

#[test]
fn a_signal_handler_of_the_app_works() {
    let server = Server::running("shop:app")
        .workers(1)
        .file(
            "shop.py",
            "import signal\nsignal.signal(signal.SIGUSR2, lambda *_: open('handled', 'w').write('x'))\nfrom hello import app\n",
        )
        .start();

    processes::signal(*server.worker_pids().first().unwrap(), Signal::SIGUSR2);

    server.wait_until("the handler ran", || server.read("handled") == "x");
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_child_of_the_application_never_answers_and_never_serves() {
    let server = Server::running("forking:app")
        .workers(1)
        .setting("keepalive", 30)
        .file(
            "forking.py",
            r#"
import os
import sys
import time


def app(environ, start_response):
    how = environ["PATH_INFO"]
    status = b"-"
    if how != "/plain":
        pid = os.fork()
        if pid == 0:
            if how == "/exit":
                sys.exit(7)
            if how == "/raise":
                raise RuntimeError("raised in the child")
            if how == "/linger":
                time.sleep(20)
                os._exit(0)
        elif how != "/linger":
            status = b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [status]
"#,
        )
        .start();
    let mut connection = server.connect();

    for (path, status) in [("/exit", "7"), ("/raise", "1"), ("/return", "1")] {
        assert_eq!(connection.get(path).text(), status, "{path}");
        for _ in 0..5 {
            assert_eq!(connection.get("/plain").text(), "-", "after {path}");
        }
    }
    assert!(connection.is_open_and_quiet());

    // A child that goes on has copies of the sockets: they end all the same.
    let mut last = server.connect();
    last.send("GET /linger HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(last.receive().text(), "-");
    let began = Instant::now();
    assert_eq!(last.rest(), Ok(Vec::new()));
    assert!(began.elapsed() < Duration::from_secs(10));
}
