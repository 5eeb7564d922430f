//! A server for the tests: an engine with a listener and an application that answers `ok`,
//! and what a client receives from it.

use crate::{Engine, Neighbours, Request, RequestEvent, Responder, Settings};
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

pub(crate) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The other workers of the pool neither sleep nor have room.
pub(crate) struct AllBusy {
    /// The pool was told to stop.
    pub(crate) stopping: bool,
}

impl Neighbours for AllBusy {
    fn may_accept(&self) -> bool {
        true
    }

    fn fewest_connections_idle(&self) -> Option<usize> {
        None
    }

    fn have_room(&self) -> bool {
        false
    }

    fn are_stopping(&self) -> bool {
        self.stopping
    }
}

pub(crate) struct TestServer {
    pub(crate) engine: Engine,
    address: SocketAddr,
}

impl TestServer {
    pub(crate) fn new(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut engine = Engine::new(settings).unwrap();
        engine.listen(listener.into(), 0).unwrap();
        Self { engine, address }
    }

    pub(crate) fn with_request_timeout(request_timeout: Duration) -> Self {
        Self::new(Settings {
            request_timeout: Some(request_timeout),
            ..Settings::default()
        })
    }

    pub(crate) fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_nonblocking(true).unwrap();
        client
    }

    /// One turn, and a response to each complete request.
    pub(crate) fn turn(&mut self) {
        self.engine.turn(Duration::from_millis(20)).unwrap();
        while let Some((request, mut responder)) = self.engine.next_request() {
            answer_ok(&mut responder, self.engine.clock().date());
            self.engine.finish(responder);
            self.engine.recycle(request);
        }
    }

    /// Serves until this client has a whole response, or its connection is closed.
    pub(crate) fn answer(&mut self, client: &mut TcpStream) -> String {
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

    pub(crate) fn turn_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..2000 {
            if done(self) {
                return;
            }
            self.engine.turn(Duration::from_millis(5)).unwrap();
        }
        panic!("it did not come to that");
    }

    /// Turns until this event of a request comes. Others are ignored.
    pub(crate) fn await_event(&mut self, event: RequestEvent) {
        self.turn_until(|server| server.engine.take_request_events().contains(&event));
    }

    /// Lets time pass without a turn.
    pub(crate) fn block_for(&mut self, millis: u64) {
        let until = self.engine.clock().now_ms() + millis;
        while self.engine.clock().now_ms() < until {
            std::thread::yield_now();
            self.engine.update_clock();
        }
    }
}

pub(crate) fn answer_ok(responder: &mut Responder, date: &[u8; 29]) {
    let head = responder.head(b"200 OK").unwrap();
    head.finish(Some(2), date);
    responder.push(b"ok").unwrap();
    responder.end();
}

pub(crate) fn is_answered(text: &str) -> bool {
    text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nok")
}

/// The next complete request; waits for it.
pub(crate) fn next_request(server: &mut TestServer) -> (Request, Responder) {
    loop {
        server.engine.turn(Duration::from_millis(20)).unwrap();
        if let Some(handed_out) = server.engine.next_request() {
            return handed_out;
        }
    }
}

pub(crate) fn across_turns() -> Settings {
    Settings {
        across_turns: true,
        keepalive: Duration::from_secs(60),
        ..Settings::default()
    }
}

pub(crate) fn answer_with(responder: &mut Responder, body: &[u8]) {
    let head = responder.head(b"200 OK").unwrap();
    head.finish(Some(body.len() as u64), &[b' '; 29]);
    responder.push(body).unwrap();
    responder.end();
}

/// Reads what has come, without waiting. The second: the connection is closed.
pub(crate) fn received(client: &mut TcpStream) -> (Vec<u8>, bool) {
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
