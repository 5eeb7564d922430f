//! Configurations in Python as projects have them: both servers come to the same settings,
//! call the same hooks with the same visible attributes, write the same access lines and give
//! the same environ. What differs is listed here, and in rgunicorn-from-gunicorn(7).

use super::venv;
use crate::harness::{
    Connection,
    client::Address,
    files::{Folder, source},
    processes::{self, Pid},
    program::{RGUNICORN, isolate},
    sockets::free_port,
    wait_until,
};
use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    thread,
};

/// A configuration and its circumstances.
#[derive(Default)]
struct Case {
    /// Its file, without `.py`.
    name: &'static str,
    environment: &'static [(&'static str, &'static str)],
    /// The environment says where to listen.
    port_in_environment: bool,
    /// The configuration says what to serve.
    names_application: bool,
    /// It is a script that starts the server, with what it sets and an application of its own.
    is_script: bool,
    /// What happens after the requests.
    then: Option<Then>,
    /// What ends it; TERM if nothing is said.
    stop: Option<Signal>,
}

#[derive(Clone, Copy)]
enum Then {
    Reload,
    /// Two more workers are wanted, and one less.
    Scale,
}

/// Settings that have another value with us, and why.
const OTHER_SETTINGS: &[&str] = &[
    // Each server has its own folder and port; our paths are absolute.
    "bind",
    "chdir",
    "config",
    // It is somewhere else, and cannot be switched off.
    "control_socket",
    "control_socket_disable",
    // A class there, and its name with us.
    "logger_class",
    "worker_class",
    // Where nothing sets it, ours is what the server was started with.
    "umask",
    // Also when it was named on the command line.
    "wsgi_app",
    // Gunicorn's is "gunicorn" where the file names the application.
    "default_proc_name",
    // Without TLS there is none.
    "ssl_version",
];

/// Variables of the environ that have another value, since the servers are others.
const OTHER_VARIABLES: &[&str] = &["SERVER_SOFTWARE", "SERVER_PORT", "REMOTE_PORT"];

/// A variable that only we have: libraries look for it.
const OUR_VARIABLE: &str = "werkzeug.socket";

/// What `%(U)s` is: with us the path of the request, with Gunicorn `PATH_INFO`, and None if
/// the application failed.
const OTHER_LINES: &[(&str, &str)] = &[
    (r#""url": "/x/a b""#, r#""url": "/a b""#),
    (r#""url": "/raise""#, r#""url": "None""#),
];

/// The hooks that only the worker calls.
const OF_WORKERS: &[&str] = &[
    "post_fork",
    "post_worker_init",
    "worker_int",
    "worker_abort",
    "worker_exit",
];

const REQUESTS: &[&str] = &[
    "GET /x/a%20b?x=1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: compare\r\nX-Forwarded-Proto: https\r\n\
     X-Forwarded-For: 10.1.2.3\r\nScript_Name: /x\r\nReferer: http://r/\r\nConnection: close\r\n\r\n",
    "POST /post HTTP/1.1\r\nHost: shop.example\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\
     Connection: close\r\n\r\nabc",
    "GET /raise HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
    "GET /chunked HTTP/1.1\r\nHost: shop.example\r\nX-A: 1\r\nX-A: 2\r\nConnection: close\r\n\r\n",
    "GET /old HTTP/1.0\r\n\r\n",
];

/// What follows the configuration in a script. Where the default of a setting depends on the
/// name of the application, it sets it.
const SCRIPT: &str = "
from gunicorn.app.base import BaseApplication

proc_name = 'compared'
control_socket_disable = True

class Compared(BaseApplication):
    def __init__(self, options):
        self.options = options
        super().__init__()

    def load_config(self):
        for key, value in self.options.items():
            if key in self.cfg.settings and value is not None:
                self.cfg.set(key.lower(), value)

    def load(self):
        from compared import application
        return application

if __name__ == '__main__':
    Compared(dict(globals())).run()
";

/// One of the two servers with a configuration.
struct Site {
    child: Child,
    folder: Folder,
    address: Address,
}

/// What is compared of a server.
#[derive(Debug, PartialEq)]
struct Facts {
    status: Option<i32>,
    settings: Value,
    /// In the server's main process, or in what stands for it.
    calls: Vec<Value>,
    /// In each worker, by its age.
    workers_calls: BTreeMap<u64, Vec<Value>>,
    /// Around the requests.
    requests_calls: Vec<Value>,
    environs: Vec<Value>,
    access_lines: Vec<String>,
    files: Vec<String>,
}

impl Site {
    fn start(case: &Case, program: &str, arguments: &[&str]) -> Self {
        let folder = Folder::new();
        for name in ["recorder.py", "compared.py"] {
            let copied = source("tests/compare/configurations").join(name);
            fs::copy(copied, folder.join(name)).unwrap();
        }
        let conf = source("tests/compare/configurations").join(format!("{}.py", case.name));
        let conf = fs::read_to_string(conf).unwrap();
        let recorder = "\nimport recorder\nrecorder.record(globals())\n";
        if case.is_script {
            folder.write("serve.py", &(conf + recorder + SCRIPT));
        } else {
            folder.write("gunicorn.conf.py", &(conf + recorder));
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = Command::new(program);
        isolate(&mut command, folder.path());
        command
            .args(arguments)
            .envs(case.environment.iter().copied())
            .env("PYTHONPATH", folder.path());
        if case.port_in_environment || case.is_script {
            command.env("PORT", address.port().to_string());
        } else {
            command.args(["--bind", &address.to_string()]);
        }
        if !case.names_application && !case.is_script {
            command.arg("compared");
        }
        let log = File::create(folder.join("stderr")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let site = Self {
            child,
            folder,
            address: Address::Tcp(address),
        };
        wait_until("all workers have loaded the application", || {
            site.workers_that_began() == site.workers() && site.is_told()
        });
        site
    }

    fn pid(&self) -> Pid {
        processes::pid_of(&self.child)
    }

    /// The calls so far.
    fn calls(&self) -> Vec<Value> {
        let calls = self.folder.read("calls");
        let whole = calls.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn count(&self, hook: &str) -> usize {
        let calls = self.calls();
        calls.iter().filter(|call| call["hook"] == hook).count()
    }

    /// How many it is to have; more than there can be while it is unknown.
    fn workers(&self) -> usize {
        let calls = self.calls();
        let start = calls.iter().find(|call| call["hook"] == "on_starting");
        let count = start.and_then(|call| call["shown"]["settings"]["workers"].as_u64());
        count.map_or(usize::MAX, |count| usize::try_from(count).unwrap())
    }

    fn workers_that_began(&self) -> usize {
        self.count("post_worker_init")
    }

    /// Whether our master knows which workers have begun, if it logs that: it has those leave
    /// in another way that are not ready as far as it knows.
    fn is_told(&self) -> bool {
        let log = self.folder.read("stderr");
        !log.contains("] [INFO] rgunicorn ")
            || log.matches(" is ready (pid ").count() == self.workers_that_began()
    }

    fn reload(&self) {
        let workers = self.workers();
        processes::signal(self.pid(), Signal::SIGHUP);
        wait_until("the workers have been replaced", || {
            self.workers_that_began() == 2 * workers
                && self.count("child_exit") == workers
                && self.is_told()
        });
    }

    /// The environ that the application was called with; null if it has failed.
    fn ask(&self, request: &str) -> Value {
        let mut connection = Connection::open(&self.address).unwrap();
        let response = connection.send(request).receive();
        let mut environ: Value = serde_json::from_str(&response.text()).unwrap_or(Value::Null);
        if let Some(environ) = environ.as_object_mut() {
            environ.remove(OUR_VARIABLE);
            for name in OTHER_VARIABLES {
                environ.remove(*name);
            }
        }
        json!({ "status": response.status, "environ": environ })
    }

    /// All questions, one after the other. What the hooks note of one comes before the next.
    fn ask_all(&self) -> Vec<Value> {
        let mut answers = Vec::new();
        for request in REQUESTS {
            answers.push(self.ask(request));
            wait_until("the hooks know that the request is over", || {
                self.count("post_request") == answers.len()
            });
        }
        answers
    }

    fn scale(&self) {
        let workers = self.workers();
        for more in 1..=2 {
            processes::signal(self.pid(), Signal::SIGTTIN);
            wait_until("another worker is there", || {
                self.workers_that_began() == workers + more && self.is_told()
            });
        }
        processes::signal(self.pid(), Signal::SIGTTOU);
        wait_until("one has left again", || self.count("child_exit") == 1);
    }

    fn facts(mut self, case: &Case) -> Facts {
        let environs = self.ask_all();
        match case.then {
            Some(Then::Reload) => self.reload(),
            Some(Then::Scale) => self.scale(),
            None => {}
        }
        processes::signal(self.pid(), case.stop.unwrap_or(Signal::SIGTERM));
        let status = self.child.wait().unwrap().code();
        let mut facts = sorted(self.calls());
        facts.status = status;
        facts.environs = environs;
        facts.access_lines = self.access_lines();
        facts.files = self.files();
        facts
    }

    /// The lines in the order of the alphabet, each row of digits as one: workers write at
    /// their own times.
    fn access_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .folder
            .read("access.log")
            .lines()
            .map(|line| {
                let mut shape = line.replace(|letter: char| letter.is_ascii_digit(), "9");
                while shape.contains("99") {
                    shape = shape.replace("99", "9");
                }
                shape
            })
            .collect();
        lines.sort();
        lines
    }

    /// The files that hooks and settings have made.
    fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("tmp"))
            .collect();
        names.sort();
        names
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("==== the log\n{}\n====", self.folder.read("stderr"));
        }
        for pid in processes::started_for(self.folder.path()) {
            processes::signal(pid, Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// The calls by who calls, without what depends on chance.
fn sorted(calls: Vec<Value>) -> Facts {
    let mut facts = Facts {
        status: None,
        settings: Value::Null,
        calls: Vec::new(),
        workers_calls: BTreeMap::new(),
        requests_calls: Vec::new(),
        environs: Vec::new(),
        access_lines: Vec::new(),
        files: Vec::new(),
    };
    let mut starts = 0;
    for mut call in calls {
        call.as_object_mut().unwrap().remove("pid");
        let hook = call["hook"].as_str().unwrap().to_owned();
        let shown = call["shown"].as_object_mut().unwrap();
        let age = shown
            .get("worker")
            .and_then(|worker| worker["age"].as_u64());
        if let Some(settings) = shown.remove("settings") {
            facts.settings = without(settings, OTHER_SETTINGS);
            // Ours are in the order of their names.
            let variables = facts.settings["raw_env"].as_array_mut().unwrap();
            variables.sort_by_key(ToString::to_string);
        }
        clean(shown);
        match age {
            Some(_) if hook.ends_with("_request") => facts.requests_calls.push(call),
            Some(age) if OF_WORKERS.contains(&hook.as_str()) => {
                facts.workers_calls.entry(age).or_default().push(call);
            }
            // A new fork server calls them at each reload.
            _ if ["on_starting", "when_ready"].contains(&hook.as_str()) && starts == 2 => {}
            _ => {
                starts += usize::from(["on_starting", "when_ready"].contains(&hook.as_str()));
                facts.calls.push(call);
            }
        }
    }
    facts
}

/// Takes out what depends on chance, or differs for a reason.
fn clean(shown: &mut Map<String, Value>) {
    if let Some(server) = shown.get_mut("server").and_then(Value::as_object_mut) {
        // Gunicorn's has none in the beginning.
        server.remove("proc_name");
    }
    if let Some(worker) = shown.get_mut("worker").and_then(Value::as_object_mut) {
        // Which worker gets a request, and which one ends first, is chance; with jitter the
        // limit is, too.
        for name in ["age", "nr", "max_requests"] {
            worker.remove(name);
        }
    }
    if let Some(request) = shown.get_mut("req") {
        // We show a name with underscores as one with dashes, and fields that have the same
        // name as one.
        let names = request["headers"].as_array_mut().unwrap();
        for name in names.iter_mut() {
            *name = name.as_str().unwrap().replace('_', "-").into();
        }
        names.dedup();
    }
    if let Some(response) = shown.get_mut("resp").and_then(Value::as_object_mut) {
        // If the application failed before it gave a status, ours is None.
        if response["status_code"] == "missing" {
            response["status_code"] = Value::Null;
        }
    }
    if let Some(names) = shown.get_mut("environ").and_then(Value::as_array_mut) {
        names.retain(|name| name != OUR_VARIABLE);
    }
}

fn without(mut settings: Value, names: &[&str]) -> Value {
    let map = settings.as_object_mut().unwrap();
    for name in names {
        map.remove(*name);
    }
    settings
}

#[track_caller]
fn compare(case: &Case) {
    let python = venv().join("bin/python");
    let python = python.to_str().unwrap();
    let gunicorn = venv().join("bin/gunicorn");
    let (ours, theirs) = if case.is_script {
        let words = ["--python", python, "--config", "script:serve.py"];
        let theirs = Site::start(case, python, &["serve.py"]);
        (Site::start(case, RGUNICORN, &words), theirs)
    } else {
        let theirs = Site::start(case, gunicorn.to_str().unwrap(), &["--no-control-socket"]);
        (Site::start(case, RGUNICORN, &["--python", python]), theirs)
    };
    let folders = [&ours, &theirs].map(|site| format!("{}/", site.folder.path().display()));
    let (mut ours, mut theirs) = (ours.facts(case), theirs.facts(case));
    for line in &mut ours.access_lines {
        for (our, their) in OTHER_LINES {
            *line = line.replace(our, their);
        }
    }
    ours.access_lines.sort();
    assert_eq!((ours.status, theirs.status), (Some(0), Some(0)));
    assert_same(
        "settings",
        &without_folder(&ours.settings, &folders),
        &without_folder(&theirs.settings, &folders),
    );
    if case.then.is_some() {
        // Whether a worker begins before another one leaves is another matter.
        ours.calls.sort_by_key(ToString::to_string);
        theirs.calls.sort_by_key(ToString::to_string);
    }
    assert_same("calls", &json!(ours.calls), &json!(theirs.calls));
    assert_same(
        "calls in workers",
        &json!(ours.workers_calls),
        &json!(theirs.workers_calls),
    );
    assert_same(
        "calls around requests",
        &json!(ours.requests_calls),
        &json!(theirs.requests_calls),
    );
    assert_same("environs", &json!(ours.environs), &json!(theirs.environs));
    assert_eq!(ours.access_lines, theirs.access_lines);
    assert_eq!(ours.files, theirs.files);
}

/// Paths in a folder of a test, as if they were relative.
fn without_folder(settings: &Value, folders: &[String]) -> Value {
    let mut text = settings.to_string();
    for folder in folders {
        text = text.replace(folder, "");
    }
    serde_json::from_str(&text).unwrap()
}

/// Says where they differ, and not all that they are.
#[track_caller]
fn assert_same(what: &str, ours: &Value, theirs: &Value) {
    let mut differences = Vec::new();
    collect_differences(what, ours, theirs, &mut differences);
    assert!(differences.is_empty(), "{differences:#?}");
}

fn collect_differences(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(our_map), Value::Object(their_map)) => {
            let names = our_map.keys().chain(their_map.keys());
            let names: std::collections::BTreeSet<&String> = names.collect();
            for name in names {
                let place = format!("{path}.{name}");
                collect_differences(&place, &ours[name], &theirs[name], found);
            }
        }
        (Value::Array(our_list), Value::Array(their_list))
            if our_list.len() == their_list.len() =>
        {
            for (number, (ours, theirs)) in our_list.iter().zip(their_list).enumerate() {
                collect_differences(&format!("{path}[{number}]"), ours, theirs, found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push(format!("{path}: {ours} is with Gunicorn {theirs}")),
    }
}

macro_rules! cases {
    ($($name:ident $({ $($field:ident: $value:expr),+ $(,)? })?)+) => {
        $(#[test]
        fn $name() {
            compare(&Case {
                name: stringify!($name),
                $($($field: $value,)+)?
                ..Case::default()
            });
        })+
    };
}

cases! {
    agent
    annotated
    behind_proxies
    computed_workers
    container {
        environment: &[("WEB_CONCURRENCY", "3"), ("LOG_LEVEL", "warning")],
    }
    counted { then: Some(Then::Reload) }
    database_driver
    failing_hooks
    interrupted { stop: Some(Signal::SIGINT) }
    every_variable {
        environment: &[
            ("GUNICORN_WORKERS", "2"),
            ("GUNICORN_TIMEOUT", "33"),
            ("GUNICORN_ACCESSLOG", "access.log"),
        ],
    }
    logging_tables
    own_logger
    platform {
        environment: &[("WEB_CONCURRENCY", "2")],
        port_in_environment: true,
    }
    project { names_application: true }
    prometheus
    read_elsewhere
    refusing
    scaled { then: Some(Then::Scale) }
    strict
    timing
    two_listeners { port_in_environment: true }
}

/// The same configurations, set by a script that starts the server with its own application.
#[test]
fn scripts_with_an_application_of_their_own() {
    for (name, then) in [
        ("agent", None),
        ("annotated", None),
        ("computed_workers", None),
        ("counted", Some(Then::Reload)),
        ("failing_hooks", None),
        ("logging_tables", None),
        ("own_logger", None),
        ("scaled", Some(Then::Scale)),
        ("strict", None),
        ("timing", None),
    ] {
        compare(&Case {
            name,
            then,
            is_script: true,
            ..Case::default()
        });
    }
}
