//! Connections that go from one engine to another, in each of their states.

use super::server::{AllBusy, REQUEST, answer_ok, is_answered};
use crate::{Engine, HandoverSockets, Neighbours, Notice, Peer, RequestBody, Settings};
use rustix::event::{EventfdFlags, eventfd};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Two workers of a pool, of which only the first accepts connections.
pub(super) struct Pool {
    pub(super) first: Engine,
    pub(super) second: Engine,
    address: SocketAddr,
}

impl Pool {
    pub(super) fn new(settings: &Settings) -> Self {
        Self::with(settings.clone(), settings.clone())
    }

    fn with(first: Settings, second: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let unused = TcpListener::bind("127.0.0.1:0").unwrap();
        unused.set_nonblocking(true).unwrap();
        let sockets = HandoverSockets::pair().unwrap();
        let copies = HandoverSockets {
            give: sockets.give.try_clone().unwrap(),
            take: sockets.take.try_clone().unwrap(),
        };
        let mut first = Engine::new(first).unwrap();
        let mut second = Engine::new(second).unwrap();
        first.listen(listener.into(), 7).unwrap();
        second.listen(unused.into(), 7).unwrap();
        first.set_handover(sockets).unwrap();
        second.set_handover(copies).unwrap();
        second.set_neighbours(AllBusy { stopping: false });
        Self {
            first,
            second,
            address,
        }
    }

    /// A client whose bytes the first worker has received.
    pub(super) fn client(&mut self, bytes: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(self.address).unwrap();
        client.set_nonblocking(true).unwrap();
        let before = self.first.connections();
        while self.first.connections() == before {
            turn(&mut self.first);
        }
        let mut left = bytes;
        while !left.is_empty() {
            match client.write(left) {
                Ok(count) => left = &left[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            turn(&mut self.first);
        }
        for _ in 0..3 {
            turn(&mut self.first);
        }
        client
    }

    /// Gives everything away that can go, and lets the second worker take it.
    pub(super) fn hand_over(&mut self) {
        let given = self.first.give_connections_away(true);
        assert_eq!(self.first.connections(), 0);
        while self.second.connections() < given {
            // One with a complete request is answered before the next is taken.
            turn(&mut self.second);
            if self.second.ready() > 0 {
                return;
            }
        }
    }
}

pub(super) fn turn(engine: &mut Engine) {
    engine.turn(Duration::from_millis(5)).unwrap();
}

fn serve(engine: &mut Engine) {
    turn(engine);
    while let Some((_, mut responder)) = engine.next_request() {
        answer_ok(&mut responder, engine.clock().date());
        engine.finish(responder);
    }
}

/// Serves until this client has a whole response, or its connection is closed.
pub(super) fn answer(engine: &mut Engine, client: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        let mut byte = [0];
        match client.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => text.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => serve(engine),
            Err(error) => panic!("{error}"),
        }
        if text.ends_with(b"\r\n\r\nok") {
            break;
        }
    }
    String::from_utf8(text).unwrap()
}

/// The body of the next request, which is answered.
fn body_of_next(engine: &mut Engine) -> Vec<u8> {
    loop {
        turn(engine);
        let Some((request, mut responder)) = engine.next_request() else {
            continue;
        };
        let body = match request.body() {
            RequestBody::Memory(bytes) => bytes.to_vec(),
            RequestBody::File(file, length) => {
                let mut bytes = vec![0; usize::try_from(length).unwrap()];
                file.read_exact_at(&mut bytes, 0).unwrap();
                bytes
            }
            RequestBody::Streamed => panic!("not in this test"),
        };
        assert_eq!(request.listener(), 7);
        answer_ok(&mut responder, engine.clock().date());
        engine.finish(responder);
        return body;
    }
}

fn settings() -> Settings {
    Settings {
        keepalive: Duration::from_secs(60),
        ..Settings::default()
    }
}

fn numbered(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

#[test]
fn an_idle_connection_goes_on_elsewhere() {
    let mut pool = Pool::new(&settings());
    let mut client = pool.client(REQUEST);
    assert!(is_answered(&answer(&mut pool.first, &mut client)));
    let mut silent = pool.client(b"");

    pool.hand_over();

    for client in [&mut client, &mut silent] {
        client.write_all(REQUEST).unwrap();
        assert!(is_answered(&answer(&mut pool.second, client)));
    }
}

#[test]
fn a_head_that_is_half_read_goes_on_elsewhere() {
    for length in 1..REQUEST.len() {
        let mut pool = Pool::new(&settings());
        let mut client = pool.client(&REQUEST[..length]);

        pool.hand_over();

        client.write_all(&REQUEST[length..]).unwrap();
        assert!(is_answered(&answer(&mut pool.second, &mut client)));
    }
}

#[test]
fn a_half_read_head_has_no_more_time_than_before() {
    let with_timeout = |client_timeout| Settings {
        client_timeout,
        ..settings()
    };
    let mut pool = Pool::with(
        with_timeout(Duration::from_secs(2)),
        with_timeout(Duration::from_secs(3600)),
    );
    let mut client = pool.client(b"GET / HTTP");

    pool.hand_over();

    let text = answer(&mut pool.second, &mut client);
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
}

#[test]
fn a_complete_request_is_answered_elsewhere() {
    let mut pool = Pool::new(&settings());
    let mut client = pool.client(REQUEST);

    assert_eq!(pool.first.give_requests_away(5), 1);

    assert_eq!((pool.first.ready(), pool.first.connections()), (0, 0));
    assert!(is_answered(&answer(&mut pool.second, &mut client)));
    client.write_all(REQUEST).unwrap();
    assert!(is_answered(&answer(&mut pool.second, &mut client)));
}

#[test]
fn pipelined_requests_go_along() {
    let mut pool = Pool::new(&settings());
    let mut client = pool.client(&REQUEST.repeat(3)[..100]);

    pool.hand_over();

    client.write_all(&REQUEST.repeat(3)[100..]).unwrap();
    for _ in 0..3 {
        assert!(is_answered(&answer(&mut pool.second, &mut client)));
    }
}

#[test]
fn a_body_goes_along_however_much_of_it_has_come() {
    let body = numbered(300_000);
    let chunked: Vec<u8> = body
        .chunks(70_000)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .chain(*b"0\r\n\r\n")
        .collect();
    for (length, framing, bytes) in [
        (100_000, "Content-Length: 100000", &body[..100_000]),
        (300_000, "Content-Length: 300000", &body[..]),
        (300_000, "Transfer-Encoding: chunked", &chunked[..]),
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        let request = [head.as_bytes(), bytes, REQUEST].concat();
        let whole = head.len() + bytes.len();
        for cut in [
            head.len(),
            head.len() + 10,
            60_000,
            200_000,
            whole,
            whole + 9,
        ] {
            let cut = cut.min(request.len());
            let mut pool = Pool::new(&settings());
            let mut client = pool.client(&request[..cut]);

            pool.hand_over();

            let mut left = &request[cut..];
            while !left.is_empty() {
                match client.write(left) {
                    Ok(count) => left = &left[count..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => panic!("{error}"),
                }
                turn(&mut pool.second);
            }
            assert!(
                body_of_next(&mut pool.second) == body[..length],
                "{framing}, {cut}"
            );
            assert!(is_answered(&answer(&mut pool.second, &mut client)));
            assert!(is_answered(&answer(&mut pool.second, &mut client)));
        }
    }
}

#[test]
fn a_client_is_told_only_once_to_go_on() {
    let mut pool = Pool::new(&settings());
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    let mut client = pool.client(head);

    pool.hand_over();
    for _ in 0..3 {
        turn(&mut pool.second);
    }

    client.write_all(b"go").unwrap();
    let text = answer(&mut pool.second, &mut client);
    assert_eq!(text.matches("100 Continue").count(), 1, "{text}");
    assert!(text.ends_with("\r\n\r\nok"));
}

#[test]
fn a_request_that_is_being_answered_stays() {
    let mut pool = Pool::new(&settings());
    let mut client = pool.client(REQUEST);
    let (_, mut responder) = pool.first.next_request().unwrap();

    assert_eq!(pool.first.give_connections_away(true), 0);

    answer_ok(&mut responder, pool.first.clock().date());
    pool.first.finish(responder);
    assert!(is_answered(&answer(&mut pool.first, &mut client)));
    pool.hand_over();
    client.write_all(REQUEST).unwrap();
    assert!(is_answered(&answer(&mut pool.second, &mut client)));
}

#[test]
fn a_response_that_is_half_sent_stays_until_it_is_sent() {
    let mut pool = Pool::new(&settings());
    let mut client = pool.client(REQUEST);
    let (_, mut responder) = pool.first.next_request().unwrap();
    let body = numbered(16 << 20);
    let head = responder.head(b"200 OK").unwrap();
    head.finish(Some(body.len() as u64), &[b' '; 29]);
    responder.push(&body).unwrap();
    responder.end();
    pool.first.finish(responder);

    assert_eq!(pool.first.give_connections_away(true), 0);

    let mut all = Vec::new();
    while all.len() < body.len() || !all.ends_with(&body[body.len() - 100..]) {
        let mut bytes = [0; 16384];
        match client.read(&mut bytes) {
            Ok(count) => all.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => turn(&mut pool.first),
            Err(error) => panic!("{error}"),
        }
    }
    turn(&mut pool.first);
    assert!(all.ends_with(&body));
    pool.hand_over();
    client.write_all(REQUEST).unwrap();
    assert!(is_answered(&answer(&mut pool.second, &mut client)));
}

#[test]
fn what_nobody_takes_can_be_taken_back() {
    let mut pool = Pool::new(&settings());
    let mut client = pool.client(REQUEST);
    assert_eq!(pool.first.give_requests_away(1), 1);

    pool.first.take_all().unwrap();

    assert!(is_answered(&answer(&mut pool.first, &mut client)));
}

#[test]
fn a_full_handover_socket_keeps_connections_where_they_are() {
    let mut pool = Pool::new(&Settings {
        connections: 2000,
        ..settings()
    });
    let mut clients: Vec<_> = (0..400).map(|_| pool.client(b"")).collect();

    let mut given = pool.first.give_connections_away(true);

    assert!(given > 0);
    while pool.first.connections() > 0 {
        turn(&mut pool.second);
        given += pool.first.give_connections_away(true);
    }
    assert_eq!(given, 400);
    for client in &mut clients {
        client.write_all(REQUEST).unwrap();
        assert!(is_answered(&answer(&mut pool.second, client)));
    }
    assert!(pool.first.take_notices().0.is_empty());
}

#[test]
fn a_full_worker_sleeps_until_it_has_room() {
    let mut pool = Pool::new(&Settings {
        connections: 1,
        ..settings()
    });
    let first = pool.client(b"");
    pool.hand_over();
    let mut second = pool.client(REQUEST);
    assert_eq!(pool.first.give_connections_away(true), 1);
    turn(&mut pool.second);

    let events: usize = (0..5)
        .map(|_| pool.second.turn(Duration::from_millis(5)).unwrap())
        .sum();

    assert_eq!(events, 0);
    assert!(pool.second.take_more_waiting());
    drop(first);
    assert!(is_answered(&answer(&mut pool.second, &mut second)));
}

#[test]
fn a_worker_with_requests_wakes_another_for_what_was_given_away() {
    let mut pool = Pool::new(&settings());
    let wake_fd = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
    let ours = wake_fd.try_clone().unwrap();
    pool.second.set_wake_fd(wake_fd).unwrap();
    let (mut busy, theirs) = UnixStream::pair().unwrap();
    busy.write_all(REQUEST).unwrap();
    pool.second.adopt(theirs.into(), Peer::Unix, 7);
    assert_eq!(pool.second.ready(), 1);
    let _client = pool.client(REQUEST);
    assert_eq!(pool.first.give_requests_away(1), 1);
    pool.second.take_more_waiting();

    turn(&mut pool.second);

    assert_eq!(pool.second.connections(), 1);
    assert!(pool.second.take_more_waiting());
    pool.second.wake_another().unwrap();
    assert_eq!(rustix::io::read(&ours, &mut [0; 8]), Ok(8));
}

/// The order to retire comes when the worker has been allowed to accept once.
#[derive(Default)]
struct RetiredMeanwhile(AtomicBool);

impl Neighbours for RetiredMeanwhile {
    fn may_accept(&self) -> bool {
        !self.0.swap(true, Relaxed)
    }

    fn fewest_connections_idle(&self) -> Option<usize> {
        None
    }

    fn have_room(&self) -> bool {
        true
    }

    fn are_stopping(&self) -> bool {
        false
    }
}

#[test]
fn who_retires_while_it_accepts_leaves_the_connection_to_another() {
    let mut pool = Pool::new(&settings());
    pool.first.set_neighbours(RetiredMeanwhile::default());
    let mut client = TcpStream::connect(pool.address).unwrap();
    client.set_nonblocking(true).unwrap();
    client.write_all(REQUEST).unwrap();

    while pool.second.connections() == 0 {
        turn(&mut pool.first);
        assert_eq!((pool.first.connections(), pool.first.ready()), (0, 0));
        turn(&mut pool.second);
    }

    assert!(is_answered(&answer(&mut pool.second, &mut client)));
}

#[test]
fn who_retires_while_it_takes_a_connection_leaves_it_to_another() {
    let mut pool = Pool::new(&settings());
    let mut client = pool.client(REQUEST);
    pool.second.set_neighbours(RetiredMeanwhile::default());
    assert_eq!(pool.first.give_connections_away(true), 1);

    // It is woken, takes the request and gives it back; the first takes it then.
    turn(&mut pool.second);
    assert_eq!((pool.second.connections(), pool.second.ready()), (0, 0));

    assert!(is_answered(&answer(&mut pool.first, &mut client)));
}

#[test]
fn requests_that_have_gone_with_their_connections_are_not_ready() {
    let mut pool = Pool::new(&settings());
    let _client = pool.client(REQUEST);
    assert_eq!(pool.first.ready(), 1);

    assert_eq!(pool.first.give_connections_away(true), 1);

    assert_eq!(pool.first.ready(), 0);
}

#[test]
fn a_message_that_cannot_be_understood_is_dropped_with_a_notice() {
    let sockets = HandoverSockets::pair().unwrap();
    for message in [
        &b""[..],
        b"\x09",
        b"\x09\0\0\0",
        b"\x02\0\0\0{\"",
        b"\x02\0\0\0{}",
    ] {
        rustix::io::write(&sockets.give, message).unwrap();
    }
    let mut engine = Engine::new(settings()).unwrap();
    engine.set_handover(sockets).unwrap();

    for _ in 0..3 {
        turn(&mut engine);
    }

    let (notices, _) = engine.take_notices();
    assert_eq!(notices.len(), 5, "{notices:?}");
}

#[test]
fn a_connection_of_an_unknown_listener_is_refused_with_a_notice() {
    let mut pool = Pool::new(&settings());
    let sockets = HandoverSockets::pair().unwrap();
    let copies = HandoverSockets {
        give: sockets.give.try_clone().unwrap(),
        take: sockets.take.try_clone().unwrap(),
    };
    let mut other = Engine::new(settings()).unwrap();
    other.set_handover(copies).unwrap();
    pool.first.set_handover(sockets).unwrap();
    let mut client = pool.client(REQUEST);
    assert_eq!(pool.first.give_requests_away(1), 1);

    turn(&mut other);

    let (notices, _) = other.take_notices();
    assert!(
        matches!(notices[..], [Notice::CannotHandOver(_)]),
        "{notices:?}"
    );
    assert_eq!(answer(&mut other, &mut client), "");
}

#[test]
fn the_time_that_a_request_has_waited_goes_with_it() {
    let mut pool = Pool::new(&Settings {
        request_timeout: Some(Duration::from_secs(8)),
        ..Settings::default()
    });
    let mut client = pool.client(REQUEST);
    let until = pool.first.clock().now_ms() + 2000;
    while pool.first.clock().now_ms() < until {
        sleep(Duration::from_millis(10));
        pool.first.update_clock();
    }

    pool.hand_over();
    let until = pool.second.clock().now_ms() + 6500;
    while pool.second.clock().now_ms() < until {
        sleep(Duration::from_millis(10));
        pool.second.update_clock();
    }

    assert!(pool.second.next_request().is_none());
    assert_eq!(pool.second.take_unserved().timed_out, 1);
    assert!(answer(&mut pool.second, &mut client).starts_with("HTTP/1.1 503 "));
}
