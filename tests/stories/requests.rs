//! Requests: which are read and how, and which are refused.

use crate::harness::{Running, Server};

#[path = "../requests/files.rs"]
mod files;

fn echoing() -> Running {
    Server::running("bodies:app").workers(1).start()
}

/// Sends bytes, expects this status and the end of the connection, and a
/// server that still answers.
#[track_caller]
fn assert_refused(server: &Running, bytes: impl AsRef<[u8]>, status: u16) {
    let shown = String::from_utf8_lossy(bytes.as_ref())
        .chars()
        .take(120)
        .collect::<String>();
    let mut connection = server.connect();
    // The server may refuse, and close, before it has read everything.
    let _ = connection.try_send(bytes);

    let response = connection
        .try_receive()
        .unwrap_or_else(|broken| panic!("{shown:?}: {broken}"));

    assert_eq!(response.status, status, "{shown:?}: {response:?}");
    assert!(response.says_close(), "{shown:?}: {response:?}");
    assert!(
        matches!(connection.rest(), Ok(rest) if rest.is_empty()),
        "{shown:?}: something came after the refusal"
    );
}

#[test]
fn the_body_can_be_read_in_every_way() {
    let server = echoing();
    let body = b"one\ntwo\n\nfour is a longer line than ten bytes\nfive";

    for way in [
        "read",
        "read-minus-one",
        "read-some",
        "readline",
        "readline-some",
        "readlines",
        "readlines-hint",
        "iterate",
        "mixed",
        "twice",
    ] {
        assert_eq!(
            server.post(&format!("/echo/{way}"), body).text(),
            String::from_utf8_lossy(body),
            "{way}"
        );
        assert_eq!(
            server.get(&format!("/echo/{way}")).text(),
            "",
            "{way} without a body"
        );
    }
}

#[test]
fn lines_of_a_body_end_where_a_file_would_end_them() {
    let server = echoing();

    for way in ["readline", "readlines", "iterate"] {
        let lines = server
            .post(&format!("/pieces/{way}"), b"one\r\ntwo\n\nno newline")
            .json();
        assert_eq!(
            lines,
            serde_json::json!(["one\r\n", "two\n", "\n", "no newline"]),
            "{way}"
        );
    }
}

#[test]
fn a_chunked_body_is_decoded() {
    let server = echoing();
    let mut connection = server.connect();

    let response = connection
        .send(
            "POST /echo/read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
             4\r\nWiki\r\nB;name=value\r\npedia in \r\n\r\n7\r\nchunks.\r\n0\r\nX-Trailer: yes\r\n\r\n",
        )
        .receive();

    assert_eq!(response.text(), "Wikipedia in \r\nchunks.");
    assert_eq!(connection.get("/echo/read").status, 200);
}

#[test]
fn a_request_may_arrive_byte_by_byte() {
    let server = echoing();
    let mut connection = server.connect();

    let bytes = b"POST /echo/read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for byte in bytes {
        connection.send([*byte]);
    }

    assert_eq!(connection.receive().text(), "hello");
}

#[test]
fn a_body_the_app_does_not_read_is_not_taken_for_the_next_request() {
    let server = echoing();
    let mut connection = server.connect();

    let first = connection
        .send("POST /echo/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\nGET /echo/nothing HTTP/1.1\r\nHost: evil\r\n\r\n")
        .receive();

    assert_eq!(first.text(), "");
    assert_eq!(connection.get("/echo/nothing").status, 200);
    assert!(connection.is_open_and_quiet());
}

#[test]
fn a_client_that_expects_100_continue_gets_it() {
    let server = echoing();
    let mut connection = server.connect();
    connection.send(
        "POST /echo/read HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );

    let interim = connection.read_head().unwrap();
    let response = connection.send("hello").receive();

    assert_eq!(interim.status, 100);
    assert_eq!(response.text(), "hello");
}

#[test]
fn a_client_may_send_its_body_without_waiting_for_100_continue() {
    let server = echoing();
    let mut connection = server.connect();

    let response = connection
        .send("POST /echo/read HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
        .receive();

    assert_eq!(response.text(), "hello");
    assert_eq!(connection.get("/echo/read").status, 200);
}

#[test]
fn every_malformed_request_is_refused_as_its_file_says() {
    let server = echoing();

    for case in files::cases("invalid") {
        let (_, status) = case
            .expected
            .iter()
            .find(|(key, _)| key == "status")
            .unwrap();
        println!("{}", case.path.display());
        assert_refused(&server, &case.bytes, status.parse().unwrap());
    }

    assert_eq!(server.get("/echo/read").status, 200);
    assert_eq!(server.log_count("Traceback"), 0);
}

#[test]
fn every_well_formed_request_is_answered() {
    let server = Server::running("environment:app").workers(1).start();

    for case in files::cases("valid") {
        println!("{}", case.path.display());
        assert_eq!(server.request(&case.bytes).status, 200);
    }
}

#[test]
fn a_request_line_that_is_too_long_is_refused() {
    let server = echoing();

    assert_refused(
        &server,
        format!(
            "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "x".repeat(5000)
        ),
        414,
    );
    // Even if it never ends.
    assert_refused(&server, format!("GET /{}", "x".repeat(200_000)), 414);
}

#[test]
fn too_many_or_too_large_header_fields_are_refused() {
    let server = echoing();

    let many = "X-Many: y\r\n".repeat(101);
    assert_refused(
        &server,
        format!("GET /echo/read HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
        431,
    );
    let large = format!("X-Large: {}\r\n", "y".repeat(9000));
    assert_refused(
        &server,
        format!("GET /echo/read HTTP/1.1\r\nHost: localhost\r\n{large}\r\n"),
        431,
    );
    // Even if they never end.
    assert_refused(
        &server,
        format!(
            "GET /echo/read HTTP/1.1\r\nHost: localhost\r\nX: {}",
            "y".repeat(500_000)
        ),
        431,
    );
    assert_refused(
        &server,
        format!(
            "GET /echo/read HTTP/1.1\r\nHost: a\r\n{}",
            "X: y\r\n".repeat(50_000)
        ),
        431,
    );
}

#[test]
fn the_limits_can_be_set() {
    let server = Server::running("hello:app")
        .setting("limit_request_line", 100)
        .setting("limit_request_fields", 2)
        .setting("limit_request_field_size", 50)
        .start();

    assert_eq!(
        server
            .request("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n")
            .status,
        200
    );
    assert_refused(
        &server,
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100)),
        414,
    );
    assert_refused(
        &server,
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nZ: y\r\n\r\n",
        431,
    );
    assert_refused(
        &server,
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(60)),
        431,
    );
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let server = Server::running("bodies:app")
        .setting("limit_request_body", 1000)
        .start();

    assert_eq!(server.post("/echo/read", &[b'x'; 1000]).body.len(), 1000);
    assert_refused(
        &server,
        "POST /echo/read HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n",
        413,
    );
    assert_refused(
        &server,
        format!(
            "POST /echo/read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{}",
            "x".repeat(1001)
        ),
        413,
    );
    server.wait_for_log("with 413 Content Too Large: the body is larger than limit_request_body");
}

#[test]
fn a_refused_head_request_gets_no_body() {
    let server = Server::running("hello:app")
        .setting("client_timeout", 2)
        .start();

    for (bytes, status) in [
        ("HEAD / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (
            "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000000\r\n\r\n",
            413,
        ),
        ("HEAD / HTTP/2.0\r\n", 505),
        // Never completed.
        ("HEAD / HTTP/1.1\r\nHost: a\r\n", 408),
    ] {
        let mut connection = server.connect();
        connection.send(bytes);

        let response = connection.receive_head();

        assert_eq!(response.status, status, "{bytes:?}: {response:?}");
        assert!(response.says_close(), "{bytes:?}: {response:?}");
        assert!(response.header("Content-Length").is_some(), "{response:?}");
        assert_eq!(connection.rest(), Ok(Vec::new()), "{bytes:?}");
    }
}

#[test]
fn a_refused_request_logs_no_traceback() {
    let server = echoing();

    assert_refused(&server, "GET\r\n\r\n", 400);

    assert_eq!(server.log_count("Traceback"), 0);
}
