//! A machine: a folder with the control sockets of servers, and the program.

use command_fds::{CommandFdExt, FdMapping};
use rgunicorn_control::protocol::{
    self, Answer, Listener, Listeners, Request, Summary, Worker, Workers,
};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// For every condition: a machine under load fails no test.
const DEADLINE: Duration = Duration::from_secs(60);

pub struct Machine {
    folder: tempfile::TempDir,
    socket: TcpListener,
    /// For those who are let in.
    admitting: UnixListener,
    admitting_folder: tempfile::TempDir,
    programs: Vec<Child>,
}

/// The end of a server's life is that of this.
pub struct Server {
    path: std::path::PathBuf,
    asked: Arc<AtomicUsize>,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Machine {
    pub fn new() -> Self {
        let admitting_folder = tempfile::tempdir().unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            admitting: UnixListener::bind(admitting_folder.path().join("socket")).unwrap(),
            admitting_folder,
            socket: TcpListener::bind("127.0.0.1:0").unwrap(),
            programs: Vec::new(),
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Has systemd's part: starts the program, to exit when idle for so many seconds.
    pub fn start(&mut self, idle_exit: u64) -> &mut Child {
        let mut command = program();
        command
            .args(["--idle-exit", &idle_exit.to_string(), "--directory"])
            .arg(self.folder.path())
            .env("LISTEN_FDS", "2")
            .fd_mappings(vec![
                FdMapping {
                    parent_fd: self.socket.try_clone().unwrap().into(),
                    child_fd: 3,
                },
                FdMapping {
                    parent_fd: self.admitting.try_clone().unwrap().into(),
                    child_fd: 4,
                },
            ])
            .unwrap();
        self.programs.push(command.spawn().unwrap());
        self.programs.last_mut().unwrap()
    }

    /// A server that answers what `answer` makes of a request: text, which is sent again and
    /// again for ever if it has no end.
    pub fn server(
        &self,
        name: &str,
        answer: impl Fn(Request) -> Vec<u8> + Send + 'static,
    ) -> Server {
        let listener = self.control(name);
        let asked = Arc::new(AtomicUsize::new(0));
        let server = Server {
            path: self.path().join(name),
            asked: Arc::clone(&asked),
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                let _ = BufReader::new(&stream).read_line(&mut line);
                let Ok(request) = protocol::parse(&line) else {
                    continue;
                };
                asked.fetch_add(1, Ordering::Relaxed);
                let text = answer(request);
                let is_endless = !text.ends_with(b"\n");
                while stream.write_all(&text).is_ok() && is_endless {}
            }
        });
        server
    }

    /// One that works.
    pub fn working(&self, name: &str) -> Server {
        self.server(name, |request| line(&usual(request)))
    }

    /// A control socket at which nobody accepts.
    pub fn control(&self, name: &str) -> UnixListener {
        fs::create_dir(self.path().join(name)).unwrap();
        UnixListener::bind(self.path().join(name).join("control")).unwrap()
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// The same over the unix socket.
    #[track_caller]
    pub fn get_admitted(&self, path: &str) -> Response {
        let mut stream = UnixStream::connect(self.admitting_folder.path().join("socket")).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        receive(&mut stream)
    }

    #[track_caller]
    pub fn ask(&self, request: &str) -> Response {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        receive(&mut stream)
    }

    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

impl Server {
    /// How many requests it has got.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// As systemd does when it stops.
    pub fn stop(self) {
        fs::remove_dir_all(&self.path).unwrap();
    }
}

/// Without what it would inherit.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rgunicorn-metrics"));
    for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

pub fn run(words: &[&str]) -> Output {
    program().args(words).output().unwrap()
}

#[track_caller]
pub fn receive(stream: &mut impl Read) -> Response {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect(&text);
    Response {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

/// What a server answers that serves with two workers.
pub fn usual(request: Request) -> Answer {
    match request {
        Request::Summary => Answer::Summary(Summary {
            version: "1.2.3".into(),
            pid: 70,
            state: "serving".into(),
            workers_wanted: 2,
            workers_ready: 2,
            workers_busy: 1,
            requests: 5,
            ..Summary::default()
        }),
        Request::Workers { from } => {
            let worker = |number, state: &str| Worker {
                worker: number,
                state: state.into(),
                ..Worker::default()
            };
            // In two parts.
            Answer::Workers(match from {
                0 => Workers {
                    master_pid: 70,
                    workers: vec![worker(1, "busy")],
                    next: Some(2),
                },
                _ => Workers {
                    master_pid: 70,
                    workers: vec![worker(2, "idle")],
                    next: None,
                },
            })
        }
        Request::Listeners { .. } => Answer::Listeners(Listeners {
            listeners: vec![Listener {
                address: ":80".into(),
                kind: "tcp".into(),
                ..Listener::default()
            }],
            next: None,
        }),
        other => panic!("it was asked for {other:?}"),
    }
}

pub fn line(answer: &Answer) -> Vec<u8> {
    protocol::line(answer).into_bytes()
}

#[track_caller]
pub fn wait_until(what: &str, mut fact: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !fact() {
        assert!(Instant::now() < end, "not true within {DEADLINE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Connects until the queue of that socket is full, at which nobody accepts.
pub fn fill(path: &Path) -> Vec<UnixStream> {
    let mut taken = Vec::new();
    loop {
        let stream = connect_now(path);
        match stream {
            Some(stream) => taken.push(stream),
            None => return taken,
        }
    }
}

fn connect_now(path: &Path) -> Option<UnixStream> {
    let (send, receive) = std::sync::mpsc::channel();
    let path = path.to_owned();
    thread::spawn(move || send.send(UnixStream::connect(path).ok()));
    receive.recv_timeout(Duration::from_millis(300)).ok()?
}
