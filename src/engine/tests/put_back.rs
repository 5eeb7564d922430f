//! Requests that were handed out and are put back.

use super::server::{REQUEST, TestServer, answer_ok, answer_with, is_answered, next_request};
use crate::{Settings, TimeOut};
use std::io::{Read, Write};
use std::time::Duration;

#[test]
fn a_request_that_is_put_back_is_the_next_one() {
    let mut server = TestServer::new(Settings::default());
    let mut first = server.client();
    first.write_all(REQUEST).unwrap();
    let (request, responder) = next_request(&mut server);
    let id = request.id();
    let mut second = server.client();
    second.write_all(REQUEST).unwrap();
    server.turn_until(|server| server.engine.ready() == 1);

    server.engine.put_back(request, responder);

    assert_eq!(server.engine.ready(), 2);
    let (request, mut responder) = server.engine.next_request().unwrap();
    assert_eq!(request.id().connection, id.connection);
    answer_ok(&mut responder, server.engine.clock().date());
    server.engine.finish(responder);
    assert!(is_answered(&server.answer(&mut first)));
    assert!(is_answered(&server.answer(&mut second)));
}

#[test]
fn what_the_client_sends_behind_it_stays_in_order() {
    let mut server = TestServer::new(Settings::default());
    let mut client = server.client();
    let of = |path| format!("POST /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{path}");
    client
        .write_all((of("one") + &of("two") + "POST /thr").as_bytes())
        .unwrap();
    let (request, responder) = next_request(&mut server);
    client.write_all(&of("three").as_bytes()[9..]).unwrap();
    server.engine.turn(Duration::from_millis(20)).unwrap();

    server.engine.put_back(request, responder);

    for path in ["one", "two"] {
        let (request, mut responder) = next_request(&mut server);
        assert_eq!(request.path(), format!("/{path}").as_bytes());
        assert!(
            matches!(request.body(), crate::RequestBody::Memory(body) if body == path.as_bytes())
        );
        answer_with(&mut responder, path.as_bytes());
        server.engine.finish(responder);
    }
    let (request, _) = next_request(&mut server);
    assert_eq!(request.path(), b"/three");
}

#[test]
fn a_client_that_left_meanwhile_is_no_request_any_more() {
    let mut server = TestServer::new(Settings::default());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (request, responder) = next_request(&mut server);
    drop(client);

    server.engine.put_back(request, responder);
    server.block_for(1100);

    assert!(server.engine.next_request().is_none());
    assert_eq!(server.engine.connections(), 0);
}

#[test]
fn the_time_that_it_waited_counts() {
    let mut server = TestServer::with_request_timeout(Duration::from_secs(2));
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (request, responder) = next_request(&mut server);
    server.block_for(2100);

    server.engine.put_back(request, responder);

    assert!(server.engine.next_request().is_none());
    client.set_nonblocking(false).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
}

#[test]
fn a_request_that_the_engine_has_answered_does_not_come_back() {
    let mut server = TestServer::with_request_timeout(Duration::from_secs(3600));
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (request, responder) = next_request(&mut server);
    assert_eq!(server.engine.time_out(request.id()), TimeOut::Answered);

    server.engine.put_back(request, responder);

    assert_eq!(server.engine.ready(), 0);
    server.turn_until(|server| server.engine.connections() == 0);
    client.set_nonblocking(false).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
}
