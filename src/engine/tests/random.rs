//! Two engines of a pool with random clients and random handles.
//!
//! A script makes clients send, read, shut down and leave, the application answer in all
//! ways it can, and the engines give connections away and retire, in any order. Then all
//! goes on until it is over, and each client must have its own responses, in order and
//! whole, unless the script explains why not.

use crate::{
    BodyDelivery, BodyEnd, Engine, HandoverSockets, Notice, Request, RequestBody, RequestEvent,
    RequestId, Responder, Settings,
};
use client::{Client, request_body, response_body};
use proptest::collection::vec;
use proptest::prelude::*;
use script::{Answer, Sent, Step, sent, settings, step};
use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::FileExt;
use std::time::Duration;

mod client;
mod script;

/// What takes more turns than this takes for ever.
const MAX_TURNS: usize = 3000;

/// A request that the application has not answered yet.
struct Pending {
    engine: usize,
    id: RequestId,
    responder: Responder,
    client: usize,
    number: usize,
    body: Vec<u8>,
    has_body: bool,
    in_pieces: Option<InPieces>,
}

/// A response that goes out in pieces.
struct InPieces {
    left: Vec<u8>,
    /// It goes on when the engine says so.
    awaits_writable: bool,
}

struct Pool {
    engines: [Engine; 2],
    settings: Settings,
    clients: Vec<Client>,
    pending: Vec<Pending>,
    /// Taken from an engine, and not looked at.
    borrowed: Vec<(usize, Request, Responder)>,
}

impl Pool {
    fn new(settings: &Settings, plans: &[Vec<Sent>]) -> Self {
        let sockets = HandoverSockets::pair().unwrap();
        let mut engines = [(); 2].map(|()| Engine::new(settings.clone()).unwrap());
        for engine in &mut engines {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            engine.listen(listener.into(), 1).unwrap();
            let copies = HandoverSockets {
                give: sockets.give.try_clone().unwrap(),
                take: sockets.take.try_clone().unwrap(),
            };
            engine.set_handover(copies).unwrap();
        }
        let clients = plans.iter().enumerate();
        let clients = clients
            .map(|(number, plan)| Client::new(number, plan, &mut engines[number % 2]))
            .collect();
        Self {
            engines,
            settings: settings.clone(),
            clients,
            pending: Vec::new(),
            borrowed: Vec::new(),
        }
    }

    fn client(&mut self, number: usize) -> &mut Client {
        let count = self.clients.len();
        &mut self.clients[number % count]
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send(client, count) => self.client(client).send(count),
            Step::Read(client, count) => self.client(client).read(count),
            Step::HalfClose(client) => {
                let client = self.client(client);
                if let Some(socket) = &client.socket {
                    // An error says that the server was faster.
                    let _ = socket.shutdown(Shutdown::Write);
                    client.is_half_closed = true;
                }
            }
            Step::Leave(client) => self.client(client).socket = None,
            Step::Turn(engine) => self.turn(engine),
            Step::TakeRequests(engine) => self.take_requests(engine),
            Step::Borrow(engine) => self.borrow(engine),
            Step::PutBack => self.put_back(),
            Step::Answer(which, answer) => {
                if which < self.pending.len() {
                    self.answer(which, answer);
                }
            }
            Step::GiveRequests(engine, count) => {
                self.engines[engine].give_requests_away(count);
            }
            Step::GiveConnections(engine, requests_too) => {
                self.engines[engine].give_connections_away(requests_too);
            }
            Step::LeaveListeners => self.engines[0].leave_listeners().unwrap(),
            Step::Retire => self.engines[0].retire(Duration::MAX).unwrap(),
        }
    }

    fn turn(&mut self, number: usize) {
        let engine = &mut self.engines[number];
        engine.turn(Duration::ZERO).unwrap();
        for event in engine.take_request_events() {
            let (RequestEvent::Writable(id) | RequestEvent::ClientLeft(id)) = event else {
                continue;
            };
            let mut pending = self.pending.iter_mut();
            if let Some(pending) = pending.find(|it| it.engine == number && it.id == id) {
                if let Some(in_pieces) = &mut pending.in_pieces {
                    in_pieces.awaits_writable = false;
                }
            }
        }
        for notice in engine.take_notices().0 {
            assert!(matches!(notice, Notice::NotAnswered(_)), "{notice:?}");
        }
    }

    fn borrow(&mut self, engine: usize) {
        // Others cannot be put back.
        if self.settings.body_delivery == BodyDelivery::Whole {
            let request = self.engines[engine].next_request();
            self.borrowed
                .extend(request.map(|(request, responder)| (engine, request, responder)));
        }
    }

    fn put_back(&mut self) {
        if let Some((engine, request, responder)) = self.borrowed.pop() {
            self.engines[engine].put_back(request, responder);
        }
    }

    fn take_requests(&mut self, engine: usize) {
        while let Some((request, responder)) = self.engines[engine].next_request() {
            let target = std::str::from_utf8(request.target()).unwrap();
            let (client, number) = target[1..].split_once('/').unwrap();
            let client: usize = client.parse().unwrap();
            let number: usize = number.parse().unwrap();
            assert!(self.pending.iter().all(|it| it.client != client));
            assert_eq!(self.clients[client].handed_out, number);
            self.clients[client].handed_out += 1;
            let (body, has_body) = body(&request);
            self.pending.push(Pending {
                engine,
                id: request.id(),
                responder,
                client,
                number,
                body,
                has_body,
                in_pieces: None,
            });
            self.engines[engine].recycle(request);
        }
    }

    /// The application answers a request, or goes on with that; if it has no whole body
    /// yet, it takes more of it.
    fn answer(&mut self, which: usize, answer: Answer) {
        let mut pending = self.pending.swap_remove(which);
        let engine = &mut self.engines[pending.engine];
        if !pending.has_body {
            let part = engine.take_body(pending.id).unwrap();
            pending.body.extend_from_slice(&part.bytes);
            match part.end {
                BodyEnd::More => return self.pending.push(pending),
                BodyEnd::Complete => pending.has_body = true,
                // The client is gone, or has shut down its side.
                BodyEnd::Broken => {
                    let client = &mut self.clients[pending.client];
                    assert!(client.requests() <= pending.number);
                    return client.answers.push(Answer::Drop);
                }
            }
        }
        if pending.in_pieces.is_some() {
            return self.go_on(pending);
        }
        let client = &mut self.clients[pending.client];
        assert!(
            pending.body
                == request_body(pending.client, pending.number, client.plan[pending.number])
        );
        client.answers.push(answer);
        let date = *engine.clock().date();
        let responder = &mut pending.responder;
        let begin = |responder: &mut Responder, length: usize| {
            let body = response_body(pending.client, pending.number, length);
            let head = responder.head(b"200 OK").unwrap();
            head.finish(Some(body.len() as u64), &date);
            body
        };
        let write = |responder: &mut Responder, length: usize| {
            let body = begin(responder, length);
            // An error says that the client is gone.
            if responder.push(&body).is_ok() {
                responder.end();
            }
        };
        match answer {
            Answer::Finish(length) => {
                write(responder, length);
                engine.finish(pending.responder);
            }
            Answer::FinishLater(length) => {
                write(responder, length);
                engine.finish_later(pending.responder);
            }
            Answer::InAnotherThread(length) => {
                let mut responder = pending.responder;
                let thread = || {
                    write(&mut responder, length);
                    responder.finish();
                };
                std::thread::scope(|scope| scope.spawn(thread).join().unwrap());
            }
            Answer::File(length) => {
                let body = begin(responder, length);
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&body).unwrap();
                responder.send_file(file, 0, body.len() as u64);
                responder.end();
                engine.finish(pending.responder);
            }
            Answer::InPieces(length) => {
                let left = response_body(pending.client, pending.number, length);
                responder.head(b"200 OK").unwrap().finish(None, &date);
                pending.in_pieces = Some(InPieces {
                    left,
                    awaits_writable: false,
                });
                self.pending.push(pending);
            }
            Answer::ThenClose(length) => {
                responder.close_after();
                write(responder, length);
                engine.finish(pending.responder);
            }
            Answer::Drop => {}
            Answer::DropInTheMiddle => {
                responder.head(b"200 OK").unwrap().finish(None, &date);
                // An error says that the client is gone.
                let _ = responder.push(b"half").and(responder.flush());
                // A part of it has to be sent, or it is a whole 500.
                if responder.waiting() == responder.bytes() {
                    responder.abort();
                }
            }
        }
    }

    /// The next piece of a response.
    fn go_on(&mut self, mut pending: Pending) {
        let Some(in_pieces) = &mut pending.in_pieces else {
            return;
        };
        if in_pieces.awaits_writable {
            return self.pending.push(pending);
        }
        let piece_length = in_pieces.left.len().min(25_000);
        let rest = in_pieces.left.split_off(piece_length);
        let piece = std::mem::replace(&mut in_pieces.left, rest);
        let responder = &mut pending.responder;
        let sent = responder.push(&piece).and_then(|_| responder.flush());
        if sent.is_err() {
            assert!(self.clients[pending.client].socket.is_none());
            return self.engines[pending.engine].finish(pending.responder);
        }
        if responder.waiting() > 0 && self.settings.across_turns {
            in_pieces.awaits_writable = true;
            responder.notify_writable();
        } else if in_pieces.left.is_empty() {
            responder.end();
            return self.engines[pending.engine].finish(pending.responder);
        }
        self.pending.push(pending);
    }

    /// All do what is left to do.
    fn settle(&mut self) {
        while !self.borrowed.is_empty() {
            self.put_back();
        }
        for _ in 0..MAX_TURNS {
            for engine in [0, 1] {
                self.turn(engine);
                self.take_requests(engine);
            }
            for client in &mut self.clients {
                client.send(usize::MAX / 2);
                client.read(1 << 20);
            }
            for which in (0..self.pending.len()).rev() {
                self.answer(which, Answer::Finish(10));
            }
            if self.pending.is_empty() && self.clients.iter().all(Client::is_done) {
                return;
            }
        }
        let waiting = self.clients.iter().position(|client| !client.is_done());
        panic!("client {waiting:?} waits for ever");
    }

    /// All clients leave.
    fn end(mut self) {
        for client in &mut self.clients {
            client.socket = None;
        }
        let is_empty = |engine: &Engine| engine.connections() == 0;
        for _ in 0..MAX_TURNS {
            for engine in [0, 1] {
                self.turn(engine);
                self.take_requests(engine);
            }
            self.pending.clear();
            if self.engines.iter().all(is_empty) {
                break;
            }
        }
        for engine in &mut self.engines {
            assert_eq!(engine.connections(), 0);
            assert_eq!(engine.buffered(), 0);
            assert_eq!(engine.ready(), 0);
            let max = Duration::from_secs(1);
            engine.turn(Duration::ZERO).unwrap();
            assert_eq!(engine.turn(Duration::ZERO).unwrap(), 0);
            assert_eq!(engine.next_timeout(max), max);
        }
        let open = open_sockets();
        for client in &self.clients {
            assert!(!open.contains(&format!("socket:[{}]", client.inode)));
        }
    }
}

/// The body of a request, if all of it is there.
fn body(request: &Request) -> (Vec<u8>, bool) {
    match request.body() {
        RequestBody::Memory(bytes) => (bytes.to_vec(), true),
        RequestBody::File(file, length) => {
            let mut bytes = vec![0; usize::try_from(length).unwrap()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            (bytes, true)
        }
        RequestBody::Streamed => (Vec::new(), false),
    }
}

/// The sockets of this process, those of other tests among them.
fn open_sockets() -> Vec<String> {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| link.into_os_string().into_string().ok())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn each_client_gets_its_responses_and_nothing_is_left(
        settings in settings(),
        plans in vec(vec(sent(), 0..5), 1..6),
        steps in vec(step(), 0..200),
    ) {
        let mut pool = Pool::new(&settings, &plans);
        for step in steps {
            pool.step(step);
        }
        pool.settle();
        for (number, client) in pool.clients.iter().enumerate() {
            client.check(number);
        }
        pool.end();
    }
}
