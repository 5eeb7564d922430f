//! Connections that leave the engine for another protocol.

use super::server::{
    REQUEST, TestServer, across_turns, answer_with, is_answered, next_request, received,
};
use super::streamed_body::{as_received, post};
use crate::settings::Settings;
use std::io::Write;

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

/// There the rest could have been for an application that takes the connection itself.
#[test]
fn what_came_behind_the_request_is_there_where_each_is_answered_in_its_turn() {
    let mut server = TestServer::new(Settings::default());
    let mut client = server.client();
    client.write_all(&[REQUEST, b"first"].concat()).unwrap();
    let (_, mut responder) = next_request(&mut server);
    responder
        .switch_protocols(&[(b"Upgrade", b"echo")])
        .unwrap();

    let mut upgraded = server.engine.upgrade(responder).unwrap();

    assert_eq!(upgraded.take_received(), b"first");
}
