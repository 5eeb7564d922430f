//! What an application may do with `environ["gunicorn.socket"]`, to the cost of nobody else.

use super::threads::begin_stuck;
use crate::harness::{Connection, Running, Server, processes};
use std::time::{Duration, Instant};

/// `/look` is what looks at the socket; its answer is larger than what is kept in memory.
/// `/peek` waits until its client sends more.
/// `/close` leaves the connection blocking, and without the descriptor.
const LARGE: &str = r#"
import os
import socket

def app(environ, start_response):
    client = environ["gunicorn.socket"]
    path = environ["PATH_INFO"]
    if path == "/peek":
        open("peeking", "w").close()
        assert client.recv(1, socket.MSG_PEEK) == b"G"
    if path == "/look":
        client.settimeout(5)
        client.settimeout(None)
        assert client.gettimeout() is client.timeout is None and client.getblocking()
    if path == "/close":
        os.set_blocking(client.fileno(), True)
        os.close(client.fileno())
    if path in ("/look", "/large"):
        write = start_response("200 OK", [("Content-Length", "30000000")])
        write(b"z" * 30_000_000)
        return []
    start_response("200 OK", [("Content-Length", "5")])
    return [b"small"]
"#;

/// What the socket does for each class.
fn each(name: &str, app: &str, check: impl Fn(&Running, &str)) {
    for class in ["sync", "gthread"] {
        let server = Server::running(&format!("{name}:app"))
            .file(&format!("{name}.py"), app)
            .workers(1)
            .setting("worker_class", class)
            .setting("keepalive", 60)
            .on_a_unix_socket()
            .start();
        check(&server, class);
    }
}

/// Asks for a large response and takes nothing of its body.
#[track_caller]
fn begin_large(connection: &mut Connection, path: &str) {
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(connection.read_head().unwrap().status, 200);
}

#[test]
fn an_application_that_looks_at_the_socket_never_waits_for_its_client() {
    each("large", LARGE, |server, class| {
        let mut slow = server.connect();
        begin_large(&mut slow, "/look");

        assert_eq!(server.get("/").text(), "small", "{class}");

        let body = slow.read_exactly(30_000_000).unwrap();
        assert!(body.iter().all(|byte| *byte == b'z'), "{class}");
    });
}

#[test]
fn an_application_that_peeks_waits_for_what_comes() {
    each("large", LARGE, |server, class| {
        let mut connection = server.connect();
        connection.send("GET /peek HTTP/1.1\r\nHost: a\r\n\r\n");
        server.wait_until("it peeks", || server.folder().join("peeking").exists());

        assert_eq!(connection.get("/").text(), "small", "{class}");
        assert_eq!(connection.receive().text(), "small", "{class}");
    });
}

#[test]
fn a_descriptor_that_the_application_closed_costs_later_requests_nothing() {
    each("large", LARGE, |server, class| {
        let mut slow = server.connect();
        assert_eq!(slow.get("/close").text(), "small", "{class}");
        server.wait_for_log("Bad file descriptor");
        begin_large(&mut slow, "/large");

        assert_eq!(server.get("/").text(), "small", "{class}");
    });
}

/// Keeps all sockets. `/taken` takes the connection, `/looked` only looks at it. `/received`
/// leaves a thread behind that receives, of which `/result` tells.
const KEEPS: &str = r#"
import os
import threading

kept = []
results = []
FUTEX = ("202", "98")

def receive(client):
    client.settimeout(3600)
    try:
        results.append(str(client.recv(1)))
    except OSError as error:
        results.append(str(error))

def is_in_call(thread):
    with open(f"/proc/self/task/{thread.native_id}/syscall") as file:
        return file.read().split()[0] not in ("running", "-1", *FUTEX)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    client = environ["gunicorn.socket"]
    if path in ("/taken", "/looked", "/received"):
        kept.append(client)
        client.getpeername()
    if path in ("/taken", "/received"):
        client.sendall(b"mine")
    if path == "/received":
        thread = threading.Thread(target=receive, args=(client,), daemon=True)
        thread.start()
        while not is_in_call(thread):
            pass
    answer = str(len(os.listdir("/proc/self/fd")))
    if path == "/result":
        answer = ", ".join(results)
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer.encode()]
"#;

#[track_caller]
fn take(server: &Running, path: &str) {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(client.rest().unwrap(), b"mine");
}

/// How many descriptors the worker has.
#[track_caller]
fn descriptors(connection: &mut Connection) -> usize {
    connection.get("/").text().parse().unwrap()
}

#[test]
fn sockets_that_are_kept_keep_no_descriptors() {
    each("keeps", KEEPS, |server, class| {
        let mut connection = server.connect();
        let before = descriptors(&mut connection);

        for _ in 0..20 {
            take(server, "/taken");
            assert_eq!(server.get("/looked").status, 200, "{class}");
        }

        // The worker notices a little later that its clients are gone. It may have opened some
        // for itself.
        server.wait_until("the descriptors are closed", || {
            descriptors(&mut connection) < before + 10
        });
    });
}

#[test]
fn a_thread_that_receives_when_the_request_ends_finds_the_end_of_the_connection() {
    each("keeps", KEEPS, |server, class| {
        let mut connection = server.connect();
        let before = descriptors(&mut connection);

        for _ in 0..20 {
            take(server, "/received");
        }

        let all = ["b''"; 20].join(", ");
        server.wait_until("the threads have received", || {
            connection.get("/result").text().len() >= all.len()
        });
        assert_eq!(connection.get("/result").text(), all, "{class}");
        server.wait_until("the descriptors are closed", || {
            descriptors(&mut connection) < before + 10
        });
    });
}

/// `/hold` takes its connection and sends back what it gets.
const HOLDS: &str = r#"
import time

def stuck_here():
    with open("stuck.started", "a") as file:
        file.write("x\n")
    while True:
        time.sleep(1)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hold":
        client = environ["gunicorn.socket"]
        client.sendall(b"held")
        while received := client.recv(1):
            client.sendall(received)
        return []
    if path == "/stuck":
        stuck_here()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"#;

/// A worker that has `threads`, one of which has a connection of its own.
fn holding(threads: i64) -> (Running, Connection) {
    let server = Server::running("holds:app")
        .file("holds.py", HOLDS)
        .workers(1)
        .setting("threads", threads)
        .setting("timeout", 2)
        .start();
    let mut held = server.connect();
    held.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(held.read_exactly(4).unwrap(), b"held");
    (server, held)
}

#[test]
fn a_worker_whose_other_threads_are_stuck_is_replaced_when_requests_wait() {
    let (server, mut held) = holding(3);
    let worker = *server.worker_pids().first().unwrap();
    let _stuck = begin_stuck(&server, 2);

    let mut waiting = server.connect();
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.wait_until("the worker is gone", || !processes::runs(worker));

    server.wait_for_log("in stuck_here");
    assert_eq!(server.get("/").text(), "ok");
    assert!(held.read_exactly(1).is_err());
}

#[test]
fn a_worker_with_a_connection_of_its_own_is_not_replaced_when_no_request_waits() {
    let (server, mut held) = holding(2);
    let _stuck = begin_stuck(&server, 1);

    // The stuck one is reported as always.
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until || !server.stderr().contains("in stuck_here") {
        held.send("x");
        assert_eq!(held.read_exactly(1).unwrap(), b"x");
    }
}

/// Shuts down what nobody uses any more.
const SHUTS: &str = r#"
import socket

def app(environ, start_response):
    environ["gunicorn.socket"].shutdown(socket.SHUT_RD)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"#;

#[test]
fn an_application_that_wants_no_more_of_its_client_answers_as_always() {
    each("shuts", SHUTS, |server, class| {
        assert_eq!(server.get("/").text(), "ok", "{class}");
    });
}
