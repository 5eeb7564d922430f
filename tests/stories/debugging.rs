//! Switches for finding mistakes: `spew` and `sendfile`.

use crate::harness::Server;

const APP: &str = "
from hello import app as hello
def inner():
    answer = 'the answer'
    return answer
def app(environ, start_response):
    inner()
    return hello(environ, start_response)
";

#[test]
fn spew_logs_the_lines_that_are_executed() {
    for threads in [1, 4] {
        let server = Server::running("shop:app")
            .file("shop.py", APP)
            .setting("spew", true)
            .setting("threads", threads)
            .start();
        server.wait_for_log("shop:2: from hello import app as hello");
        assert_eq!(server.log_count("answer = 'the answer'"), 0);

        assert_eq!(server.get("/").status, 200);

        server.wait_for_log("shop:4: answer = 'the answer'");
    }
}

const FILES: &str = "
def app(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return environ['wsgi.file_wrapper'](open('shop.py', 'rb'))
";

#[test]
fn without_sendfile_files_are_read_block_by_block() {
    let server = || Server::running("shop:app").file("shop.py", FILES);
    // Only the kernel knows how long a file is before it is read.
    let is_read = |server: &crate::harness::Running| {
        let response = server.get("/");
        assert_eq!(response.text(), FILES);
        response.header("Transfer-Encoding") == Some("chunked")
    };

    let sends = server().start();
    assert!(!is_read(&sends));
    sends.set("sendfile", false);
    sends.reload();
    assert!(is_read(&sends));
    assert!(is_read(&server().env("SENDFILE", "no").start()));
    assert!(!is_read(&server().env("SENDFILE", "yes").start()));
    assert!(is_read(&server().argument("--no-sendfile").start()));
}
