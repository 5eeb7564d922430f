//! The error log in a file: the server's own records, with `capture_output` what the
//! application prints, whatever happens to the file.

use crate::harness::rotation::rotate_under_load;
use crate::harness::{Running, Server};
use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::io::Read;
use std::process::Command;
use std::thread;

/// An application with an error log in its folder.
fn logging(app: &str) -> Server {
    Server::running(app).setting("errorlog", "error.log")
}

fn wait_for(server: &Running, text: &str) {
    server.wait_until(&format!("the file has {text:?}"), || {
        server.folder().join("error.log").exists() && server.read("error.log").contains(text)
    });
}

/// The line of the file with `text`, without its time: `[PID] [LEVEL] MESSAGE`.
fn line_with(log: &str, text: &str) -> String {
    let line = log.lines().find(|line| line.contains(text));
    let line = line.unwrap_or_else(|| panic!("no {text:?} in {log}"));
    let (time, rest) = line.split_once("] ").unwrap();
    assert_eq!(time.len(), "[2026-11-21 10:00:00 +0000".len(), "{line}");
    rest.to_owned()
}

#[test]
fn the_records_of_the_server_are_in_the_file_and_what_the_application_prints_is_not() {
    for flag in ["--error-logfile", "--log-file"] {
        let server = Server::running("logs:app")
            .argument(flag)
            .argument("error.log")
            .start();

        server.get("/print");
        server.get("/traceback");
        server.wait_for_log("printed by the app");
        wait_for(&server, "KeyError: 'the traceback of a request'");
        server.stop();

        let log = server.read("error.log");
        let pid = server.pid();
        assert_eq!(
            line_with(&log, "Stopped"),
            format!("[{pid}] [INFO] Stopped")
        );
        assert!(line_with(&log, "Error handling request").contains("[ERROR] "));
        assert!(log.contains("Ready "), "{log}");
        assert!(!log.contains("printed by the app"), "{log}");
        assert_eq!(server.stderr(), "printed by the app\n");
    }
}

#[test]
fn with_capture_output_the_file_has_what_the_application_prints() {
    for threads in [1, 2] {
        let server = logging("logs:app")
            .setting("capture_output", true)
            .setting("threads", threads)
            .workers(1)
            .start();
        let worker = *server.wait_for_workers(1).first().unwrap();

        for path in ["/print", "/logging", "/errors", "/descriptor", "/thread"] {
            server.get(path);
        }
        wait_for(&server, "ZeroDivisionError");
        server.stop();

        let log = server.read("error.log");
        for (text, level) in [
            ("printed by the app", "INFO"),
            ("WARNING:shop.orders:logged by the app", "INFO"),
            ("first of two lines", "INFO"),
            ("written to descriptor 2 by the app", "INFO"),
            ("Exception in thread", "ERROR"),
        ] {
            let begin = format!("[{worker}] [{level}] ");
            let line = line_with(&log, text);
            assert!(line.starts_with(&begin), "{line}");
        }
        // Marks are for the journal.
        assert!(!log.contains('\u{1}'), "{log}");
        assert_eq!(server.stderr(), "");
    }
}

#[test]
fn a_file_that_cannot_be_made_is_refused_with_the_remedy() {
    for (value, said) in [
        ("missing/error.log", "create its directory"),
        ("/proc/error.log", "cannot write \"/proc/error.log\""),
        (".", "is a directory"),
    ] {
        let server = logging("hello:app").setting("errorlog", value).launch();

        assert_ne!(server.wait_for_exit(), 0);

        let log = server.stderr().to_lowercase();
        assert!(log.contains("errorlog") && log.contains(said), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
    }
}

#[test]
fn whoever_starts_it_in_a_terminal_is_told_where_the_reason_is() {
    let server = logging("missing:app").launch();

    assert_eq!(server.wait_for_exit(), 3);

    let path = server.folder().join("error.log");
    let told = format!("rgunicorn: exit status 3; see {}\n", path.display());
    assert_eq!(server.stderr(), told);
    let log = server.read("error.log");
    assert!(log.contains("No module named 'missing'"), "{log}");
}

#[test]
fn a_start_that_is_refused_is_in_the_file_and_in_the_terminal() {
    let server = logging("hello:app")
        .setting("pidfile", "missing/shop.pid")
        .launch();

    assert_ne!(server.wait_for_exit(), 0);

    let reason = server.stderr();
    assert!(reason.contains("pidfile"), "{reason}");
    assert!(server.read("error.log").contains("pidfile"));
}

#[test]
fn a_renamed_file_is_opened_anew_on_usr1_and_by_a_reload() {
    let server = logging("hello:app").start();
    let path = |name: &str| server.folder().join(name);
    wait_for(&server, "Ready ");
    for (number, by_signal) in [true, false].into_iter().enumerate() {
        let old = format!("error.log.{number}");
        fs::rename(path("error.log"), path(&old)).unwrap();

        if by_signal {
            server.signal(Signal::SIGUSR1);
        } else {
            server.reload();
        }

        server.wait_until("the file is there again", || path("error.log").exists());
    }
    server.stop();

    assert!(server.read("error.log.0").contains("Ready "));
    wait_for(&server, "Stopped");
}

#[test]
fn a_reload_can_change_the_file() {
    let server = logging("logs:app").start();
    server.set("errorlog", "other.log");
    server.set("capture_output", true);

    server.reload();
    server.get("/print");
    server.wait_until("the new file has what is printed", || {
        server.read("other.log").contains("printed by the app")
    });
    server.set("errorlog", "-");
    server.reload();
    server.stop();

    assert!(server.stderr().contains("Stopped"));
    assert!(!server.read("error.log").contains("Stopped"));
    assert!(!server.read("other.log").contains("Stopped"));
}

#[test]
fn no_line_and_no_request_is_lost_while_the_file_is_rotated_under_load() {
    let app = "\
def app(environ, start_response):
    print('printed', environ['PATH_INFO'])
    start_response('200 OK', [('Content-Length', '0')])
    return []
";
    let server = logging("printing:app")
        .file("printing.py", app)
        .setting("capture_output", true)
        .setting("keepalive", 60)
        .workers(2)
        .start();

    let rotated = rotate_under_load(&server, "error.log", 200);

    let lines = rotated.text.lines();
    let lines = lines.filter_map(|line| line.split_once("] printed "));
    let mut printed: Vec<_> = lines.map(|(_, path)| path).collect();
    printed.sort_unstable();
    let count = rotated.paths.len();
    assert_eq!(printed.len(), count, "after {} rotations", rotated.count);
    assert!(printed == rotated.paths);
}

#[test]
fn a_deleted_file_is_made_again() {
    let server = logging("logs:app").start();
    fs::remove_file(server.folder().join("error.log")).unwrap();

    server.get("/traceback");

    wait_for(&server, "Error handling request");
}

#[test]
fn a_file_that_cannot_be_opened_anew_is_kept_and_the_log_says_why() {
    let server = logging("hello:app").setting("errorlog", "logs/error.log");
    fs::create_dir(server.path("logs")).unwrap();
    let server = server.start();
    fs::rename(server.folder().join("logs"), server.folder().join("gone")).unwrap();

    server.signal(Signal::SIGUSR1);

    let kept = || server.read("gone/error.log");
    server.wait_until("the reason is in the file", || {
        kept().contains("Cannot open the error log") && kept().contains("go on with the old file")
    });
    server.stop();
    assert!(kept().contains("Stopped"));
}

#[test]
fn a_full_disk_costs_no_request_and_its_records_are_in_the_terminal() {
    let server = logging("logs:app")
        .setting("errorlog", "/dev/full")
        .setting("capture_output", true)
        .start();

    for _ in 0..3 {
        assert_eq!(server.get("/print").status, 200);
    }
    server.wait_for_log_count("printed by the app", 3);
    let said = "Cannot write the error log /dev/full, its records are here meanwhile: No space";
    server.wait_for_log_count(said, 1);
    server.set("errorlog", "error.log");
    server.reload();
    server.stop();

    let log = server.read("error.log");
    assert!(log.contains("not in this file, which took none"), "{log}");
    assert!(log.contains("Stopped"), "{log}");
}

#[test]
fn a_reader_that_stops_ends_nothing_and_costs_no_request() {
    let server = logging("logs:app")
        .setting("capture_output", true)
        .workers(1);
    let path = server.path("error.log");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let server = server.start();

    // More than waits in the FIFO and in the master.
    for _ in 0..10 {
        assert_eq!(server.get("/flood").status, 200);
    }
    let mut reader = File::options().read(true).open(&path).unwrap();
    let reading = thread::spawn(move || {
        let mut text = Vec::new();
        let _ = reader.read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    });
    assert_eq!(server.get("/print").status, 200);
    assert_eq!(server.stop(), 0);

    let text = reading.join().unwrap();
    assert!(
        text.contains("log records were dropped because the file"),
        "{text}"
    );
    assert!(text.contains("Stopped"), "{text}");
}
