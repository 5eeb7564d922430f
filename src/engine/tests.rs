//! The engine with real sockets and a fixed answer.

use crate::connection::{Connection, Next};
use crate::work::Pool;
use crate::{Engine, Peer, Settings};
use rustix::event::{EventfdFlags, eventfd};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Scene {
    engine: Engine,
    address: SocketAddr,
}

impl Scene {
    fn new(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut engine = Engine::new(settings).unwrap();
        engine.listen(listener.into()).unwrap();
        Self { engine, address }
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_nonblocking(true).unwrap();
        client
    }

    /// One turn, and an answer to every request that is complete.
    fn turn(&mut self) {
        self.engine.turn(Duration::from_millis(20)).unwrap();
        while let Some(mut exchange) = self.engine.next_request() {
            let head = exchange.head(b"200 OK").unwrap();
            head.finish(Some(2), self.engine.clock().date());
            exchange.push(b"ok").unwrap();
            exchange.end();
            self.engine.give_back(exchange);
        }
    }

    /// Serves until this client has a whole answer, or its connection ends.
    fn answer(&mut self, client: &mut TcpStream) -> String {
        let mut text = Vec::new();
        for _ in 0..500 {
            let mut bytes = [0; 4096];
            match client.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => text.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.turn(),
                Err(error) => panic!("{error}"),
            }
            if text.ends_with(b"\r\n\r\nok") {
                break;
            }
        }
        String::from_utf8(text).unwrap()
    }

    /// Lets so much time pass while the engine does nothing.
    fn be_busy(&mut self, millis: u64) {
        let until = self.engine.clock().now_ms() + millis;
        while self.engine.clock().now_ms() < until {
            std::thread::yield_now();
            self.engine.update_clock();
        }
    }
}

fn is_answered(text: &str) -> bool {
    text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nok")
}

#[test]
fn whoever_asked_in_time_is_answered_however_long_the_engine_was_busy() {
    let mut scene = Scene::new(Settings {
        keepalive: Duration::from_millis(100),
        ..Settings::default()
    });
    let mut clients: Vec<_> = (0..50).map(|_| scene.client()).collect();
    for client in &mut clients {
        client.write_all(REQUEST).unwrap();
        assert!(is_answered(&scene.answer(client)));
        // The next one, before the connection has been idle for long.
        client.write_all(REQUEST).unwrap();
    }

    scene.be_busy(300);

    for client in &mut clients {
        assert!(is_answered(&scene.answer(client)));
    }
}

#[test]
fn an_idle_connection_ends_after_its_time() {
    let mut scene = Scene::new(Settings {
        keepalive: Duration::from_millis(50),
        ..Settings::default()
    });
    let mut client = scene.client();
    client.write_all(REQUEST).unwrap();
    scene.answer(&mut client);

    assert_eq!(scene.answer(&mut client), "");

    assert_eq!(scene.engine.connections(), 0);
}

#[test]
fn a_full_engine_makes_room_by_closing_who_was_served() {
    let mut scene = Scene::new(Settings {
        connections: 2,
        keepalive: Duration::from_secs(60),
        ..Settings::default()
    });
    let mut served = scene.client();
    served.write_all(REQUEST).unwrap();
    scene.answer(&mut served);
    let mut asking = scene.client();
    asking.write_all(b"GET / HT").unwrap();
    while scene.engine.connections() < 2 {
        scene.turn();
    }

    let mut newcomer = scene.client();
    newcomer.write_all(REQUEST).unwrap();

    assert!(is_answered(&scene.answer(&mut newcomer)));
    assert_eq!(scene.answer(&mut served), "");
    asking
        .write_all(b"TP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    assert!(is_answered(&scene.answer(&mut asking)));
}

#[test]
fn whoever_has_a_request_leaves_a_newcomer_to_another_worker_but_not_for_ever() {
    let mut scene = Scene::new(Settings {
        keepalive: Duration::from_secs(60),
        ..Settings::default()
    });
    let nudge = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
    let ours = nudge.try_clone().unwrap();
    scene.engine.listen_for(nudge).unwrap();
    let mut kept = scene.client();
    kept.write_all(REQUEST).unwrap();
    scene.answer(&mut kept);
    scene.engine.take_more_waiting();

    // Both are there before the engine looks.
    kept.write_all(REQUEST).unwrap();
    let mut newcomer = scene.client();
    newcomer.write_all(REQUEST).unwrap();
    scene.turn();

    assert_eq!(scene.engine.connections(), 1);
    assert!(scene.engine.take_more_waiting());
    scene.engine.pass_on().unwrap();
    assert_eq!(rustix::io::read(&ours, &mut [0; 8]), Ok(8));

    // Nobody took it, and the requests do not end.
    scene.answer(&mut kept);
    kept.write_all(REQUEST).unwrap();
    scene.turn();

    assert_eq!(scene.engine.connections(), 2);
    assert!(is_answered(&scene.answer(&mut newcomer)));
}

#[test]
fn whoever_retires_tells_of_a_connection_that_waits() {
    let mut scene = Scene::new(Settings::default());
    let nudge = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
    let ours = nudge.try_clone().unwrap();
    scene.engine.listen_for(nudge).unwrap();
    let _waiting = scene.client();

    scene.engine.retire(Duration::MAX).unwrap();

    assert_eq!(rustix::io::read(&ours, &mut [0; 8]), Ok(8));
}

#[test]
fn whoever_falls_asleep_looks_for_connections_first() {
    let mut scene = Scene::new(Settings::default());
    assert!(!scene.engine.look_for_connections().unwrap());

    let _waiting = scene.client();

    assert!(scene.engine.look_for_connections().unwrap());
    assert_eq!(scene.engine.connections(), 1);
}

#[test]
fn a_retiring_engine_gives_each_client_one_last_answer() {
    let mut scene = Scene::new(Settings {
        keepalive: Duration::from_secs(60),
        ..Settings::default()
    });
    let mut kept = scene.client();
    kept.write_all(REQUEST).unwrap();
    assert!(!scene.answer(&mut kept).contains("Connection: close"));

    scene.engine.retire(Duration::MAX).unwrap();
    kept.write_all(REQUEST).unwrap();

    assert!(scene.answer(&mut kept).contains("Connection: close"));
    assert_eq!(scene.answer(&mut kept), "");
    drop(kept);
    while scene.engine.connections() > 0 {
        scene.turn();
    }
}

#[test]
fn a_client_that_stops_in_the_middle_of_a_head_is_told_so() {
    let mut scene = Scene::new(Settings {
        client_timeout: Duration::from_millis(50),
        ..Settings::default()
    });
    let mut client = scene.client();
    client.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();

    let text = scene.answer(&mut client);

    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
}

#[test]
fn what_is_taken_back_leaves_nothing_behind() {
    let mut scene = Scene::new(Settings::default());
    let mut client = scene.client();
    client.write_all(REQUEST).unwrap();
    let mut exchange = loop {
        scene.engine.turn(Duration::from_millis(20)).unwrap();
        if let Some(exchange) = scene.engine.next_request() {
            break exchange;
        }
    };
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"not for anybody").unwrap();
    let date = *scene.engine.clock().date();
    exchange.head(b"200 OK").unwrap().finish(Some(15), &date);
    exchange.send_file(file, 0, 15);

    exchange.restart();
    exchange.head(b"500 Oh").unwrap().finish(Some(2), &date);
    exchange.push(b"ok").unwrap();
    exchange.end();
    scene.engine.give_back(exchange);

    let text = scene.answer(&mut client);
    assert!(text.starts_with("HTTP/1.1 500 Oh\r\n"), "{text}");
    client.write_all(REQUEST).unwrap();
    assert!(is_answered(&scene.answer(&mut client)));
}

/// A refused connection whose answer is sent, and its client.
fn refused() -> (Connection, UnixStream) {
    let (server, mut client) = UnixStream::pair().unwrap();
    client.set_nonblocking(true).unwrap();
    let settings = Arc::new(Settings::default());
    let mut connection = Connection::new(server.into(), Peer::Unix, 0, settings, 1, u64::MAX);
    let mut pool = Pool::default();
    client.write_all(b"\x01").unwrap();
    let refusal = connection.progress(0, &mut pool).unwrap_err();
    connection.refuse(&refusal, 0, &[b' '; 29]);
    (connection, client)
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
fn what_a_refused_client_still_sends_is_not_read_in_one_turn() {
    let (mut connection, mut client) = refused();
    let mut pool = Pool::default();
    assert!(fill(&mut client) > 100_000);

    let next = connection.progress(0, &mut pool).unwrap();

    assert!(matches!(next, Next::Again), "{next:?}");
    let turns = (1..100)
        .find(|_| matches!(connection.progress(0, &mut pool), Ok(Next::Wait)))
        .unwrap();
    assert!(turns > 1);
}

#[test]
fn a_refused_client_that_never_stops_sending_is_closed() {
    let (mut connection, mut client) = refused();
    let mut pool = Pool::default();
    let mut sent = 0;

    while !matches!(connection.progress(0, &mut pool), Ok(Next::Close)) {
        sent += fill(&mut client);
        assert!(sent < 100 << 20, "still open after {sent} bytes");
    }

    assert!(sent >= 64 << 20, "closed after {sent} bytes");
}
