//! `daemon`: a server that leaves the terminal, and a command that says how that went.

use crate::harness::{
    Connection, LogServer, Outcome, Program,
    client::{Address, Response},
    files::Folder,
    processes::{self, Pid},
    program::{RGUNICORN, isolate},
    sockets::free_port,
    wait_until,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{self, getsid},
};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

const BAD_USAGE: i32 = 64;
const CANNOT_LOAD: i32 = 3;

/// Prints for each request, and when it is loaded.
const APP: &str = "
print('loaded', flush=True)
def app(environ, start_response):
    print('request', environ['PATH_INFO'], flush=True)
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']
";

/// A command that has started a server in the background, and the server.
struct Daemon {
    program: Program,
    outcome: Outcome,
    address: Address,
}

impl Daemon {
    /// The server with these arguments, and with a port and a pid file.
    fn start(arguments: &[&str], files: &[(&str, &str)]) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let bind = address.to_string();
        let own = ["--pid=shop.pid", "-b", &bind, "printing:app"];
        let mut program = Program::rgunicorn(&[arguments, &own].concat()).file("printing.py", APP);
        for (name, text) in files {
            program = program.file(name, text);
        }
        let outcome = program.run();
        Self {
            program,
            outcome,
            address: Address::Tcp(address),
        }
    }

    fn pid(&self) -> Option<Pid> {
        let text = self.program.folder.read("shop.pid");
        text.trim().parse().ok()
    }

    fn get(&self, path: &str) -> Response {
        Connection::open(&self.address).unwrap().get(path)
    }

    fn stderr(&self) -> String {
        self.program.folder.read("stderr")
    }

    fn stop(&self) {
        let pid = self.pid().unwrap();
        processes::signal(pid, Signal::SIGTERM);
        wait_until("the server has ended", || !processes::runs(pid));
        assert!(!self.program.folder.join("shop.pid").exists());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for pid in processes::started_for(self.program.folder.path()) {
            let _ = kill(unistd::Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Where the standard streams of a process lead.
fn streams(pid: Pid) -> Vec<String> {
    let stream = |number| {
        let leads = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
        leads.to_string_lossy().into_owned()
    };
    (0..3).map(stream).collect()
}

#[test]
fn the_command_returns_when_the_server_is_ready_in_the_background() {
    let daemon = Daemon::start(&["-D"], &[]);

    assert_eq!(daemon.outcome.status, 0, "{:?}", daemon.outcome);
    let pid = daemon.pid().unwrap();
    let says = format!(
        "serving in the background with the pid {pid}; its log is not kept: set errorlog\n"
    );
    assert!(
        daemon.outcome.stderr.ends_with(&says),
        "{:?}",
        daemon.outcome
    );
    assert_eq!(daemon.get("/").status, 200);
    assert_eq!(streams(pid), ["/dev/null"; 3]);
    let session = getsid(Some(unistd::Pid::from_raw(pid))).unwrap();
    assert_ne!(session, getsid(None).unwrap());
    // It is not the leader of its session, so it cannot get a terminal.
    assert_ne!(session.as_raw(), pid);
    daemon.stop();
}

#[test]
fn syslog_gets_what_is_said_in_the_background() {
    let syslog = LogServer::udp();
    let to = format!("udp://{}", syslog.address());
    let daemon = Daemon::start(&["-D", "--log-syslog", "--log-syslog-to", &to], &[]);

    assert_eq!(daemon.outcome.status, 0, "{:?}", daemon.outcome);
    assert_eq!(daemon.get("/a").status, 200);

    syslog.wait_for("\"GET /a HTTP/1.1\" 200");
    let pid = daemon.pid().unwrap();
    let ready = syslog.wait_for("Ready after");
    assert!(ready.starts_with(&format!("<14>gunicorn.printing.app.error: [{pid}] ")));
    daemon.stop();
    syslog.wait_for("] Stopped\0");
}

#[test]
fn nothing_is_written_to_the_terminal_any_more() {
    let daemon = Daemon::start(&["--daemon"], &[]);
    assert_eq!(daemon.outcome.status, 0, "{:?}", daemon.outcome);
    let pid = daemon.pid().unwrap();

    assert_eq!(daemon.get("/quiet").status, 200);
    let first = processes::children(pid);
    processes::signal(pid, Signal::SIGHUP);
    wait_until("a new generation serves", || {
        let now = processes::children(pid);
        now.len() == first.len() && now.is_disjoint(&first)
    });
    assert_eq!(daemon.get("/quiet").status, 200);
    daemon.stop();

    assert_eq!(daemon.stderr(), daemon.outcome.stderr);
    assert_eq!(daemon.program.folder.read("stdout"), "");
}

#[test]
fn with_stdio_inheritance_it_goes_on_to_be() {
    let daemon = Daemon::start(&["--daemon", "-R"], &[]);
    assert_eq!(daemon.outcome.status, 0, "{:?}", daemon.outcome);

    assert_eq!(daemon.get("/loud").status, 200);
    daemon.stop();

    assert!(
        daemon
            .program
            .folder
            .read("stdout")
            .contains("request /loud\n")
    );
    let stderr = daemon.stderr();
    assert!(stderr.contains("Got SIGTERM"), "{stderr}");
    assert!(!stderr.contains("is not kept"), "{stderr}");
}

#[test]
fn its_log_is_in_the_file_of_the_error_log() {
    let daemon = Daemon::start(
        &["-D", "--error-logfile=error.log", "--capture-output"],
        &[],
    );
    assert_eq!(daemon.outcome.status, 0, "{:?}", daemon.outcome);
    assert_eq!(daemon.outcome.stderr, "");

    assert_eq!(daemon.get("/kept").status, 200);
    daemon.stop();

    let log = daemon.program.folder.read("error.log");
    for text in ["started, configured by", "request /kept", "Got SIGTERM"] {
        assert!(log.contains(text), "{text}: {log}");
    }
}

#[test]
fn a_start_that_fails_is_told_with_its_exit_status() {
    let broken = "print('begun', flush=True)\nimport nosuchmodule\n";
    let daemon = Daemon::start(&["-D"], &[("printing.py", broken)]);

    assert_eq!(daemon.outcome.status, CANNOT_LOAD, "{:?}", daemon.outcome);
    for text in ["begun", "No module named 'nosuchmodule'", "Traceback"] {
        assert!(daemon.outcome.stderr.contains(text), "{:?}", daemon.outcome);
    }
    wait_until("nothing is left", || {
        processes::started_for(daemon.program.folder.path()).is_empty()
    });

    let daemon = Daemon::start(&["-D", "-b=unix:/nowhere/sock"], &[]);
    assert_eq!(daemon.outcome.status, 71, "{:?}", daemon.outcome);
    assert!(
        daemon
            .outcome
            .stderr
            .contains("there is no directory /nowhere")
    );
}

#[test]
fn a_configuration_in_python_can_say_it() {
    let conf = "daemon = True\nopen('runs', 'a').write('x')\n";
    let daemon = Daemon::start(&[], &[("gunicorn.conf.py", conf)]);

    assert_eq!(daemon.outcome.status, 0, "{:?}", daemon.outcome);
    assert_eq!(daemon.get("/").status, 200);
    assert_eq!(streams(daemon.pid().unwrap()), ["/dev/null"; 3]);
    assert_eq!(daemon.program.folder.read("runs"), "xx");
    daemon.stop();
}

#[test]
fn under_systemd_it_is_refused_with_what_to_do() {
    let outcome = Program::rgunicorn(&["-D", "printing:app"])
        .env("NOTIFY_SOCKET", "/nowhere")
        .run();

    assert_eq!(outcome.status, BAD_USAGE, "{outcome:?}");
    assert_eq!(
        outcome.stderr,
        "rgunicorn: --daemon: systemd has its services in the background by itself; \
         remove daemon, and use Type=notify in the unit\n"
    );
}

#[test]
fn winch_retires_its_workers_as_no_terminal_can_have_sent_it() {
    let daemon = Daemon::start(&["-D", "-w2"], &[]);
    let pid = daemon.pid().unwrap();
    wait_until("there are a fork server and two workers", || {
        processes::children(pid).len() == 3
    });

    processes::signal(pid, Signal::SIGWINCH);

    wait_until("the workers are gone", || {
        processes::children(pid).len() == 1
    });
    processes::signal(pid, Signal::SIGTTIN);
    assert_eq!(daemon.get("/").status, 200);
    daemon.stop();
}

/// Loads for as long as there is no file `go`.
const SLOW: &str = "
import os, time
open('loading', 'w').close()
while not os.path.exists('go'):
    time.sleep(0.01)
def app(environ, start_response):
    start_response('200 OK', [])
    return []
";

/// The command, which waits for a server that loads an application.
fn starting(folder: &Path) -> std::process::Child {
    let mut command = Command::new(RGUNICORN);
    isolate(&mut command, folder);
    let child = command
        .args(["-D", "-b", "127.0.0.1:0", "slow:app"])
        .stdin(Stdio::null())
        .stderr(File::create(folder.join("stderr")).unwrap())
        .process_group(0)
        .spawn()
        .unwrap();
    let loading = folder.join("loading");
    wait_until("the application is being loaded", || loading.exists());
    child
}

#[test]
fn who_interrupts_the_command_ends_the_server_that_starts() {
    let folder = Folder::new();
    folder.write("slow.py", SLOW);
    let mut command = starting(folder.path());

    processes::signal(processes::pid_of(&command), Signal::SIGINT);

    command.wait().unwrap();
    wait_until("nothing is left", || {
        processes::started_for(folder.path()).is_empty()
    });
}

#[test]
fn a_server_that_is_killed_while_it_starts_is_a_failure() {
    let folder = Folder::new();
    folder.write("slow.py", SLOW);
    let mut command = starting(folder.path());
    let own = processes::pid_of(&command);

    let server = processes::children(own).into_iter().next().unwrap();
    processes::signal(server, Signal::SIGKILL);

    assert_eq!(command.wait().unwrap().code(), Some(128 + 9));
    // Its worker looks for it when the application is loaded.
    folder.write("go", "");
    wait_until("nothing is left", || {
        processes::started_for(folder.path()).is_empty()
    });
}

#[test]
fn a_server_in_the_background_is_upgraded_in_place_with_its_log_and_pid_file() {
    let daemon = Daemon::start(
        &["-D", "--error-logfile=error.log", "--capture-output"],
        &[],
    );
    assert_eq!(daemon.outcome.status, 0, "{:?}", daemon.outcome);
    let pid = daemon.pid().unwrap();
    let log = || daemon.program.folder.read("error.log");

    processes::signal(pid, Signal::SIGUSR2);
    wait_until("another program has taken over", || {
        log().contains("has taken over from") && log().contains("Reload finished")
    });

    assert_eq!(daemon.pid(), Some(pid));
    assert_eq!(daemon.get("/after").status, 200);
    wait_until("what the application prints is in the log", || {
        log().contains("request /after")
    });
    daemon.stop();
    assert!(log().contains("Stopped"));
}
