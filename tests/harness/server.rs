//! A server under test: the real binary with real sockets, in a folder of its
//! own, and this process in the place of its service manager.

use super::{
    client::{Address, Connection, Response},
    files::Folder,
    notices::{self, Notices},
    processes::{self, Pid},
    program::{Outcome, RGUNICORN, RGUNICORNCTL, isolate},
    traffic::{Load, Traffic},
    wait::{DEADLINE, comes_true},
};
use nix::sys::signal::Signal;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    fmt::Write,
    fs::{self, File, OpenOptions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::{
        fd::OwnedFd,
        unix::{fs::MetadataExt, net::UnixListener, process::ExitStatusExt},
    },
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// The configuration's name in the server's folder.
const CONFIG: &str = "shop.toml";

/// A server that is about to be started.
pub struct Server {
    folder: Folder,
    config: toml::Table,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    listening: Listening,
    addressee: Addressee,
    file_size_limit_kib: Option<u32>,
    output: Option<Stdio>,
}

/// To whom the sockets are said to be passed.
#[derive(Clone, Copy)]
enum Addressee {
    Server,
    SomebodyElse,
    Nobody,
}

/// How the server comes to its socket.
enum Listening {
    /// This process listens and passes the socket on, as systemd does.
    Passed(Vec<Passed>),
    /// The server is told an address to bind.
    Bound(Address),
}

/// A socket that is passed on, and its name.
struct Passed {
    name: String,
    address: Address,
    socket: OwnedFd,
}

impl Passed {
    fn tcp(name: &str) -> Self {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = Address::Tcp(socket.local_addr().unwrap());
        Self {
            name: name.to_owned(),
            address,
            socket: socket.into(),
        }
    }

    fn unix(name: &str, path: &Path) -> Self {
        let socket = UnixListener::bind(path).unwrap();
        Self {
            name: name.to_owned(),
            address: Address::Unix(path.to_owned()),
            socket: socket.into(),
        }
    }

    fn inode(&self) -> u64 {
        File::from(self.socket.try_clone().unwrap())
            .metadata()
            .unwrap()
            .ino()
    }
}

impl Server {
    /// A server for an application of `tests/apps`, on a socket that is passed
    /// to it.
    pub fn running(app: &str) -> Self {
        let mut server = Self {
            folder: Folder::with_apps(),
            config: toml::Table::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            listening: Listening::Passed(vec![Passed::tcp("http")]),
            addressee: Addressee::Server,
            file_size_limit_kib: None,
            output: None,
        };
        server.config.insert("app".into(), app.into());
        server
    }

    /// A server as one types it in a terminal: no configuration file, and the
    /// application as an argument.
    pub fn typed(app: &str) -> Self {
        let mut server = Self::running(app);
        server.config.clear();
        server.argument(app)
    }

    #[must_use]
    pub fn workers(self, count: u16) -> Self {
        self.setting("workers", i64::from(count))
    }

    /// A line of the configuration file.
    #[must_use]
    pub fn setting(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }

    /// Another file in the server's folder.
    #[must_use]
    pub fn file(self, name: &str, text: &str) -> Self {
        self.folder.write(name, text);
        self
    }

    /// A variable of the server's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A word of the command line.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The server binds a free TCP port itself.
    #[must_use]
    pub fn binding_a_port(mut self) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        self.listening = Listening::Bound(Address::Tcp(address));
        if self.config.is_empty() {
            return self.argument("--bind").argument(&address.to_string());
        }
        self.setting("bind", toml::Value::Array(vec![address.to_string().into()]))
    }

    /// The server was told elsewhere to bind this address.
    #[must_use]
    pub fn bound_to(mut self, address: SocketAddr) -> Self {
        self.listening = Listening::Bound(Address::Tcp(address));
        self
    }

    /// The sockets are there, and no variable says so.
    #[must_use]
    pub fn without_listen_variables(mut self) -> Self {
        self.addressee = Addressee::Nobody;
        self
    }

    /// The variables of socket activation are meant for another process.
    #[must_use]
    pub fn with_sockets_of_somebody_else(mut self) -> Self {
        self.addressee = Addressee::SomebodyElse;
        self
    }

    /// No process of the server may write a file beyond this size.
    #[must_use]
    pub fn file_size_limit_kib(mut self, limit: u32) -> Self {
        self.file_size_limit_kib = Some(limit);
        self
    }

    /// The server binds a unix socket in its folder itself.
    #[must_use]
    pub fn binding_a_unix_socket(mut self) -> Self {
        let path = self.folder.join("bound.sock");
        let value = format!("unix:{}", path.display());
        self.listening = Listening::Bound(Address::Unix(path));
        self.setting("bind", toml::Value::Array(vec![value.into()]))
    }

    /// A unix socket is passed instead of a TCP one.
    #[must_use]
    pub fn on_a_unix_socket(mut self) -> Self {
        let path = self.folder.join("passed.sock");
        self.listening = Listening::Passed(vec![Passed::unix("http", &path)]);
        self
    }

    /// A unix socket is passed besides the TCP one.
    #[must_use]
    pub fn and_a_unix_socket(mut self, name: &str) -> Self {
        let path = self.folder.join("passed.sock");
        if let Listening::Passed(sockets) = &mut self.listening {
            sockets.push(Passed::unix(name, &path));
        }
        self
    }

    /// Standard output and error go elsewhere than to the file that
    /// [`Running::stderr`] reads.
    #[must_use]
    pub fn output(mut self, output: impl Into<Stdio>) -> Self {
        self.output = Some(output.into());
        self
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// Starts it and returns when it says that it is ready.
    #[track_caller]
    pub fn start(self) -> Running {
        let server = self.launch();
        server.wait_until("the server is ready", || {
            server.assert_runs();
            server.state_notices().contains(&"READY=1".to_owned())
        });
        // The notice may arrive here before the listeners arrive there.
        server.wait_until("a worker serves", || !server.worker_pids().is_empty());
        server.forget_notices();
        server
    }

    /// Starts it and returns at once.
    #[track_caller]
    pub fn launch(self) -> Running {
        fs::create_dir_all(self.folder.join("run")).unwrap();
        let config = RefCell::new(self.config);
        let notices = Notices::at(&self.folder.join("notify"));
        let running = Running {
            notices,
            config,
            arguments: self.arguments,
            environment: self.environment,
            listening: self.listening,
            addressee: self.addressee,
            file_size_limit_kib: self.file_size_limit_kib,
            child: RefCell::new(None),
            seen: Cell::new(0),
            folder: self.folder,
        };
        if !running.config.borrow().is_empty() {
            running.write_config();
        }
        running.spawn(self.output);
        running
    }
}

/// A TCP port that nobody listened on a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A server that was started.
pub struct Running {
    notices: Notices,
    config: RefCell<toml::Table>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    listening: Listening,
    addressee: Addressee,
    file_size_limit_kib: Option<u32>,
    child: RefCell<Option<Child>>,
    /// How many datagrams [`Running::notices`] passes over.
    seen: Cell<usize>,
    folder: Folder,
}

impl Running {
    /// Starts the binary; a shell numbers the descriptors and fills in
    /// `LISTEN_PID`, which only the new process can know.
    fn spawn(&self, output: Option<Stdio>) {
        let mut command = Command::new("sh");
        isolate(&mut command, self.folder.path());
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("stderr"))
            .unwrap();
        command
            .env("NOTIFY_SOCKET", self.folder.join("notify"))
            .env("RUNTIME_DIRECTORY", self.folder.join("run"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(output.unwrap_or_else(|| log.into()));
        let mut script = String::new();
        if let Some(limit) = self.file_size_limit_kib {
            // The shell counts in blocks of 512 bytes.
            writeln!(script, "ulimit -f {}", limit * 2).unwrap();
        }
        let mut redirections = "";
        if let Listening::Passed(sockets) = &self.listening {
            let names: Vec<&str> = sockets.iter().map(|passed| passed.name.as_str()).collect();
            let count = sockets.len();
            match self.addressee {
                Addressee::Server => writeln!(
                    script,
                    "export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={}",
                    names.join(":")
                )
                .unwrap(),
                Addressee::SomebodyElse => {
                    writeln!(script, "export LISTEN_PID=1 LISTEN_FDS={count}").unwrap();
                }
                Addressee::Nobody => {}
            }
            command.stdin(sockets[0].socket.try_clone().unwrap());
            redirections = "3<&0 0</dev/null";
            if let [_, second] = sockets.as_slice() {
                command.stdout(second.socket.try_clone().unwrap());
                redirections = "3<&0 0</dev/null 4<&1 1>&2";
            }
        }
        writeln!(script, r#"exec "$@" {redirections}"#).unwrap();
        command.args(["-c", &script, "sh", RGUNICORN]);
        if !self.config.borrow().is_empty() {
            command.args(["--config", CONFIG]);
        }
        command.args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        *self.child.borrow_mut() = Some(command.spawn().unwrap());
    }

    // The configuration.

    fn write_config(&self) {
        self.folder
            .write(CONFIG, &toml::to_string(&*self.config.borrow()).unwrap());
    }

    /// Changes one line of the configuration file.
    pub fn set(&self, key: &str, value: impl Into<toml::Value>) {
        self.config.borrow_mut().insert(key.into(), value.into());
        self.write_config();
    }

    /// Replaces the configuration file by any text.
    pub fn write_raw_config(&self, text: &str) {
        self.folder.write(CONFIG, text);
    }

    /// Writes a file in the server's folder, for instance the app's new code.
    pub fn write(&self, name: &str, text: &str) {
        self.folder.write(name, text);
    }

    /// Reads a file of the server's folder; empty while it does not exist.
    pub fn read(&self, name: &str) -> String {
        self.folder.read(name)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    // Clients.

    /// The first address.
    pub fn address(&self) -> Address {
        match &self.listening {
            Listening::Bound(address) => address.clone(),
            Listening::Passed(sockets) => sockets[0].address.clone(),
        }
    }

    /// The address of the second socket that was passed.
    pub fn second_address(&self) -> Address {
        match &self.listening {
            Listening::Bound(_) => panic!("only one socket"),
            Listening::Passed(sockets) => sockets[1].address.clone(),
        }
    }

    pub fn connect(&self) -> Connection {
        Connection::open(&self.address()).unwrap()
    }

    /// One GET on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.request(format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ))
    }

    /// One POST on a connection of its own.
    #[track_caller]
    pub fn post(&self, path: &str, body: &[u8]) -> Response {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.request([head.as_bytes(), body].concat())
    }

    /// Any bytes on a connection of their own, and the first answer.
    #[track_caller]
    pub fn request(&self, bytes: impl AsRef<[u8]>) -> Response {
        self.connect().send(bytes).receive()
    }

    /// A GET that another thread waits for.
    pub fn get_in_background(
        &self,
        path: &str,
    ) -> thread::JoinHandle<Result<Response, super::Broken>> {
        let mut connection = self.connect();
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        thread::spawn(move || connection.try_receive())
    }

    /// Kept-alive and one-shot clients that do not stop until they are told.
    pub fn under_load(&self) -> Traffic {
        Traffic::start(&self.address(), Load::default())
    }

    pub fn under(&self, load: Load) -> Traffic {
        Traffic::start(&self.address(), load)
    }

    // Processes.

    /// The master's process id.
    pub fn pid(&self) -> Pid {
        processes::pid_of(self.child.borrow().as_ref().unwrap())
    }

    /// The workers that serve: the master's children that hold its listener.
    pub fn worker_pids(&self) -> BTreeSet<Pid> {
        let Some(inode) = self.listener_inode() else {
            return BTreeSet::new();
        };
        self.children()
            .into_iter()
            .filter(|pid| processes::holds_socket(*pid, inode))
            .collect()
    }

    /// The master's children that hold no listener: the fork servers, and
    /// workers that are loading or leaving.
    pub fn other_pids(&self) -> BTreeSet<Pid> {
        &self.children() - &self.worker_pids()
    }

    pub fn children(&self) -> BTreeSet<Pid> {
        processes::children(self.pid())
    }

    fn listener_inode(&self) -> Option<u64> {
        match &self.listening {
            Listening::Passed(sockets) => Some(sockets[0].inode()),
            Listening::Bound(Address::Tcp(address)) => processes::listening_on_port(address.port()),
            Listening::Bound(Address::Unix(path)) => processes::listening_on_path(path),
        }
    }

    /// Memory of the master, the fork servers and the workers, in KiB.
    pub fn memory(&self) -> u64 {
        self.children()
            .into_iter()
            .chain([self.pid()])
            .filter_map(|pid| processes::memory(pid).ok())
            .sum()
    }

    pub fn signal(&self, signal: Signal) {
        processes::signal(self.pid(), signal);
    }

    #[track_caller]
    fn assert_runs(&self) {
        if let Some(status) = self
            .child
            .borrow_mut()
            .as_mut()
            .unwrap()
            .try_wait()
            .unwrap()
        {
            panic!("the server ended: {status}");
        }
    }

    /// Whether the master runs.
    pub fn runs(&self) -> bool {
        self.child
            .borrow_mut()
            .as_mut()
            .unwrap()
            .try_wait()
            .unwrap()
            .is_none()
    }

    /// Waits for the master's end: the exit status, or 128 and a signal.
    #[track_caller]
    pub fn wait_for_exit(&self) -> i32 {
        self.wait_until("the master has ended", || !self.runs());
        let status = self.child.borrow_mut().as_mut().unwrap().wait().unwrap();
        status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }

    /// Sends SIGTERM and waits for the end.
    #[track_caller]
    pub fn stop(&self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.wait_for_exit()
    }

    /// Starts the binary again on the same sockets, as systemd would.
    #[track_caller]
    pub fn start_again(&self) {
        assert!(!self.runs(), "still running");
        self.forget_notices();
        self.spawn(None);
        self.wait_for_notice("READY=1");
        self.forget_notices();
    }

    // Reload.

    /// SIGHUP; returns when the reload is over, whether it worked or not.
    #[track_caller]
    pub fn reload(&self) {
        self.forget_notices();
        self.signal(Signal::SIGHUP);
        self.wait_until("the reload is over", || {
            self.assert_runs();
            self.notices() == ["RELOADING=1", "READY=1"]
        });
    }

    /// `rgunicornctl` with these words.
    #[track_caller]
    pub fn ctl(&self, words: &[&str]) -> Outcome {
        let mut command = Command::new(RGUNICORNCTL);
        isolate(&mut command, self.folder.path());
        let output = command
            .env("RUNTIME_DIRECTORY", self.folder.join("run"))
            .args(words)
            .output()
            .unwrap();
        Outcome {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    // What it says.

    /// The changes of state it told its service manager since it was ready,
    /// or since the last [`Running::forget_notices`].
    pub fn notices(&self) -> Vec<String> {
        self.state_notices()
    }

    fn state_notices(&self) -> Vec<String> {
        self.notices
            .lines_from(self.seen.get())
            .into_iter()
            .filter(|line| notices::is_state(line))
            .collect()
    }

    pub fn forget_notices(&self) {
        self.seen.set(self.notices.count());
    }

    #[track_caller]
    pub fn wait_for_notice(&self, line: &str) {
        self.wait_until(&format!("it says {line}"), || {
            self.notices
                .lines_from(self.seen.get())
                .iter()
                .any(|said| said == line)
        });
    }

    /// Every datagram to the service manager since the start.
    pub fn datagrams(&self) -> Vec<String> {
        self.notices.all()
    }

    /// The values of one notify variable since the start.
    pub fn notified(&self, name: &str) -> Vec<String> {
        self.notices.values(&format!("{name}="))
    }

    /// What stands on its standard error so far.
    pub fn stderr(&self) -> String {
        self.folder.read("stderr")
    }

    /// Waits until its standard error holds `text`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        self.wait_until(&format!("the log says {text:?}"), || {
            self.stderr().contains(text)
        });
    }

    /// How often `text` stands on its standard error.
    pub fn log_count(&self, text: &str) -> usize {
        self.stderr().matches(text).count()
    }

    /// Returns when `fact` holds.
    #[track_caller]
    #[expect(clippy::unused_self, reason = "it reads as a fact about this server")]
    pub fn wait_until(&self, what: &str, fact: impl FnMut() -> bool) {
        super::wait_until(what, fact);
    }

    /// Returns when exactly so many workers serve.
    #[track_caller]
    pub fn wait_for_workers(&self, count: usize) -> BTreeSet<Pid> {
        self.wait_until(&format!("{count} workers serve"), || {
            self.worker_pids().len() == count
        });
        self.worker_pids()
    }

    fn dump(&self) {
        eprintln!(
            "==== the server's folder is kept: {}",
            self.folder.path().display()
        );
        eprintln!("==== {CONFIG}\n{}", self.folder.read(CONFIG));
        eprintln!("==== notices\n{:#?}", self.notices.all());
        eprintln!("==== processes");
        for pid in processes::started_for(self.folder.path()) {
            eprintln!(
                "{pid} (of {:?}, {:?}) {}",
                processes::parent(pid),
                processes::state(pid),
                processes::command_line(pid)
            );
        }
        eprintln!("==== standard error\n{}\n====", self.stderr());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            self.dump();
            self.folder.keep();
        }
        let runs = |child: &RefCell<Option<Child>>| {
            child
                .borrow_mut()
                .as_mut()
                .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
        };
        if runs(&self.child) {
            self.signal(Signal::SIGTERM);
            comes_true(Duration::from_secs(3), || !runs(&self.child));
        }
        // Nothing of a test may outlive it, whatever the test did to the master.
        for pid in processes::started_for(self.folder.path()) {
            processes::signal(pid, Signal::SIGKILL);
        }
        comes_true(DEADLINE, || !runs(&self.child));
    }
}
