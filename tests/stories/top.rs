//! `rgunicornctl top` in a terminal: what it shows, and that it leaves the terminal as it was.

use crate::harness::{Running, Server, processes, program::RGUNICORNCTL, wait_until};
use nix::sys::signal::Signal;
use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

/// A terminal in which the command runs between two looks at the settings of the terminal.
struct Terminal {
    script: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
    reader: thread::JoinHandle<()>,
}

impl Terminal {
    fn of(server: &Running, columns: u16, environment: &str) -> Self {
        let command = format!(
            "stty cols {columns} rows 24; stty -a >before; {environment} {RGUNICORNCTL} top; \
             echo $? >status; stty -a >after"
        );
        let mut script = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .current_dir(server.folder())
            .env("RUNTIME_DIRECTORY", server.folder().join("run"))
            .env_remove("NO_COLOR")
            .env("SHELL", "/bin/sh")
            .env("RGUNICORN_TEST_FOLDER", server.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let keys = script.stdin.take().unwrap();
        let mut output = script.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&shown);
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                seen.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self {
            script,
            keys,
            shown,
            reader,
        }
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        wait_until(&format!("{text:?} is shown"), || {
            self.shown().contains(text)
        });
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits for the end. Returns the exit status.
    #[track_caller]
    fn end(mut self, server: &Running) -> String {
        wait_until("it ends", || self.script.try_wait().unwrap().is_some());
        assert_eq!(server.read("before"), server.read("after"));
        self.reader.join().unwrap();
        let shown = self.shown.lock().unwrap().clone();
        // The cursor, and the screen that was there before.
        assert!(
            shown.trim_end().ends_with("\x1b[?25h\x1b[?1049l"),
            "{shown:?}"
        );
        server.read("status").trim().to_owned()
    }
}

#[test]
fn a_server_is_shown_until_a_key_quits() {
    let server = Server::running("slow:app").start();
    let mut terminal = Terminal::of(&server, 100, "");
    terminal.wait_for("1/1 workers, 0 busy");

    let mut running = server.begin_until("go");
    terminal.wait_for("1 busy");
    terminal.wait_for("GET /until/go");
    server.write("go", "");
    assert_eq!(running.receive().status, 200);
    terminal.keys.write_all(b"q").unwrap();

    assert!(terminal.shown().contains("\x1b[1;36m"));
    assert_eq!(terminal.end(&server), "0");
}

#[test]
fn a_narrow_terminal_without_colours_is_not_overrun() {
    let server = Server::running("hello:app").start();
    let mut terminal = Terminal::of(&server, 40, "NO_COLOR=1");
    terminal.wait_for("q quits");
    terminal.keys.write_all(b"q").unwrap();

    let shown = terminal.shown();
    assert_eq!(terminal.end(&server), "0");

    assert!(!shown.contains("\x1b[1;36m"), "{shown:?}");
    // Its end may be a line that is not whole.
    let whole = shown.rfind("\x1b[K").unwrap();
    for line in shown[..=whole].split("\r\n") {
        let end = line.find("\x1b[K").unwrap_or(line.len());
        let text = line[..end]
            .replace("\x1b[?1049h\x1b[?25l", "")
            .replace("\x1b[H", "")
            .replace("\x1b[1m", "")
            .replace("\x1b[0m", "");
        assert!(text.chars().count() <= 40, "{line:?}");
    }
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let server = Server::running("hello:app").start();
    let terminal = Terminal::of(&server, 80, "");
    terminal.wait_for("q quits");
    let is_top = |pid: &processes::Pid| processes::command_line(*pid).ends_with("rgunicornctl top");
    let found = processes::started_for(server.folder());
    let top = found.into_iter().find(is_top);

    processes::signal(top.unwrap(), Signal::SIGTERM);

    assert_eq!(terminal.end(&server), "143");
}

#[test]
fn a_server_that_stops_meanwhile_is_said_to_be_gone() {
    let server = Server::running("hello:app").start();
    let mut terminal = Terminal::of(&server, 80, "");
    terminal.wait_for("1/1 workers");

    server.stop();
    terminal.wait_for("cannot connect to");
    terminal.keys.write_all(b"q").unwrap();

    assert_eq!(terminal.end(&server), "0");
}

#[test]
fn without_a_terminal_it_says_so() {
    let server = Server::running("hello:app").start();

    let outcome = server.ctl(&["top"]);

    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert_eq!(
        outcome.stderr,
        "rgunicornctl: top needs a terminal; status, workers and metrics do not\n"
    );
}
