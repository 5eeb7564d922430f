//! Every test application once more, under wsgiref's validator: it raises
//! where the server breaks PEP 3333.

use crate::harness::Server;

/// Serves `app` under the validator, sends the requests, and expects neither
/// an error of the validator's nor another status than 200.
fn assert_valid(app: &str, requests: &[(&str, &[u8])]) {
    let server = Server::running(&format!("checked:wrapped(\"{app}\")")).start();

    for (target, body) in requests {
        let response = if body.is_empty() {
            server.get(target)
        } else {
            server.post(target, body)
        };
        assert!(
            (200..400).contains(&response.status),
            "{target}: {response:?}"
        );
    }

    assert_says_nothing(&server.stderr());
}

fn assert_says_nothing(log: &str) {
    for word in ["AssertionError", "WSGIWarning", "without being closed"] {
        assert!(!log.contains(word), "the validator says {word}");
    }
}

#[test]
fn hello() {
    assert_valid("hello:app", &[("/", b""), ("/", b"body")]);
}

#[test]
fn environment() {
    assert_valid(
        "environment:app",
        &[("/", b""), ("/a%20b?c=d", b""), ("/", b"body")],
    );
}

#[test]
fn bodies() {
    // The validator does not let an application read without saying how much.
    let ways = [
        "read-minus-one",
        "read-some",
        "readline-some",
        "readlines",
        "readlines-hint",
        "iterate",
        "nothing",
    ];
    let targets: Vec<String> = ways.iter().map(|way| format!("/echo/{way}")).collect();
    let requests: Vec<(&str, &[u8])> = targets
        .iter()
        .map(|target| (target.as_str(), b"one\ntwo\nthree" as &[u8]))
        .collect();

    assert_valid("bodies:app", &requests);
}

#[test]
fn answers() {
    let forms = [
        "list",
        "tuple",
        "generator",
        "late-start",
        "write",
        "write-only",
        "nothing",
        "empty-pieces",
        "no-content",
        "not-modified",
        "two-cookies",
        "close",
        "close-that-raises",
        "big",
        "big-pieces",
        "file",
        "file-without-length",
        "file-from-the-middle",
        "part-of-a-file",
        "file-in-memory",
        "unwrapped-file",
        "too-much",
    ];
    let targets: Vec<String> = forms.iter().map(|form| format!("/{form}")).collect();
    let requests: Vec<(&str, &[u8])> = targets
        .iter()
        .map(|target| (target.as_str(), b"" as &[u8]))
        .collect();

    assert_valid("answers:app", &requests);
}

#[test]
fn answers_that_fail() {
    let server = Server::running("checked:wrapped(\"answers:app\")")
        .workers(1)
        .start();

    for path in ["/error", "/error-after-start"] {
        assert_eq!(server.get(path).status, 500, "{path}");
    }
    assert_eq!(server.get("/recovery").reason, "Found Out In Time");
    for path in ["/error-midway", "/recovery-too-late"] {
        server
            .connect()
            .send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .try_receive()
            .unwrap_err();
    }

    server.wait_for_log("found out too late");
    assert_says_nothing(&server.stderr());
}

#[test]
fn head() {
    let server = Server::running("checked:wrapped(\"answers:app\")").start();

    for path in ["/list", "/generator", "/file"] {
        server
            .connect()
            .send(format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .receive_head();
    }

    assert_says_nothing(&server.stderr());
}

#[test]
fn slow() {
    assert_valid("slow:app", &[("/sleep/0.1", b"")]);
}

#[test]
fn state() {
    assert_valid("state:app", &[("/", b"")]);
}

#[test]
fn factory() {
    assert_valid("factory:instance", &[("/", b"")]);
}

#[test]
fn logs() {
    assert_valid(
        "logs:app",
        &[
            ("/print", b""),
            ("/errors", b""),
            ("/logging", b""),
            ("/thread", b""),
        ],
    );
}

#[test]
fn children() {
    assert_valid("children:app", &[("/", b"")]);
}

#[test]
fn forking() {
    assert_valid(
        "forking:app",
        &[
            ("/", b""),
            ("/thread", b""),
            ("/raw-and-return-in-a-body", b""),
        ],
    );
}

#[test]
fn files() {
    let kinds = [
        "decrypting",
        "limited",
        "subclass",
        "named-temporary",
        "pipe",
        "unbuffered",
        "at-its-end",
        "a-path?path=/proc/version",
        "shorter-length",
        "keywords",
    ];
    let targets: Vec<String> = kinds.iter().map(|kind| format!("/{kind}")).collect();
    let requests: Vec<(&str, &[u8])> = targets
        .iter()
        .map(|target| (target.as_str(), b"" as &[u8]))
        .collect();

    assert_valid("files:app", &requests);
}
