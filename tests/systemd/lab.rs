//! A machine with a systemd of its own, and rgunicorn installed on it.

use crate::wait::wait_until;
use serde_json::Value;
use std::{
    env,
    fs::File,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio, id},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// The result of a command.
#[derive(Debug)]
pub struct Outcome {
    /// `None` if a signal ended it.
    pub status: Option<i32>,
    /// Standard output, then standard error.
    pub output: String,
}

/// One record of the journal.
#[derive(Debug)]
pub struct Entry(serde_json::Map<String, Value>);

impl Entry {
    /// A field's text, or nothing.
    pub fn field(&self, name: &str) -> String {
        match &self.0.get(name) {
            Some(Value::String(text)) => text.clone(),
            // What is not plain text comes as its bytes.
            Some(Value::Array(bytes)) => {
                let bytes = bytes.iter().filter_map(Value::as_u64);
                let bytes: Vec<u8> = bytes.filter_map(|byte| byte.try_into().ok()).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            _ => String::new(),
        }
    }

    pub fn message(&self) -> String {
        self.field("MESSAGE")
    }
}

/// A running lab. It ends when this is dropped, or with this process.
pub struct Lab {
    name: String,
    /// Its PID 1, as this machine sees it.
    pub pid1: u32,
    /// Runs as long as its standard input is open.
    process: Child,
}

impl Lab {
    /// Boots a lab of that Debian release with the built files installed.
    #[track_caller]
    pub fn boot(suite: &str) -> Self {
        let lab = Self::boot_bare(suite);
        lab.push(installed(), "/");
        lab.must("systemd-sysusers");
        lab.must("journalctl --update-catalog");
        lab.must("systemctl daemon-reload");
        lab
    }

    /// Boots a lab of that Debian release without rgunicorn. `RGUNICORN_LAB_NEWER=sid`: of
    /// that one instead of Debian 13.
    #[track_caller]
    pub fn boot_bare(suite: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let newer = env::var("RGUNICORN_LAB_NEWER").ok();
        let suite = newer
            .as_deref()
            .filter(|_| suite == "trixie")
            .unwrap_or(suite);
        let name = format!("test-{}-{}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut process = Command::new(source("tests/systemd/lab"))
            .args(["boot", &name, suite, "--attached"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let pid1 = line.trim().rsplit(' ').next().unwrap();
        let pid1 = pid1
            .parse()
            .expect("the lab did not boot, it says why on stderr");
        Self {
            name,
            pid1,
            process,
        }
    }

    /// Runs a command in the lab.
    pub fn run(&self, command: &[&str]) -> Outcome {
        self.script("exec", command, "")
    }

    /// Runs a command that has to succeed, and returns its output. Its words are
    /// separated by white space.
    #[track_caller]
    pub fn must(&self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        let Outcome { status, output } = self.run(&words);
        assert_eq!(status, Some(0), "{command}: {output}");
        output.trim_end().to_owned()
    }

    /// The version of its systemd.
    #[track_caller]
    pub fn version(&self) -> u32 {
        let version = self.must("systemctl --version");
        (version.split_whitespace().nth(1))
            .and_then(|version| version.split(['.', '~']).next()?.parse().ok())
            .unwrap()
    }

    /// Runs systemctl, which may fail.
    pub fn systemctl(&self, words: &str) -> Outcome {
        let words = format!("systemctl {words}");
        self.run(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// Writes a file atomically: a reader gets the old or the new text.
    #[track_caller]
    pub fn write(&self, path: &str, text: &str) {
        let write = r#"mkdir -p "$(dirname "$0")"; cat >"$0.new"; mv "$0.new" "$0""#;
        let Outcome { status, output } = self.script("exec", &["sh", "-euc", write, path], text);
        assert_eq!(status, Some(0), "cannot write {path}: {output}");
    }

    /// Copies a file, or what a folder contains, into the lab.
    #[track_caller]
    pub fn push(&self, source: &Path, target: &str) {
        let Outcome { status, output } =
            self.script("push", &[source.to_str().unwrap(), target], "");
        assert_eq!(
            status,
            Some(0),
            "cannot push {}: {output}",
            source.display()
        );
    }

    /// Whether a file exists in the lab.
    pub fn has(&self, path: &str) -> bool {
        self.run(&["test", "-e", path]).status == Some(0)
    }

    /// The journal's records that match.
    #[track_caller]
    pub fn journal(&self, matches: &[&str]) -> Vec<Entry> {
        let mut words = vec!["--output=json", "--all"];
        words.extend(matches);
        let Outcome { output, .. } = self.script("logs", &words, "");
        output
            .lines()
            .filter_map(|line| Some(Entry(serde_json::from_str(line).ok()?)))
            .collect()
    }

    /// Waits for a record that matches: journald stores in its own time what it is sent.
    #[track_caller]
    pub fn wait_for_record(&self, what: &str, matches: &[&str]) {
        wait_until(&format!("the journal has {what}"), || {
            !self.journal(matches).is_empty()
        });
    }

    /// Calls `visit` in the lab's network.
    #[track_caller]
    pub fn in_network<T: Send>(&self, visit: impl FnOnce() -> T + Send) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.pid1)).unwrap();
        thread::scope(|scope| {
            let visitor = scope.spawn(|| {
                // Of this thread alone.
                nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                visit()
            });
            visitor.join().unwrap()
        })
    }

    fn script(&self, action: &str, words: &[&str], input: &str) -> Outcome {
        let mut process = Command::new(source("tests/systemd/lab"))
            .args([action, &self.name])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = process.wait_with_output().unwrap();
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Outcome {
            status: output.status.code(),
            output: text,
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if thread::panicking() {
            let Outcome { output, .. } =
                self.script("logs", &["--output=short-monotonic", "--lines=300"], "");
            eprintln!("--- the journal of {} ---\n{output}---", self.name);
        }
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The packages of the virtual environment that all tests share.
#[track_caller]
pub fn test_packages() -> PathBuf {
    let venv = target().join("venv");
    let made = Command::new(source("tests/setup-venv"))
        .arg(&venv)
        .arg(source("tests/requirements.txt"))
        .status()
        .unwrap();
    assert!(made.success(), "{made}");
    let mut versions = venv.join("lib").read_dir().unwrap();
    versions
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("site-packages")
}

/// Where cargo builds.
pub fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// The tree that `packaging/install` makes of a release build, made once.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let root = target().join("tmp/installed");
        let _ = std::fs::remove_dir_all(&root);
        output_of(
            Command::new(source("packaging/install"))
                .env("CARGO_TARGET_DIR", build())
                .env("DESTDIR", &root),
        );
        root
    })
}

/// The folder with the release build, made once.
pub fn build() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let built = output_of(
            Command::new(source("tests/systemd/build")).env("CARGO_TARGET_DIR", target()),
        );
        PathBuf::from(built.trim_end())
    })
}

/// The folder with the sources of the version that is upgraded to, and what was built of
/// them, made once.
pub fn next_version() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        build();
        let built = output_of(
            Command::new(source("tests/systemd/build-next")).env("CARGO_TARGET_DIR", target()),
        );
        PathBuf::from(built.trim_end())
    })
}

/// What a script that has to succeed writes to its standard output.
pub fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A file of the source tree.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
