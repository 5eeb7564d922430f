//! Two engines of a pool with random clients and random handles.
//!
//! A script makes clients send, read, shut down and leave, the application answer in all
//! ways it can, and the engines give connections away and retire, in any order. Then all
//! goes on until it is over, and each client must have its own responses, in order and
//! whole, unless the script explains why not.

use crate::{
    BodyDelivery, BodyEnd, Engine, HandoverSockets, Notice, Peer, Request, RequestBody,
    RequestEvent, RequestId, Responder, Settings,
};
use proptest::collection::vec;
use proptest::prelude::*;
use rgunicorn_http::{BodyDecoder, Framing, Limits};
use rustix::net::sockopt::set_socket_send_buffer_size;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Small, so that the sockets are often full.
const SOCKET_BUFFER: usize = 8 * 1024;

/// What takes more turns than this takes for ever.
const MAX_TURNS: usize = 3000;

/// What the request of a client has for a body.
#[derive(Debug, Clone, Copy)]
enum Sent {
    Nothing,
    Length(usize),
    /// In chunks of about this size.
    Chunked(usize, usize),
}

/// How the application answers. With a number of bytes where there is a body.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Finish(usize),
    FinishLater(usize),
    InAnotherThread(usize),
    File(usize),
    /// A piece each time it is asked, with back-pressure.
    InPieces(usize),
    ThenClose(usize),
    Drop,
    DropInTheMiddle,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A client sends at most so many bytes of what it has to send.
    Send(usize, usize),
    Read(usize, usize),
    HalfClose(usize),
    Leave(usize),
    Turn(usize),
    /// The application takes the requests that are complete.
    TakeRequests(usize),
    Answer(usize, Answer),
    GiveRequests(usize, usize),
    GiveConnections(usize, bool),
    LeaveListeners,
    Retire,
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        3 => Just(Sent::Nothing),
        2 => (0..300_usize).prop_map(Sent::Length),
        1 => (0..60_000_usize).prop_map(Sent::Length),
        1 => (0..300_usize, 1..100_usize).prop_map(|(all, chunk)| Sent::Chunked(all, chunk)),
        1 => (0..60_000_usize, 1000..20_000_usize)
            .prop_map(|(all, chunk)| Sent::Chunked(all, chunk)),
    ]
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..100_usize, 1 => 0..80_000_usize]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        3 => length().prop_map(Answer::Finish),
        3 => length().prop_map(Answer::FinishLater),
        1 => length().prop_map(Answer::InAnotherThread),
        1 => length().prop_map(Answer::File),
        3 => length().prop_map(Answer::InPieces),
        1 => length().prop_map(Answer::ThenClose),
        1 => Just(Answer::Drop),
        1 => Just(Answer::DropInTheMiddle),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..6_usize;
    let engine = 0..2_usize;
    prop_oneof![
        8 => (client.clone(), 1..100_usize).prop_map(|(who, count)| Step::Send(who, count)),
        4 => (client.clone(), 1..50_000_usize).prop_map(|(who, count)| Step::Send(who, count)),
        4 => (client.clone(), 1..20_000_usize).prop_map(|(who, count)| Step::Read(who, count)),
        1 => client.clone().prop_map(Step::HalfClose),
        1 => client.prop_map(Step::Leave),
        10 => engine.clone().prop_map(Step::Turn),
        8 => engine.clone().prop_map(Step::TakeRequests),
        10 => (0..6_usize, answer()).prop_map(|(which, answer)| Step::Answer(which, answer)),
        2 => (engine.clone(), 1..4_usize).prop_map(|(who, count)| Step::GiveRequests(who, count)),
        3 => (engine, any::<bool>()).prop_map(|(who, too)| Step::GiveConnections(who, too)),
        1 => prop_oneof![9 => Just(Step::LeaveListeners), 1 => Just(Step::Retire)],
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let delivery = prop_oneof![
        3 => Just(BodyDelivery::Whole),
        1 => Just(BodyDelivery::AsReceived),
    ];
    (delivery, any::<bool>(), 0..40_000_usize).prop_map(|(body_delivery, across, in_memory)| {
        Settings {
            keepalive: Duration::from_secs(3600),
            client_timeout: Duration::from_secs(3600),
            across_turns: across || body_delivery == BodyDelivery::AsReceived,
            body_delivery,
            body_in_memory: in_memory,
            response_in_memory: 4000,
            response_on_disk: 10_000,
            ..Settings::default()
        }
    })
}

/// Bytes that tell what they are a part of.
fn pattern(seed: usize, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| b'a' + u8::try_from((at + at / 26 + seed) % 26).unwrap())
        .collect()
}

fn request_body(client: usize, number: usize, sent: Sent) -> Vec<u8> {
    let length = match sent {
        Sent::Nothing => 0,
        Sent::Length(length) | Sent::Chunked(length, _) => length,
    };
    pattern(client * 7 + number, length)
}

fn response_body(client: usize, number: usize, length: usize) -> Vec<u8> {
    let name = format!("{client} {number} ");
    [name.as_bytes(), &pattern(client * 5 + number, length)].concat()
}

fn request(client: usize, number: usize, sent: Sent) -> Vec<u8> {
    let framing = match sent {
        Sent::Nothing => String::new(),
        Sent::Length(length) => format!("Content-Length: {length}\r\n"),
        Sent::Chunked(..) => "Transfer-Encoding: chunked\r\n".to_owned(),
    };
    let mut bytes =
        format!("POST /{client}/{number} HTTP/1.1\r\nHost: a\r\n{framing}\r\n").into_bytes();
    let body = request_body(client, number, sent);
    match sent {
        Sent::Nothing => {}
        Sent::Length(_) => bytes.extend_from_slice(&body),
        Sent::Chunked(_, size) => {
            for chunk in body.chunks(size) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
    }
    bytes
}

struct Client {
    /// `None` once it has left.
    socket: Option<UnixStream>,
    /// The other end, wherever it is.
    inode: u64,
    to_send: Vec<u8>,
    sent: usize,
    /// Where each request ends in `to_send`.
    ends: Vec<usize>,
    is_half_closed: bool,
    received: Vec<u8>,
    /// The connection is closed.
    is_closed: bool,
    plan: Vec<Sent>,
    /// How each request was answered.
    answers: Vec<Answer>,
    /// How many requests the application has had.
    handed_out: usize,
}

impl Client {
    fn new(number: usize, plan: &[Sent], engine: &mut Engine) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        for socket in [&socket, &theirs] {
            set_socket_send_buffer_size(socket, SOCKET_BUFFER).unwrap();
            socket.set_nonblocking(true).unwrap();
        }
        let theirs = File::from(std::os::fd::OwnedFd::from(theirs));
        let inode = theirs.metadata().unwrap().ino();
        engine.adopt(theirs.into(), Peer::Unix, 1);
        let mut to_send = Vec::new();
        let mut ends = Vec::new();
        for (request_number, sent) in plan.iter().enumerate() {
            to_send.extend(request(number, request_number, *sent));
            ends.push(to_send.len());
        }
        Self {
            socket: Some(socket),
            inode,
            to_send,
            sent: 0,
            ends,
            is_half_closed: false,
            received: Vec::new(),
            is_closed: false,
            plan: plan.to_vec(),
            answers: Vec::new(),
            handed_out: 0,
        }
    }

    fn send(&mut self, count: usize) {
        let end = self.to_send.len().min(self.sent + count);
        if let Some(socket) = self.socket.as_mut().filter(|_| !self.is_half_closed) {
            match socket.write(&self.to_send[self.sent..end]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The server has closed the connection: there is still something to read.
                Err(_) => self.is_half_closed = true,
            }
        }
    }

    fn read(&mut self, count: usize) {
        let mut bytes = vec![0; count];
        if let Some(socket) = self.socket.as_mut().filter(|_| !self.is_closed) {
            match socket.read(&mut bytes) {
                Ok(0) => self.is_closed = true,
                Ok(count) => self.received.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.is_closed = true,
            }
        }
    }

    /// How many requests it has sent.
    fn requests(&self) -> usize {
        self.ends.iter().filter(|end| **end <= self.sent).count()
    }

    fn is_done(&self) -> bool {
        let has_sent = self.is_half_closed || self.sent == self.to_send.len();
        let is_answered = || parse(&self.received).0.len() == self.requests();
        self.socket.is_none() || self.is_closed || has_sent && is_answered()
    }

    fn check(&self, number: usize) {
        let (responses, rest) = parse(&self.received);
        for (request, response) in responses.iter().enumerate() {
            let Some(answer) = self.answers.get(request) else {
                panic!("a response without a request: {response:?}");
            };
            let length = match *answer {
                Answer::Finish(length)
                | Answer::FinishLater(length)
                | Answer::InAnotherThread(length)
                | Answer::File(length)
                | Answer::InPieces(length)
                | Answer::ThenClose(length) => length,
                Answer::Drop => {
                    assert_eq!(response.status, 500);
                    continue;
                }
                Answer::DropInTheMiddle => panic!("{response:?} was never completed"),
            };
            assert_eq!(response.status, 200);
            assert!(response.body == response_body(number, request, length));
        }
        if self.socket.is_some() && responses.len() < self.requests() {
            let is_last = responses.last().is_some_and(|last| last.is_last);
            let next = self.answers.get(responses.len());
            let is_broken = matches!(next, Some(Answer::DropInTheMiddle));
            assert!(is_last || is_broken, "client {number} misses a response");
            assert!(
                is_broken || rest == 0,
                "client {number} has half a response"
            );
            assert!(self.is_closed, "client {number} cannot tell");
        }
    }
}

struct Response {
    status: u16,
    /// It says that the connection is closed.
    is_last: bool,
    body: Vec<u8>,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {} bytes", self.status, self.body.len())
    }
}

/// The responses in `bytes`, and how many bytes are left.
fn parse(mut bytes: &[u8]) -> (Vec<Response>, usize) {
    let mut responses = Vec::new();
    loop {
        let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return (responses, bytes.len());
        };
        let (head, mut rest) = bytes.split_at(head + 4);
        let head = std::str::from_utf8(head).unwrap();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let framing = match field("Content-Length: ") {
            Some(length) => Framing::Length(length.parse().unwrap()),
            None => Framing::Chunked,
        };
        let mut response = Response {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            is_last: field("Connection: close").is_some(),
            body: Vec::new(),
        };
        let mut body = BodyDecoder::new(framing, &Limits::default());
        loop {
            let decoded = body.decode(rest).unwrap();
            response.body.extend_from_slice(&rest[decoded.data]);
            rest = &rest[decoded.consumed..];
            if decoded.complete {
                break;
            }
            if decoded.consumed == 0 {
                return (responses, bytes.len());
            }
        }
        responses.push(response);
        bytes = rest;
    }
}

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
