//! `wsgi.early_hints`: what a client can begin with while the application computes.

use crate::harness::{Running, Server};

const APP: &str = r#"
kept = []

def app(environ, start_response):
    path = environ["PATH_INFO"]
    hints = environ["wsgi.early_hints"]
    if path == "/keep":
        kept[:] = [hints]
    elif path == "/late":
        kept[0]([("Link", "</of-another-request>")])
    elif path == "/wrong":
        for wrong in ([("Link", "a\r\nB: c")], [("Link", 5)], [("a b", "c")], 7, ["Link"], [("a", "b", "c")]):
            try:
                hints(wrong)
            except (TypeError, ValueError):
                continue
            raise AssertionError(wrong)
    else:
        hints([("Link", "</a.css>; rel=preload"), (b"Link", b"</b.js>; rel=preload")])
        hints(headers=[["Content-Length", "5"]])
    if path == "/raise":
        raise RuntimeError
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"#;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\n\
    Link: </a.css>; rel=preload\r\n\
    Link: </b.js>; rel=preload\r\n\r\n\
    HTTP/1.1 103 Early Hints\r\n\r\n";

/// All that a client receives.
fn received(server: &Running, path: &str, version: &str) -> String {
    let mut connection = server.connect();
    let request = format!("GET {path} HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n");
    connection.send(request);
    String::from_utf8(connection.rest().unwrap()).unwrap()
}

#[test]
fn hints_reach_the_client_before_the_response() {
    let server = Server::running("hints:app")
        .file("hints.py", APP)
        .workers(1)
        .start();

    let text = received(&server, "/", "1.1");
    let response = text.strip_prefix(HINTS).unwrap_or_else(|| panic!("{text}"));
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    let text = received(&server, "/", "1.0");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    let text = received(&server, "/raise", "1.1");
    let response = text.strip_prefix(HINTS).unwrap_or_else(|| panic!("{text}"));
    assert!(response.starts_with("HTTP/1.1 500 "), "{text}");
}

#[test]
fn wrong_hints_are_errors_and_late_ones_reach_nobody() {
    for threads in [1, 2] {
        let server = Server::running("hints:app")
            .file("hints.py", APP)
            .workers(1)
            .setting("threads", threads)
            .start();

        for path in ["/wrong", "/keep", "/late", "/late"] {
            let text = received(&server, path, "1.1");
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {text}");
        }
    }
}
