//! A server that exits when nobody uses it.

use crate::harness::{Server, let_pass, processes};
use nix::sys::signal::Signal;
use std::time::Duration;

#[test]
fn a_server_that_nobody_uses_any_more_exits_with_status_0() {
    let server = Server::running("hello:app")
        .workers(2)
        .setting("idle_exit", "5s")
        .start();
    assert_eq!(server.get("/").status, 200);

    assert_eq!(server.wait_for_exit(), 0);

    // A connection that was accepted in that moment is served.
    server.wait_for_log("Stopping (no connection for 5 s): workers have 30 s to finish");
}

#[test]
fn a_server_that_nobody_ever_used_exits_too() {
    // It may be over before a test that waits for a worker looks at it.
    let server = Server::running("hello:app")
        .setting("idle_exit", 1)
        .launch();

    assert_eq!(server.wait_for_exit(), 0);

    server.wait_for_notice("READY=1");
}

#[test]
fn a_request_that_takes_longer_is_finished() {
    let server = Server::running("slow:app")
        .setting("idle_exit", "6s")
        .start();
    let running = server.get_in_background("/until/go");
    server.wait_until("the request runs", || !server.read("go.started").is_empty());

    let_pass(Duration::from_secs(14));

    assert!(server.runs());
    server.write("go", "");
    assert_eq!(running.join().unwrap().unwrap().status, 200);
    assert_eq!(server.wait_for_exit(), 0);
}

#[test]
fn a_connection_that_is_kept_open_keeps_the_server() {
    let server = Server::running("hello:app")
        .setting("idle_exit", "6s")
        .setting("keepalive", 600)
        .start();
    let mut connection = server.connect();
    assert_eq!(connection.get("/").status, 200);

    let_pass(Duration::from_secs(14));

    assert_eq!(connection.get("/").status, 200);
    drop(connection);
    assert_eq!(server.wait_for_exit(), 0);
}

#[test]
fn a_connection_that_waits_to_be_accepted_keeps_the_server() {
    let server = Server::running("hello:app")
        .setting("idle_exit", "6s")
        .start();
    let worker = *server.wait_for_workers(1).first().unwrap();
    processes::signal(worker, Signal::SIGSTOP);
    let mut connection = server.connect();
    connection.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");

    let_pass(Duration::from_secs(14));

    assert!(server.runs());
    processes::signal(worker, Signal::SIGCONT);
    assert_eq!(connection.receive().status, 200);
    assert_eq!(server.wait_for_exit(), 0);
}

#[test]
fn it_is_off_by_default() {
    let server = Server::running("hello:app").start();

    let_pass(Duration::from_secs(3));

    assert_eq!(server.get("/").status, 200);
}

#[test]
fn without_a_socket_unit_it_is_a_mistake() {
    let server = Server::running("hello:app")
        .binding_a_port()
        .setting("idle_exit", "5min")
        .launch();

    assert_eq!(server.wait_for_exit(), 78);

    server.wait_for_log("idle_exit: needs a socket unit");
}

#[test]
fn without_a_socket_unit_a_reload_is_refused_as_well() {
    let server = Server::running("hello:app").binding_a_port().start();

    server.set("idle_exit", "1s");
    server.signal(Signal::SIGHUP);

    server.wait_for_log("idle_exit: needs a socket unit");
    let_pass(Duration::from_secs(3));
    assert_eq!(server.get("/").status, 200);
}
