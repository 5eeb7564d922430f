//! An application that answers over many turns, in other threads, late or never.

use super::{REQUEST, TestServer, is_answered, next_request};
use crate::{BodyDelivery, BodyEnd, Notice, Request, RequestBody, RequestEvent, Responder};
use crate::{RequestId, Settings};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

fn across_turns() -> Settings {
    Settings {
        across_turns: true,
        keepalive: Duration::from_secs(60),
        ..Settings::default()
    }
}

fn as_received() -> Settings {
    Settings {
        body_delivery: BodyDelivery::AsReceived,
        ..across_turns()
    }
}

fn answer_with(responder: &mut Responder, body: &[u8]) {
    let head = responder.head(b"200 OK").unwrap();
    head.finish(Some(body.len() as u64), &[b' '; 29]);
    responder.push(body).unwrap();
    responder.end();
}

impl TestServer {
    fn turn_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..2000 {
            if done(self) {
                return;
            }
            self.engine.turn(Duration::from_millis(5)).unwrap();
        }
        panic!("it did not come to that");
    }

    /// Turns until this event of a request comes. Others are ignored.
    fn await_event(&mut self, event: RequestEvent) {
        self.turn_until(|server| server.engine.take_request_events().contains(&event));
    }

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

/// Reads what has come, without waiting. The second: the connection is closed.
fn received(client: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut bytes = [0; 16384];
    loop {
        match client.read(&mut bytes) {
            Ok(0) => return (all, true),
            Ok(count) => all.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (all, false),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (all, true),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn another_thread_answers_while_the_engine_serves_other_connections() {
    let mut server = TestServer::new(across_turns());
    let mut slow = server.client();
    slow.write_all(REQUEST).unwrap();
    let (_, mut responder) = next_request(&mut server);
    let mut quick = server.client();
    for _ in 0..3 {
        quick.write_all(REQUEST).unwrap();
        assert!(is_answered(&server.answer(&mut quick)));
    }

    let thread = std::thread::spawn(move || {
        answer_with(&mut responder, b"ok");
        responder.finish();
    });
    thread.join().unwrap();

    assert!(is_answered(&server.answer(&mut slow)));
    slow.write_all(REQUEST).unwrap();
    assert!(is_answered(&server.answer(&mut slow)));
}

#[test]
fn a_response_that_the_client_takes_slowly_is_sent_on_by_the_engine() {
    let mut server = TestServer::new(across_turns());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (_, mut responder) = next_request(&mut server);
    let body = vec![b'x'; 8 << 20];

    answer_with(&mut responder, &body);
    responder.finish();

    let mut all = Vec::new();
    server.turn_until(|_| {
        all.extend_from_slice(&received(&mut client).0);
        all.ends_with(b"x") && all.len() > body.len()
    });
    client.write_all(REQUEST).unwrap();
    assert!(is_answered(&server.answer(&mut client)));
}

#[test]
fn a_handle_that_is_dropped_answers_500_and_frees_its_place() {
    let mut server = TestServer::new(across_turns());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (_, responder) = next_request(&mut server);

    std::thread::spawn(move || drop(responder)).join().unwrap();

    let mut text = Vec::new();
    server.turn_until(|_| {
        text.extend_from_slice(&received(&mut client).0);
        text.ends_with(b"</html>\n")
    });
    assert!(text.starts_with(b"HTTP/1.1 500 "));
    let (notices, _) = server.engine.take_notices();
    assert!(
        matches!(notices[..], [Notice::NotAnswered(_)]),
        "{notices:?}"
    );
    client.write_all(REQUEST).unwrap();
    assert!(is_answered(&server.answer(&mut client)));
}

#[test]
fn a_handle_that_is_dropped_in_the_middle_ends_the_connection() {
    let mut server = TestServer::new(across_turns());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (_, mut responder) = next_request(&mut server);
    let head = responder.head(b"200 OK").unwrap();
    head.finish(None, &[b' '; 29]);
    responder.push(b"half of it").unwrap();
    responder.flush().unwrap();

    drop(responder);

    server.turn_until(|server| server.engine.connections() == 0);
    let (text, is_closed) = received(&mut client);
    assert!(is_closed);
    assert!(text.ends_with(b"half of it\r\n"), "{}", text.escape_ascii());
}

#[test]
fn responses_that_are_held_leave_together_except_the_first_of_a_connection() {
    let mut server = TestServer::new(Settings {
        keepalive: Duration::from_secs(60),
        ..Settings::default()
    });
    let mut kept = server.client();
    kept.write_all(REQUEST).unwrap();
    assert!(is_answered(&server.answer(&mut kept)));
    let mut new = server.client();
    let mut held = Vec::new();
    for client in [&mut kept, &mut new] {
        client.write_all(REQUEST).unwrap();
        held.push(next_request(&mut server));
    }

    for (_, mut responder) in held {
        answer_with(&mut responder, b"ok");
        server.engine.finish_later(responder);
    }

    server.turn_until(|_| received(&mut new).0.ends_with(b"ok"));
    assert_eq!(received(&mut kept).0, b"");
    server.engine.send_held();
    let mut text = Vec::new();
    server.turn_until(|_| {
        text.extend_from_slice(&received(&mut kept).0);
        text.ends_with(b"ok")
    });
}

#[test]
fn a_request_that_is_aborted_frees_its_place_when_its_handle_is_dropped() {
    let mut server = TestServer::new(across_turns());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (request, mut responder) = next_request(&mut server);
    answer_with(&mut responder, b"ok");

    server.engine.abort(request.id());

    assert!(responder.flush().is_err());
    drop(responder);
    server.turn_until(|server| server.engine.connections() == 0);
    assert_eq!(received(&mut client), (Vec::new(), true));
}

#[test]
fn a_request_that_comes_while_another_is_answered_is_next() {
    let mut server = TestServer::new(across_turns());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (_, mut responder) = next_request(&mut server);
    client.write_all(REQUEST).unwrap();
    for _ in 0..5 {
        server.engine.turn(Duration::from_millis(5)).unwrap();
    }
    assert_eq!(server.engine.ready(), 0, "one at a time");

    answer_with(&mut responder, b"the first");
    server.engine.finish(responder);

    let (request, mut responder) = next_request(&mut server);
    assert_eq!(request.path(), b"/");
    answer_with(&mut responder, b"ok");
    server.engine.finish(responder);
    let mut text = Vec::new();
    server.turn_until(|_| {
        text.extend_from_slice(&received(&mut client).0);
        text.ends_with(b"ok")
    });
    assert!(String::from_utf8(text).unwrap().contains("the first"));
}

#[test]
fn a_client_that_leaves_is_reported_once_while_the_application_works() {
    let mut server = TestServer::new(across_turns());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (request, responder) = next_request(&mut server);

    client.shutdown(Shutdown::Write).unwrap();
    server.await_event(RequestEvent::ClientLeft(request.id()));
    drop(client);
    for _ in 0..5 {
        server.engine.turn(Duration::from_millis(5)).unwrap();
    }

    assert_eq!(server.engine.take_request_events(), []);
    server.engine.finish(responder);
    server.turn_until(|server| server.engine.connections() == 0);
}

#[test]
fn a_client_that_has_shut_down_its_side_gets_its_response() {
    let mut server = TestServer::new(across_turns());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (request, mut responder) = next_request(&mut server);
    client.shutdown(Shutdown::Write).unwrap();
    server.await_event(RequestEvent::ClientLeft(request.id()));

    answer_with(&mut responder, b"ok");
    server.engine.finish(responder);

    assert!(is_answered(&server.answer(&mut client)));
}

#[test]
fn a_full_socket_is_reported_when_it_takes_more() {
    let mut server = TestServer::new(Settings {
        response_in_memory: 1000,
        response_on_disk: 0,
        ..across_turns()
    });
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (request, mut responder) = next_request(&mut server);
    let body = vec![b'x'; 16 << 20];
    let head = responder.head(b"200 OK").unwrap();
    head.finish(Some(body.len() as u64), &[b' '; 29]);
    let mut all = Vec::new();

    let mut waits = 0;
    for piece in body.chunks(100_000) {
        responder.push(piece).unwrap();
        while responder.waiting() > 0 {
            responder.notify_writable();
            all.extend_from_slice(&received(&mut client).0);
            server.await_event(RequestEvent::Writable(request.id()));
            responder.flush().unwrap();
            waits += 1;
        }
    }
    responder.end();
    server.engine.finish(responder);

    assert!(waits > 0);
    server.turn_until(|_| {
        all.extend_from_slice(&received(&mut client).0);
        all.len() > body.len()
    });
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let mut server = TestServer::new(Settings {
        client_timeout: Duration::from_millis(50),
        ..across_turns()
    });
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (request, mut responder) = next_request(&mut server);
    let head = responder.head(b"200 OK").unwrap();
    head.finish(None, &[b' '; 29]);
    while responder.waiting() == 0 {
        responder.push(&[b'x'; 16_000]).unwrap();
    }

    let (writable, left) = (
        RequestEvent::Writable(request.id()),
        RequestEvent::ClientLeft(request.id()),
    );
    responder.notify_writable();
    server.turn_until(|server| {
        let events = server.engine.take_request_events();
        if events.contains(&writable) {
            // The kernel has found more memory for the socket.
            responder.flush().unwrap();
            while responder.waiting() == 0 {
                responder.push(&[b'x'; 16_000]).unwrap();
            }
            responder.notify_writable();
        }
        events.contains(&left)
    });

    assert!(responder.flush().is_err());
    server.engine.finish(responder);
    assert_eq!(server.engine.connections(), 0);
}

fn post(server: &mut TestServer, head: &[u8]) -> (TcpStream, Request, Responder) {
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

#[test]
fn a_connection_leaves_the_engine_for_another_protocol() {
    let mut server = TestServer::new(across_turns());
    let mut client = server.client();
    client
        .write_all(
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nfirst",
        )
        .unwrap();
    let (_, mut responder) = next_request(&mut server);
    responder
        .switch_protocols(&[
            (b"Upgrade" as &[u8], b"echo" as &[u8]),
            (b"Content-Length", b"5"),
        ])
        .unwrap();

    let mut upgraded = server.engine.upgrade(responder).unwrap();

    assert_eq!(server.engine.connections(), 0);
    let expected =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    assert_eq!(received(&mut client).0, expected);
    assert_eq!(upgraded.take_received(), b"first");
    client.write_all(b"second").unwrap();
    let mut bytes = Vec::with_capacity(100);
    server.turn_until(|_| upgraded.receive(&mut bytes).is_ok());
    assert_eq!(bytes, b"second");
    assert_eq!(upgraded.send(b"answer").unwrap(), 6);
    drop(upgraded);
    let mut text = Vec::new();
    server.turn_until(|_| {
        let (more, is_closed) = received(&mut client);
        text.extend_from_slice(&more);
        is_closed
    });
    assert_eq!(text, b"answer");
}

#[test]
fn a_response_that_is_no_upgrade_leaves_the_connection_in_the_engine() {
    let mut server = TestServer::new(across_turns());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (_, mut responder) = next_request(&mut server);
    answer_with(&mut responder, b"ok");

    assert!(server.engine.upgrade(responder).is_none());

    assert!(is_answered(&server.answer(&mut client)));
}

#[test]
fn a_connection_in_the_middle_of_a_body_is_not_left_to_another_protocol() {
    let mut server = TestServer::new(as_received());
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello";
    let (mut client, _, mut responder) = post(&mut server, head);
    responder
        .switch_protocols(&[(b"Upgrade", b"echo")])
        .unwrap();

    assert!(server.engine.upgrade(responder).is_none());

    assert_eq!(server.engine.connections(), 0);
    assert_eq!(received(&mut client), (Vec::new(), true));
}
