//! Requests that wait too long, or whose response does.

use super::server::{REQUEST, TestServer, answer_ok, is_answered, next_request};
use crate::{Flow, SendError, Settings, TimeOut, Unserved};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// A server of which no request lasts as long as its limit by itself.
fn patient() -> TestServer {
    TestServer::with_request_timeout(Duration::from_secs(3600))
}

/// Turns until a request is complete, without taking it.
fn wait_until_ready(server: &mut TestServer) {
    while server.engine.ready() == 0 {
        server.engine.turn(Duration::from_millis(20)).unwrap();
    }
}

/// A client whose request is complete.
fn waiting(server: &mut TestServer) -> TcpStream {
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    wait_until_ready(server);
    client
}

fn is_503(text: &str) -> bool {
    text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nRetry-After: 1\r\n")
}

/// All that comes until the server closes.
fn rest(server: &mut TestServer, client: &mut TcpStream) -> String {
    server.engine.turn(Duration::from_millis(20)).unwrap();
    client.set_nonblocking(false).unwrap();
    let mut text = Vec::new();
    // A reset is an end as well.
    let _ = client.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn a_request_that_waited_too_long_is_answered_503_when_its_turn_comes() {
    let mut server = TestServer::with_request_timeout(Duration::from_millis(100));
    let mut client = waiting(&mut server);

    server.block_for(200);

    assert!(server.engine.next_request().is_none());
    assert!(is_503(&rest(&mut server, &mut client)));
    let expected = Unserved {
        timed_out: 1,
        abandoned: 0,
    };
    assert_eq!(server.engine.take_unserved(), expected);
    assert_eq!(server.engine.take_unserved(), Unserved::default());
}

#[test]
fn a_request_that_waits_too_long_is_answered_503_without_the_application() {
    let mut server = TestServer::with_request_timeout(Duration::from_millis(100));
    let mut client = waiting(&mut server);

    while server.engine.ready() > 0 {
        let timeout = server
            .engine
            .next_timeout_while_busy(Duration::from_secs(20));
        assert!(timeout < Duration::from_secs(1));
        server.engine.turn(timeout).unwrap();
    }

    assert!(is_503(&rest(&mut server, &mut client)));
    assert_eq!(server.engine.take_unserved().timed_out, 1);
}

#[test]
fn a_request_whose_client_closed_the_connection_is_dropped() {
    let mut server = TestServer::new(Settings::default());
    let client = waiting(&mut server);
    drop(client);

    server.block_for(1100);

    assert!(server.engine.next_request().is_none());
    assert_eq!(server.engine.connections(), 0);
    assert_eq!(server.engine.take_unserved().abandoned, 1);
}

#[test]
fn a_client_that_shut_down_its_side_a_moment_ago_is_answered() {
    // Until it has not taken as long as the engine allows for it: a machine may stand still.
    loop {
        let mut server = TestServer::new(Settings::default());
        let since_ms = server.engine.clock().now_ms();
        let mut client = waiting(&mut server);
        client.shutdown(Shutdown::Write).unwrap();

        server.block_for(100);

        let text = server.answer(&mut client);
        if server.engine.clock().now_ms() - since_ms < 900 {
            assert!(is_answered(&text));
            return;
        }
    }
}

#[test]
fn the_engine_answers_in_place_of_a_handle_that_has_not_sent_anything() {
    let mut server = patient();
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (request, mut responder) = next_request(&mut server);
    let head = responder.head(b"200 OK").unwrap();
    head.finish(Some(2), server.engine.clock().date());

    assert_eq!(server.engine.time_out(request.id()), TimeOut::Answered);

    responder.push(b"ok").unwrap();
    assert!(matches!(responder.flush(), Err(SendError::Gone(_))));
    responder.end();
    responder.finish();
    assert_eq!(server.engine.time_out(request.id()), TimeOut::Over);
    let text = rest(&mut server, &mut client);
    assert!(is_503(&text), "{text}");
    assert!(!text.contains("200 OK"), "{text}");
}

#[test]
fn a_handle_that_is_dropped_late_is_not_reported() {
    let mut server = patient();
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (request, responder) = next_request(&mut server);

    server.engine.time_out(request.id());
    drop(responder);

    assert!(is_503(&rest(&mut server, &mut client)));
    assert!(server.engine.take_notices().0.is_empty());
}

#[test]
fn a_response_that_was_begun_is_broken_off() {
    let mut server = patient();
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (request, mut responder) = next_request(&mut server);
    let head = responder.head(b"200 OK").unwrap();
    head.finish(Some(10), server.engine.clock().date());
    responder.push(b"begun").unwrap();
    assert_eq!(responder.flush().unwrap(), Flow::Open);

    assert_eq!(server.engine.time_out(request.id()), TimeOut::BrokenOff);

    let text = rest(&mut server, &mut client);
    assert!(text.ends_with("\r\n\r\nbegun"), "{text}");
    responder.push(b"late!").unwrap();
    assert!(matches!(responder.flush(), Err(SendError::Gone(_))));
    responder.abort();
    responder.finish();
    server.turn();
    assert_eq!(server.engine.connections(), 0);
}

#[test]
fn the_next_request_of_a_connection_is_not_the_one_that_was_timed_out() {
    let mut server = patient();
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (first, mut responder) = next_request(&mut server);
    answer_ok(&mut responder, server.engine.clock().date());
    responder.finish();
    assert!(is_answered(&server.answer(&mut client)));
    client.write_all(REQUEST).unwrap();
    let (_second, mut responder) = next_request(&mut server);

    assert_eq!(server.engine.time_out(first.id()), TimeOut::Over);

    answer_ok(&mut responder, server.engine.clock().date());
    responder.finish();
    assert!(is_answered(&server.answer(&mut client)));
}

#[test]
fn handle_and_engine_never_both_answer() {
    for round in 0..200 {
        let mut server = patient();
        let mut client = server.client();
        client.write_all(REQUEST).unwrap();
        let (request, mut responder) = next_request(&mut server);
        answer_ok(&mut responder, server.engine.clock().date());

        let finishing = std::thread::spawn(move || responder.finish());
        for _ in 0..round {
            std::hint::spin_loop();
        }
        let timed_out = server.engine.time_out(request.id());
        finishing.join().unwrap();

        server.engine.turn(Duration::from_millis(20)).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let text = rest(&mut server, &mut client);
        match timed_out {
            TimeOut::Answered => assert!(is_503(&text) && !text.contains("200 OK"), "{text}"),
            TimeOut::BrokenOff | TimeOut::Over => assert!(!text.contains("503"), "{text}"),
        }
    }
}
