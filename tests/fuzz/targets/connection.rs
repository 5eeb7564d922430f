//! A whole connection: a client, the engine and an application, each as the input says.
//!
//! The first ten bytes of an input are the limits and the sizes of three pieces, as for
//! the other targets, then the flags below, one bit for each of eight pieces after which
//! the connection goes to another engine, and how the application answers four requests.
//!
//! The same bytes, sent at once and in pieces, have to lead to the same requests, the
//! same refusal and the same responses. Each engine comes to rest after each piece, takes
//! no more memory than its settings allow, and has nothing left in the end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rgunicorn_engine::http::{CONTINUE, Limits, Status};
use rgunicorn_engine::{
    BodyDelivery, BodyEnd, Engine, HandoverSockets, Notice, Peer, Request, RequestBody,
    RequestEvent, RequestId, Responder, Settings, Upgraded,
};
use rgunicorn_fuzz::Input;
use rgunicorn_fuzz::reader::{Outcome, read};
use rustix::net::sockopt::set_socket_send_buffer_size;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

/// Bodies come in parts, while the application has the request.
const AS_RECEIVED: u8 = 1;
/// The application answers over several turns.
const ACROSS_TURNS: u8 = 2;
const NO_KEEPALIVE: u8 = 4;
/// Bodies of more than a few bytes go to a file.
const SPOOLS: u8 = 8;
/// The client reads only when it has sent all, or cannot send more.
const READS_LATE: u8 = 16;
/// The client shuts down its side before it reads the rest.
const HALF_CLOSES: u8 = 32;
/// The application answers before a body that comes in parts is complete.
const ANSWERS_EARLY: u8 = 64;
/// Other processes hold copies of the sockets.
const SHARES: u8 = 128;

/// A bit of an answer: it comes when the client has sent all.
const HELD: u8 = 64;
/// A bit of an answer: the connection is closed after it.
const CLOSES: u8 = 128;
// Kinds of answers.
const BROKEN_OFF: u8 = 6;
const TOO_SHORT: u8 = 7;
const UPGRADE: u8 = 10;
const LARGE_LENGTH: u8 = 11;
const LARGE_CHUNKED: u8 = 12;

/// After this many requests the application closes the connection.
const MOST_REQUESTS: usize = 20;

/// More pieces take time and show nothing new.
const MOST_PIECES: usize = 24;

/// An engine that is still busy after this many turns will be for ever.
const MOST_TURNS: usize = 5000;

/// The size of the sockets' buffers: small, so that they are full after few bytes.
const SOCKET_BUFFER: usize = 8 * 1024;

/// More than the buffers and the memory for a response take.
const LARGE: usize = 40_000;

const RESPONSE_IN_MEMORY: usize = 16 * 1024;

fuzz_target!(|data: &[u8]| {
    let Some((&[limits, a, b, c, flags, moves, w, x, y, z], text)) = data.split_first_chunk()
    else {
        return;
    };
    let Some(input) = Input::new(&[&[limits, a, b, c], text].concat()) else {
        return;
    };
    let script = Script {
        limits: input.limits,
        flags,
        moves,
        answers: [w, x, y, z],
    };
    check(&input, &script);
});

fn check(input: &Input, script: &Script) {
    let whole = Run::new(&Script {
        moves: 0,
        ..*script
    })
    .run(&input.bytes, &[]);
    if !script.has(ANSWERS_EARLY) {
        compare_with_reader(&whole, &input.bytes, &script.limits);
    }
    let mut cuts = input.cuts(input.bytes.len()).swap_remove(0);
    cuts.truncate(MOST_PIECES);
    if cuts.len() > 1 || script.moves & 1 == 1 {
        let cut = Run::new(script).run(&input.bytes, &cuts);
        if script.is_predictable() {
            assert_eq!(cut, whole);
        }
    }
}

/// The requests are those that the HTTP crate finds in the bytes, one after the other.
fn compare_with_reader(seen: &Seen, bytes: &[u8], limits: &Limits) {
    let mut rest = bytes.to_vec();
    for request in &seen.requests {
        let outcome = read(&rest, &[], limits);
        if request.body.is_none() {
            return assert!(
                !matches!(outcome, Outcome::Complete(_)),
                "broken off, but complete"
            );
        }
        let Outcome::Complete(reading) = outcome else {
            panic!("{outcome:?} is no request");
        };
        assert_eq!(request.method.0, reading.method);
        assert_eq!(request.target.0, reading.target);
        assert_eq!(request.body, Some(Bytes(reading.body)));
        rest = reading.rest;
    }
    if let Some(status) = seen.refusal {
        let Outcome::Refused(refusal) = read(&rest, &[], limits) else {
            panic!("refused with {status}, but correct");
        };
        assert_eq!(status, refusal.status());
    }
}

#[derive(Clone, Copy)]
struct Script {
    limits: Limits,
    flags: u8,
    moves: u8,
    answers: [u8; 4],
}

impl Script {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether the client receives the same whatever the order of events is: answers that
    /// are broken off depend on the room in its socket.
    fn is_predictable(&self) -> bool {
        let kinds = self.answers.map(|answer| answer % 16);
        let any_of = |some: &[u8]| kinds.iter().any(|kind| some.contains(kind));
        let may_be_full = self.has(READS_LATE) || any_of(&[LARGE_LENGTH, LARGE_CHUNKED]);
        let needs_room = any_of(&[BROKEN_OFF, TOO_SHORT, UPGRADE]);
        // Else a HEAD request may be refused before its method is known, with a page that
        // has a body.
        let fits_method = self.limits.line > b"HEAD".len();
        fits_method && !self.has(ANSWERS_EARLY) && !(may_be_full && needs_room)
    }

    fn settings(&self) -> Settings {
        let as_received = self.has(AS_RECEIVED);
        Settings {
            keepalive: if self.has(NO_KEEPALIVE) {
                Duration::ZERO
            } else {
                Duration::from_secs(3600)
            },
            client_timeout: Duration::from_secs(3600),
            limits: self.limits,
            across_turns: as_received || self.has(ACROSS_TURNS),
            body_delivery: if as_received {
                BodyDelivery::AsReceived
            } else {
                BodyDelivery::Whole
            },
            body_in_memory: if self.has(SPOOLS) { 10 } else { 128 * 1024 },
            response_in_memory: RESPONSE_IN_MEMORY,
            ..Settings::default()
        }
    }
}

/// What came of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    requests: Vec<SeenRequest>,
    refusal: Option<Status>,
    /// What the client received, without dates and interim responses.
    received: Bytes,
    /// What came after a change of protocol.
    upgraded: Option<Bytes>,
}

#[derive(Debug, PartialEq, Eq)]
struct SeenRequest {
    method: Bytes,
    target: Bytes,
    /// `None`: it was broken off.
    body: Option<Bytes>,
}

/// Bytes of which a failed assertion shows only the first.
#[derive(Default, PartialEq, Eq)]
struct Bytes(Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = &self.0[..self.0.len().min(300)];
        write!(f, "{} bytes: \"{}\"", self.0.len(), first.escape_ascii())
    }
}

/// A request that the application has.
struct Current {
    id: RequestId,
    responder: Responder,
    /// The body is complete, or broken off.
    body_ended: bool,
    /// It is answered when the client has sent all.
    is_held: bool,
}

struct Run<'a> {
    script: &'a Script,
    /// The second is there to take connections.
    engines: Vec<Engine>,
    client: UnixStream,
    current: Option<(usize, Current)>,
    upgraded: Option<Upgraded>,
    seen: Seen,
    is_closed: bool,
}

thread_local! {
    /// Both engines have to have a listener with the same number.
    static LISTENER: UnixListener = {
        let name = format!("rgunicorn-fuzz-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    };
    static FILE: File = File::open("/proc/self/exe").unwrap();
}

impl<'a> Run<'a> {
    fn new(script: &'a Script) -> Self {
        let count = if script.moves == 0 { 1 } else { 2 };
        let mut engines: Vec<_> = (0..count)
            .map(|_| Engine::new(script.settings()).unwrap())
            .collect();
        if script.moves != 0 {
            let sockets = HandoverSockets::pair().unwrap();
            for engine in &mut engines {
                let copies = HandoverSockets {
                    give: sockets.give.try_clone().unwrap(),
                    take: sockets.take.try_clone().unwrap(),
                };
                let listener = LISTENER.with(UnixListener::try_clone).unwrap();
                engine.listen(listener.into(), 3).unwrap();
                engine.set_handover(copies).unwrap();
            }
        }
        let (client, server) = UnixStream::pair().unwrap();
        assert!(client.as_raw_fd() < 100, "descriptors were left open");
        for socket in [&client, &server] {
            set_socket_send_buffer_size(socket, SOCKET_BUFFER).unwrap();
        }
        client.set_nonblocking(true).unwrap();
        server.set_nonblocking(true).unwrap();
        for engine in &mut engines {
            if script.has(SHARES) {
                engine.share_sockets();
            }
        }
        engines[0].adopt(server.into(), Peer::Unix, 3);
        Self {
            script,
            engines,
            client,
            current: None,
            upgraded: None,
            seen: Seen::default(),
            is_closed: false,
        }
    }

    fn run(mut self, bytes: &[u8], cuts: &[usize]) -> Seen {
        let mut start = 0;
        for (number, end) in cuts.iter().copied().chain([bytes.len()]).enumerate() {
            self.send(&bytes[start..end]);
            start = end;
            if (self.script.moves >> (number % 8)) & 1 == 1 {
                for engine in &mut self.engines {
                    engine.turn(Duration::ZERO).unwrap();
                    engine.give_connections_away(true);
                }
            }
            self.settle();
        }
        self.answer_held();
        while self.receive() {
            self.settle();
            self.answer_held();
        }
        self.finish()
    }

    /// Sends all of `bytes`, as far as the engine does not close the connection.
    fn send(&mut self, mut bytes: &[u8]) {
        let mut attempts = 0;
        while !bytes.is_empty() {
            match self.client.write(bytes) {
                Ok(count) => {
                    bytes = &bytes[count..];
                    attempts = 0;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    attempts += 1;
                    assert!(attempts < 100, "nobody reads what the client sends");
                    self.receive();
                    self.settle();
                    self.receive_upgraded();
                    self.answer_held();
                }
                Err(_) => return,
            }
        }
    }

    /// Lets the engines and the application do what they can.
    fn settle(&mut self) {
        for _ in 0..MOST_TURNS {
            let mut is_busy = false;
            for number in 0..self.engines.len() {
                is_busy |= self.turn(number);
            }
            if !self.script.has(READS_LATE) {
                // There is room for more of a response.
                is_busy |= self.receive();
            }
            if !is_busy {
                return;
            }
        }
        panic!("an engine does not come to rest");
    }

    /// `true`: there is more to do.
    fn turn(&mut self, number: usize) -> bool {
        let engine = &mut self.engines[number];
        let mut is_busy = engine.turn(Duration::ZERO).unwrap() > 0;
        assert!(engine.buffered() <= most_memory(&self.script.limits));
        for event in engine.take_request_events() {
            if let RequestEvent::Body(id) = event {
                self.take_body(number, id);
            }
        }
        for notice in self.engines[number].take_notices().0 {
            match notice {
                Notice::Refused(_, error) => self.seen.refusal = Some(error.status()),
                Notice::NotAnswered(_) => {}
                Notice::CannotAccept(_)
                | Notice::CannotWatch(_)
                | Notice::CannotHandOver(_)
                | Notice::ConnectionLimit => panic!("{notice:?}"),
            }
        }
        while let Some((request, responder)) = self.engines[number].next_request() {
            is_busy = true;
            self.begin(number, request, responder);
        }
        is_busy
            || self.engines[number]
                .next_timeout(Duration::from_secs(1))
                .is_zero()
    }

    /// The application gets a request.
    fn begin(&mut self, number: usize, request: Request, responder: Responder) {
        assert!(self.current.is_none(), "two requests at one time");
        assert_eq!(request.listener(), 3);
        let body = match request.body() {
            RequestBody::Memory(bytes) => Some(bytes.to_vec()),
            RequestBody::File(file, length) => {
                let mut bytes = vec![0; usize::try_from(length).unwrap()];
                file.read_exact_at(&mut bytes, 0).unwrap();
                Some(bytes)
            }
            RequestBody::Streamed => None,
        };
        let id = request.id();
        self.current = Some((
            number,
            Current {
                id,
                responder,
                body_ended: body.is_some(),
                is_held: self.kind() & HELD != 0,
            },
        ));
        self.seen.requests.push(SeenRequest {
            method: Bytes(request.method().to_vec()),
            target: Bytes(request.target().to_vec()),
            body: Some(Bytes(body.unwrap_or_default())),
        });
        self.engines[number].recycle(request);
        self.take_body(number, id);
    }

    /// How the next request is answered.
    fn kind(&self) -> u8 {
        self.script.answers[self.seen.requests.len() % 4]
    }

    /// The application takes what has come of a body.
    fn take_body(&mut self, number: usize, id: RequestId) {
        let Some((_, current)) = self.current.as_mut().filter(|(_, it)| it.id == id) else {
            return;
        };
        if !current.body_ended {
            let part = self.engines[number]
                .take_body(id)
                .expect("it comes in parts");
            let seen = self.seen.requests.last_mut().expect("it was handed out");
            if let Some(body) = &mut seen.body {
                body.0.extend_from_slice(&part.bytes);
            }
            current.body_ended = part.end != BodyEnd::More;
            if part.end == BodyEnd::Broken {
                seen.body = None;
            }
        }
        self.answer_when_ready();
    }

    fn answer_when_ready(&mut self) {
        let early = self.script.has(ANSWERS_EARLY);
        let is_ready = |current: &Current| !current.is_held && (early || current.body_ended);
        if self.current.as_ref().is_some_and(|(_, it)| is_ready(it)) {
            if let Some((number, current)) = self.current.take() {
                self.answer(number, current.responder);
            }
        }
    }

    /// The application answers all requests that it holds.
    fn answer_held(&mut self) {
        while let Some((_, current)) = self.current.as_mut().filter(|(_, it)| it.is_held) {
            current.is_held = false;
            self.answer_when_ready();
            self.settle();
        }
    }

    /// The application answers the last request.
    fn answer(&mut self, number: usize, mut responder: Responder) {
        if !self.script.has(READS_LATE) {
            self.receive();
        }
        let count = self.seen.requests.len();
        let kind = self.script.answers[(count - 1) % 4];
        if kind & CLOSES != 0 || count >= MOST_REQUESTS {
            responder.close_after();
        }
        let engine = &mut self.engines[number];
        let date = *engine.clock().date();
        let begin = |responder: &mut Responder, status: &[u8], length: Option<u64>| {
            responder.head(status).unwrap().finish(length, &date);
        };
        let sent = match kind % 16 {
            0..=2 => {
                begin(&mut responder, b"200 OK", Some(2));
                responder.push(b"ok")
            }
            3 => {
                begin(&mut responder, b"200 OK", None);
                (0..3)
                    .try_for_each(|_| responder.push(b"piece").and(responder.flush().map(drop)))
                    .and(responder.flush())
            }
            4 => {
                begin(&mut responder, b"200 OK", Some(1000));
                responder.send_file(FILE.with(File::try_clone).unwrap(), 0, 1000);
                responder.flush()
            }
            5 => return drop(responder),
            BROKEN_OFF => {
                begin(&mut responder, b"200 OK", None);
                let _ = responder.push(b"half").and(responder.flush());
                return drop(responder);
            }
            TOO_SHORT => {
                begin(&mut responder, b"200 OK", Some(10));
                responder.push(b"half")
            }
            8 => {
                responder.respond_with_error(Status::INTERNAL_SERVER_ERROR, &date);
                return engine.finish(responder);
            }
            9 => {
                responder.abort();
                return engine.finish(responder);
            }
            UPGRADE => {
                responder.switch_protocols(&[(b"Upgrade", b"x")]).unwrap();
                self.upgraded = engine.upgrade(responder);
                self.seen.upgraded = self.upgraded.as_mut().map(|it| Bytes(it.take_received()));
                return;
            }
            LARGE_LENGTH => {
                begin(&mut responder, b"200 OK", Some(LARGE as u64));
                responder.push(&vec![b'x'; LARGE])
            }
            LARGE_CHUNKED => {
                begin(&mut responder, b"200 OK", None);
                let piece = [b'x'; 1000];
                (0..LARGE / 1000)
                    .try_for_each(|_| responder.push(&piece).map(drop))
                    .and(responder.flush())
            }
            13 => {
                begin(&mut responder, b"404 Not Found", None);
                responder.flush()
            }
            14 => {
                responder.switch_protocols(&[(b"Upgrade", b"x")]).unwrap();
                return engine.finish(responder);
            }
            _ => {
                begin(&mut responder, b"204 No Content", None);
                responder.push(b"no place for it")
            }
        };
        if sent.is_ok() {
            responder.end();
        }
        match kind % 3 {
            0 => engine.finish(responder),
            1 => engine.finish_later(responder),
            _ => responder.finish(),
        }
    }

    /// Reads what has come. `true`: there was something.
    fn receive(&mut self) -> bool {
        let before = self.seen.received.0.len();
        let mut bytes = [0; 16384];
        while !self.is_closed {
            match self.client.read(&mut bytes) {
                Ok(0) => self.is_closed = true,
                Ok(count) => self.seen.received.0.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.is_closed = true,
            }
        }
        self.seen.received.0.len() > before
    }

    fn receive_upgraded(&mut self) {
        if let (Some(upgraded), Some(seen)) = (&self.upgraded, &mut self.seen.upgraded) {
            loop {
                seen.0.reserve(4096);
                if !matches!(upgraded.receive(&mut seen.0), Ok(count) if count > 0) {
                    return;
                }
            }
        }
    }

    /// Closes the client's end, and checks that nothing is left.
    fn finish(mut self) -> Seen {
        self.receive_upgraded();
        self.upgraded = None;
        if self.script.has(HALF_CLOSES) {
            // An error says that the engine was faster.
            let _ = self.client.shutdown(Shutdown::Write);
            self.settle();
            self.answer_held();
            self.receive_upgraded();
            self.upgraded = None;
            while self.receive() {
                self.settle();
            }
            assert!(self.is_closed, "the engine does not close the connection");
        } else {
            let (client, _) = UnixStream::pair().unwrap();
            drop(std::mem::replace(&mut self.client, client));
            self.is_closed = true;
            self.settle();
            self.answer_held();
        }
        assert!(
            self.current.is_none(),
            "a request waits for its body for ever"
        );
        for engine in &self.engines {
            assert_eq!(engine.connections(), 0);
            assert_eq!(engine.buffered(), 0);
        }
        let received = &mut self.seen.received.0;
        while let Some(at) = find(received, CONTINUE) {
            received.drain(at..at + CONTINUE.len());
        }
        let mut from = 0;
        while let Some(at) = find(&received[from..], b"\r\nDate: ") {
            from += at + b"\r\nDate: ".len();
            let end = received.len().min(from + 29);
            received[from..end].fill(b' ');
        }
        self.seen
    }
}

fn find(bytes: &[u8], searched: &[u8]) -> Option<usize> {
    bytes.windows(searched.len()).position(|it| it == searched)
}

/// The most memory for the buffers of a connection.
fn most_memory(limits: &Limits) -> usize {
    // No input is longer. Vectors may have twice the capacity they need.
    let head = 2 * limits.head().min(80_000);
    head + RESPONSE_IN_MEMORY + 512 * 1024
}
