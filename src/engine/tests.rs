//! The engine with real sockets and a fixed answer.

use crate::buffers::Pools;
use crate::completions::Completions;
use crate::connection::{Connection, Next, Proxied};
use crate::responder::EngineParts;
use crate::transport::Transport;
use crate::{Engine, HandoverSockets, Neighbours, Peer, Settings};
use rgunicorn_http::Status;
use rustix::event::{EventfdFlags, eventfd};
use server::{REQUEST, TestServer, answer_ok, is_answered, next_request};
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod asynchronous;
mod client_socket;
mod early_hints;
mod handover;
mod health;
mod proxied;
mod put_back;
mod random;
pub(crate) mod server;
mod streamed_body;
mod time_out;
mod upgrade;

#[test]
fn a_request_that_came_in_time_is_answered_although_the_engine_was_busy() {
    let mut server = TestServer::new(Settings {
        keepalive: Duration::from_millis(100),
        ..Settings::default()
    });
    let mut clients: Vec<_> = (0..50).map(|_| server.client()).collect();
    for client in &mut clients {
        client.write_all(REQUEST).unwrap();
        assert!(is_answered(&server.answer(client)));
        // The next one, within the keep-alive time.
        client.write_all(REQUEST).unwrap();
    }

    server.block_for(300);

    for client in &mut clients {
        assert!(is_answered(&server.answer(client)));
    }
}

#[test]
fn an_idle_connection_is_closed_after_the_keepalive_time() {
    let mut server = TestServer::new(Settings {
        keepalive: Duration::from_millis(50),
        ..Settings::default()
    });
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    server.answer(&mut client);

    assert_eq!(server.answer(&mut client), "");

    assert_eq!(server.engine.connections(), 0);
}

#[test]
fn at_the_connection_limit_an_idle_connection_is_closed() {
    let mut server = TestServer::new(Settings {
        connections: 2,
        keepalive: Duration::from_secs(60),
        ..Settings::default()
    });
    let mut idle = server.client();
    idle.write_all(REQUEST).unwrap();
    server.answer(&mut idle);
    let mut asking = server.client();
    asking.write_all(b"GET / HT").unwrap();
    while server.engine.connections() < 2 {
        server.turn();
    }

    let mut new = server.client();
    new.write_all(REQUEST).unwrap();

    assert!(is_answered(&server.answer(&mut new)));
    assert_eq!(server.answer(&mut idle), "");
    asking
        .write_all(b"TP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    assert!(is_answered(&server.answer(&mut asking)));
}

/// Another worker is idle, and holds no connection.
struct OneEmpty;

impl Neighbours for OneEmpty {
    fn may_accept(&self) -> bool {
        true
    }

    fn fewest_connections_idle(&self) -> Option<usize> {
        Some(0)
    }

    fn have_room(&self) -> bool {
        true
    }

    fn are_stopping(&self) -> bool {
        false
    }
}

#[test]
fn a_new_connection_is_accepted_when_a_request_of_another_is_answered() {
    let mut server = TestServer::new(Settings {
        keepalive: Duration::from_secs(60),
        ..Settings::default()
    });
    let wake_fd = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
    let ours = wake_fd.try_clone().unwrap();
    server.engine.set_wake_fd(wake_fd).unwrap();
    let mut kept: Vec<_> = (0..2).map(|_| server.client()).collect();
    for client in &mut kept {
        client.write_all(REQUEST).unwrap();
        server.answer(client);
    }
    server.engine.take_more_waiting();
    for client in &mut kept {
        client.write_all(REQUEST).unwrap();
    }
    let mut new: Vec<_> = (0..2).map(|_| server.client()).collect();
    for client in &mut new {
        client.write_all(REQUEST).unwrap();
    }

    server.engine.turn(Duration::from_millis(20)).unwrap();

    assert_eq!((server.engine.ready(), server.engine.connections()), (2, 2));
    assert!(server.engine.take_more_waiting());
    server.engine.wake_another().unwrap();
    assert_eq!(rustix::io::read(&ours, &mut [0; 8]), Ok(8));
    let newest = new[0].local_addr().unwrap();
    server.engine.accept_between_requests().unwrap();
    assert_eq!((server.engine.ready(), server.engine.connections()), (3, 3));
    let (request, mut responder) = server.engine.next_request().unwrap();
    assert_eq!(request.peer(), Peer::Tcp(newest));
    answer_ok(&mut responder, server.engine.clock().date());
    server.engine.finish(responder);
    for client in kept.iter_mut().chain(&mut new) {
        assert!(is_answered(&server.answer(client)));
    }
}

#[test]
fn a_retiring_worker_wakes_another_if_a_connection_waits() {
    let mut server = TestServer::new(Settings::default());
    let wake_fd = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
    let ours = wake_fd.try_clone().unwrap();
    server.engine.set_wake_fd(wake_fd).unwrap();
    let _waiting = server.client();

    server.engine.retire(Duration::MAX).unwrap();

    assert_eq!(rustix::io::read(&ours, &mut [0; 8]), Ok(8));
}

#[test]
fn while_the_intake_is_suspended_nothing_is_accepted() {
    let mut server = TestServer::new(Settings::default());
    let _waiting = server.client();

    server.engine.suspend_intake().unwrap();
    assert!(!server.engine.try_accept().unwrap());
    assert_eq!(server.engine.turn(Duration::ZERO).unwrap(), 0);

    server.engine.resume_intake().unwrap();
    assert!(server.engine.try_accept().unwrap());
}

#[test]
fn a_connection_that_came_while_the_intake_was_suspended_is_accepted_after_the_next_request() {
    let mut server = TestServer::new(Settings::default());
    server.engine.suspend_intake().unwrap();
    let _waiting = server.client();

    server.engine.resume_intake().unwrap();
    server.engine.accept_between_requests().unwrap();

    assert_eq!(server.engine.connections(), 1);
}

#[test]
fn a_waiting_connection_is_accepted_without_an_event() {
    let mut server = TestServer::new(Settings::default());
    assert!(!server.engine.try_accept().unwrap());

    let _waiting = server.client();

    assert!(server.engine.try_accept().unwrap());
    assert_eq!(server.engine.connections(), 1);
}

#[test]
fn a_retiring_engine_closes_each_connection_after_one_more_response() {
    let mut server = TestServer::new(Settings {
        keepalive: Duration::from_secs(60),
        ..Settings::default()
    });
    let mut kept = server.client();
    kept.write_all(REQUEST).unwrap();
    assert!(!server.answer(&mut kept).contains("Connection: close"));

    server.engine.retire(Duration::MAX).unwrap();
    kept.write_all(REQUEST).unwrap();

    assert!(server.answer(&mut kept).contains("Connection: close"));
    assert_eq!(server.answer(&mut kept), "");
    drop(kept);
    while server.engine.connections() > 0 {
        server.turn();
    }
}

#[test]
fn an_incomplete_head_is_answered_with_408_after_the_timeout() {
    let mut server = TestServer::new(Settings {
        client_timeout: Duration::from_millis(50),
        ..Settings::default()
    });
    let mut client = server.client();
    client.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();

    let text = server.answer(&mut client);

    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
}

#[test]
fn a_discarded_response_leaves_nothing_behind() {
    let mut server = TestServer::new(Settings::default());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (_, mut responder) = next_request(&mut server);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"not for anybody").unwrap();
    let date = *server.engine.clock().date();
    responder.head(b"200 OK").unwrap().finish(Some(15), &date);
    responder.send_file(file, 0, 15);

    responder.respond_with_error(Status::INTERNAL_SERVER_ERROR, &date);
    server.engine.finish(responder);

    let text = server.answer(&mut client);
    assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
    assert!(!text.contains("not for anybody"), "{text}");
}

#[test]
fn a_file_is_not_sent_in_a_chunked_body() {
    let mut server = TestServer::new(Settings::default());
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    let (_, mut responder) = next_request(&mut server);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"without a size line").unwrap();
    let date = *server.engine.clock().date();
    responder.head(b"200 OK").unwrap().finish(None, &date);
    responder.push(b"piece").unwrap();

    responder.send_file(file, 0, 19);

    responder.end();
    server.engine.finish(responder);
    let text = server.answer(&mut client);
    assert!(!text.contains("without"), "{text}");
    // The connection is closed before the end of the body, so that the client can tell.
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    assert_eq!(server.engine.connections(), 0);
}

#[test]
fn a_pipelined_request_is_not_among_the_ready_ones_of_its_turn() {
    let mut server = TestServer::new(Settings::default());
    let mut client = server.client();
    client.write_all(&REQUEST.repeat(3)).unwrap();
    while server.engine.ready() == 0 {
        server.engine.turn(Duration::from_millis(20)).unwrap();
    }

    for _ in 0..3 {
        assert_eq!(server.engine.ready(), 1);
        let (_, mut responder) = server.engine.next_request().unwrap();
        assert_eq!(server.engine.ready(), 0);
        answer_ok(&mut responder, server.engine.clock().date());
        server.engine.finish(responder);
    }

    assert_eq!(server.engine.ready(), 0);
}

#[test]
fn a_request_behind_a_held_response_does_not_wait_for_an_event() {
    let mut server = TestServer::new(Settings::default());
    let mut client = server.client();
    client.write_all(&REQUEST.repeat(3)).unwrap();
    let (_, mut responder) = next_request(&mut server);
    answer_ok(&mut responder, server.engine.clock().date());
    server.engine.finish(responder);
    // The first response of a connection is never held.
    let (_, mut responder) = next_request(&mut server);
    answer_ok(&mut responder, server.engine.clock().date());
    server.engine.finish_later(responder);

    let start = Instant::now();
    server.engine.turn(Duration::from_secs(20)).unwrap();

    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(server.engine.ready(), 1);
}

#[test]
fn a_connection_that_nobody_took_is_accepted_soon_although_the_worker_was_about_to_sleep() {
    let mut server = TestServer::new(Settings::default());
    server.engine.set_neighbours(OneEmpty);
    let held: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
    for (_, theirs) in &held {
        let theirs = theirs.try_clone().unwrap();
        server.engine.adopt(theirs.into(), Peer::Unix, 0);
    }
    let _new = server.client();
    assert!(!server.engine.try_accept().unwrap());

    let start = Instant::now();
    while server.engine.connections() == 3 {
        server.engine.turn(Duration::from_secs(20)).unwrap();
    }

    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_worker_that_left_before_it_got_its_sockets_does_not_watch_them() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let _waiting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let wake_fd = eventfd(1, EventfdFlags::NONBLOCK).unwrap();
    let sockets = HandoverSockets::pair().unwrap();
    rustix::io::write(&sockets.give, b"x").unwrap();
    let mut engine = Engine::new(Settings::default()).unwrap();

    engine.leave_listeners().unwrap();
    engine.listen(listener.into(), 0).unwrap();
    engine.set_wake_fd(wake_fd).unwrap();
    engine.set_handover(sockets).unwrap();

    assert_eq!(engine.turn(Duration::ZERO).unwrap(), 0);
}

/// A connection whose request was refused, what it uses, and its client.
fn refused() -> (Connection, Pools, UnixStream) {
    let (server, mut client) = UnixStream::pair().unwrap();
    client.set_nonblocking(true).unwrap();
    let mut pools = Pools::new(Arc::new(EngineParts {
        settings: Settings::default(),
        completions: Completions::new().unwrap(),
    }));
    let transport = Transport::plain(server.into());
    let mut connection = Connection::new(transport, Peer::Unix, 0, 1, u64::MAX, Proxied::No);
    client.write_all(b"\x01").unwrap();
    let refusal = connection.progress(0, &mut pools).unwrap_err();
    connection.refuse(&refusal, 0, &[b' '; 29], &mut pools);
    (connection, pools, client)
}

/// Sends until the socket's buffers are full. Returns how many bytes that were.
fn fill(client: &mut UnixStream) -> usize {
    let mut sent = 0;
    loop {
        match client.write(&[b'x'; 8192]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return sent,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return sent,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_a_refused_client_still_sends_is_read_over_several_turns() {
    let (mut connection, mut pools, mut client) = refused();
    assert!(fill(&mut client) > 100_000);

    let next = connection.progress(0, &mut pools).unwrap();

    assert!(matches!(next, Next::Yield), "{next:?}");
    let turns = (1..100)
        .find(|_| matches!(connection.progress(0, &mut pools), Ok(Next::Wait)))
        .unwrap();
    assert!(turns > 1);
}

#[test]
fn a_refused_client_that_never_stops_sending_is_closed() {
    let (mut connection, mut pools, mut client) = refused();
    let mut sent = 0;

    while !matches!(connection.progress(0, &mut pools), Ok(Next::Close)) {
        sent += fill(&mut client);
        assert!(sent < 100 << 20, "still open after {sent} bytes");
    }

    assert!(sent >= 64 << 20, "closed after {sent} bytes");
}

#[test]
fn where_there_are_many_connections_the_idle_ones_share_nothing() {
    let mut server = TestServer::new(Settings {
        keepalive: Duration::from_secs(600),
        ..Settings::default()
    });
    let mut clients: Vec<_> = (0..65).map(|_| server.client()).collect();
    server.turn_until(|server| server.engine.connections() == 65);
    for client in &mut clients {
        client.write_all(REQUEST).unwrap();
        assert!(is_answered(&server.answer(client)));
    }
    assert_eq!(server.engine.sharing(), 0);

    // As long as the application keeps something of the request, it is shared.
    let client = &mut clients[0];
    client.write_all(REQUEST).unwrap();
    let (_, mut responder) = next_request(&mut server);
    answer_ok(&mut responder, server.engine.clock().date());
    let kept = responder.socket();
    std::thread::scope(|scope| scope.spawn(|| responder.finish()).join()).unwrap();
    assert!(is_answered(&server.answer(client)));
    assert_eq!(server.engine.sharing(), 1);
    drop(kept);

    // Few keep it for their next request.
    clients.truncate(3);
    server.turn_until(|server| server.engine.connections() == 3);
    for client in &mut clients {
        client.write_all(REQUEST).unwrap();
        assert!(is_answered(&server.answer(client)));
    }
    assert_eq!(server.engine.sharing(), 3);
}
