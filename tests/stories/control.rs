//! The control socket: what changes the server, and clients that misbehave, past which
//! `rgunicornctl`, and so `systemctl reload`, has to get through.

use crate::harness::{Running, Server, program::RGUNICORNCTL};
use nix::sys::signal::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::{
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
};

/// More than the server keeps at one time.
const MANY: usize = 100;

/// Clients that connect and never ask for anything.
fn silent_clients(server: &Running, count: usize) -> Vec<UnixStream> {
    let path = server.folder().join("run/control");
    (0..count)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect()
}

fn ctl_in_background(server: &Running, command: &str) -> Child {
    Command::new(RGUNICORNCTL)
        .arg(command)
        .env("RUNTIME_DIRECTORY", server.folder().join("run"))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

#[test]
fn silent_clients_do_not_keep_a_reload_out() {
    let server = Server::running("hello:app").start();
    let silent = silent_clients(&server, MANY);

    let reload = server.ctl(&["reload"]);
    let status = server.ctl(&["status"]);

    assert_eq!(reload.status, 0, "{reload:?}");
    assert_eq!(status.status, 0, "{status:?}");
    drop(silent);
}

#[test]
fn silent_clients_do_not_displace_one_that_waits_for_its_reload() {
    let server = Server::running("shop:app")
        .file("shop.py", "from hello import app\n")
        .start();
    server.write(
        "shop.py",
        "import slow\nslow.app({'PATH_INFO': '/until/go'}, lambda *_: None)\nfrom hello import app\n",
    );
    let mut reload = ctl_in_background(&server, "reload");
    server.wait_until("the new code is being loaded", || {
        !server.read("go.started").is_empty()
    });

    let silent = silent_clients(&server, MANY);
    assert_eq!(server.ctl(&["status"]).status, 0);
    server.write("go", "");

    let status = reload.wait().unwrap();
    assert!(status.success(), "{status}");
    drop(silent);
}

#[test]
fn a_master_without_free_descriptors_says_so_once_and_recovers() {
    let server = Server::running("hello:app").start();
    let master = Pid::from_raw(server.pid());
    // No number below the limit is free.
    let limit = Rlimit {
        current: (0..1 << 20)
            .find(|fd| !Path::new(&format!("/proc/{}/fd/{fd}", server.pid())).exists()),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let before = prlimit(master, Resource::Nofile, limit).unwrap();

    let waiting = silent_clients(&server, 1);
    server.wait_for_log("control socket");
    for _ in 0..20 {
        assert_eq!(server.get("/").status, 200);
    }
    assert_eq!(server.log_count("control socket"), 1);
    prlimit(master, Resource::Nofile, before).unwrap();

    let outcome = server.ctl(&["status"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(server.log_count("control socket"), 1);
    drop(waiting);
}

#[test]
fn scaling_changes_the_number_of_workers_and_says_so() {
    let server = Server::running("hello:app").workers(1).start();

    let results: Vec<_> = ["3", "-1", "2"]
        .map(|number| server.ctl(&["scale", number]))
        .into_iter()
        .map(|outcome| (outcome.status, outcome.stdout))
        .collect();

    assert_eq!(
        results,
        [
            "3 workers wanted instead of 1, until the next reload\n",
            "2 workers wanted instead of 3, until the next reload\n",
            "2 workers wanted, as before\n",
        ]
        .map(|text| (0, text.to_owned()))
    );
    server.wait_for_workers(2);
    server.wait_for_log("rgunicornctl, pid");
    server.wait_for_log("Control client asked for scale");
    server.reload();
    server.wait_for_workers(1);
}

#[test]
fn an_impossible_number_of_workers_is_refused_and_changes_nothing() {
    let server = Server::running("hello:app").workers(2).start();
    server.wait_for_workers(2);
    let before = server.worker_pids();

    for (number, status, says) in [
        ("0", 64, "rgunicornctl stop"),
        ("none", 64, "not a number of workers"),
        ("-2", 1, "0 workers are not possible"),
        ("-9", 1, "-7 workers are not possible"),
        ("5000", 1, "only 1 to 1024"),
    ] {
        let outcome = server.ctl(&["scale", number]);

        assert_eq!(outcome.status, status, "{outcome:?}");
        assert!(outcome.stderr.contains(says), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }

    assert_eq!(server.log_count("Control client asked for"), 0);
    assert_eq!(server.worker_pids(), before);
}

#[test]
fn a_stop_returns_when_running_requests_are_finished_and_the_server_has_ended() {
    let server = Server::running("slow:app").start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());
    let mut stop = ctl_in_background(&server, "stop");
    server.wait_for_notice("STOPPING=1");
    assert!(stop.try_wait().unwrap().is_none());
    let during = server.ctl(&["scale", "2"]);
    assert_eq!(during.status, 1, "{during:?}");
    assert!(during.stderr.contains("being stopped"), "{during:?}");

    server.write("go", "");

    assert!(stop.wait().unwrap().success());
    assert_eq!(running.join().unwrap().unwrap().status, 200);
    assert_eq!(server.wait_for_exit(), 0);
    server.wait_for_log("Stopping (rgunicornctl, pid");
    let again = server.ctl(&["stop"]);
    assert_eq!(again.status, 69, "{again:?}");
}

#[test]
fn a_stop_fails_when_the_master_is_killed_meanwhile() {
    let server = Server::running("slow:app").start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());
    let mut stop = ctl_in_background(&server, "stop");
    server.wait_for_notice("STOPPING=1");

    server.signal(Signal::SIGKILL);

    assert_eq!(stop.wait().unwrap().code(), Some(1));
    server.write("go", "");
    let _ = running.join();
}

/// The numbers in the first column of `rgunicornctl workers`.
fn worker_numbers(server: &Running) -> Vec<String> {
    let outcome = server.ctl(&["workers"]);
    let number = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    outcome.stdout.lines().skip(1).map(number).collect()
}

#[test]
fn a_worker_is_replaced_by_its_number_or_pid_and_no_request_is_lost() {
    let server = Server::running("hello:app").workers(2).start();
    server.wait_for_workers(2);
    let traffic = server.under_load();
    traffic.wait_for_answers(10);

    let by_number = server.ctl(&["restart-worker", "1"]);
    assert_eq!(by_number.status, 0, "{by_number:?}");
    assert_eq!(
        by_number.stdout,
        "worker 1 finishes its requests and leaves; 2 workers ready\n"
    );
    server.wait_until("it has left", || worker_numbers(&server) == ["2", "3"]);
    let listed = server.ctl(&["workers", "--json"]).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["workers"][0]["worker"], 2, "{listed}");
    let pid = listed["workers"][0]["pid"].to_string();
    assert!(pid.parse::<u32>().is_ok_and(|pid| pid > 4), "{listed}");
    let by_pid = server.ctl(&["restart-worker", &pid]);

    assert_eq!(by_pid.status, 0, "{by_pid:?}");
    server.wait_until("it has left", || worker_numbers(&server) == ["3", "4"]);
    traffic.wait_for_answers(10);
    assert_eq!(traffic.finish(), [] as [&str; 0]);
    server.wait_for_log("Control client asked for restart-worker");
}

#[test]
fn a_worker_serves_on_when_the_one_in_its_place_cannot_load_the_application() {
    let server = Server::running("shop:app")
        .file("shop.py", "from hello import app\n")
        .start();
    server.write("shop.py", "raise RuntimeError('not in stock')\n");
    let before = server.worker_pids();

    let outcome = server.ctl(&["restart-worker", "1"]);

    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert!(outcome.stderr.contains("not in stock"), "{outcome:?}");
    assert_eq!(server.worker_pids(), before);
    assert_eq!(server.get("/").status, 200);
    server.write("shop.py", "from hello import app\n");
    server.wait_until("it is replaced after all", || {
        let now = server.worker_pids();
        now.len() == 1 && now != before
    });
}

#[test]
fn a_worker_that_does_not_exist_or_does_not_serve_is_not_replaced() {
    let server = Server::running("slow:app").start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    let unknown = server.ctl(&["restart-worker", "4000000000"]);
    assert_eq!(unknown.status, 1, "{unknown:?}");
    assert!(
        unknown.stderr.contains("rgunicornctl workers"),
        "{unknown:?}"
    );
    assert_eq!(server.ctl(&["restart-worker", "1"]).status, 0);
    let retiring = server.ctl(&["restart-worker", "1"]);

    assert_eq!(retiring.status, 1, "{retiring:?}");
    assert!(retiring.stderr.contains("is retiring"), "{retiring:?}");
    server.write("go", "");
    assert_eq!(running.join().unwrap().unwrap().status, 200);
}
