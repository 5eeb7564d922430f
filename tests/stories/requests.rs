//! Requests: which are read and how, and which are refused.

use crate::harness::{Running, Server};
use std::collections::BTreeMap;

#[path = "../requests/files.rs"]
pub(super) mod files;

fn echoing() -> Running {
    Server::running("bodies:app")
        .workers(1)
        .setting("keepalive", 60)
        .start()
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
    for (settings, cases) in by_settings("invalid") {
        let server = with_settings("bodies:app", &settings);
        for case in cases {
            let (_, status) = case
                .expected
                .iter()
                .find(|(key, _)| key == "status")
                .unwrap();
            println!("{}", case.path.display());
            assert_refused(&server, &case.bytes, status.parse().unwrap());
        }
        // Within the limits of all.
        let small = "GET /echo/read HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(server.request(small).status, 200);
        assert_eq!(server.log_count("Traceback"), 0);
    }
}

/// The cases of a folder, those together that have the same settings.
pub(super) fn by_settings(folder: &str) -> BTreeMap<Vec<String>, Vec<files::Case>> {
    let mut cases: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for case in files::cases(folder) {
        cases.entry(case.settings.clone()).or_default().push(case);
    }
    cases
}

pub(super) fn with_settings(app: &str, settings: &[String]) -> Running {
    let server = Server::running(app).workers(1);
    let set = |server: Server, setting: &String| {
        let (name, value) = files::assignment(setting);
        let value: toml::Value = value.parse().unwrap();
        server.setting(name, value)
    };
    settings.iter().fold(server, set).start()
}

#[test]
fn every_well_formed_request_is_answered() {
    for (settings, cases) in by_settings("valid") {
        let server = with_settings("environment:app", &settings);
        for case in cases {
            println!("{}", case.path.display());
            let environ = server.request(&case.bytes).json();
            for (key, value) in &case.expected {
                match &**key {
                    "method" => assert_eq!(environ["REQUEST_METHOD"], **value),
                    "version" => assert_eq!(environ["SERVER_PROTOCOL"], **value),
                    "field" => assert_field(&environ, value),
                    _ => {}
                }
            }
        }
    }
}

/// The environ has a field of a case, among others of this name.
fn assert_field(environ: &serde_json::Value, field: &str) {
    let (name, value) = field.split_once('=').unwrap();
    let key = format!("HTTP_{}", name.to_uppercase().replace('-', "_"));
    if let Some(found) = environ.get(&key).filter(|_| !value.contains('\\')) {
        let found = found.as_str().unwrap();
        assert!(
            found.split(',').any(|part| part == value) || found.contains(value),
            "{key}: {found}"
        );
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

/// Each limit, in a file and as a flag: one request that is just within it, and one that is
/// not, with the status that says so.
#[test]
fn each_limit_has_its_status_wherever_it_is_set() {
    let request =
        |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let post = |length: usize| {
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}",
            "x".repeat(length)
        )
    };
    let rows = [
        (
            "limit_request_line",
            30,
            request(&format!("/{}", "x".repeat(16)), ""),
            request(&format!("/{}", "x".repeat(17)), ""),
            414,
        ),
        (
            "limit_request_fields",
            3,
            request("/", "X: y\r\nX: y\r\n"),
            request("/", "X: y\r\nX: y\r\nX: y\r\n"),
            431,
        ),
        (
            "limit_request_field_size",
            20,
            request("/", "X: 456789012345678\r\n"),
            request("/", "X: 4567890123456789\r\n"),
            431,
        ),
        ("limit_request_body", 20, post(20), post(21), 413),
    ];

    for (setting, limit, within, beyond, status) in rows {
        let flag = format!("--{}", setting.replace('_', "-"));
        for server in [
            Server::running("hello:app").setting(setting, limit),
            Server::running("hello:app")
                .argument(&flag)
                .argument(&limit.to_string()),
        ] {
            let server = server.workers(1).start();
            println!("{setting}");
            assert_eq!(server.request(&within).status, 200, "{setting}");
            assert_refused(&server, &beyond, status);
        }
    }
}

#[test]
fn what_the_server_cannot_do_has_a_status_of_its_own() {
    let server = echoing();

    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n", 417),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
        ),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ] {
        assert_refused(&server, request, status);
    }
}

/// Each with as much as fits below the bound that there always is.
#[test]
fn a_limit_of_zero_is_none() {
    let server = Server::running("environment:app")
        .workers(1)
        .setting("limit_request_line", 0)
        .setting("limit_request_fields", 0)
        .setting("limit_request_field_size", 0)
        .setting("limit_request_body", 0)
        .start();
    let answered = |request: String| server.request(request).json();

    let long = answered(format!(
        "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
        "x".repeat(1_000_000)
    ));
    assert_eq!(long["PATH_INFO"].as_str().map(str::len), Some(1_000_001));
    let large = answered(format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "y".repeat(1_000_000)
    ));
    assert_eq!(large["HTTP_X"].as_str().map(str::len), Some(1_000_000));
    let many = answered(format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(32_000)
    ));
    assert_eq!(many["HTTP_X"].as_str().map(str::len), Some(2 * 32_000 - 1));

    assert_refused(&server, format!("GET /{}", "x".repeat(1_100_000)), 414);
    assert_refused(
        &server,
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(1_100_000)),
        431,
    );
    assert_refused(
        &server,
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "X: y\r\n".repeat(33_000)),
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
