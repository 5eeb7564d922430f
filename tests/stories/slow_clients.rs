//! Clients that are slow, silent or hostile do not delay the others.

use crate::harness::{Broken, Connection, Running, Server, processes};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a normal client of each server waits for its answers, in the middle of `count`. The
/// servers are asked in turn: what else the machine does delays both.
#[track_caller]
fn median_answer_times(servers: [&Running; 2], count: usize) -> [Duration; 2] {
    let mut times = [(); 2].map(|()| Vec::with_capacity(count));
    for _ in 0..count {
        for (server, times) in servers.iter().zip(&mut times) {
            let start = Instant::now();
            assert_eq!(server.get("/").status, 200);
            times.push(start.elapsed());
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[count / 2]
    })
}

#[test]
fn incomplete_requests_do_not_block_the_only_worker() {
    let server = Server::running("hello:app").workers(1).start();
    let mut halves = Vec::new();
    for bytes in [
        "",
        "G",
        "GET / HT",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
    ] {
        for _ in 0..5 {
            let mut connection = server.connect();
            connection.send(bytes);
            halves.push(connection);
        }
    }

    for _ in 0..20 {
        assert_eq!(server.get("/").status, 200);
    }
}

#[test]
fn an_incomplete_request_times_out() {
    let server = Server::running("hello:app")
        .workers(1)
        .setting("client_timeout", 2)
        .start();

    for bytes in [
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
    ] {
        let mut connection = server.connect();
        connection.send(bytes);

        match connection.try_receive() {
            Ok(response) => {
                assert_eq!(response.status, 408, "{bytes:?}");
                assert!(response.says_close());
            }
            Err(broken) => assert_eq!(broken, Broken::Closed, "{bytes:?}"),
        }
    }
}

#[test]
fn a_connection_that_sends_nothing_times_out() {
    let server = Server::running("hello:app")
        .workers(1)
        .setting("client_timeout", 2)
        .setting("keepalive", 2)
        .start();
    let mut connection = server.connect();

    match connection.try_receive() {
        Ok(response) => assert_eq!(response.status, 408),
        Err(broken) => assert_eq!(broken, Broken::Closed),
    }
}

#[test]
fn a_head_sent_byte_by_byte_times_out() {
    let server = Server::running("hello:app")
        .workers(1)
        .setting("client_timeout", 2)
        .start();
    let mut connection = server.connect();
    connection.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");

    // The time-out is for the whole head: a byte now and then does not extend it.
    server.wait_until("the server closes the connection", || {
        thread::sleep(Duration::from_millis(100));
        connection.try_send("x").is_err() || !connection.is_open_and_quiet()
    });
}

#[test]
fn a_client_is_served_at_once_beside_idle_and_slow_ones() {
    let start = || {
        let server = Server::running("hello:app").workers(2);
        let server = server.setting("keepalive", 300);
        server.setting("client_timeout", 300).start()
    };
    let (server, without_others) = (start(), start());
    let mut idle: Vec<Connection> = (0..500).map(|_| server.connect()).collect();
    for connection in idle.iter_mut().step_by(2) {
        assert_eq!(connection.get("/").status, 200);
    }
    let done = Arc::new(AtomicBool::new(false));
    let mut slow: Vec<Connection> = (0..50).map(|_| server.connect()).collect();
    for connection in &mut slow {
        connection.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    }
    let sender = {
        let done = Arc::clone(&done);
        thread::spawn(move || {
            while !done.load(Ordering::SeqCst) {
                for connection in &mut slow {
                    connection.try_send("x").unwrap();
                }
                thread::sleep(Duration::from_millis(50));
            }
            slow
        })
    };

    let [beside_others, alone] = median_answer_times([&server, &without_others], 101);

    done.store(true, Ordering::SeqCst);
    let mut slow = sender.join().unwrap();
    assert!(
        beside_others < 5 * alone + Duration::from_millis(45),
        "a normal client waited {beside_others:?}, and {alone:?} where there are no others"
    );
    // The slow ones are served, too, when their heads are complete.
    for connection in &mut slow {
        assert_eq!(connection.send("\r\n\r\n").receive().status, 200);
    }
    for connection in &mut idle {
        assert_eq!(connection.get("/").status, 200);
    }
}

#[test]
fn a_slow_reader_of_a_large_body_does_not_block_the_only_worker() {
    let server = Server::running("answers:app")
        .workers(1)
        .setting("keepalive", 30)
        .start();
    let mut slow = server.connect();
    slow.send("GET /big?size=50000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = slow.read_head().unwrap();

    for _ in 0..20 {
        assert_eq!(server.get("/list").status, 200);
    }

    assert_eq!(head.header("Content-Length"), Some("50000000"));
    assert_eq!(slow.read_exactly(50_000_000).unwrap().len(), 50_000_000);
    assert_eq!(slow.get("/list").status, 200);
}

#[test]
fn a_slow_reader_gets_the_whole_body_also_when_the_disk_is_full() {
    let app = "def app(environ, start_response):\n\
        \x20   start_response('200 OK', [('Content-Length', '50000000')])\n\
        \x20   return (b'%09d\\n' % number * 10000 for number in range(500))\n";
    // No file may grow beyond this: the response cannot be kept on disk.
    let server = Server::running("counting:app")
        .file("counting.py", app)
        .workers(1)
        .file_size_limit_kib(1024)
        .start();
    let mut slow = server.connect();
    slow.set_timeout(Duration::from_secs(60));
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.read_head().unwrap();

    // Nothing is lost, and nothing is sent twice.
    for number in 0..500 {
        let piece = slow.read_exactly(100_000).unwrap();
        let expected = format!("{number:09}\n").repeat(10_000);
        assert!(piece == expected.as_bytes(), "piece {number}");
    }
    assert_eq!(server.log_count("could not be buffered"), 0);
}

#[test]
fn a_slow_reader_of_a_file_does_not_block_the_only_worker() {
    let server = Server::running("shop:app")
        .workers(1)
        .file(
            "shop.py",
            "import answers\ndef app(environ, start_response):\n    if environ['PATH_INFO'] == '/large':\n        \
             start_response('200 OK', [('Content-Length', str(50 << 20))])\n        \
             return environ['wsgi.file_wrapper'](open('large', 'rb'))\n    return answers.app(environ, start_response)\n",
        )
        .file("large", "")
        .start();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(server.folder().join("large"))
        .unwrap();
    file.set_len(50 << 20).unwrap();
    let mut slow = server.connect();
    slow.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.read_head().unwrap();

    for _ in 0..20 {
        assert_eq!(server.get("/list").status, 200);
    }

    assert_eq!(slow.read_exactly(50 << 20).unwrap().len(), 50 << 20);
}

#[test]
fn an_endless_body_for_a_slow_reader_takes_bounded_memory() {
    let server = Server::running("answers:app").workers(2).start();
    for _ in 0..20 {
        server.get("/list");
    }
    let before = server.memory();
    let mut slow = server.connect();
    slow.send("GET /close-and-endless HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.read_head().unwrap();
    // The app has produced what the server takes; a few more answers give it
    // every chance to take more.
    let mut peak = 0;
    for _ in 0..50 {
        slow.read_chunk().unwrap();
        assert_eq!(server.get("/list").status, 200);
        peak = peak.max(server.memory());
    }

    let growth = peak.saturating_sub(before);
    assert!(
        growth < 20_000,
        "grew by {growth} KiB for a reader of 3 MiB"
    );

    drop(slow);
    server.wait_until("close() was called", || {
        server.read("notes").contains("closed endless")
    });
}

/// A server with a client that does not read its response, of which 2 MiB are kept on
/// disk.
fn unread_response(path: &str) -> (Running, Connection) {
    let server = Server::running("answers:app")
        .workers(1)
        .setting("client_timeout", 6)
        .setting("limit_response_buffer", "2M")
        .start();
    let mut slow = server.connect();
    slow.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    slow.read_head().unwrap();
    (server, slow)
}

/// Waits for `fact`; until then the limit holds, and is used.
#[track_caller]
fn assert_limited_on_disk(server: &Running, what: &str, mut fact: impl FnMut() -> bool) {
    let worker = *server.worker_pids().first().unwrap();
    let mut peak = 0;
    server.wait_until(what, || {
        peak = peak.max(processes::unlinked_bytes(worker));
        fact()
    });
    assert!((1 << 20..3 << 20).contains(&peak), "{peak} bytes");
}

#[test]
fn the_space_on_disk_that_one_slow_reader_takes_is_limited() {
    let (server, _slow) = unread_response("/close-and-endless");

    assert_limited_on_disk(&server, "the server closes the connection", || {
        server.read("notes").contains("closed endless")
    });

    let worker = *server.worker_pids().first().unwrap();
    server.wait_until("nothing is left on disk", || {
        processes::unlinked_bytes(worker) == 0
    });
}

/// As for an iterable that makes its pieces one by one.
#[test]
fn the_space_on_disk_that_a_list_takes_is_limited() {
    for path in ["/long-list", "/long-tuple"] {
        let (server, _slow) = unread_response(path);

        // The worker waits for the slow client, then answers the next.
        let next = server.get_in_background("/list");
        assert_limited_on_disk(&server, "the next client is served", || next.is_finished());

        assert_eq!(next.join().unwrap().unwrap().status, 200, "{path}");
    }
}

#[test]
fn many_slow_readers_of_large_bodies_take_bounded_memory() {
    // Each waits until those before it are read.
    let server = Server::running("answers:app")
        .workers(2)
        .setting("client_timeout", 300)
        .start();
    let before = server.memory();
    let mut slow: Vec<_> = (0..20).map(|_| server.connect()).collect();

    for connection in &mut slow {
        connection.send("GET /big-pieces?size=20000000 HTTP/1.1\r\nHost: a\r\n\r\n");
        connection.read_head().unwrap();
    }

    // 400 MB are on their way.
    let growth = server.memory().saturating_sub(before);
    assert!(growth < 100_000, "grew by {growth} KiB");
    for connection in &mut slow {
        let mut length = 0;
        loop {
            match connection.read_chunk().unwrap().len() {
                0 => break,
                more => length += more,
            }
        }
        assert_eq!(length, 20_000_000);
    }
}

#[test]
fn a_client_that_reads_nothing_times_out() {
    let server = Server::running("answers:app")
        .workers(1)
        .setting("client_timeout", 2)
        .start();
    let worker = *server.worker_pids().first().unwrap();
    let mut silent = server.connect();
    silent.send("GET /close-and-endless HTTP/1.1\r\nHost: a\r\n\r\n");

    server.wait_until("the server closes the connection", || {
        server.read("notes").contains("closed endless")
    });

    assert_eq!(server.get("/list").status, 200);
    assert!(processes::runs(worker));
    drop(silent);
}

#[test]
fn clients_that_go_on_sending_after_a_refusal_do_not_delay_the_others() {
    let server = Server::running("hello:app").workers(1).start();
    let done = AtomicBool::new(false);
    let address = server.address();
    let began = Instant::now();
    // The limit is for a test that fails: its threads are waited for.
    let goes_on = || !done.load(Ordering::SeqCst) && began.elapsed() < Duration::from_secs(60);

    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let megabyte = vec![b'x'; 1 << 20];
                while goes_on() {
                    let mut flooding = Connection::open(&address).unwrap();
                    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000000\r\n\r\n";
                    let _ = flooding.try_send(head);
                    while goes_on() && flooding.try_send(&megabyte).is_ok() {}
                }
            });
        }
        server.wait_for_log("413 Content Too Large");
        for _ in 0..50 {
            assert_eq!(server.get("/").status, 200);
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_flood_of_pipelined_requests_takes_bounded_memory() {
    let server = Server::running("answers:app")
        .workers(1)
        .setting("client_timeout", 5)
        .start();
    let before = server.memory();
    let mut flooding = server.connect();
    flooding.set_timeout(Duration::from_secs(2));
    let requests = "GET /big?size=100000 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);

    // Nothing is read: the server must stop taking requests at some point.
    let stopped = (0..1000).any(|_| flooding.try_send(&requests).is_err());

    let growth = server.memory().saturating_sub(before);
    assert!(stopped);
    assert!(growth < 30_000, "grew by {growth} KiB");
    assert_eq!(server.get("/list").status, 200);
}

/// Each request takes a hundredth of a second, and the clients that send many at once
/// have enough for a minute.
#[test]
fn clients_that_send_many_requests_at_once_do_not_block_the_only_worker() {
    const SLEEPING: &str = "import time, hello\n\
        def app(environ, start_response):\n    time.sleep(0.01)\n    \
        return hello.app(environ, start_response)\n";
    let server = Server::running("sleeping:app")
        .workers(1)
        .file("sleeping.py", SLEEPING)
        .start();
    let mut pipelining: Vec<Connection> = (0..3).map(|_| server.connect()).collect();
    for connection in &mut pipelining {
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2000));
        connection.receive();
    }

    let start = Instant::now();
    assert_eq!(server.get("/").status, 200);

    let waited = start.elapsed();
    assert!(waited < Duration::from_secs(10), "{waited:?}");
}

#[test]
fn a_list_that_waits_for_its_client_arrives_whole_although_it_is_changed() {
    let server = Server::running("answers:app")
        .workers(1)
        .setting("keepalive", 60)
        .setting("limit_response_buffer", "2M")
        .start();
    let mut slow = server.connect();
    slow.send("GET /long-list?change=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = slow.read_head().unwrap();
    server.write("go", "");
    server.wait_until("the list is changed", || {
        server.read("notes").contains("changed")
    });

    let length = response.header("Content-Length").unwrap().parse().unwrap();
    let body = slow.read_exactly(length).unwrap();

    assert!(body.iter().all(|byte| *byte == b'z'));
    assert_eq!(slow.get("/list").text(), "one two three");
}
