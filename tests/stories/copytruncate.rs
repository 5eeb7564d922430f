//! Log files that logrotate copies and then truncates, as `copytruncate` has it: nobody tells the
//! server.

use crate::harness::{Connection, Running, Server};
use std::fs::{self, File};

/// Prints a line for each request.
const APP: &str = "\
def app(environ, start_response):
    print('printed', environ['PATH_INFO'])
    start_response('200 OK', [('Content-Length', '0')])
    return []
";

/// What stands in the file between these two words, line by line.
fn told(text: &str) -> Vec<&str> {
    let lines = text.lines().filter_map(|line| line.split_once("/request/"));
    lines.map(|(_, rest)| rest.trim()).collect()
}

#[track_caller]
fn wait_for_line(server: &Running, name: &str, number: usize) {
    server.wait_until("the line is written", || {
        told(&server.read(name)).contains(&&*number.to_string())
    });
}

#[test]
fn logs_that_are_copied_and_truncated_go_on_at_their_beginning() {
    const LOGS: [&str; 2] = ["access.log", "error.log"];
    let server = Server::running("printing:app")
        .file("printing.py", APP)
        .setting("accesslog", "access.log")
        .setting("access_log_format", "%(U)s")
        .setting("errorlog", "error.log")
        .setting("capture_output", true)
        .setting("keepalive", 60)
        .start();
    let mut connection = Connection::open(&server.address()).unwrap();

    for rotation in 0..3 {
        for number in 0..20 {
            assert_eq!(connection.get(&format!("/request/{number}")).status, 200);
        }
        for name in LOGS {
            wait_for_line(&server, name, 19);
            let text = server.read(name);

            let expected: Vec<_> = (0..20).map(|number: usize| number.to_string()).collect();
            assert_eq!(told(&text), expected, "{name} after {rotation} rotations");
            assert!(!text.contains('\0'), "{name} has a hole: {text:?}");

            let log = server.folder().join(name);
            fs::copy(&log, log.with_extension("1")).unwrap();
            File::options()
                .write(true)
                .open(&log)
                .unwrap()
                .set_len(0)
                .unwrap();
        }
    }
    assert_eq!(server.stop(), 0);
    assert!(server.read("error.log").starts_with('['));
}
