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
fn a_lonely_worker_is_no_multiprocess() {
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
fn a_proxy_that_is_not_trusted_says_nothing() {
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
    let server = Server::running("environment:app").workers(1).start();
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
