//! What `rgunicornctl` lists: workers, listeners, and the same as JSON.

use crate::harness::{Running, Server, client::Address, processes::pid_in};
use nix::sys::signal::Signal;
use serde_json::Value;

/// The object that a command prints with `--json`.
#[track_caller]
fn json(server: &Running, command: &str) -> Value {
    let outcome = server.ctl(&[command, "--json"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[track_caller]
fn workers(server: &Running) -> Vec<Value> {
    json(server, "workers")["workers"]
        .as_array()
        .unwrap()
        .clone()
}

/// The table that a command prints, as the words of its lines.
#[track_caller]
fn table(server: &Running, command: &str) -> Vec<Vec<String>> {
    let outcome = server.ctl(&[command]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let head = outcome.stdout.lines().next().unwrap();
    let request_at = head.find("  REQUEST").unwrap_or(80);
    assert!(request_at <= 80, "{outcome:?}");
    for line in outcome.stdout.lines() {
        assert!(line.len() <= 80 || command == "workers", "{outcome:?}");
        assert_eq!(line, line.trim_end());
    }
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    outcome.stdout.lines().map(words).collect()
}

fn address(server: &Running) -> String {
    match server.address() {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

#[test]
fn workers_are_listed_with_state_load_and_memory() {
    let server = Server::running("slow:app").workers(2).start();
    server.wait_for_workers(2);
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());
    let busy = pid_in(&server.read("go.started")).to_string();

    let lines = table(&server, "workers");

    assert_eq!(
        lines[0],
        [
            "WORKER", "PID", "GEN", "STATE", "BUSY", "CONNS", "REQUESTS", "ERRORS", "PSS",
            "REQUEST"
        ]
    );
    assert_eq!(lines.len(), 3);
    for (line, number) in lines[1..].iter().zip(["1", "2"]) {
        assert_eq!(line[0], number);
        assert_eq!(line[2], "1");
        assert!(line[8].ends_with("MiB"), "{lines:?}");
        if line[1] == busy {
            assert_eq!(line[3], "busy");
            assert!(line[4].ends_with('s'), "{lines:?}");
            assert_eq!(line[9..], ["GET", "/until/go"]);
        } else {
            assert_eq!(line[3..5], ["idle", "-"]);
            assert_eq!(line[9..], ["-"]);
        }
    }
    server.write("go", "");
    assert_eq!(running.join().unwrap().unwrap().status, 200);
    server.wait_until("the request is counted", || {
        table(&server, "workers")[1..]
            .iter()
            .any(|line| line[6] == "1")
    });
}

#[test]
fn workers_as_json_have_numbers_with_units() {
    let server = Server::running("slow:app")
        .workers(1)
        .setting("keepalive", 60)
        .start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());
    let pid = pid_in(&server.read("go.started"));

    server.wait_until("the worker is busy", || {
        workers(&server)[0]["state"] == "busy"
    });
    let worker = workers(&server).remove(0);

    assert_eq!(worker["pid"], pid);
    assert_eq!(worker["generation"], 1);
    assert_eq!(worker["request"], "GET /until/go");
    assert!(worker["busy_ms"].as_u64() <= worker["age_ms"].as_u64());
    for size in ["pss_bytes", "rss_bytes"] {
        assert!(worker[size].as_u64() > Some(1 << 20), "{worker}");
    }
    server.write("go", "");
    running.join().unwrap().unwrap();
    server.wait_until("it is idle again", || {
        workers(&server)[0]["busy_ms"].is_null()
    });
    assert!(workers(&server)[0]["request"].is_null());
    let mut kept_alive = server.connect();
    assert_eq!(kept_alive.get("/").status, 200);
    // Both are counted after the response was sent.
    server.wait_until("the connection and the request are counted", || {
        let worker = workers(&server).remove(0);
        worker["connections"] == 1 && worker["requests"] == 2
    });
    let worker = workers(&server).remove(0);
    assert_eq!(worker["state"], "idle");
    assert_eq!(worker["requests"], 2);
    assert_eq!(worker["errors"], 0);
    assert!(worker["sent_bytes"].as_u64() > Some(0), "{worker}");
}

#[test]
fn a_worker_that_retires_is_listed_until_it_has_left() {
    let server = Server::running("slow:app").workers(1).start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    server.reload();

    let states: Vec<_> = workers(&server)
        .into_iter()
        .map(|worker| (worker["generation"].clone(), worker["state"].clone()))
        .collect();
    let expected = [(1, "retiring"), (2, "idle")];
    assert_eq!(states, expected.map(|(one, two)| (one.into(), two.into())));
    server.write("go", "");
    assert_eq!(running.join().unwrap().unwrap().status, 200);
    server.wait_until("it has left", || workers(&server).len() == 1);
}

#[test]
fn a_worker_that_loads_the_application_is_listed_as_starting() {
    let server = Server::running("shop:app")
        .file("shop.py", "from hello import app\n")
        .start();
    server.write(
        "shop.py",
        "import slow\nslow.app({'PATH_INFO': '/until/go'}, lambda *_: None)\nfrom hello import app\n",
    );

    server.begin_reload();
    server.wait_until("the new code is being loaded", || {
        !server.read("go.started").is_empty()
    });

    let listed = workers(&server);
    assert_eq!(listed[1]["state"], "starting", "{listed:?}");
    assert_eq!(json(&server, "status")["state"], "reloading");
    server.write("go", "");
    server.wait_for_reload();
}

#[test]
fn more_workers_are_listed_than_one_answer_holds() {
    // One takes about 200 bytes of the 64 KiB.
    const WORKERS: u16 = 400;
    let _machine = super::deaths::MACHINE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = super::orders::start_hundreds(WORKERS);

    let numbers: Vec<_> = workers(&server)
        .iter()
        .filter_map(|worker| worker["worker"].as_u64())
        .collect();

    assert_eq!(numbers, (1..=WORKERS.into()).collect::<Vec<_>>());
    assert_eq!(table(&server, "workers").len(), 1 + usize::from(WORKERS));
}

#[test]
fn listeners_are_listed_with_who_opened_them() {
    let bound = Server::running("hello:app").binding_a_port().start();
    let own = address(&bound);
    assert_eq!(
        table(&bound, "listeners"),
        [
            vec!["ADDRESS", "KIND", "NAME", "OPENED", "BY"],
            vec![&own, "tcp", "http", "rgunicorn"],
        ]
    );

    let passed = Server::running("hello:app").start();
    let listed = json(&passed, "listeners");
    let listener = &listed["listeners"][0];
    assert_eq!(listener["opened_by"], "systemd", "{listed}");
    assert_eq!(listener["address"], address(&passed), "{listed}");
}

#[test]
fn the_status_as_json_has_what_its_line_has_and_more() {
    let server = Server::running("shop:app")
        .workers(2)
        .file("shop.py", "from hello import app\n")
        .start();
    server.wait_for_workers(2);
    server.get("/");
    server.wait_until("the request is counted", || {
        json(&server, "status")["requests"] == 1
    });

    let status = json(&server, "status");
    assert_eq!(status["state"], "serving");
    assert_eq!(status["pid"], server.pid());
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["generation"], 1);
    assert_eq!(status["workers_wanted"], 2);
    assert_eq!(status["workers_ready"], 2);
    assert!(status["last_reload_failure"].is_null(), "{status}");
    let line = server.ctl(&["status"]).stdout;
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains("2 workers ready"), "{line}");

    server.write("shop.py", "raise RuntimeError('not in stock')\n");
    server.signal(Signal::SIGHUP);

    server.wait_until("the reload has failed", || {
        let status = json(&server, "status");
        let failure = status["last_reload_failure"].as_str();
        failure.is_some_and(|reason| reason.contains("not in stock"))
    });
}

#[test]
fn settings_are_printed_as_the_server_runs_with_them_and_where_they_come_from() {
    let server = Server::running("hello:app")
        .workers(2)
        .setting("threads", 3)
        .argument("--keep-alive=7")
        .env("WEB_CONCURRENCY", "9")
        .start();

    let text = server.ctl(&["config"]).stdout;
    let listed = json(&server, "config");
    let setting = |name: &str| {
        let settings = listed["settings"].as_array().unwrap();
        let found = settings.iter().find(|setting| setting["name"] == name);
        found.unwrap().clone()
    };

    assert_eq!(setting("workers")["value"], 2);
    assert_eq!(setting("threads")["value"], 3);
    assert_eq!(setting("keepalive")["value"].as_f64(), Some(7.0));
    assert_eq!(
        setting("keepalive")["origin"],
        "--keep-alive on the command line"
    );
    assert_eq!(setting("backlog")["origin"], "default");
    let origin = setting("threads")["origin"].as_str().unwrap().to_owned();
    assert!(
        text.contains(&format!("\nthreads = 3  # {origin}\n")),
        "{text}"
    );
    assert!(text.contains("\nbacklog = 2048\n"), "{text}");
    let parsed: toml::Table = text.parse().unwrap();
    assert_eq!(parsed["workers"].as_integer(), Some(2));

    server.set("threads", 5);
    server.set("backlog", 99);
    let unchanged = server.ctl(&["config"]).stdout;
    assert_eq!(unchanged, text);
    server.reload();

    let text = server.ctl(&["config"]).stdout;
    assert!(text.contains("\nthreads = 5  # "), "{text}");
    assert!(
        text.contains("\nbacklog = 2048\n# from the next restart on: backlog = 99\n"),
        "{text}"
    );
}

#[test]
fn a_configuration_of_any_length_is_listed() {
    let mut server = Server::running("hello:app");
    for number in 0..8 {
        let length = 12_000 * number + 1;
        let text = format!("--env=V{number}={}", "x".repeat(length));
        server = server.argument(&text);
    }
    let server = server.start();

    let text = server.ctl(&["config"]).stdout;

    assert!(
        text.contains("\n# env is too long to print: "),
        "{}",
        text.len()
    );
    assert!(text.contains("\nthreads = "), "{}", text.len());
}
