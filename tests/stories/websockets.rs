//! Applications that take their connection from the server, for websockets above all: real
//! libraries and a real client.

use crate::compare::venv;
use crate::harness::{
    Running, Server, client::Address, files::source, nginx::Nginx, program::isolate,
};
use nix::sys::signal::Signal;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// A client that sends the lines of its input as messages, and prints what it gets.
const CLIENT: &str = r#"
import sys
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect, unix_connect

target, path = sys.argv[1:]
options = {"open_timeout": 60, "close_timeout": 60, "ping_interval": None}
if target.startswith("/"):
    opening = unix_connect(target, "ws://localhost" + path, **options)
else:
    opening = connect(f"ws://{target}{path}", **options)
with opening as websocket:
    print("open", flush=True)
    for line in sys.stdin:
        try:
            if line.startswith("long "):
                websocket.send("x" * int(line[5:]))
                message = websocket.recv()
                print(len(message), set(message), flush=True)
                continue
            if line != "receive\n":
                websocket.send(line.rstrip("\n"))
            print(websocket.recv(), flush=True)
        except ConnectionClosed:
            print("closed", websocket.close_code, flush=True)
"#;

struct Websocket {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Websocket {
    #[track_caller]
    fn open(address: &Address, path: &str) -> Self {
        let target = match address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(path) => path.to_str().unwrap().to_owned(),
        };
        let folder = std::env::temp_dir();
        let mut command = Command::new(venv().join("bin/python"));
        isolate(&mut command, &folder);
        let mut child = command
            .args(["-c", CLIENT, &target, path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut websocket = Self {
            child,
            input,
            output,
        };
        assert_eq!(websocket.line(), "open");
        websocket
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Sends a message. Returns what comes back.
    #[track_caller]
    fn ask(&mut self, message: &str) -> String {
        writeln!(self.input, "{message}").unwrap();
        self.line()
    }
}

impl Drop for Websocket {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serving(app: &str) -> Server {
    Server::running(app)
        .setting("python", venv().join("bin/python").to_str().unwrap())
        .setting("pythonpath", source("tests/apps/sites").to_str().unwrap())
}

fn shop(class: &str) -> Server {
    serving("websocket_shop:app").setting("worker_class", class)
}

/// The classes, on both kinds of sockets. Nothing is an error of the application's.
fn each(check: impl Fn(&Running, &str)) {
    for class in ["sync", "gthread"] {
        for server in [shop(class), shop(class).on_a_unix_socket()] {
            let server = server.start();
            check(&server, class);
            let log = server.stderr();
            assert!(!log.contains("Traceback"), "{class}: {log}");
        }
    }
}

/// A websocket is open, and ends as both sides want it.
#[track_caller]
fn assert_echoes(address: &Address, path: &str) {
    let mut websocket = Websocket::open(address, path);
    assert_eq!(websocket.ask("hello"), "hello");
    assert_eq!(websocket.ask("long 300000"), "300000 {'x'}");
    assert_eq!(websocket.ask("again"), "again");
    assert_eq!(websocket.ask("quit"), "closed 1000");
}

#[test]
fn websockets_of_flask_sock_work_in_each_class_and_on_each_socket() {
    each(|server, class| {
        assert_echoes(&server.address(), "/echo");
        // Nothing is wrong with the worker, which goes on.
        assert_eq!(server.get("/other").text(), "other", "{class}");
    });
}

#[test]
fn websockets_of_simple_websocket_with_pings_work() {
    each(|server, _| {
        assert_echoes(&server.address(), "/ping");
    });
}

#[test]
fn websockets_of_flask_socketio_work() {
    each(|server, class| {
        let path = "/socket.io/?EIO=4&transport=websocket";
        let mut websocket = Websocket::open(&server.address(), path);
        assert!(websocket.ask("receive").starts_with("0{"), "{class}");
        assert!(websocket.ask("40").starts_with("40{"), "{class}");
        let event = r#"42["echo","hello"]"#;
        assert_eq!(websocket.ask(event), event, "{class}");
        drop(websocket);
        assert_eq!(server.get("/other").text(), "other", "{class}");
    });
}

#[test]
fn websockets_work_behind_nginx_as_the_example_has_it() {
    let server = shop("gthread").on_a_unix_socket().start();
    let nginx = Nginx::with_websockets(&server.address());

    assert_echoes(nginx.address(), "/echo");

    let mut connection = crate::harness::Connection::open(nginx.address()).unwrap();
    assert_eq!(connection.get("/other").text(), "other");
}

#[test]
fn while_a_thread_serves_a_websocket_the_others_answer() {
    let server = shop("gthread").workers(1).setting("threads", 2).start();
    let mut websocket = Websocket::open(&server.address(), "/echo");

    for number in 0..20 {
        assert_eq!(server.get("/other").text(), "other");
        let message = number.to_string();
        assert_eq!(websocket.ask(&message), message);
    }
}

/// A frame of a client (RFC 6455, section 5.2) whose mask is zero.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 126);
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

#[test]
fn frames_that_come_with_the_request_are_not_lost() {
    for path in ["/echo", "/ping"] {
        for class in ["sync", "gthread"] {
            let server = shop(class).start();
            let mut client = server.connect();
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            );
            let frames = [frame("early"), frame("bird"), frame("quit")].concat();

            client.send([head.as_bytes(), &frames].concat());

            let all = String::from_utf8_lossy(&client.rest().unwrap()).into_owned();
            assert!(all.starts_with("HTTP/1.1 101 "), "{class} {path}: {all}");
            assert!(all.contains("\u{5}early"), "{class} {path}: {all}");
            assert!(all.contains("\u{4}bird"), "{class} {path}: {all}");
        }
    }
}

#[test]
fn an_application_that_only_looks_at_the_socket_answers_as_always() {
    for class in ["sync", "gthread"] {
        let server = shop(class).setting("keepalive", 60).start();
        let mut connection = server.connect();
        for _ in 0..3 {
            let facts = connection.get("/facts").json();
            assert_eq!(facts["is_socket"], true);
            assert_eq!(facts["timeout"], serde_json::Value::Null);
            assert_eq!(facts["family"], "AF_INET");
            assert_eq!(facts["same"], true);
            assert_eq!(facts["inheritable"], false);
            let peer = format!("('127.0.0.1', {})", connection.local_port().unwrap());
            assert_eq!(facts["peer"], peer);
            assert_eq!(connection.get("/other").text(), "other");
        }
    }
}

#[test]
fn nothing_is_sent_behind_what_an_application_said_itself() {
    for class in ["sync", "gthread"] {
        let server = shop(class).start();
        let mut client = server.connect();
        client.send("GET /raise HTTP/1.1\r\nHost: a\r\n\r\n");

        assert_eq!(client.rest().unwrap(), b"mine", "{class}");
        server.wait_for_log("KeyError: 'not sent to the client'");
    }
}

/// Keeps what it gets of one request for the next one, without a look at it.
const KEEPS: &str = r#"
kept = []

def app(environ, start_response):
    answer = b"kept"
    if environ["PATH_INFO"] == "/use":
        try:
            kept[0]["gunicorn.socket"].sendall(b"to whom?")
            answer = b"sent"
        except OSError as error:
            answer = str(error).encode()
    kept.append(environ)
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
"#;

#[test]
fn a_socket_that_was_kept_never_becomes_that_of_another_request() {
    for class in ["sync", "gthread"] {
        let server = Server::running("keeps:app")
            .file("keeps.py", KEEPS)
            .workers(1)
            .setting("worker_class", class)
            .start();
        assert_eq!(server.get("/").text(), "kept");

        let answer = server.get("/use").text();

        let expected = "[Errno 9] the request of this socket is over";
        assert_eq!(answer, expected, "{class}");
    }
}

#[test]
fn a_thread_serves_a_websocket_for_longer_than_timeout() {
    let server = shop("gthread")
        .workers(1)
        .setting("threads", 1)
        .setting("timeout", 4)
        .setting("request_timeout", 4)
        .start();
    let mut websocket = Websocket::open(&server.address(), "/echo");
    let worker = websocket.ask("pid");

    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        assert_eq!(websocket.ask("pid"), worker);
    }

    assert_eq!(websocket.ask("quit"), "closed 1000");
    let log = server.stderr();
    assert!(!log.contains("has run for"), "{log}");
    assert!(!log.contains("not respond"), "{log}");
}

#[test]
fn a_websocket_that_is_open_at_a_stop_ends_after_graceful_timeout() {
    for class in ["sync", "gthread"] {
        let server = shop(class).setting("graceful_timeout", 2).start();
        let mut websocket = Websocket::open(&server.address(), "/echo");

        server.signal(Signal::SIGTERM);

        // It may still talk, until the time is over.
        assert_eq!(websocket.ask("receive"), "closed 1006", "{class}");
        assert_eq!(server.wait_for_exit(), 0, "{class}");
    }
}

#[test]
fn a_websocket_outlives_a_reload_for_graceful_timeout() {
    let server = shop("gthread").workers(1).start();
    let mut websocket = Websocket::open(&server.address(), "/echo");
    let old = websocket.ask("pid");

    server.signal(Signal::SIGHUP);

    server.wait_until("a new worker serves", || {
        server
            .worker_pids()
            .iter()
            .any(|pid| pid.to_string() != old)
    });
    assert_eq!(websocket.ask("pid"), old);
    assert_eq!(websocket.ask("quit"), "closed 1000");
    server.wait_until("the old worker has left", || {
        !server.children().iter().any(|pid| pid.to_string() == old)
    });
}

#[test]
fn the_access_log_has_the_requests_that_were_answered() {
    let server = shop("gthread").setting("accesslog", "access.log").start();

    assert_echoes(&server.address(), "/echo");
    assert_eq!(server.get("/facts").status, 200);
    server.wait_until("the record is written", || {
        server.read("access.log").contains("/facts")
    });

    // As Gunicorn has it.
    assert!(!server.read("access.log").contains("/echo"));
}
