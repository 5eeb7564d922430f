//! The access log: a line for each request, whatever happens to its file, and nobody waits for it.

use crate::harness::rotation::rotate_under_load;
use crate::harness::{Connection, Running, Server, processes};
use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::process::Command;

/// `hello:app` with an access log in its folder.
fn logging() -> Server {
    Server::running("hello:app")
        .setting("accesslog", "access.log")
        .setting("keepalive", 60)
}

fn wait_for_lines(server: &Running, count: usize) -> Vec<String> {
    server.wait_until(&format!("{count} lines are written"), || {
        server.read("access.log").lines().count() >= count
    });
    let lines = server.read("access.log");
    let lines: Vec<_> = lines.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

#[test]
fn each_request_is_a_line_in_the_combined_format() {
    for threads in [1, 2] {
        let server = logging().setting("threads", threads).start();

        server.get("/a?b=c");
        server.request("BAD\r\n\r\n");

        let mut lines = wait_for_lines(&server, 2);
        // A thread answers by itself, and the worker writes the line a moment later.
        lines.sort_by_key(|line| line.contains("BAD"));
        let (start, rest) = lines[0].split_once(" [").unwrap();
        assert_eq!(start, "127.0.0.1 - -");
        let (time, rest) = rest.split_once("] ").unwrap();
        assert_eq!(time.len(), "22/Nov/2026:05:47:46 +0000".len(), "{time}");
        assert!(rest.starts_with("\"GET /a?b=c HTTP/1.1\" 200 "), "{rest}");
        assert!(lines[1].contains("\"BAD\" 400 "), "{}", lines[1]);
    }
}

#[test]
fn there_is_no_access_log_unless_it_is_asked_for() {
    let server = Server::running("hello:app").start();

    server.get("/asked");
    server.stop();

    assert!(!server.stderr().contains("/asked"), "{}", server.stderr());
}

#[test]
fn a_dash_is_standard_output_and_the_flags_are_those_of_gunicorn() {
    let server = Server::running("hello:app")
        .argument("--access-logfile")
        .argument("-")
        .argument("--access-logformat")
        .argument("seen %(m)s %(U)s %(s)s %({X-Forwarded-For}i)s")
        .start();

    server.get("/to/stdout");

    server.wait_for_log("seen GET /to/stdout 200 -\n");
}

#[test]
fn what_is_wrong_is_said_at_the_start() {
    for (key, value, said) in [
        ("access_log_format", "%(h)s %(nope)s", "at column 7"),
        ("access_log_filter", "slow", "slow:MILLISECONDS"),
        ("accesslog", "missing/access.log", "create its directory"),
    ] {
        let server = logging().setting(key, value).launch();

        assert_ne!(server.wait_for_exit(), 0);

        let log = server.stderr();
        assert!(log.contains(key) && log.contains(said), "{log}");
    }
}

#[test]
fn a_filter_leaves_out_what_nobody_wants_to_see() {
    let server = Server::running("slow:app")
        .setting("accesslog", "access.log")
        .setting("access_log_format", "%(U)s %(s)s")
        .setting("access_log_filter", "errors,slow:4000")
        .start();

    server.get("/sleep/0");
    server.get("/sleep/4.1");
    server.request("GET / HTTP/1.1\r\n\r\n");
    server.get("/sleep/0");
    server.stop();

    assert_eq!(server.read("access.log"), "/sleep/4.1 200\n- 400\n");
}

#[test]
fn a_reader_that_stops_keeps_nobody_waiting_and_the_log_says_what_was_dropped() {
    let server = logging()
        .setting("access_log_format", "%(f)s")
        .setting("limit_request_field_size", 8190);
    let path = server.path("access.log");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let mut reader = File::options().read(true).write(true).open(&path).unwrap();
    let server = server.start();
    let referer = "r".repeat(8000);
    let request = format!("GET / HTTP/1.1\r\nHost: h\r\nReferer: {referer}\r\n\r\n");

    // The queue of the worker is full long before the end, and so is the pipe.
    let mut connection = Connection::open(&server.address()).unwrap();
    for _ in 0..400 {
        assert_eq!(connection.send(&request).receive().status, 200);
    }

    server.wait_for_log("not written to the access log: it takes them too slowly");
    let mut first = [0; 8001];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(first, format!("{referer}\n").as_bytes());
    assert!(fs::metadata(path).unwrap().file_type().is_fifo());
    assert_eq!(server.stop(), 0);
}

#[test]
fn no_line_is_lost_or_torn_while_the_file_is_renamed_under_load() {
    let server = logging()
        .workers(2)
        .setting("access_log_format", "begin %(U)s end")
        .start();

    let rotated = rotate_under_load(&server, "access.log", 300);

    let mut lines: Vec<_> = rotated.text.lines().collect();
    lines.sort_unstable();
    let paths = rotated.paths.iter();
    let expected: Vec<_> = paths.map(|path| format!("begin {path} end")).collect();
    assert_eq!(
        lines.len(),
        expected.len(),
        "after {} rotations",
        rotated.count
    );
    assert!(lines == expected);
}

#[test]
fn a_full_disk_costs_lines_and_no_request() {
    let server = logging().setting("accesslog", "/dev/full").start();

    for _ in 0..3 {
        assert_eq!(server.get("/").status, 200);
    }

    server.wait_for_log("not written to the access log: /dev/full: No space left on device");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_deleted_file_is_made_again() {
    let server = logging().setting("access_log_format", "%(U)s").start();
    server.get("/before");
    wait_for_lines(&server, 1);

    fs::remove_file(server.folder().join("access.log")).unwrap();
    server.get("/after");

    server.wait_until("the line is written", || {
        server.folder().join("access.log").exists() && server.read("access.log") == "/after\n"
    });
}

#[test]
fn a_file_that_cannot_be_opened_anew_is_kept_and_the_log_says_why() {
    let server = logging();
    fs::create_dir(server.path("logs")).unwrap();
    let server = server
        .setting("accesslog", "logs/access.log")
        .setting("access_log_format", "%(U)s")
        .start();
    server.get("/one");
    server.wait_until("the line is written", || {
        server.read("logs/access.log") == "/one\n"
    });
    fs::rename(server.folder().join("logs"), server.folder().join("gone")).unwrap();

    server.signal(Signal::SIGUSR1);
    server.wait_for_log("Cannot open the access log");
    server.get("/two");
    server.stop();

    assert!(
        server
            .stderr()
            .contains("go on with the old file: No such file")
    );
    assert_eq!(server.read("gone/access.log"), "/one\n/two\n");
}

#[test]
fn a_worker_that_is_sent_usr1_itself_opens_its_file_anew() {
    let server = logging().workers(1).start();
    let worker = *server.wait_for_workers(1).first().unwrap();
    server.get("/");
    wait_for_lines(&server, 1);
    let path = server.folder().join("access.log");
    fs::rename(&path, server.folder().join("access.log.1")).unwrap();

    processes::signal(worker, Signal::SIGUSR1);

    server.wait_until("the file is there again", || path.exists());
}

#[test]
fn no_line_is_lost_by_a_reload_or_a_stop() {
    let server = logging().setting("access_log_format", "%(U)s").start();

    server.get("/old");
    server.reload();
    server.get("/new");
    server.stop();

    let log = server.read("access.log");
    let mut lines: Vec<_> = log.lines().collect();
    // The new worker may be the first to write.
    lines.sort_unstable();
    assert_eq!(lines, ["/new", "/old"]);
}

#[test]
fn an_application_that_forks_keeps_its_log() {
    let server = Server::running("shop:app")
        .file(
            "shop.py",
            "import os\n\
             def app(environ, start_response):\n    \
                 child = os.fork()\n    \
                 if child == 0:\n        \
                     os._exit(0)\n    \
                 os.waitpid(child, 0)\n    \
                 threads = len(os.listdir('/proc/self/task'))\n    \
                 start_response('200 OK', [])\n    \
                 return [str(threads).encode()]\n",
        )
        .setting("accesslog", "access.log")
        .setting("access_log_format", "%(U)s")
        .start();

    for number in 0..20 {
        let response = server.get(&format!("/{number}"));
        assert_eq!(response.text(), "1", "threads after the fork");
    }
    server.stop();

    assert_eq!(server.read("access.log").lines().count(), 20);
}
