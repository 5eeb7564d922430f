//! What the names of header fields mean: which say that the client spoke TLS, and which with
//! an underscore reach the application.

use super::requests::{by_settings, files::Case, with_settings};
use crate::harness::{Response, Running, Server};
use serde_json::Value;

/// Nobody is believed who connects over TCP.
fn untrusting() -> Server {
    Server::running("environment:app")
        .workers(1)
        .setting("forwarded_allow_ips", "192.0.2.1")
}

fn trusting() -> Server {
    Server::running("environment:app").workers(1)
}

fn environ(server: &Running, path: &str, fields: &str) -> Value {
    server
        .request(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
        .json()
}

fn status(server: &Running, fields: &str) -> u16 {
    server
        .request(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
        .status
}

#[test]
fn each_name_reaches_the_application_or_not_as_its_file_says() {
    for (settings, cases) in by_settings("header-map") {
        let server = with_settings("environment:app", &settings);
        for case in cases {
            let whole = server.connect().send(&case.bytes).receive();
            let mut connection = server.connect();
            for byte in &case.bytes {
                connection.send([*byte]);
            }
            for response in [whole, connection.receive()] {
                check(&case, &response);
            }
        }
    }
}

fn check(case: &Case, response: &Response) {
    let name = case.path.display();
    let is_refused = case.expected.iter().any(|(key, _)| key == "status");
    let environ = if is_refused {
        Value::Null
    } else {
        response.json()
    };
    for (key, value) in &case.expected {
        match &**key {
            "status" => assert_eq!(response.status.to_string(), *value, "{name}"),
            "absent" => assert_eq!(environ.get(value), None, "{name}"),
            "environ" => {
                let (variable, value) = value.split_once('=').unwrap();
                assert_eq!(environ[variable], *value, "{name}: {variable}");
            }
            other => panic!("{name}: unknown key {other:?}"),
        }
    }
}

#[test]
fn a_refused_name_is_logged_and_the_rule_can_be_a_flag() {
    let server = untrusting().argument("--header-map=refuse").start();

    assert_eq!(status(&server, "X_Real: 6.6.6.6\r\n"), 400);

    server.wait_for_log("Refused a request with 400: a header name has an underscore");
}

#[test]
fn dangerous_settings_are_named_at_the_start_and_when_a_reload_changes_them() {
    let safe = untrusting().start();
    assert_eq!(safe.log_count("Dangerous"), 0);
    let server = untrusting()
        .setting("header_map", "dangerous")
        .argument("--strip-header-spaces")
        .start();
    let both = "Dangerous behind a proxy that reads requests in another way: \
                strip_header_spaces, header_map = \"dangerous\"";
    server.wait_for_log_count(both, 1);

    server.reload();
    assert_eq!(server.log_count("Dangerous"), 1);
    server.set("header_map", "drop");
    server.reload();
    server.wait_for_log("in another way: strip_header_spaces\n");
}

#[test]
fn the_headers_that_tell_about_tls_can_be_chosen() {
    let mut table = toml::Table::new();
    table.insert("X-Scheme".into(), "tls".into());
    let chosen = |server: Server| server.setting("secure_scheme_headers", table.clone());
    let scheme =
        |server: &Running, fields: &str| environ(server, "/", fields)["wsgi.url_scheme"].clone();

    let trusted = chosen(trusting()).start();
    assert_eq!(scheme(&trusted, "X-Scheme: TLS\r\n"), "https");
    assert_eq!(scheme(&trusted, "X-Scheme: plain\r\n"), "http");
    assert_eq!(scheme(&trusted, "X-Forwarded-Proto: https\r\n"), "http");

    let untrusted = chosen(untrusting()).start();
    assert_eq!(scheme(&untrusted, "X-Scheme: tls\r\n"), "http");

    let typed = trusting()
        .argument("--secure-scheme-header=X-Scheme=tls")
        .start();
    assert_eq!(scheme(&typed, "X-Scheme: tls\r\n"), "https");

    let default = trusting().start();
    for field in [
        "X-Forwarded-Proto: https",
        "X-Forwarded-Protocol: ssl",
        "X-Forwarded-Ssl: on",
    ] {
        assert_eq!(
            scheme(&default, &format!("{field}\r\n")),
            "https",
            "{field}"
        );
    }
}

#[test]
fn headers_that_contradict_each_other_about_tls_are_refused() {
    let mut table = toml::Table::new();
    table.insert("X-One".into(), "https".into());
    table.insert("X-Two".into(), "on".into());
    let server = trusting().setting("secure_scheme_headers", table).start();

    assert_eq!(status(&server, "X-One: https\r\nX-Two: on\r\n"), 200);
    assert_eq!(status(&server, "X-One: http\r\nX-Two: off\r\n"), 200);
    assert_eq!(status(&server, "X-One: https\r\nX-Two: off\r\n"), 400);
    assert_eq!(status(&server, "X-One: https\r\nX-One: http\r\n"), 400);
    // Nobody's word counts twice who is not believed at all.
    assert_eq!(
        status(&server, "X-One: https\r\nX-Forwarded-Proto: http\r\n"),
        200
    );
}
