//! Reloads: new code and new configuration, without a lost request.

use crate::harness::{Broken, Running, Server, client::Connection, processes};
use nix::sys::signal::Signal;
use std::{
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// An application that says one word.
fn shop(word: &str) -> String {
    format!(
        "def app(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
         return [b'{word}']\n"
    )
}

/// An application that loads when the test has made a file `NAME.go`, and says
/// its word.
fn shop_that_waits(word: &str) -> String {
    format!(
        "import slow\nslow.app({{'PATH_INFO': '/until/{word}.go'}}, lambda *_: None)\n{}",
        shop(word)
    )
}

fn selling(word: &str) -> Server {
    Server::running("shop:app")
        .workers(2)
        .file("shop.py", &shop(word))
}

#[track_caller]
fn assert_all_say(server: &Running, word: &str) {
    for _ in 0..20 {
        assert_eq!(server.get("/").text(), word);
    }
}

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
fn reload_replaces_every_worker_and_drops_no_request() {
    let server = Server::running("hello:app").workers(2).start();
    let before = server.wait_for_workers(2);
    let traffic = server.under_load();

    server.reload();

    assert_eq!(server.notices(), ["RELOADING=1", "READY=1"]);
    server.wait_until("every worker is a new one", || {
        let now = server.worker_pids();
        now.len() == 2 && now.is_disjoint(&before)
    });
    assert_eq!(traffic.finish(), [] as [&str; 0]);
}

#[test]
fn ten_reloads_under_load_lose_nothing() {
    let server = selling("0").setting("keepalive", 5).start();
    let traffic = server.under_load();

    for number in 1..=10 {
        server.write("shop.py", &shop(&number.to_string()));
        server.reload();
        assert_eq!(server.get("/").text(), number.to_string());
        traffic.wait_for_answers(30);
    }

    assert_eq!(traffic.bodies().len(), 11);
    assert_eq!(traffic.finish(), [] as [&str; 0]);
    server.wait_until("only the last generation is left", || {
        server.children().len() == 3
    });
}

#[test]
fn ten_reloads_of_a_preloaded_app_lose_nothing() {
    let server = selling("0")
        .setting("preload", true)
        .setting("keepalive", 5)
        .start();
    let traffic = server.under_load();

    for number in 1..=10 {
        server.write("shop.py", &shop(&number.to_string()));
        server.reload();
        assert_eq!(server.get("/").text(), number.to_string());
        traffic.wait_for_answers(30);
    }

    assert_eq!(traffic.finish(), [] as [&str; 0]);
}

#[test]
fn after_a_reload_every_worker_runs_the_new_code() {
    for preload in [false, true] {
        let server = selling("old").setting("preload", preload).start();
        assert_all_say(&server, "old");
        server.write("shop.py", &shop("new"));

        server.reload();

        assert_all_say(&server, "new");
    }
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

#[test]
fn new_settings_hold_after_a_reload() {
    let server = Server::running("state:app").workers(1).start();
    server.set("workers", 3);
    server.set(
        "env",
        toml::Table::from_iter([("COLOUR".to_owned(), toml::Value::from("green"))]),
    );

    server.reload();

    server.wait_for_workers(3);
    assert_eq!(server.get("/").json()["environ"]["COLOUR"], "green");
    server.set("workers", 1);
    server.reload();
    server.wait_for_workers(1);
}

#[test]
fn a_variable_removed_from_the_configuration_is_gone_after_a_reload() {
    let server = Server::running("state:app")
        .setting(
            "env",
            toml::Table::from_iter([("COLOUR".to_owned(), toml::Value::from("green"))]),
        )
        .start();
    assert_eq!(server.get("/").json()["environ"]["COLOUR"], "green");
    server.set("env", toml::Table::new());

    server.reload();

    assert_eq!(server.get("/").json()["environ"].get("COLOUR"), None);
}

#[test]
fn another_application_can_be_named() {
    let server = Server::running("hello:app").start();
    server.set("app", "factory:make(\"Bonjour\")");

    server.reload();

    assert_all_say(&server, "Bonjour!");
}

#[test]
fn a_link_to_a_release_is_followed_anew() {
    let server = Server::running("shop:app")
        .workers(2)
        .file("releases/1/shop.py", &shop("one"))
        .file("releases/2/shop.py", &shop("two"))
        .setting("chdir", "current");
    let current = server.path("current");
    symlink("releases/1", &current).unwrap();
    let server = server.start();
    assert_all_say(&server, "one");

    symlink("releases/2", format!("{current}.new")).unwrap();
    std::fs::rename(format!("{current}.new"), &current).unwrap();
    server.reload();

    assert_all_say(&server, "two");
}

#[test]
fn while_the_new_code_loads_the_old_serves_in_full_strength() {
    let server = selling("old").start();
    let before = server.wait_for_workers(2);
    let traffic = server.under_load();
    server.write("shop.py", &shop_that_waits("new"));
    server.forget_notices();
    server.signal(Signal::SIGHUP);
    server.wait_until("the new code is loading", || {
        !server.read("new.go.started").is_empty()
    });

    traffic.wait_for_answers(100);
    assert!(server.worker_pids().is_superset(&before));
    assert_eq!(server.notices(), ["RELOADING=1"]);

    server.write("new.go", "");
    server.wait_for_notice("READY=1");
    assert_all_say(&server, "new");
    assert_eq!(traffic.finish(), [] as [&str; 0]);
}

#[test]
fn a_reload_that_is_asked_for_during_a_reload_brings_the_newest_code() {
    let server = selling("old").start();
    server.write("shop.py", &shop_that_waits("new"));
    server.signal(Signal::SIGHUP);
    server.wait_until("the new code is loading", || {
        !server.read("new.go.started").is_empty()
    });

    server.write("shop.py", &shop("newest"));
    server.signal(Signal::SIGHUP);
    server.write("new.go", "");

    server.wait_until("the newest code serves", || {
        server.get("/").text() == "newest"
    });
    server.wait_for_workers(2);
}

#[test]
fn a_reload_that_had_to_wait_is_logged_with_its_requester() {
    let server = selling("old").start();
    server.write("shop.py", &shop_that_waits("new"));
    server.signal(Signal::SIGHUP);
    server.wait_until("the new code is loading", || {
        !server.read("new.go.started").is_empty()
    });

    server.signal(Signal::SIGHUP);
    server.wait_until("the second order is known", || {
        server.log_count("Got SIGHUP") == 2
    });
    server.signal(Signal::SIGTTIN);
    server.wait_for_log("Got SIGTTIN");
    server.write("new.go", "");

    server.wait_for_log("generation 3 is next");
    assert_eq!(
        server.log_count("Reload began (SIGHUP)"),
        2,
        "{}",
        server.stderr()
    );
}

/// As `systemctl kill -s HUP` does: it sends the signal to every process.
#[test]
fn sighup_to_every_process_ends_none_that_is_just_starting() {
    let server = selling("old").start();

    for _ in 0..8 {
        server.forget_notices();
        server.signal(Signal::SIGHUP);
        server.wait_until("the reload is over", || {
            for pid in server.children() {
                processes::signal(pid, Signal::SIGHUP);
            }
            server.notices().ends_with(&["READY=1".to_owned()])
        });
    }

    let log = server.stderr();
    assert!(!log.contains("failed"), "{log}");
    assert!(!log.contains("died"), "{log}");
    assert_all_say(&server, "old");
}

#[test]
fn a_stop_during_a_reload_stops() {
    let server = selling("old").setting("graceful_timeout", 2).start();
    server.write("shop.py", &shop_that_waits("new"));
    server.signal(Signal::SIGHUP);
    server.wait_until("the new code is loading", || {
        !server.read("new.go.started").is_empty()
    });

    assert_eq!(server.stop(), 0);
    server.wait_for_log("Reload not finished: the service is being stopped");
    assert_eq!(server.log_count("[ERROR]"), 0, "{}", server.stderr());

    assert_eq!(processes::started_for(server.folder()), [] as [i32; 0]);
}

#[test]
fn a_request_that_runs_during_a_reload_is_answered_by_the_old_code() {
    let server = Server::running("slow:app").workers(1).start();
    let old = *server.worker_pids().first().unwrap();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    server.reload();
    assert_ne!(server.get("/").text(), format!("slow but sure, by {old}\n"));
    server.write("go", "");

    let response = running.join().unwrap().unwrap();
    assert_eq!(response.text(), format!("slow but sure, by {old}\n"));
    server.wait_until("the old worker has left", || !processes::runs(old));
}

#[test]
fn a_connection_is_not_cut_after_an_answer_that_did_not_say_so() {
    let server = Server::running("slow:app")
        .workers(1)
        .setting("keepalive", 30)
        .start();
    let mut kept = server.connect();
    kept.send("GET /until/go HTTP/1.1\r\nHost: a\r\n\r\n");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    server.reload();
    server.write("go", "");
    let mut last = kept.receive();
    if !last.says_close() {
        last = kept.get("/");
    }

    assert_eq!(last.status, 200);
    assert!(last.says_close());
}

#[test]
fn a_request_that_does_not_end_is_cut_after_graceful_timeout() {
    let server = Server::running("slow:app")
        .workers(1)
        .setting("graceful_timeout", 2)
        .start();
    let running = server.get_in_background("/stuck");
    server.wait_until("the request runs", || {
        !server.read("stuck.started").is_empty()
    });
    let old = *server.worker_pids().first().unwrap();

    server.reload();

    running.join().unwrap().unwrap_err();
    server.wait_until("the old worker is gone", || !processes::runs(old));
}

#[test]
fn an_idle_connection_of_a_retiring_worker_gets_a_last_answer() {
    let server = Server::running("hello:app")
        .workers(1)
        .setting("keepalive", 30)
        .start();
    let mut kept = server.connect();
    assert!(!kept.get("/").says_close());

    server.reload();
    let response = kept.get("/");

    assert_eq!(response.status, 200);
    assert!(response.says_close());
    assert_eq!(kept.rest(), Ok(Vec::new()));
}

#[test]
fn an_idle_connection_of_a_retiring_worker_is_kept_for_its_keepalive_time() {
    let server = Server::running("hello:app")
        .workers(1)
        .setting("keepalive", 3)
        .start();
    let old = *server.worker_pids().first().unwrap();
    let mut kept = server.connect();
    kept.get("/");

    server.reload();
    let idle = kept.time_until_closed();

    assert!(
        (Duration::from_secs(1)..Duration::from_secs(20)).contains(&idle),
        "closed after {idle:?}"
    );
    server.wait_until("the old worker has left", || !processes::runs(old));
}

#[test]
fn a_request_that_is_half_sent_during_a_reload_is_answered() {
    let server = Server::running("bodies:app").workers(1).start();
    let mut half = server.connect();
    half.send("POST /echo/read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    // The server has taken the first half when it has answered somebody later.
    server.get("/echo/read");

    server.reload();

    assert_eq!(half.send("world").receive().text(), "helloworld");
}

#[test]
fn connections_that_wait_at_the_socket_are_taken_by_the_new_workers() {
    let server = Server::running("slow:app").workers(1).start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the only worker is busy", || {
        !server.read("go.started").is_empty()
    });
    let waiting: Vec<_> = (0..5).map(|_| server.get_in_background("/")).collect();

    server.reload();

    for request in waiting {
        assert_eq!(request.join().unwrap().unwrap().status, 200);
    }
    server.write("go", "");
    assert_eq!(running.join().unwrap().unwrap().status, 200);
}

#[test]
fn the_sockets_are_the_same_before_and_after() {
    for server in [
        Server::running("hello:app"),
        Server::running("hello:app").binding_a_port(),
        Server::running("hello:app").binding_a_unix_socket(),
    ] {
        let server = server.start();
        let traffic = server.under_load();

        server.reload();

        assert_eq!(server.get("/").status, 200);
        assert_eq!(traffic.finish(), [] as [&str; 0]);
    }
}

#[test]
fn old_generations_leave_nothing_behind() {
    let server = Server::running("hello:app").workers(2).start();
    for _ in 0..3 {
        server.reload();
    }

    server.wait_until("one fork server and two workers are left", || {
        server.children().len() == 3
    });
    let descriptors = processes::descriptors(server.pid()).len();
    for _ in 0..3 {
        server.reload();
    }
    server.wait_until("one fork server and two workers are left", || {
        server.children().len() == 3
    });
    server.wait_until("the master has no more descriptors than before", || {
        processes::descriptors(server.pid()).len() <= descriptors
    });
}

#[test]
fn hundreds_of_kept_alive_connections_survive_a_reload() {
    let server = Server::running("hello:app")
        .workers(2)
        .setting("keepalive", 30)
        .start();
    let mut kept: Vec<_> = (0..300).map(|_| server.connect()).collect();
    for connection in &mut kept {
        assert_eq!(connection.get("/").status, 200);
    }

    server.reload();

    for connection in &mut kept {
        assert_eq!(
            connection
                .try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                .map_err(Broken::from),
            Ok(())
        );
    }
    for connection in &mut kept {
        assert_eq!(
            connection.try_receive().map(|response| response.status),
            Ok(200)
        );
    }
}
