//! A client: what it sends, and whether it got what it had to get.

use super::script::{Answer, Sent};
use crate::{Engine, Peer};
use rgunicorn_http::{BodyDecoder, Framing, Limits};
use rustix::net::sockopt::set_socket_send_buffer_size;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

/// Small, so that the sockets are often full.
const SOCKET_BUFFER: usize = 8 * 1024;

/// Bytes that tell what they are a part of.
fn pattern(seed: usize, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| b'a' + u8::try_from((at + at / 26 + seed) % 26).unwrap())
        .collect()
}

pub(super) fn request_body(client: usize, number: usize, sent: Sent) -> Vec<u8> {
    let length = match sent {
        Sent::Nothing => 0,
        Sent::Length(length) | Sent::Chunked(length, _) => length,
    };
    pattern(client * 7 + number, length)
}

pub(super) fn response_body(client: usize, number: usize, length: usize) -> Vec<u8> {
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

pub(super) struct Client {
    /// `None` once it has left.
    pub(super) socket: Option<UnixStream>,
    /// The other end, wherever it is.
    pub(super) inode: u64,
    to_send: Vec<u8>,
    sent: usize,
    /// Where each request ends in `to_send`.
    ends: Vec<usize>,
    pub(super) is_half_closed: bool,
    received: Vec<u8>,
    /// The connection is closed.
    is_closed: bool,
    pub(super) plan: Vec<Sent>,
    /// How each request was answered.
    pub(super) answers: Vec<Answer>,
    /// How many requests the application has had.
    pub(super) handed_out: usize,
}

impl Client {
    pub(super) fn new(number: usize, plan: &[Sent], engine: &mut Engine) -> Self {
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

    pub(super) fn send(&mut self, count: usize) {
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

    pub(super) fn read(&mut self, count: usize) {
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
    pub(super) fn requests(&self) -> usize {
        self.ends.iter().filter(|end| **end <= self.sent).count()
    }

    pub(super) fn is_done(&self) -> bool {
        let has_sent = self.is_half_closed || self.sent == self.to_send.len();
        let is_answered = || parse(&self.received).0.len() == self.requests();
        self.socket.is_none() || self.is_closed || has_sent && is_answered()
    }

    pub(super) fn check(&self, number: usize) {
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
