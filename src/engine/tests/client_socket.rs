//! Connections that the application takes.

use super::server::{REQUEST, TestServer, answer_ok, is_answered, next_request};
use crate::{Responder, Settings, Taken, TimeOut};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A server with one client, whose request is being answered.
fn asked(server: &mut TestServer, bytes: &[u8]) -> (TcpStream, Responder) {
    let mut client = server.client();
    client.write_all(bytes).unwrap();
    let (_, responder) = next_request(server);
    client.set_nonblocking(false).unwrap();
    (client, responder)
}

/// The application's descriptor of a connection of which nothing was received before.
fn take(responder: &Responder) -> TcpStream {
    let socket = responder.socket();
    let taken = TcpStream::from(socket.duplicate().unwrap());
    assert!(matches!(socket.take(), Some(Ok(Taken::Socket))));
    taken.set_nonblocking(false).unwrap();
    taken
}

fn receive<const N: usize>(mut from: impl Read) -> [u8; N] {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_connection_that_was_taken_is_the_applications_alone() {
    let mut server = TestServer::new(Settings::default());
    let (mut client, mut responder) = asked(&mut server, REQUEST);

    let mut taken = take(&responder);

    // Neither what the client sends is read, nor is a response sent.
    client.write_all(b"ping").unwrap();
    server.engine.turn(Duration::from_millis(20)).unwrap();
    assert_eq!(&receive::<4>(&taken), b"ping");
    answer_ok(&mut responder, server.engine.clock().date());
    assert!(responder.flush().is_err());
    taken.write_all(b"pong").unwrap();
    assert_eq!(server.engine.connections(), 1);
    server.engine.finish(responder);
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"pong");
}

#[test]
fn a_connection_that_was_taken_is_closed_although_the_application_has_a_descriptor() {
    let mut server = TestServer::new(Settings::default());
    let (client, responder) = asked(&mut server, REQUEST);
    let mut taken = take(&responder);

    drop(responder);

    // The client has to end its side first, or let the time pass for that.
    server.engine.turn(Duration::from_millis(20)).unwrap();
    drop(client);
    server.turn_until(|server| server.engine.connections() == 0);
    assert_eq!(taken.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(taken.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert!(
        server.engine.take_notices().0.is_empty(),
        "all is as it was meant"
    );
}

#[test]
fn a_connection_that_was_taken_is_closed_although_its_client_stays() {
    let mut server = TestServer::new(Settings::default());
    let others: Vec<_> = (0..70).map(|_| server.client()).collect();
    server.turn_until(|server| server.engine.connections() == others.len());
    let (_client, responder) = asked(&mut server, REQUEST);
    let mut taken = take(&responder);

    drop(responder);

    server.turn_until(|server| server.engine.connections() == others.len());
    taken
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    assert_eq!(taken.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_connection_that_was_only_looked_at_is_kept_alive() {
    let mut server = TestServer::new(Settings::default());
    let (mut client, mut responder) = asked(&mut server, REQUEST);
    let socket = responder.socket();
    let looked = TcpStream::from(socket.duplicate().unwrap());
    looked.set_nonblocking(false).unwrap();
    client.set_nonblocking(true).unwrap();

    socket.restore();
    answer_ok(&mut responder, server.engine.clock().date());
    server.engine.finish(responder);

    assert!(is_answered(&server.answer(&mut client)));
    let error = looked.peek(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    client.write_all(REQUEST).unwrap();
    assert!(is_answered(&server.answer(&mut client)));
    assert!(socket.take().is_none(), "its request is over");
}

#[test]
fn what_came_behind_the_request_is_the_applications_first() {
    let mut server = TestServer::new(Settings::default());
    let (mut client, responder) = asked(&mut server, &[REQUEST, b"early "].concat());
    let Some(Ok(Taken::Relayed(taken, relay))) = responder.socket().take() else {
        panic!("no relay");
    };
    let mut taken = UnixStream::from(taken);

    client.write_all(b"late").unwrap();

    assert_eq!(&receive::<10>(&taken), b"early late");
    let much = vec![b'm'; 1 << 20];
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        all
    });
    taken.write_all(&much).unwrap();
    // All of it is sent before the connection is closed.
    relay.finish(Duration::from_secs(60));
    server.engine.finish(responder);
    server.engine.turn(Duration::from_millis(20)).unwrap();
    assert!(reading.join().unwrap() == much);
    assert_eq!(taken.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn what_came_behind_the_request_is_the_next_request_if_nobody_takes_it() {
    let mut server = TestServer::new(Settings::default());
    let (mut client, mut responder) = asked(&mut server, &[REQUEST, REQUEST].concat());
    client.set_nonblocking(true).unwrap();

    answer_ok(&mut responder, server.engine.clock().date());
    server.engine.finish(responder);

    assert!(is_answered(&server.answer(&mut client)));
    assert!(is_answered(&server.answer(&mut client)));
}

#[test]
fn a_relay_ends_with_its_client() {
    let mut server = TestServer::new(Settings::default());
    let (client, responder) = asked(&mut server, &[REQUEST, b"early"].concat());
    let Some(Ok(Taken::Relayed(taken, relay))) = responder.socket().take() else {
        panic!("no relay");
    };

    drop(client);

    let mut all = Vec::new();
    UnixStream::from(taken).read_to_end(&mut all).unwrap();
    assert_eq!(all, b"early");
    relay.finish(Duration::from_secs(60));
}

#[test]
fn no_time_limit_ends_a_connection_that_was_taken() {
    let mut server = TestServer::with_request_timeout(Duration::from_secs(3600));
    let (mut client, responder) = asked(&mut server, REQUEST);
    let mut taken = take(&responder);

    assert_eq!(server.engine.time_out(responder.id()), TimeOut::Over);

    taken.write_all(b"still there").unwrap();
    assert_eq!(&receive::<11>(&mut client), b"still there");
}

#[test]
fn a_connection_whose_request_was_answered_by_the_engine_cannot_be_taken() {
    let mut server = TestServer::with_request_timeout(Duration::from_secs(3600));
    let (_client, responder) = asked(&mut server, REQUEST);

    assert_eq!(server.engine.time_out(responder.id()), TimeOut::Answered);

    assert!(responder.socket().take().is_none());
}
