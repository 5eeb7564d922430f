//! A client that controls every byte it sends and checks every byte it reads.

use std::{
    fmt, io,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Where a server listens.
#[derive(Debug, Clone)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// An answer as it was framed on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The header's value, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All values of a header that may repeat.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Whether this is the last answer on its connection.
    pub fn says_close(&self) -> bool {
        match self
            .header("Connection")
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("close") => true,
            Some("keep-alive") => false,
            _ => self.version == "HTTP/1.0",
        }
    }
}

/// Why there is no complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// The connection ended before the first byte of an answer.
    Closed,
    /// The connection ended in the middle of an answer.
    Cut,
    /// The connection was reset.
    Reset,
    /// No byte came for a long time.
    Silent,
    /// What came is not an answer.
    Garbled(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => formatter.write_str("closed before an answer"),
            Self::Cut => formatter.write_str("cut in the middle of an answer"),
            Self::Reset => formatter.write_str("reset"),
            Self::Silent => formatter.write_str("no byte for a long time"),
            Self::Garbled(what) => write!(formatter, "garbled answer: {what}"),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Silent,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Reset,
            _ => Self::Garbled(error.to_string()),
        }
    }
}

trait Stream: Read + Write + Send {
    fn set_timeout(&self, timeout: Option<Duration>);
    fn shut(&self, how: Shutdown);
}

impl Stream for TcpStream {
    fn set_timeout(&self, timeout: Option<Duration>) {
        self.set_read_timeout(timeout).unwrap();
        self.set_write_timeout(timeout).unwrap();
    }

    fn shut(&self, how: Shutdown) {
        let _ = self.shutdown(how);
    }
}

impl Stream for UnixStream {
    fn set_timeout(&self, timeout: Option<Duration>) {
        self.set_read_timeout(timeout).unwrap();
        self.set_write_timeout(timeout).unwrap();
    }

    fn shut(&self, how: Shutdown) {
        let _ = self.shutdown(how);
    }
}

/// One connection to a server.
pub struct Connection {
    stream: Box<dyn Stream>,
    /// Bytes that were read and not used yet.
    buffer: Vec<u8>,
    local_port: Option<u16>,
}

impl Connection {
    /// The longest time to wait for a byte.
    const TIMEOUT: Duration = Duration::from_secs(30);

    pub fn open(address: &Address) -> io::Result<Self> {
        let mut local_port = None;
        let stream: Box<dyn Stream> = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, Self::TIMEOUT)?;
                stream.set_nodelay(true)?;
                local_port = Some(stream.local_addr()?.port());
                Box::new(stream)
            }
            Address::Unix(path) => Box::new(UnixStream::connect(path)?),
        };
        stream.set_timeout(Some(Self::TIMEOUT));
        Ok(Self {
            stream,
            buffer: Vec::new(),
            local_port,
        })
    }

    /// The client's port, if this is TCP.
    pub fn local_port(&self) -> Option<u16> {
        self.local_port
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).unwrap();
        self
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends a plain GET that leaves the connection open.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .receive()
    }

    /// Reads one answer to a request whose answers have bodies.
    #[track_caller]
    pub fn receive(&mut self) -> Response {
        self.try_receive()
            .unwrap_or_else(|broken| panic!("{broken}"))
    }

    /// Reads one answer to a HEAD request.
    #[track_caller]
    pub fn receive_head(&mut self) -> Response {
        self.read_head().unwrap_or_else(|broken| panic!("{broken}"))
    }

    /// Reads one answer, skipping interim ones.
    pub fn try_receive(&mut self) -> Result<Response, Broken> {
        loop {
            let mut response = self.read_head()?;
            if (100..200).contains(&response.status) {
                continue;
            }
            response.body = self.read_body(&response)?;
            return Ok(response);
        }
    }

    /// Reads the head of an answer, an interim one too.
    pub fn read_head(&mut self) -> Result<Response, Broken> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            let none_yet = self.buffer.is_empty();
            if self.more()? == 0 {
                return Err(if none_yet {
                    Broken::Closed
                } else {
                    Broken::Cut
                });
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        parse_head(&head[..end])
    }

    fn read_body(&mut self, response: &Response) -> Result<Vec<u8>, Broken> {
        if matches!(response.status, 204 | 304) {
            return Ok(Vec::new());
        }
        let chunked = response
            .header("Transfer-Encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let lengths = response.header_values("Content-Length");
        match (chunked, lengths.as_slice()) {
            (true, []) => self.read_chunks(),
            (false, [length]) => {
                let length = length
                    .parse()
                    .map_err(|_| Broken::Garbled(format!("length {length:?}")))?;
                self.read_exactly(length)
            }
            (false, []) if response.says_close() => {
                let mut body = Vec::new();
                loop {
                    body.append(&mut self.buffer);
                    if self.more()? == 0 {
                        return Ok(body);
                    }
                }
            }
            _ => Err(Broken::Garbled(format!(
                "unclear framing: {:?}",
                response.headers
            ))),
        }
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, Broken> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line()?;
            let size = usize::from_str_radix(&line, 16)
                .map_err(|_| Broken::Garbled(format!("chunk size {line:?}")))?;
            body.extend(self.read_exactly(size)?);
            let end = self.read_line()?;
            if !end.is_empty() {
                return Err(Broken::Garbled(format!("{end:?} after a chunk")));
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Reads one chunk of a chunked body, or nothing at its end.
    pub fn read_chunk(&mut self) -> Result<Vec<u8>, Broken> {
        let line = self.read_line()?;
        let size = usize::from_str_radix(&line, 16)
            .map_err(|_| Broken::Garbled(format!("chunk size {line:?}")))?;
        let chunk = self.read_exactly(size)?;
        self.read_line()?;
        Ok(chunk)
    }

    fn read_line(&mut self) -> Result<String, Broken> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.more()? == 0 {
                return Err(Broken::Cut);
            }
        }
    }

    /// Reads exactly `count` bytes.
    pub fn read_exactly(&mut self, length: usize) -> Result<Vec<u8>, Broken> {
        while self.buffer.len() < length {
            if self.more()? == 0 {
                return Err(Broken::Cut);
            }
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// Everything until the server closes.
    pub fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        while self.more()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// How long the server takes to close a connection on which it says nothing.
    #[track_caller]
    pub fn time_until_closed(&mut self) -> Duration {
        let start = Instant::now();
        match self.rest() {
            Ok(bytes) => assert_eq!(
                String::from_utf8_lossy(&bytes),
                "",
                "said something before it closed"
            ),
            Err(Broken::Reset) => {}
            Err(broken) => panic!("not closed: {broken}"),
        }
        start.elapsed()
    }

    /// Whether the connection is open and has no unread bytes.
    pub fn is_open_and_quiet(&mut self) -> bool {
        self.stream.set_timeout(Some(Duration::from_millis(1)));
        let quiet = self.buffer.is_empty() && matches!(self.more(), Err(Broken::Silent));
        self.stream.set_timeout(Some(Self::TIMEOUT));
        quiet
    }

    /// Changes how long a read or a write may take.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.stream.set_timeout(Some(timeout));
    }

    /// Says that no more will be sent.
    pub fn finish_sending(&mut self) -> &mut Self {
        self.stream.shut(Shutdown::Write);
        self
    }

    fn more(&mut self) -> Result<usize, Broken> {
        let mut chunk = vec![0; 65536];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(length) => {
                    self.buffer.extend_from_slice(&chunk[..length]);
                    return Ok(length);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn parse_head(head: &[u8]) -> Result<Response, Broken> {
    let text: String = head.iter().copied().map(char::from).collect();
    let garbled = || Broken::Garbled(text.clone());
    let mut lines = text.split("\r\n");
    let mut words = lines.next().ok_or_else(garbled)?.splitn(3, ' ');
    let (version, status) = (
        words.next().ok_or_else(garbled)?,
        words.next().ok_or_else(garbled)?,
    );
    if !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
        return Err(garbled());
    }
    let headers: Option<Vec<_>> = lines
        .map(|line| {
            line.split_once(':')
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        })
        .collect();
    Ok(Response {
        version: version.to_owned(),
        status: status.parse().map_err(|_| garbled())?,
        reason: words.next().unwrap_or_default().to_owned(),
        headers: headers.ok_or_else(garbled)?,
        body: Vec::new(),
    })
}
