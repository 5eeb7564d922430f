//! Interim responses before the response (RFC 8297).

use super::server::{REQUEST, TestServer, answer_with, next_request, received};
use super::streamed_body::as_received;
use rgunicorn_http::{ResponseError, Status};
use std::io::Write;

const HINTS: &[(&[u8], &[u8])] = &[
    (b"Link", b"</a.css>; rel=preload"),
    (b"Content-Length", b"5"),
];
const SENT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";

fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn hints_arrive_before_the_response() {
    let mut server = TestServer::new(as_received());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (_, mut responder) = next_request(&mut server);

    responder.send_early_hints(HINTS).unwrap();

    assert_eq!(text_of(received(&mut client).0), SENT);
    answer_with(&mut responder, b"ok");
    // Too late.
    responder.send_early_hints(HINTS).unwrap();
    server.engine.finish(responder);
    let response = text_of(received(&mut client).0);
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\nok"), "{response}");
}

#[test]
fn an_error_page_can_follow_hints() {
    let mut server = TestServer::new(as_received());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (_, mut responder) = next_request(&mut server);
    responder.send_early_hints(HINTS).unwrap();

    responder.respond_with_error(Status::INTERNAL_SERVER_ERROR, &[b' '; 29]);
    server.engine.finish(responder);

    let response = text_of(received(&mut client).0);
    let response = response.strip_prefix(SENT).unwrap();
    assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
}

#[test]
fn a_client_of_http_1_0_gets_no_hints() {
    let mut server = TestServer::new(as_received());
    let mut client = server.client();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let (_, mut responder) = next_request(&mut server);

    responder.send_early_hints(HINTS).unwrap();
    answer_with(&mut responder, b"ok");
    server.engine.finish(responder);

    let response = text_of(received(&mut client).0);
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
}

#[test]
fn of_hints_with_a_mistake_nothing_is_sent() {
    let mut server = TestServer::new(as_received());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (_, mut responder) = next_request(&mut server);

    let refused = responder.send_early_hints(&[(b"Link", b"</a>"), (b"X", b"a\r\nB: c")]);

    assert!(matches!(refused, Err(ResponseError::BadValue(_))));
    answer_with(&mut responder, b"ok");
    server.engine.finish(responder);
    let response = text_of(received(&mut client).0);
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
}
