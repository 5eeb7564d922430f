//! A server under test that was started: the real binary with real sockets, in
//! a folder of its own. This process acts as its service manager.

use super::{
    client::{Address, Connection, Response},
    files::Folder,
    notices::{self, Notices},
    processes::{self, Pid},
    program::{Outcome, RGUNICORNCTL, isolate},
    sockets::{ListenPid, Listening},
    traffic::{Load, Traffic},
    wait::{DEADLINE, holds_within},
};
use nix::sys::signal::Signal;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    fmt::Write,
    fs::{self, OpenOptions},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// The configuration's name in the server's folder.
const CONFIG: &str = "shop.toml";

/// How a server is started.
pub struct Setup {
    pub folder: Folder,
    pub program: PathBuf,
    /// The configuration file; none while it is empty.
    pub config: toml::Table,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub listening: Listening,
    pub listen_pid: ListenPid,
    /// No process may write a file beyond this size.
    pub file_size_limit_kib: Option<u32>,
    /// A signal that the server is started to ignore.
    pub ignored_signal: Option<&'static str>,
}

/// A server that was started.
pub struct Running {
    notices: Notices,
    config: RefCell<toml::Table>,
    child: RefCell<Option<Child>>,
    /// How many datagrams [`Running::notices`] passes over.
    seen: Cell<usize>,
    setup: Setup,
}

impl Running {
    /// Starts it and returns at once.
    #[track_caller]
    pub fn launch(setup: Setup, output: Option<Stdio>) -> Self {
        fs::create_dir_all(setup.folder.join("run")).unwrap();
        let running = Self {
            notices: Notices::at(&setup.folder.join("notify")),
            config: RefCell::new(setup.config.clone()),
            child: RefCell::new(None),
            seen: Cell::new(0),
            setup,
        };
        if !running.config.borrow().is_empty() {
            running.write_config();
        }
        running.spawn(output);
        running
    }

    /// Returns when it says that it is ready, and is.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        self.wait_until("the server is ready", || {
            self.assert_runs();
            self.notices().contains(&"READY=1".to_owned())
        });
        // The notice may arrive here before the listeners arrive there.
        self.wait_until("a worker serves", || !self.worker_pids().is_empty());
        self.forget_notices();
    }

    /// Starts the binary; a shell numbers the descriptors and fills in
    /// `LISTEN_PID`, which only the new process can know.
    fn spawn(&self, output: Option<Stdio>) {
        let mut command = Command::new("sh");
        isolate(&mut command, self.setup.folder.path());
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.setup.folder.join("stderr"))
            .unwrap();
        command
            .env("NOTIFY_SOCKET", self.setup.folder.join("notify"))
            .env("RUNTIME_DIRECTORY", self.setup.folder.join("run"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(output.unwrap_or_else(|| log.into()));
        let mut script = String::new();
        if let Some(limit) = self.setup.file_size_limit_kib {
            // The shell counts in blocks of 512 bytes.
            writeln!(script, "ulimit -f {}", limit * 2).unwrap();
        }
        // A shell cannot ignore SIGCHLD; env can.
        let program = match self.setup.ignored_signal {
            Some(signal) => format!("env --ignore-signal={signal}"),
            None => String::new(),
        };
        let mut redirections = "";
        if let Listening::Passed(sockets) = &self.setup.listening {
            let names: Vec<&str> = sockets.iter().map(|passed| passed.name.as_str()).collect();
            let count = sockets.len();
            match self.setup.listen_pid {
                ListenPid::Server => writeln!(
                    script,
                    "export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={}",
                    names.join(":")
                )
                .unwrap(),
                ListenPid::OtherProcess => {
                    writeln!(script, "export LISTEN_PID=1 LISTEN_FDS={count}").unwrap();
                }
                ListenPid::Unset => {}
            }
            command.stdin(sockets[0].socket.try_clone().unwrap());
            redirections = "3<&0 0</dev/null";
            if let [_, second] = sockets.as_slice() {
                command.stdout(second.socket.try_clone().unwrap());
                redirections = "3<&0 0</dev/null 4<&1 1>&2";
            }
        }
        writeln!(script, r#"exec {program} "$@" {redirections}"#).unwrap();
        command.args(["-c", &script, "sh"]).arg(&self.setup.program);
        if !self.config.borrow().is_empty() {
            command.args(["--config", CONFIG]);
        }
        command.args(&self.setup.arguments);
        command.envs(
            self.setup
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        );
        *self.child.borrow_mut() = Some(command.spawn().unwrap());
    }

    // The configuration.

    fn write_config(&self) {
        self.setup
            .folder
            .write(CONFIG, &toml::to_string(&*self.config.borrow()).unwrap());
    }

    /// Changes one line of the configuration file.
    pub fn set(&self, key: &str, value: impl Into<toml::Value>) {
        self.config.borrow_mut().insert(key.into(), value.into());
        self.write_config();
    }

    /// Replaces the configuration file by any text.
    pub fn write_raw_config(&self, text: &str) {
        self.setup.folder.write(CONFIG, text);
    }

    /// Writes a file in the server's folder, for instance the app's new code.
    pub fn write(&self, name: &str, text: &str) {
        self.setup.folder.write(name, text);
    }

    /// Reads a file of the server's folder; empty while it does not exist.
    pub fn read(&self, name: &str) -> String {
        self.setup.folder.read(name)
    }

    pub fn folder(&self) -> &Path {
        self.setup.folder.path()
    }

    // Clients.

    /// The first address.
    pub fn address(&self) -> Address {
        match &self.setup.listening {
            Listening::Bound(address) => address.clone(),
            Listening::Passed(sockets) => sockets[0].address.clone(),
        }
    }

    /// The address of the second socket that was passed.
    pub fn second_address(&self) -> Address {
        match &self.setup.listening {
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

    /// A connection whose request is in the application, which does not answer before the
    /// test makes a file with this name.
    #[track_caller]
    pub fn begin_until(&self, name: &str) -> Connection {
        let mut connection = self.connect();
        connection.send(format!("GET /until/{name} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let started = format!("{name}.started");
        self.wait_until("the request runs", || !self.read(&started).is_empty());
        connection
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

    /// Kept-alive and one-shot clients that run until they are stopped.
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
        let master = processes::executable(self.pid());
        self.children()
            .into_iter()
            // A fork server has copies of all descriptors until it runs Python.
            .filter(|pid| processes::executable(*pid) != master)
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
        match &self.setup.listening {
            Listening::Passed(sockets) => Some(sockets[0].inode()),
            Listening::Bound(Address::Tcp(address)) => processes::listening_on_port(address.port()),
            Listening::Bound(Address::Unix(path)) => processes::listening_on_path(path),
        }
    }

    /// Memory of the master, the fork servers and the workers, in KiB. Without pages of files:
    /// how large their part of those is depends on how many other servers run.
    pub fn memory(&self) -> u64 {
        self.children()
            .into_iter()
            .chain([self.pid()])
            .filter_map(processes::own_memory)
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
        self.begin_reload();
        self.wait_for_reload();
    }

    pub fn begin_reload(&self) {
        self.forget_notices();
        self.signal(Signal::SIGHUP);
    }

    /// Returns when the reload that was begun is over, whether it worked or not.
    #[track_caller]
    pub fn wait_for_reload(&self) {
        self.wait_until("the reload is over", || {
            self.assert_runs();
            self.notices() == ["RELOADING=1", "READY=1"]
        });
    }

    /// `rgunicornctl` with these words.
    #[track_caller]
    pub fn ctl(&self, words: &[&str]) -> Outcome {
        let mut command = Command::new(RGUNICORNCTL);
        isolate(&mut command, self.setup.folder.path());
        let output = command
            .env("RUNTIME_DIRECTORY", self.setup.folder.join("run"))
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

    /// Its standard error so far.
    pub fn stderr(&self) -> String {
        self.setup.folder.read("stderr")
    }

    /// Waits until its standard error holds `text`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        self.wait_until(&format!("the log says {text:?}"), || {
            self.stderr().contains(text)
        });
    }

    /// How often `text` occurs in its standard error.
    pub fn log_count(&self, text: &str) -> usize {
        self.stderr().matches(text).count()
    }

    /// Waits until its standard error holds `text` so often, which may be a moment after what
    /// it tells of, and not more often.
    #[track_caller]
    pub fn wait_for_log_count(&self, text: &str, count: usize) {
        self.wait_until(&format!("the log says {text:?} {count} times"), || {
            self.log_count(text) >= count
        });
        assert_eq!(self.log_count(text), count, "{text:?}");
    }

    /// Returns when `fact` holds.
    #[track_caller]
    #[expect(clippy::unused_self, reason = "it reads as a fact about this server")]
    pub fn wait_until(&self, what: &str, fact: impl FnMut() -> bool) {
        super::wait_until(what, fact);
    }

    /// Returns when exactly `count` workers serve.
    #[track_caller]
    pub fn wait_for_workers(&self, count: usize) -> BTreeSet<Pid> {
        let mut workers = BTreeSet::new();
        self.wait_until(&format!("{count} workers serve"), || {
            workers = self.worker_pids();
            workers.len() == count
        });
        workers
    }

    fn dump(&self) {
        eprintln!(
            "==== the server's folder is kept: {}",
            self.setup.folder.path().display()
        );
        eprintln!("==== {CONFIG}\n{}", self.setup.folder.read(CONFIG));
        eprintln!("==== notices\n{:#?}", self.notices.all());
        eprintln!("==== processes");
        for pid in processes::started_for(self.setup.folder.path()) {
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
            self.setup.folder.keep();
        }
        let runs = |child: &RefCell<Option<Child>>| {
            child
                .borrow_mut()
                .as_mut()
                .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
        };
        if runs(&self.child) {
            self.signal(Signal::SIGTERM);
            holds_within(Duration::from_secs(3), || !runs(&self.child));
        }
        // No process of a test may outlive it, whatever happened to the master.
        for pid in processes::started_for(self.setup.folder.path()) {
            processes::signal(pid, Signal::SIGKILL);
        }
        holds_within(DEADLINE, || !runs(&self.child));
    }
}
