//! `rgunicornctl stacks`: what a worker's threads are doing, whatever that is.

use crate::harness::{
    Outcome, Running, Server,
    processes::{self, pid_in},
    program::RGUNICORNCTL,
};
use crate::stories::threads::threaded;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::process::{Child, Command, Stdio};

/// The stacks of the worker that `id` names.
#[track_caller]
fn stacks(server: &Running, id: &str) -> Outcome {
    let outcome = server.ctl(&["stacks", id]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    outcome
}

/// The question for the stacks of worker 1, which is not answered at once.
fn ask_in_background(server: &Running) -> Child {
    Command::new(RGUNICORNCTL)
        .args(["stacks", "1"])
        .env("RUNTIME_DIRECTORY", server.folder().join("run"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn only_worker(server: &Running) -> processes::Pid {
    *server.wait_for_workers(1).first().unwrap()
}

#[test]
fn a_worker_that_waits_shows_where_and_serves_on() {
    let server = Server::running("slow:app").start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());
    let pid = pid_in(&server.read("go.started"));

    let by_number = stacks(&server, "1").stdout;
    let by_pid = stacks(&server, &pid.to_string()).stdout;

    for text in [by_number, by_pid] {
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with(&format!("Worker 1, pid {pid}, for ")),
            "{text}"
        );
        assert!(first.ends_with("s in GET /until/go"), "{text}");
        assert!(text.contains("slow.py\", line "), "{text}");
        assert!(text.contains(" in app\n"), "{text}");
    }
    assert!(!server.stderr().contains("slow.py"), "{}", server.stderr());
    server.wait_for_log("Control client asked for stacks 1");
    server.write("go", "");
    assert_eq!(running.join().unwrap().unwrap().status, 200);
}

#[test]
fn a_worker_that_computes_and_one_that_keeps_the_gil_answer_as_well() {
    for (path, started, function) in [
        ("/spin", "spin.started", " in spin\n"),
        ("/hold", "hold.started", " in hold\n"),
    ] {
        let server = Server::running("threaded:app").start();
        let mut connection = server.connect();
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        server.wait_until("the request runs", || !server.read(started).is_empty());

        let text = stacks(&server, "1").stdout;

        assert!(text.contains(function), "{text}");
    }
}

#[test]
fn all_threads_are_shown_and_the_oldest_request_is_named() {
    let server = threaded(3).start();
    let mut waiting = Vec::new();
    for name in ["one", "two", "three"] {
        waiting.push(server.begin_until(name));
    }

    server.wait_until("the worker is known to be busy", || {
        server.ctl(&["workers"]).stdout.contains("GET /until/one")
    });
    let json = server.ctl(&["stacks", "1", "--json"]);

    let answer: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(answer["worker"], 1);
    assert_eq!(answer["request"], "GET /until/one");
    assert!(answer["busy_ms"].is_u64());
    let text = answer["stacks"].as_str().unwrap();
    assert_eq!(text.matches(" in until\n").count(), 3, "{text}");
    // When the oldest has ended, the next one is.
    server.write("one", "");
    server.wait_until("another request is the oldest", || {
        server.ctl(&["workers"]).stdout.contains("GET /until/two")
    });
    for name in ["two", "three"] {
        server.write(name, "");
    }
    for mut connection in waiting {
        assert_eq!(connection.receive().status, 200);
    }
}

#[test]
fn a_worker_that_is_idle_or_loads_the_application_answers() {
    let server = Server::running("shop:app")
        .file("shop.py", "from hello import app\n")
        .start();
    let idle = stacks(&server, "1").stdout;
    assert!(idle.contains(", in no request\n"), "{idle}");
    assert!(idle.contains("(most recent call first)"), "{idle}");
    server.write(
        "shop.py",
        "import slow\nslow.app({'PATH_INFO': '/until/go'}, lambda *_: None)\nfrom hello import app\n",
    );
    server.begin_reload();
    server.wait_until("the new code is being loaded", || {
        !server.read("go.started").is_empty()
    });

    let loading = stacks(&server, "2").stdout;

    assert!(loading.contains("shop.py\", line 2"), "{loading}");
    server.write("go", "");
    server.wait_for_reload();
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_worker_that_is_stopped_is_said_to_be_and_delays_nobody_else() {
    let server = Server::running("hello:app").setting("timeout", 0).start();
    let worker = only_worker(&server);
    processes::signal(worker, Signal::SIGSTOP);

    let question = ask_in_background(&server);
    server.wait_for_log("Control client asked for stacks 1");
    assert_eq!(server.ctl(&["status"]).status, 0);
    let answer = question.wait_with_output().unwrap();

    assert_eq!(answer.status.code(), Some(1), "{answer:?}");
    assert_eq!(
        String::from_utf8_lossy(&answer.stderr),
        format!(
            "rgunicornctl: worker 1 (pid {worker}) has not written its stacks within 5 s; state \
             of its process: T (stopped)\n"
        )
    );
    processes::signal(worker, Signal::SIGCONT);
    assert!(
        stacks(&server, "1")
            .stdout
            .contains("most recent call first")
    );
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_worker_that_ends_meanwhile_has_no_stacks() {
    let server = Server::running("hello:app").start();
    let worker = only_worker(&server);
    processes::signal(worker, Signal::SIGSTOP);

    let question = ask_in_background(&server);
    server.wait_for_log("Control client asked for stacks 1");
    processes::signal(worker, Signal::SIGKILL);
    let answer = question.wait_with_output().unwrap();

    assert_eq!(answer.status.code(), Some(1), "{answer:?}");
    assert_eq!(
        String::from_utf8_lossy(&answer.stderr),
        "rgunicornctl: worker 1 has left\n"
    );
    let unknown = server.ctl(&["stacks", "1"]);
    assert!(
        unknown.stderr.contains("rgunicornctl workers"),
        "{unknown:?}"
    );
}

#[test]
fn stacks_that_are_too_long_are_cut_in_the_middle() {
    let server = Server::running("deep:app")
        .file(
            "deep.py",
            "import threading, slow\n\
             def a_function_with_a_name_of_some_length_so_that_its_line_is_long(depth):\n\
             \x20   if depth: return a_function_with_a_name_of_some_length_so_that_its_line_is_long(depth - 1)\n\
             \x20   slow.stuck_here()\n\
             def app(environ, start_response):\n\
             \x20   for _ in range(20):\n\
             \x20       threading.Thread(target=a_function_with_a_name_of_some_length_so_that_its_line_is_long, args=(200,), daemon=True).start()\n\
             \x20   return slow.app(environ, start_response)\n",
        )
        .start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    let text = stacks(&server, "1").stdout;

    assert!(text.contains("(cut"), "{text}");
    assert!(text.len() < 64 * 1024, "{}", text.len());
    server.write("go", "");
    assert_eq!(running.join().unwrap().unwrap().status, 200);
    assert_eq!(server.ctl(&["stacks", "1"]).status, 0);
}

#[test]
fn a_path_of_any_length_is_shown_as_it_came_and_cut() {
    let server = Server::running("slow:app").start();
    let mut connection = server.connect();
    let path = format!("/until/go/%1b%5B2J{}?q=secret", "x".repeat(3000));
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    let table = server.ctl(&["workers"]).stdout;

    let line = table.lines().nth(1).unwrap();
    assert!(line.contains("GET /until/go/%1b%5B2Jxxx"), "{line:?}");
    assert!(line.ends_with("xx...") && line.len() < 300, "{line:?}");
    server.write("go", "");
    assert_eq!(connection.receive().status, 200);
}
