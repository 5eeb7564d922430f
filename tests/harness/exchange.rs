//! What a client of [`Traffic`](super::traffic::Traffic) does on its connection: one
//! exchange is some requests and their answers, each compared with what was sent.

use super::client::{Broken, Connection, Response};
use std::{fmt::Write, thread::sleep, time::Duration};

/// What a client does again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One GET on a connection that it keeps for as long as the server lets it.
    KeptAlive,
    /// One GET on a connection of its own.
    OneShot,
    /// Some requests at once, in two writes that may part anywhere. Keeps its connection.
    Pipelining,
    /// A body in several writes. Keeps its connection.
    Uploading,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::KeptAlive => "kept-alive",
            Self::OneShot => "one-shot",
            Self::Pipelining => "pipelining",
            Self::Uploading => "uploading",
        }
    }

    pub fn keeps_its_connection(self) -> bool {
        self != Self::OneShot
    }
}

/// The sizes of uploads. A worker keeps the first two in memory and spools the third; a
/// handover sends only the first within its message.
const UPLOADS: [usize; 3] = [1_000, 100_000, 300_000];

/// The writes of an upload.
const PARTS: usize = 5;

/// A client's state besides its connection.
pub struct Exchange {
    pub kind: Kind,
    pub path: &'static str,
    /// How long it waits between two writes, at most.
    pub pause: Duration,
    pub random: fastrand::Rng,
    /// Makes the bodies of its requests different from each other and from other clients'.
    pub number: usize,
    pub requests: usize,
}

/// What an answer has to be.
enum Expected {
    AnyBody,
    Body(Vec<u8>),
}

/// Why an exchange failed.
pub struct Fault {
    pub what: String,
    /// `None`: an answer came, and it is wrong.
    pub broken: Option<Broken>,
}

impl Fault {
    pub fn wrong(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            broken: None,
        }
    }

    pub fn broken(place: &str, broken: Broken) -> Self {
        Self {
            what: format!("{place}: {broken}"),
            broken: Some(broken),
        }
    }
}

impl Exchange {
    /// The answers up to the first that ends the connection.
    pub fn run(&mut self, connection: &mut Connection) -> Result<Vec<Response>, Fault> {
        let expected = self
            .send(connection)
            .map_err(|broken| Fault::broken("sending", broken))?;
        let count = expected.len();
        let mut answers = Vec::with_capacity(count);
        for (number, expected) in expected.into_iter().enumerate() {
            let place = format!("answer {} of {count}", number + 1);
            let answer = connection
                .try_receive()
                .map_err(|broken| Fault::broken(&place, broken))?;
            check(&answer, &expected).map_err(|what| Fault::wrong(format!("{place}: {what}")))?;
            let is_last = answer.says_close();
            answers.push(answer);
            if is_last {
                break;
            }
        }
        Ok(answers)
    }

    fn send(&mut self, connection: &mut Connection) -> Result<Vec<Expected>, Broken> {
        match self.kind {
            Kind::KeptAlive | Kind::OneShot => {
                let close = match self.kind {
                    Kind::OneShot => "Connection: close\r\n",
                    Kind::KeptAlive | Kind::Pipelining | Kind::Uploading => "",
                };
                let path = self.path;
                connection.try_send(format!(
                    "GET {path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n"
                ))?;
                Ok(vec![Expected::AnyBody])
            }
            Kind::Pipelining => self.pipeline(connection),
            Kind::Uploading => self.upload(connection),
        }
    }

    fn pipeline(&mut self, connection: &mut Connection) -> Result<Vec<Expected>, Broken> {
        let mut bytes = String::new();
        let mut expected = Vec::new();
        for _ in 0..self.random.usize(2..=6) {
            if self.random.bool() {
                let path = self.path;
                let _ = write!(bytes, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                expected.push(Expected::AnyBody);
            } else {
                self.requests += 1;
                let body = format!("client {}, request {}", self.number, self.requests);
                bytes.push_str(&post_head(body.len()));
                bytes.push_str(&body);
                expected.push(Expected::Body(body.into_bytes()));
            }
        }
        let (first, second) = bytes.split_at(self.random.usize(1..bytes.len()));
        connection.try_send(first)?;
        self.wait_a_moment();
        connection.try_send(second)?;
        Ok(expected)
    }

    fn upload(&mut self, connection: &mut Connection) -> Result<Vec<Expected>, Broken> {
        let size = UPLOADS[self.random.usize(..UPLOADS.len())];
        let mut body = vec![0; size];
        self.random.fill(&mut body);
        connection.try_send(post_head(size))?;
        for part in body.chunks(size.div_ceil(PARTS)) {
            self.wait_a_moment();
            connection.try_send(part)?;
        }
        Ok(vec![Expected::Body(body)])
    }

    fn wait_a_moment(&mut self) {
        sleep(self.pause.mul_f64(self.random.f64()));
    }
}

/// The application of such clients echoes what is sent there.
fn post_head(length: usize) -> String {
    format!("POST /echo/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
}

fn check(answer: &Response, expected: &Expected) -> Result<(), String> {
    if answer.status != 200 {
        return Err(format!("wrong: {answer:?}"));
    }
    match expected {
        Expected::AnyBody if answer.body.is_empty() => Err("it has no body".to_owned()),
        Expected::Body(body) if *body != answer.body => {
            let same = body.iter().zip(&answer.body).take_while(|(a, b)| a == b);
            Err(format!(
                "wrong body: {} bytes came for {}, the first {} are right",
                answer.body.len(),
                body.len(),
                same.count()
            ))
        }
        Expected::AnyBody | Expected::Body(_) => Ok(()),
    }
}
