//! An application that answers over many turns, in other threads, late or never.

use super::server::{
    REQUEST, TestServer, across_turns, answer_with, is_answered, next_request, received,
};
use crate::{Notice, RequestEvent, Settings};
use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

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
