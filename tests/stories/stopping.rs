//! Stops: graceful, quick, and of a master that is killed.

use crate::harness::{Broken, Server, client::Address, processes};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

#[test]
fn a_graceful_stop_finishes_the_requests_that_run() {
    let server = Server::running("slow:app").workers(2).start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    server.signal(Signal::SIGTERM);
    server.wait_for_notice("STOPPING=1");
    server.write("go", "");

    assert_eq!(running.join().unwrap().unwrap().status, 200);
    assert_eq!(server.wait_for_exit(), 0);
}

#[test]
fn the_last_answer_of_a_stopping_worker_has_connection_close() {
    let server = Server::running("slow:app")
        .workers(1)
        .setting("keepalive", 30)
        .start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    server.signal(Signal::SIGTERM);
    server.wait_for_notice("STOPPING=1");
    server.write("go", "");

    assert!(running.join().unwrap().unwrap().says_close());
    assert_eq!(server.wait_for_exit(), 0);
}

#[test]
fn a_graceful_stop_kills_workers_after_graceful_timeout() {
    let server = Server::running("slow:app")
        .workers(1)
        .setting("graceful_timeout", 1)
        .start();
    let running = server.get_in_background("/stuck");
    server.wait_until("the request runs", || {
        !server.read("stuck.started").is_empty()
    });

    assert_eq!(server.stop(), 0);

    running.join().unwrap().unwrap_err();
}

#[test]
fn an_idle_server_stops_at_once() {
    let server = Server::running("hello:app")
        .workers(2)
        .setting("keepalive", 60)
        .start();
    let mut idle = server.connect();
    idle.get("/");

    let start = Instant::now();
    assert_eq!(server.stop(), 0);

    assert!(
        start.elapsed() < Duration::from_secs(15),
        "took {:?}",
        start.elapsed()
    );
    assert!(matches!(idle.try_receive(), Err(Broken::Closed)));
}

#[test]
fn a_quick_stop_does_not_wait_for_requests() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let server = Server::running("slow:app")
            .workers(1)
            .setting("graceful_timeout", 300)
            .start();
        let running = server.get_in_background("/stuck");
        server.wait_until("the request runs", || {
            !server.read("stuck.started").is_empty()
        });

        server.signal(signal);

        assert_eq!(server.wait_for_exit(), 0, "{signal}");
        let _ = running.join();
    }
}

#[test]
fn a_quick_stop_hurries_a_graceful_one() {
    let server = Server::running("slow:app")
        .workers(1)
        .setting("graceful_timeout", 300)
        .start();
    let _running = server.get_in_background("/stuck");
    server.wait_until("the request runs", || {
        !server.read("stuck.started").is_empty()
    });
    server.signal(Signal::SIGTERM);
    server.wait_for_notice("STOPPING=1");

    server.signal(Signal::SIGINT);

    assert_eq!(server.wait_for_exit(), 0);
}

#[test]
fn a_stopped_server_leaves_no_process_behind() {
    let server = Server::running("hello:app").workers(3).start();

    server.stop();

    assert_eq!(processes::started_for(server.folder()), [] as [i32; 0]);
}

#[test]
fn a_stopped_server_takes_no_connection_any_more() {
    let server = Server::running("hello:app").binding_a_port().start();
    let Address::Tcp(address) = server.address() else {
        unreachable!()
    };

    server.stop();

    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_stop_under_load_fails_no_request() {
    let server = Server::running("hello:app").workers(2).start();
    let traffic = server.under_load();

    server.signal(Signal::SIGTERM);
    server.wait_for_exit();
    // The socket stays open here as it does with systemd: what comes after the
    // stop waits for the next start.
    server.start_again();
    traffic.wait_for_answers(50);

    assert_eq!(traffic.finish(), [] as [&str; 0]);
}

#[test]
fn a_server_that_is_still_loading_can_be_stopped() {
    let server = Server::running("shop:app")
        .file(
            "shop.py",
            "import slow\nslow.app({'PATH_INFO': '/stuck'}, print)\n",
        )
        .setting("graceful_timeout", 2)
        .launch();
    server.wait_until("the app is loading", || {
        !server.read("stuck.started").is_empty()
    });

    server.stop();

    assert_eq!(processes::started_for(server.folder()), [] as [i32; 0]);
}

#[test]
fn when_the_master_is_killed_every_process_exits() {
    let server = Server::running("hello:app").workers(2).start();

    server.signal(Signal::SIGKILL);
    server.wait_for_exit();

    server.wait_until("every process has left", || {
        processes::started_for(server.folder()).is_empty()
    });
    server.start_again();
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn when_the_master_is_killed_a_running_request_is_answered() {
    let server = Server::running("slow:app").workers(1).start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    server.signal(Signal::SIGKILL);
    server.wait_for_exit();
    server.write("go", "");

    assert_eq!(running.join().unwrap().unwrap().status, 200);
}

#[test]
fn when_the_master_is_killed_idle_connections_get_one_more_response() {
    for class in ["sync", "gthread"] {
        let server = Server::running("hello:app")
            .workers(2)
            .setting("worker_class", class)
            .setting("keepalive", 60)
            .start();
        let mut kept: Vec<_> = (0..16).map(|_| server.connect()).collect();
        for connection in &mut kept {
            assert_eq!(connection.get("/").status, 200);
        }

        server.signal(Signal::SIGKILL);
        server.wait_for_exit();

        for connection in &mut kept {
            assert_eq!(connection.get("/").status, 200, "{class}");
        }
        server.wait_until("every process has left", || {
            processes::started_for(server.folder()).is_empty()
        });
    }
}

#[test]
fn when_the_master_is_killed_a_worker_that_is_stuck_leaves_too() {
    let servers = [
        ("sync", "stuck"),
        ("sync", "hold"),
        ("gthread", "stuck"),
        ("gthread", "hold"),
    ]
    .map(|(class, path)| {
        let server = Server::running("threaded:app")
            .workers(1)
            .setting("worker_class", class)
            .setting("timeout", 300)
            .start();
        let mut stuck = server.connect();
        stuck.send(format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        server.wait_until("the request runs", || {
            !server.read(&format!("{path}.started")).is_empty()
        });
        server.signal(Signal::SIGKILL);
        (server, stuck)
    });

    for (server, _stuck) in &servers {
        server.wait_for_exit();
        server.wait_until("every process has left", || {
            processes::started_for(server.folder()).is_empty()
        });
    }
}

#[test]
fn a_master_that_is_killed_under_load_loses_no_waiting_client() {
    let server = Server::running("hello:app").workers(2).start();
    let traffic = server.under(crate::harness::Load {
        kept_alive: 0,
        one_shot: 4,
        ..Default::default()
    });

    server.signal(Signal::SIGKILL);
    server.wait_for_exit();
    server.start_again();
    traffic.wait_for_answers(50);

    assert_eq!(traffic.finish(), [] as [&str; 0]);
}

/// An application whose import ends when the file `go` exists.
const IMPORTED_SLOWLY: &str = "import slow\nslow.mark('importing')\n\
    slow.app({'PATH_INFO': '/until/go'}, print)\nfrom hello import app\n";

#[test]
fn an_interrupted_check_leaves_no_process_and_prints_nothing() {
    let server = Server::running("shop:app")
        .file("shop.py", IMPORTED_SLOWLY)
        .argument("--check-config")
        .launch();
    server.wait_until("the application is imported", || {
        !server.read("importing").is_empty()
    });

    server.signal(Signal::SIGINT);

    assert_eq!(server.wait_for_exit(), 130);
    server.wait_until("nothing runs any more", || {
        processes::started_for(server.folder()).is_empty()
    });
    assert_eq!(server.stderr(), "");
}

#[test]
fn sigint_from_the_terminal_stops_every_process_without_error_messages() {
    for preload in [false, true] {
        let server = Server::running("shop:app")
            .workers(2)
            .setting("preload", preload)
            .file("shop.py", IMPORTED_SLOWLY)
            .launch();
        server.wait_until("the application is imported", || {
            !server.read("importing").is_empty()
        });

        // The kernel signals all at once: the master learns no sooner that its children have
        // ended.
        server.signal(Signal::SIGSTOP);
        for pid in server.children() {
            processes::signal(pid, Signal::SIGINT);
        }
        server.signal(Signal::SIGINT);
        server.signal(Signal::SIGCONT);

        assert_eq!(server.wait_for_exit(), 0);
        let log = server.stderr();
        assert!(
            log.contains("Stopping (SIGINT): workers leave at once"),
            "{log}"
        );
        for word in ["Traceback", "Error", "left", "30 s"] {
            assert!(!log.contains(word), "{word:?} is in {log}");
        }
    }
}
