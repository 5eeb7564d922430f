//! What an application is called with: PEP 3333's environ, and the CGI
//! variables in it.

use crate::harness::{Server, client::Address};
use serde_json::json;

#[test]
fn the_environ_has_every_key_that_pep_3333_demands() {
    let server = Server::running("environment:app").workers(2).start();

    let environ = server.get("/").json();

    assert_eq!(environ["the type of the environ"], "dict");
    assert_eq!(environ["values that are no latin-1 text"], json!([]));
    assert_eq!(environ["wsgi.version"], json!([1, 0]));
    assert_eq!(environ["wsgi.url_scheme"], "http");
    assert_eq!(environ["wsgi.multithread"], false);
    assert_eq!(environ["wsgi.multiprocess"], true);
    assert_eq!(environ["wsgi.run_once"], false);
    assert_eq!(environ["wsgi.input_terminated"], true);
    for key in ["wsgi.input", "wsgi.errors", "wsgi.file_wrapper"] {
        assert!(environ[key].is_string(), "{key} is missing");
    }
}

#[test]
fn a_single_worker_is_not_multiprocess() {
    let server = Server::running("environment:app").workers(1).start();

    assert_eq!(server.get("/").json()["wsgi.multiprocess"], false);
}

#[test]
fn the_request_line_is_in_the_environ() {
    let server = Server::running("environment:app").start();

    let environ = server.get("/caf%C3%A9/a%20b%2Fc;d?x=1&y=%20&z").json();

    assert_eq!(environ["REQUEST_METHOD"], "GET");
    assert_eq!(environ["SCRIPT_NAME"], "");
    assert_eq!(environ["PATH_INFO"], "/caf\u{c3}\u{a9}/a b/c;d");
    assert_eq!(environ["QUERY_STRING"], "x=1&y=%20&z");
    assert_eq!(environ["RAW_URI"], "/caf%C3%A9/a%20b%2Fc;d?x=1&y=%20&z");
    assert_eq!(environ["SERVER_PROTOCOL"], "HTTP/1.1");
    assert!(
        environ["SERVER_SOFTWARE"]
            .as_str()
            .unwrap()
            .to_lowercase()
            .contains("rgunicorn")
    );
}

#[test]
fn an_empty_query_is_an_empty_string() {
    let server = Server::running("environment:app").start();

    assert_eq!(server.get("/").json()["QUERY_STRING"], "");
    assert_eq!(server.get("/?").json()["QUERY_STRING"], "");
}

#[test]
fn both_ends_of_a_tcp_connection_are_in_the_environ() {
    let server = Server::running("environment:app").start();
    let Address::Tcp(address) = server.address() else {
        unreachable!()
    };

    let environ = server.get("/").json();

    assert_eq!(environ["SERVER_NAME"], "127.0.0.1");
    assert_eq!(environ["SERVER_PORT"], address.port().to_string());
    assert_eq!(environ["REMOTE_ADDR"], "127.0.0.1");
    assert!(
        environ["REMOTE_PORT"]
            .as_str()
            .unwrap()
            .parse::<u16>()
            .unwrap()
            > 0
    );
}

#[test]
fn behind_a_unix_socket_the_host_header_names_the_server() {
    let server = Server::running("environment:app")
        .on_a_unix_socket()
        .start();

    let environ = server
        .request("GET / HTTP/1.1\r\nHost: shop.example:8443\r\n\r\n")
        .json();

    assert_eq!(environ["SERVER_NAME"], "shop.example");
    assert_eq!(environ["SERVER_PORT"], "8443");
    assert_eq!(environ["REMOTE_ADDR"], "");
}

#[test]
fn headers_arrive_under_their_cgi_names() {
    let server = Server::running("environment:app").start();

    let environ = server
        .request(
            "POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-type: text/csv; header=absent\r\ncontent-length: 3\r\n\
             x-one:   spaces around  \r\nX-Twice: a\r\nx-twice: b\r\nX-Empty:\r\nX-Latin: caf\u{e9}\r\n\
             Cookie: a=1\r\nAuthorization: Basic dTpw\r\n\r\nabc",
        )
        .json();

    assert_eq!(environ["HTTP_HOST"], "shop.example");
    assert_eq!(environ["CONTENT_TYPE"], "text/csv; header=absent");
    assert_eq!(environ["CONTENT_LENGTH"], "3");
    assert_eq!(environ.get("HTTP_CONTENT_TYPE"), None);
    assert_eq!(environ.get("HTTP_CONTENT_LENGTH"), None);
    assert_eq!(environ["HTTP_X_ONE"], "spaces around");
    assert_eq!(
        environ["HTTP_X_TWICE"].as_str().unwrap().replace(' ', ""),
        "a,b"
    );
    assert_eq!(environ["HTTP_X_EMPTY"], "");
    // Sent as UTF-8, shown as the latin-1 text of its bytes.
    assert_eq!(environ["HTTP_X_LATIN"], "caf\u{c3}\u{a9}");
    assert_eq!(environ["HTTP_COOKIE"], "a=1");
    assert_eq!(environ["HTTP_AUTHORIZATION"], "Basic dTpw");
}

#[test]
fn cookies_in_several_fields_are_one_list_of_cookies() {
    let server = Server::running("environment:app").start();

    let environ = server
        .request(
            "GET / HTTP/1.1\r\nHost: localhost\r\nCookie: a=1\r\ncookie: b=2; c=3\r\n\
             X-Other: a\r\nCOOKIE: d=4\r\nX-Other: b\r\n\r\n",
        )
        .json();

    assert_eq!(environ["HTTP_COOKIE"], "a=1; b=2; c=3; d=4");
    assert_eq!(environ["HTTP_X_OTHER"], "a,b");
}

#[test]
fn the_body_is_read_with_arguments_by_name() {
    let server = Server::running("shop:app")
        .file(
            "shop.py",
            "def app(environ, start_response):\n    body = environ['wsgi.input']\n    \
             parts = [body.read(size=2), body.readline(size=3), *body.readlines(hint=1), body.read(size=-1)]\n    \
             start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
             return [b'|'.join(parts)]\n",
        )
        .start();

    assert_eq!(server.post("/", b"aabbbc\nd\ne").text(), "aa|bbb|c\n|d\ne");
}

#[test]
fn a_header_with_an_underscore_cannot_pose_as_one_with_a_dash() {
    let server = Server::running("environment:app").start();

    let environ = server
        .request("GET / HTTP/1.1\r\nHost: localhost\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real: yes\r\nX_Real: no\r\n\r\n")
        .json();

    assert_eq!(environ.get("HTTP_X_FORWARDED_FOR"), None);
    assert_eq!(environ["HTTP_X_REAL"], "yes");
}

#[test]
fn a_trusted_proxy_says_that_the_scheme_is_https() {
    let server = Server::running("environment:app").start();

    let environ = server
        .request("GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Proto: https\r\n\r\n")
        .json();

    assert_eq!(environ["wsgi.url_scheme"], "https");
}

#[test]
fn forwarding_headers_of_an_untrusted_proxy_are_ignored() {
    let server = Server::running("environment:app")
        .setting("forwarded_allow_ips", "192.0.2.1")
        .start();

    let environ = server
        .request("GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Proto: https\r\n\r\n")
        .json();

    assert_eq!(environ["wsgi.url_scheme"], "http");
}

#[test]
fn one_request_leaves_nothing_behind_in_the_next_ones_environ() {
    let server = Server::running("environment:app")
        .workers(1)
        .setting("keepalive", 60)
        .start();
    let mut connection = server.connect();

    let first = connection
        .send("POST /first?a=b HTTP/1.1\r\nHost: localhost\r\nX-Only-Once: yes\r\nContent-Length: 1\r\n\r\nx")
        .receive()
        .json();
    let second = connection.get("/second").json();

    assert_eq!(first["HTTP_X_ONLY_ONCE"], "yes");
    assert_eq!(second.get("HTTP_X_ONLY_ONCE"), None);
    assert_eq!(second["QUERY_STRING"], "");
    assert!(
        second
            .get("CONTENT_LENGTH")
            .is_none_or(|length| length == "" || length == "0")
    );
}

/// The server keeps strings that come again.
#[test]
fn each_request_has_its_own_values_of_the_same_fields() {
    let server = Server::running("environment:app")
        .workers(1)
        .setting("keepalive", 60)
        .start();
    let mut connection = server.connect();
    let long = "x".repeat(5000);

    for value in [
        "one",
        "one",
        "two",
        "",
        "one",
        &long,
        &long,
        "caf\u{e9}",
        "two",
    ] {
        let environ = connection
            .send(format!(
                "GET / HTTP/1.1\r\nHost: localhost\r\nX-One: {value}\r\nX-Other: two\r\n\r\n"
            ))
            .receive()
            .json();

        let latin_1: String = value.bytes().map(char::from).collect();
        assert_eq!(environ["HTTP_X_ONE"], latin_1);
        assert_eq!(environ["HTTP_X_OTHER"], "two");
    }
    for (target, path) in [
        ("/a", "/a"),
        ("/b", "/b"),
        ("/%61", "/a"),
        ("/a?b", "/a"),
        ("http://localhost/a", "/a"),
        ("/caf%C3%A9", "/caf\u{c3}\u{a9}"),
    ] {
        let environ = connection.get(target).json();

        assert_eq!(environ["PATH_INFO"], path, "{target}");
        assert_eq!(environ["RAW_URI"], target);
    }
}

#[test]
fn any_method_is_passed_on() {
    let server = Server::running("environment:app").start();

    for method in [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND",
    ] {
        let environ = server
            .request(format!("{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .json();
        assert_eq!(environ["REQUEST_METHOD"], method);
    }
}

#[test]
fn an_absolute_target_is_taken_apart() {
    let server = Server::running("environment:app").start();

    let environ = server
        .request("GET http://shop.example/a?b=c HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        .json();

    assert_eq!(environ["PATH_INFO"], "/a");
    assert_eq!(environ["QUERY_STRING"], "b=c");
}

/// Answers with a Content-Length of 5; the path says what the body is.
const FIVE: &str = "from answers import Closing, note\n\
    def endless():\n    while True:\n        note('asked')\n        yield b'12'\n\
    def app(environ, start_response):\n    path = environ['PATH_INFO']\n    \
    write = start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '5')])\n    \
    if path == '/short':\n        return [b'123']\n    \
    if path == '/short-pieces':\n        return iter([b'12', b'3'])\n    \
    if path == '/long':\n        return [b'123', b'45678']\n    \
    if path == '/long-write':\n        write(b'1234')\n        write(b'5678')\n        return []\n    \
    if path == '/none':\n        return []\n    \
    if path == '/endless':\n        return Closing(endless())\n    \
    return [b'12345']\n";

#[test]
fn a_body_that_is_not_as_long_as_its_content_length_is_logged_once() {
    for (path, given) in [
        ("/short", "3 bytes"),
        ("/short-pieces", "3 bytes"),
        ("/none", "0 bytes"),
        ("/long", "8 bytes"),
        ("/long-write", "8 bytes"),
    ] {
        let server = Server::running("five:app")
            .workers(1)
            .file("five.py", FIVE)
            .start();

        let mut connection = server.connect();
        connection.send(format!(
            "GET {path}?secret=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ));
        let answer = connection.try_receive();

        assert_eq!(answer.is_ok(), path.starts_with("/long"), "{answer:?}");
        server.wait_for_log(&format!("GET {path}"));
        assert_eq!(server.get("/right").text(), "12345");
        let log = server.stderr();
        let lines: Vec<_> = log
            .lines()
            .filter(|line| line.contains("Content-Length"))
            .collect();
        assert_eq!(lines.len(), 1, "{log}");
        for word in ["[WARNING]", given, "Content-Length is 5"] {
            assert!(lines[0].contains(word), "{word}: {log}");
        }
        assert!(!log.contains("secret"), "{log}");
    }
}

#[test]
fn bodies_of_a_wrong_length_do_not_flood_the_log() {
    let server = Server::running("five:app")
        .workers(1)
        .setting("keepalive", 60)
        .file("five.py", FIVE)
        .start();
    let mut connection = server.connect();

    for _ in 0..200 {
        assert_eq!(connection.get("/long").text(), "12345");
    }

    server.wait_for_log("Content-Length is 5");
    let lines = server.log_count("Content-Length is 5");
    assert!((1..100).contains(&lines), "{lines} lines");
}

#[test]
fn bodies_of_a_wrong_length_that_were_not_logged_are_counted_when_the_worker_leaves() {
    let server = Server::running("five:app")
        .workers(1)
        .setting("keepalive", 60)
        .file("five.py", FIVE)
        .start();
    let mut connection = server.connect();
    for _ in 0..200 {
        connection.get("/long");
    }

    server.stop();

    server.wait_for_log("more responses had a wrong Content-Length");
}

#[test]
fn a_head_request_is_no_body_of_a_wrong_length() {
    let server = Server::running("five:app")
        .workers(1)
        .setting("keepalive", 60)
        .file("five.py", FIVE)
        .start();
    let mut connection = server.connect();

    for path in ["/short", "/long", "/none"] {
        connection.send(format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        connection.receive_head();
    }

    assert_eq!(connection.get("/right").text(), "12345");
    assert_eq!(server.log_count("Content-Length"), 0);
}

#[test]
fn iteration_ends_with_the_content_length_and_the_body_is_closed() {
    for method in ["GET", "HEAD"] {
        let server = Server::running("five:app")
            .workers(1)
            .file("five.py", FIVE)
            .start();
        let mut connection = server.connect();

        connection.send(format!(
            "{method} /endless HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ));

        if method == "GET" {
            assert_eq!(connection.receive().text(), "12121");
        } else {
            connection.receive_head();
        }
        server.wait_until("the body is closed", || {
            server.read("notes").ends_with("closed\n")
        });
        let asked = server.read("notes").matches("asked").count();
        assert!(asked <= 3, "{method}: asked for {asked} pieces");
    }
}
