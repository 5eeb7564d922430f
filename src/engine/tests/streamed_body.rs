//! Requests that are handed out before their body has come.

use super::server::{
    REQUEST, TestServer, across_turns, answer_with, is_answered, next_request, received,
};
use crate::{
    BodyDelivery, BodyEnd, Notice, Request, RequestBody, RequestEvent, RequestId, Responder,
    Settings,
};
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

pub(super) fn as_received() -> Settings {
    Settings {
        body_delivery: BodyDelivery::AsReceived,
        ..across_turns()
    }
}

impl TestServer {
    /// Takes a streamed body until its end.
    fn take_all(&mut self, id: RequestId) -> (Vec<u8>, BodyEnd) {
        let mut all = Vec::new();
        let mut end = BodyEnd::More;
        self.turn_until(|server| {
            let part = server.engine.take_body(id).unwrap();
            all.extend_from_slice(&part.bytes);
            end = part.end;
            end != BodyEnd::More
        });
        (all, end)
    }
}

pub(super) fn post(server: &mut TestServer, head: &[u8]) -> (TcpStream, Request, Responder) {
    let mut client = server.client();
    client.write_all(head).unwrap();
    let (request, responder) = next_request(server);
    (client, request, responder)
}

#[test]
fn a_body_comes_in_parts_and_the_next_request_follows() {
    let mut server = TestServer::new(as_received());
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello";
    let (mut client, request, mut responder) = post(&mut server, head);
    let id = request.id();
    assert!(matches!(request.body(), RequestBody::Streamed));
    server.turn_until(|server| server.engine.take_body(id).unwrap().bytes == b"hello");

    client.write_all(b" world").unwrap();
    client.write_all(REQUEST).unwrap();
    server.await_event(RequestEvent::Body(id));

    assert_eq!(server.take_all(id), (b" world".to_vec(), BodyEnd::Complete));
    answer_with(&mut responder, b"ok");
    server.engine.finish(responder);
    assert!(is_answered(&server.answer(&mut client)));
    assert!(is_answered(&server.answer(&mut client)));
}

#[test]
fn a_body_that_nobody_takes_is_not_received() {
    let mut server = TestServer::new(as_received());
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (mut client, request, _responder) = post(&mut server, head);
    let id = request.id();
    let chunk = [&b"2710\r\n"[..], &[b'x'; 10_000], b"\r\n"].concat();

    let mut sent = 0;
    let mut at = 0;
    let mut full = 0;
    while full < 20 {
        server.engine.turn(Duration::from_millis(1)).unwrap();
        match client.write(&chunk[at..]) {
            Ok(count) => {
                sent += count;
                at = (at + count) % chunk.len();
                full = 0;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => full += 1,
            Err(error) => panic!("{error}"),
        }
    }

    // The socket's buffers took some of it.
    assert!(sent > 200_000, "{sent}");
    let part = server.engine.take_body(id).unwrap();
    assert!(part.bytes.len() < 200_000, "{}", part.bytes.len());
    assert_eq!(part.end, BodyEnd::More);
    let taken = part.bytes.len();
    server.turn_until(|server| {
        let _ = server.engine.take_body(id);
        client.write(&chunk[at..]).is_ok()
    });
    assert!(taken > 0);
}

#[test]
fn a_body_that_cannot_be_decoded_is_broken_and_ends_the_connection() {
    let mut server = TestServer::new(as_received());
    let head =
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n";
    let (mut client, request, mut responder) = post(&mut server, head);

    assert_eq!(server.take_all(request.id()).1, BodyEnd::Broken);
    answer_with(&mut responder, b"ok");
    server.engine.finish(responder);

    assert!(is_answered(&server.answer(&mut client)));
    let (notices, _) = server.engine.take_notices();
    assert!(matches!(notices[..], [Notice::Refused(..)]), "{notices:?}");
    drop(client);
    server.turn_until(|server| server.engine.connections() == 0);
}

#[test]
fn a_body_whose_client_leaves_is_broken() {
    let mut server = TestServer::new(as_received());
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello";
    let (client, request, responder) = post(&mut server, head);

    drop(client);

    assert_eq!(
        server.take_all(request.id()),
        (b"hello".to_vec(), BodyEnd::Broken)
    );
    server.engine.finish(responder);
    assert_eq!(server.engine.connections(), 0);
}

#[test]
fn an_empty_body_is_complete_at_once() {
    let mut server = TestServer::new(as_received());
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

    let (mut client, request, mut responder) = post(&mut server, head);

    assert!(matches!(request.body(), RequestBody::Memory(b"")));
    assert_eq!(server.engine.take_body(request.id()), None);
    answer_with(&mut responder, b"ok");
    server.engine.finish(responder);
    assert!(is_answered(&server.answer(&mut client)));
}

#[test]
fn a_broken_body_stays_broken() {
    let mut server = TestServer::new(as_received());
    // A decoder that went on after its error would take the second line for the end.
    let head =
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (mut client, request, mut responder) = post(&mut server, head);

    for _ in 0..5 {
        assert_eq!(server.take_all(request.id()).1, BodyEnd::Broken);
        server.engine.turn(Duration::from_millis(1)).unwrap();
    }
    answer_with(&mut responder, b"ok");
    server.engine.finish(responder);

    let mut text = Vec::new();
    server.turn_until(|_| {
        let (more, is_closed) = received(&mut client);
        text.extend_from_slice(&more);
        is_closed
    });
    assert!(is_answered(&String::from_utf8(text).unwrap()));
    assert!(server.engine.next_request().is_none());
    assert_eq!(server.engine.take_notices().0.len(), 1);
}

#[test]
fn an_application_that_takes_a_body_when_it_is_told_to_lets_the_engine_rest() {
    for bytes in [&b"hello"[..], b"he"] {
        let mut server = TestServer::new(as_received());
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
        let (client, request, _responder) = post(&mut server, &[head, bytes].concat());
        client.shutdown(Shutdown::Write).unwrap();

        let mut ends = Vec::new();
        for _ in 0..50 {
            server.engine.turn(Duration::from_millis(5)).unwrap();
            let events = server.engine.take_request_events();
            if events.contains(&RequestEvent::Body(request.id())) {
                ends.push(server.engine.take_body(request.id()).unwrap().end);
            }
        }

        let last = ends.pop().unwrap();
        assert_ne!(last, BodyEnd::More);
        assert!(!ends.contains(&last), "{ends:?} and {last:?}");
        let timeout = server.engine.next_timeout(Duration::from_secs(1));
        assert_eq!(timeout, Duration::from_secs(1));
    }
}

#[test]
fn a_client_that_takes_nothing_is_given_up_although_its_body_is_complete() {
    let mut server = TestServer::new(Settings {
        client_timeout: Duration::from_millis(50),
        ..as_received()
    });
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let (_client, request, mut responder) = post(&mut server, head);
    responder.head(b"200 OK").unwrap().finish(None, &[b' '; 29]);
    let mut fill = || {
        responder.flush().unwrap();
        while responder.waiting() == 0 {
            responder.push(&[b'x'; 16_000]).unwrap();
        }
        responder.notify_writable();
    };

    fill();

    server.turn_until(|server| {
        let _ = server.engine.take_body(request.id());
        let events = server.engine.take_request_events();
        if events.contains(&RequestEvent::Writable(request.id())) {
            fill();
        }
        events.contains(&RequestEvent::ClientLeft(request.id()))
    });
}

#[test]
fn a_client_that_stops_in_its_body_is_given_up() {
    let mut server = TestServer::new(Settings {
        client_timeout: Duration::from_millis(50),
        ..as_received()
    });
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello";
    let (_client, request, responder) = post(&mut server, head);

    assert_eq!(server.take_all(request.id()).1, BodyEnd::Broken);

    server.engine.finish(responder);
    assert_eq!(server.engine.connections(), 0);
}

#[test]
fn the_client_is_told_to_go_on_when_the_application_wants_the_body() {
    let mut server = TestServer::new(as_received());
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    let (mut client, request, mut responder) = post(&mut server, head);
    assert!(request.expects_continue());
    assert_eq!(received(&mut client).0, b"");

    responder.send_continue();

    let mut text = Vec::new();
    server.turn_until(|_| {
        text.extend_from_slice(&received(&mut client).0);
        text == b"HTTP/1.1 100 Continue\r\n\r\n"
    });
    client.write_all(b"go").unwrap();
    assert_eq!(
        server.take_all(request.id()),
        (b"go".to_vec(), BodyEnd::Complete)
    );
}
