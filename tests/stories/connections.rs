//! Keep-alive, pipelining, limits, and which worker accepts a connection.

use crate::harness::{Broken, Connection, Server, let_pass, processes};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let server = Server::running("hello:app")
        .setting("keepalive", 20)
        .start();
    let mut connection = server.connect();

    for _ in 0..50 {
        let response = connection.get("/");
        assert_eq!(response.status, 200);
        assert!(!response.says_close());
    }

    assert!(connection.is_open_and_quiet());
}

#[test]
fn connection_close_closes_the_connection() {
    let server = Server::running("hello:app").start();
    let mut connection = server.connect();

    let response = connection
        .send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .receive();

    assert!(response.says_close());
    assert_eq!(connection.rest(), Ok(Vec::new()));
}

#[test]
fn http_1_0_closes_unless_keep_alive_is_asked_for() {
    let server = Server::running("hello:app")
        .setting("keepalive", 20)
        .start();

    let mut plain = server.connect();
    assert!(plain.send("GET / HTTP/1.0\r\n\r\n").receive().says_close());
    assert_eq!(plain.rest(), Ok(Vec::new()));

    let mut kept = server.connect();
    let response = kept
        .send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .receive();
    assert_eq!(
        response
            .header("Connection")
            .map(str::to_lowercase)
            .as_deref(),
        Some("keep-alive")
    );
    assert_eq!(
        kept.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .receive()
            .status,
        200
    );
}

#[test]
fn keepalive_0_closes_after_each_response() {
    let server = Server::running("hello:app").setting("keepalive", 0).start();
    let mut connection = server.connect();

    assert!(connection.get("/").says_close());
    assert_eq!(connection.rest(), Ok(Vec::new()));
}

#[test]
fn an_idle_connection_is_closed_after_the_keepalive_time() {
    let server = Server::running("hello:app").setting("keepalive", 2).start();
    let mut connection = server.connect();
    let asked = Instant::now();
    connection.get("/");

    connection.time_until_closed();

    let idle = asked.elapsed();
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(15)).contains(&idle),
        "closed after {idle:?}"
    );
}

#[test]
fn requests_may_come_before_the_answers_and_are_answered_in_order() {
    let server = Server::running("bodies:app")
        .workers(1)
        .setting("keepalive", 20)
        .start();
    let mut connection = server.connect();
    let count = 200;
    let mut requests = String::new();
    for number in 0..count {
        let body = format!("request {number}");
        let head = "POST /echo/read HTTP/1.1\r\nHost: a\r\nContent-Length:";
        write!(requests, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
    }

    connection.send(requests);

    for number in 0..count {
        assert_eq!(connection.receive().text(), format!("request {number}"));
    }
    assert!(connection.is_open_and_quiet());
}

#[test]
fn a_pipelined_request_after_close_is_not_answered() {
    let server = Server::running("hello:app").start();
    let mut connection = server.connect();

    connection.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );

    assert!(connection.receive().says_close());
    assert!(matches!(
        connection.try_receive(),
        Err(Broken::Closed | Broken::Reset)
    ));
}

#[test]
fn a_pipelined_request_behind_a_malformed_one_is_not_answered() {
    let server = Server::running("hello:app").start();
    let mut connection = server.connect();

    connection
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\nBAD\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");

    assert_eq!(connection.receive().status, 200);
    assert_eq!(connection.receive().status, 400);
    assert!(matches!(
        connection.try_receive(),
        Err(Broken::Closed | Broken::Reset)
    ));
}

#[test]
fn a_client_that_stops_sending_still_gets_its_answer() {
    let server = Server::running("hello:app").start();
    let mut connection = server.connect();

    connection
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .finish_sending();

    assert_eq!(connection.receive().status, 200);
}

#[test]
fn clients_that_disconnect_early_do_not_disturb_others() {
    let server = Server::running("hello:app").workers(1).start();

    for bytes in [
        "",
        "G",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        for _ in 0..50 {
            server.connect().send(bytes);
        }
    }

    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.log_count("Traceback"), 0);
}

#[test]
fn one_workers_idle_connections_do_not_keep_others_waiting() {
    let server = Server::running("hello:app")
        .workers(1)
        .setting("keepalive", 30)
        .start();
    let mut idle: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for connection in &mut idle {
        assert_eq!(connection.get("/").status, 200);
    }

    assert_eq!(server.get("/").status, 200);

    for connection in &mut idle {
        assert_eq!(connection.get("/").status, 200);
    }
}

#[test]
fn a_busy_worker_leaves_new_connections_to_the_others() {
    let server = Server::running("slow:app").workers(2).start();
    let busy = server.get_in_background("/until/go");
    server.wait_until("a worker is busy", || !server.read("go.started").is_empty());

    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(server.get("/").status, 200);
    }
    let elapsed = start.elapsed();

    server.write("go", "");
    assert_eq!(busy.join().unwrap().unwrap().status, 200);
    assert!(
        elapsed < Duration::from_secs(10),
        "took {elapsed:?} beside a busy worker"
    );
}

#[test]
fn more_clients_than_a_worker_may_hold_wait_and_are_served() {
    let server = Server::running("hello:app")
        .workers(1)
        .setting("worker_connections", 5)
        .setting("keepalive", 1)
        .start();
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();

    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }

    for client in &mut clients {
        assert_eq!(client.receive().status, 200);
    }
}

#[test]
fn a_request_of_a_lone_connection_wakes_one_thread() {
    const REQUESTS: u64 = 50;
    for class in ["sync", "gthread"] {
        let server = Server::running("hello:app")
            .workers(3)
            .setting("worker_class", class)
            .setting("threads", if class == "sync" { 1 } else { 4 })
            .setting("keepalive", 300)
            .start();
        let workers = server.wait_for_workers(3);
        let sleeps = || -> u64 {
            let of = |&worker| processes::sleeps(worker).into_values().sum::<u64>();
            workers.iter().map(of).sum()
        };
        let mut connection = server.connect();

        // On a busy machine a request may take so long that another thread has a look.
        server.wait_until("each request wakes one thread", || {
            let before = sleeps();
            for _ in 0..REQUESTS {
                connection.get("/");
            }
            sleeps() - before < REQUESTS + REQUESTS / 4
        });
    }
}

#[test]
fn idle_workers_use_no_processor_time() {
    for class in ["sync", "gthread"] {
        assert_idle(class);
    }
}

fn assert_idle(class: &str) {
    let server = Server::running("hello:app")
        .workers(2)
        .setting("worker_class", class)
        .setting("threads", if class == "sync" { 1 } else { 4 })
        .setting("keepalive", 30)
        .start();
    let mut connection = server.connect();
    for _ in 0..100 {
        connection.get("/");
    }
    let ticks = || -> u64 {
        server
            .children()
            .into_iter()
            .chain([server.pid()])
            .map(processes::processor_ticks)
            .sum()
    };

    let before = ticks();
    let_pass(Duration::from_secs(2));

    // A tick is 10 ms; a loop that spins would use 200 of them.
    assert!(
        ticks() - before < 20,
        "{} ticks in two idle seconds",
        ticks() - before
    );
}

#[test]
fn clients_that_wait_for_a_busy_worker_are_not_disconnected() {
    let server = Server::running("slow:app")
        .workers(1)
        .setting("keepalive", 5)
        .start();
    let mut clients: Vec<_> = (0..24).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/sleep/0").status, 200);
    }

    // All together take longer than a connection may be idle.
    for client in &mut clients {
        client.send("GET /sleep/0.25 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let status = client.try_receive().map(|response| response.status);
        assert_eq!(status, Ok(200), "client {number}");
    }
}

#[test]
fn a_worker_under_load_accepts_new_connections() {
    let server = Server::running("slow:app")
        .workers(1)
        .setting("keepalive", 60)
        .start();
    let address = server.address();
    let enough = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);

    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = Connection::open(&address).unwrap();
                while !enough.load(Relaxed) {
                    client.get("/sleep/0.01");
                    answered.fetch_add(1, Relaxed);
                }
            });
        }
        server.wait_until("there is load", || answered.load(Relaxed) > 32);
        for _ in 0..10 {
            let before = answered.load(Relaxed);
            assert_eq!(server.connect().get("/sleep/0").status, 200);
            let meanwhile = answered.load(Relaxed) - before;
            // In fair order some sixteen others come first; twenty times that is starving.
            assert!(meanwhile < 320, "{meanwhile} others were answered first");
        }
        enough.store(true, Relaxed);
    });
}

#[test]
fn a_flood_of_bad_requests_does_not_look_like_a_stuck_worker() {
    let server = Server::running("hello:app")
        .workers(1)
        .setting("timeout", 3)
        .start();
    let before = server.worker_pids();
    let address = server.address();
    let began = Instant::now();

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while began.elapsed() < Duration::from_secs(7) {
                    let mut client = Connection::open(&address).unwrap();
                    // Refused at its first byte, so it may be closed while this is sent.
                    let _ = client.try_send("\u{1}\r\n\r\n");
                    let _ = client.rest();
                }
            });
        }
    });

    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.worker_pids(), before);
}

/// The next descriptors of the worker get the numbers of those that the application closed.
#[test]
fn what_is_printed_is_not_sent_to_a_client_after_the_standard_streams_were_closed() {
    let app = "import os\n\
        def app(environ, start_response):\n\
        \x20   if environ['PATH_INFO'] == '/close':\n\
        \x20       for number in (0, 1, 2):\n\
        \x20           os.close(number)\n\
        \x20   else:\n\
        \x20       for number in (0, 1, 2):\n\
        \x20           try:\n\
        \x20               os.write(number, b'printed')\n\
        \x20           except OSError:\n\
        \x20               pass\n\
        \x20   start_response('200 OK', [('Content-Length', '2')])\n\
        \x20   return [b'ok']\n";
    let server = Server::running("closing:app")
        .file("closing.py", app)
        .workers(1)
        .setting("keepalive", 20)
        .start();
    let mut first = server.connect();
    assert_eq!(first.get("/close").status, 200);

    let mut others: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut others {
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    }

    for client in &mut others {
        let answer = String::from_utf8(client.rest().unwrap()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(!answer.contains("printed"), "{answer}");
    }
    assert_eq!(first.get("/").text(), "ok");
}
