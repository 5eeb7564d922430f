//! `health_path`: requests that the engine answers by itself.

use super::server::{AllBusy, REQUEST, TestServer, is_answered, received};
use crate::Settings;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn server() -> TestServer {
    TestServer::new(Settings {
        health_path: Some("/health".to_owned()),
        keepalive: Duration::from_secs(60),
        ..Settings::default()
    })
}

/// What the client receives up to `end`, without any help of the application.
fn receive(server: &mut TestServer, client: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    server.turn_until(|_| {
        let (bytes, _) = received(client);
        text.push_str(&String::from_utf8(bytes).unwrap());
        text.ends_with(end)
    });
    text
}

#[test]
fn health_is_answered_between_other_requests_in_their_order() {
    let mut server = server();
    let mut client = server.client();
    client
        .write_all(&[HEALTH, REQUEST, HEALTH].concat())
        .unwrap();

    let first = receive(&mut server, &mut client, "\r\n\r\nok\n");
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{first}");
    server.turn_until(|server| server.engine.ready() == 1);
    assert!(is_answered(&server.answer(&mut client)));
    let last = receive(&mut server, &mut client, "\r\n\r\nok\n");

    assert!(last.starts_with("HTTP/1.1 200 OK\r\n"), "{last}");
    assert!(!last.contains("Connection: close"), "{last}");
    assert_eq!((server.engine.ready(), server.engine.connections()), (0, 1));
}

#[test]
fn only_get_and_head_of_exactly_this_path_are_answered() {
    for line in [
        "POST /health",
        "GET /health/",
        "GET /Health",
        "GET /h%65alth",
    ] {
        let mut server = server();
        let mut client = server.client();
        write!(
            client,
            "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        )
        .unwrap();

        server.turn_until(|server| server.engine.ready() == 1);
    }
}

#[test]
fn a_query_and_a_body_change_nothing_and_head_gets_no_body() {
    let mut server = server();
    let mut client = server.client();
    client
        .write_all(
            b"GET /health?full=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
        )
        .unwrap();
    receive(&mut server, &mut client, "\r\n\r\nok\n");
    client
        .write_all(b"HEAD http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();

    let head = receive(&mut server, &mut client, "\r\n\r\n");

    assert!(head.contains("\r\nContent-Length: 3\r\n"), "{head}");
}

#[test]
fn a_flood_of_pipelined_checks_is_answered_one_for_each_turn() {
    const COUNT: usize = 300;
    let mut server = server();
    let mut client = server.client();
    client.write_all(&HEALTH.repeat(COUNT)).unwrap();
    while server.engine.connections() == 0 {
        server.engine.turn(Duration::from_millis(20)).unwrap();
    }

    let mut answers = 0;
    for _ in 0..10 {
        server.engine.turn(Duration::from_millis(20)).unwrap();
        let (bytes, _) = received(&mut client);
        answers += String::from_utf8(bytes).unwrap().matches("ok\n").count();
    }
    assert!(answers <= 11, "{answers}");

    server.turn_until(|_| {
        let (bytes, _) = received(&mut client);
        answers += String::from_utf8(bytes).unwrap().matches("ok\n").count();
        answers == COUNT
    });
}

#[test]
fn a_pool_that_stops_answers_503_and_closes() {
    let mut server = server();
    server.engine.set_neighbours(AllBusy { stopping: true });
    let mut client = server.client();
    client.write_all(HEALTH).unwrap();

    let text = receive(&mut server, &mut client, "\r\n\r\nstopping\n");

    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
}
