//! The same application under both servers, asked the same questions.

use super::{gunicorn::Gunicorn, venv};
use crate::harness::{
    Connection, Response, Running, Server,
    files::{Folder, source},
};
use std::{fmt::Write, fs};

/// Headers that are the server's own business.
const SERVERS_OWN: &[&str] = &[
    "date",
    "server",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
];

/// Two servers for one application.
pub struct Pair {
    ours: Running,
    theirs: Gunicorn,
}

/// The two answers to one question.
pub struct Answers {
    pub ours: Response,
    pub theirs: Response,
}

impl Pair {
    /// Serves an application of `tests/apps/sites`.
    pub fn serving(app: &str) -> Self {
        Self::with_files(app, &[])
    }

    /// The same, with copies of these files in both working directories.
    pub fn with_files(app: &str, files: &[&std::path::Path]) -> Self {
        let server = Server::running(app)
            .workers(2)
            .setting("python", venv().join("bin/python").to_str().unwrap())
            .setting("pythonpath", source("tests/apps/sites").to_str().unwrap());
        let folder = Folder::new();
        for file in files {
            let name = file.file_name().unwrap().to_str().unwrap();
            fs::copy(file, server.path(name)).unwrap();
            fs::copy(file, folder.join(name)).unwrap();
        }
        Self {
            ours: server.start(),
            theirs: Gunicorn::serving(app, folder),
        }
    }

    /// Sends the same bytes to both.
    #[track_caller]
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Answers {
        let request = request.as_ref();
        let is_head = request.starts_with(b"HEAD ");
        let one = |address| {
            let mut connection = Connection::open(&address).unwrap();
            connection.send(request);
            if is_head {
                connection.receive_head()
            } else {
                connection.receive()
            }
        };
        Answers {
            ours: one(self.ours.address()),
            theirs: one(self.theirs.address()),
        }
    }

    /// GET with the usual headers.
    #[track_caller]
    pub fn get(&self, target: &str) -> Answers {
        self.ask(request("GET", target, &[], b""))
    }

    /// Asks the two servers different questions, each with what it said before.
    #[track_caller]
    pub fn ask_each(&self, ours: impl AsRef<[u8]>, theirs: impl AsRef<[u8]>) -> Answers {
        let mut connection = Connection::open(&self.theirs.address()).unwrap();
        Answers {
            ours: self.ours.request(ours),
            theirs: connection.send(theirs).receive(),
        }
    }
}

impl Answers {
    /// Expects the answers to be the same, byte by byte.
    #[track_caller]
    pub fn assert_same(&self) -> &Self {
        self.assert_same_but_for(<[u8]>::to_owned)
    }

    /// Expects the answers to be the same after `cleaned` has taken out of the
    /// bodies what has to differ.
    #[track_caller]
    pub fn assert_same_but_for(&self, cleaned: impl Fn(&[u8]) -> Vec<u8>) -> &Self {
        let (ours, theirs) = (&self.ours, &self.theirs);
        assert_eq!(
            (ours.status, &ours.reason),
            (theirs.status, &theirs.reason),
            "{ours:?}\n{theirs:?}"
        );
        assert_eq!(apps_headers(ours), apps_headers(theirs));
        if let (Some(our_length), Some(their_length)) = (
            ours.header("Content-Length"),
            theirs.header("Content-Length"),
        ) {
            assert_eq!(our_length, their_length);
        }
        let (our_body, their_body) = (cleaned(&ours.body), cleaned(&theirs.body));
        assert!(
            our_body == their_body,
            "ours:\n{}\ntheirs:\n{}",
            String::from_utf8_lossy(&our_body),
            String::from_utf8_lossy(&their_body)
        );
        self
    }

    /// Expects this status from both.
    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(
            (self.ours.status, self.theirs.status),
            (status, status),
            "{:?}\n{:?}",
            self.ours,
            self.theirs
        );
        self
    }
}

/// The headers that come from the application, sorted; without what is random
/// or tells the time.
fn apps_headers(response: &Response) -> Vec<(String, String)> {
    let mut headers: Vec<_> = response
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .filter(|(name, _)| !SERVERS_OWN.contains(&name.as_str()))
        .map(|(name, value)| {
            let value = match name.as_str() {
                "set-cookie" => without_value(&value),
                "expires" => String::new(),
                _ => value,
            };
            (name, value)
        })
        .collect();
    headers.sort();
    headers
}

fn without_value(cookie: &str) -> String {
    cookie
        .split("; ")
        .map(|part| match part.split_once('=') {
            Some((name, _)) if !matches!(name, "Max-Age" | "Path" | "SameSite") => name,
            _ => part,
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// A request with the headers of a browser.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!(
        "{method} {target} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: stories/1.0\r\nAccept: */*\r\n\
         Accept-Encoding: identity\r\nConnection: close\r\n"
    );
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
        write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    text += "\r\n";
    [text.as_bytes(), body].concat()
}

/// The boundary of [`multipart`].
pub const BOUNDARY: &str = "----stories-boundary";

/// A form with a file, and its content type.
pub fn multipart(fields: &[(&str, &str)], file: &[u8]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
            .bytes(),
        );
    }
    body.extend(
        format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"upload.bin\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        )
        .bytes(),
    );
    body.extend(file);
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}

/// Bytes without a pattern, so that a lost or repeated block is noticed.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[0]
        })
        .collect()
}
