//! One site of a lab: its application, its units, and what systemd says of them.

use crate::{
    client::{Address, Connection, Response},
    lab::{Entry, Lab, source},
    traffic::{Load, Traffic},
    wait::wait_until,
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// A WSGI application that answers with its version, and does what its paths say.
pub const APP: &str = r#"
import logging, os, pathlib, time

VERSION = "1"
STATE = pathlib.Path(os.environ["STATE_DIRECTORY"])

def app(environ, start_response):
    body = VERSION
    match environ["PATH_INFO"]:
        case "/pid":
            body = str(os.getpid())
        case "/slow":
            (STATE / "slow").touch()
            time.sleep(2)
        case "/print":
            print("printed by the application")
        case "/log":
            logging.getLogger("shop").warning("logged by the application")
        case "/raise":
            raise LookupError("raised by the application")
        case "/chatter":
            print("x" * 200)
    body = body.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"#;

/// The instance `rgunicorn@NAME` of the units.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    pub lab: &'a Lab,
    name: &'static str,
}

impl Site<'_> {
    /// Writes its application, `app:app` in `/srv/NAME`.
    #[track_caller]
    pub fn write_app(&self, text: &str) {
        // Python takes its bytecode for current if the source has the same size and
        // was changed in the same second: no two deployments are that close.
        static SECONDS: AtomicUsize = AtomicUsize::new(1_700_000_000);
        let path = format!("/srv/{}/app.py", self.name);
        self.lab.write(&path, text);
        let changed = SECONDS.fetch_add(1, Ordering::Relaxed);
        self.lab.must(&format!("touch --date=@{changed} {path}"));
    }

    /// Writes its configuration.
    #[track_caller]
    pub fn configure(&self, more: &str) {
        let name = self.name;
        let text = format!("app = \"app:app\"\nchdir = \"/srv/{name}\"\nworkers = 2\n{more}");
        self.lab
            .write(&format!("/etc/rgunicorn/{name}.toml"), &text);
    }

    /// Writes a drop-in for its service.
    #[track_caller]
    pub fn drop_in(&self, text: &str) {
        self.lab.write(
            &format!("/etc/systemd/system/{}.d/test.conf", self.service()),
            text,
        );
        self.lab.must("systemctl daemon-reload");
    }

    /// Installs a drop-in of `packaging/examples`, for its `socket` or `service`.
    #[track_caller]
    pub fn example(&self, unit: &str, file: &str) {
        let example = source("packaging/examples").join(file);
        self.lab
            .push(&example, &format!("/etc/systemd/system/{unit}.d/{file}"));
        self.lab.must("systemctl daemon-reload");
    }

    pub fn service(&self) -> String {
        format!("rgunicorn@{}.service", self.name)
    }

    pub fn socket(&self) -> String {
        format!("rgunicorn@{}.socket", self.name)
    }

    /// Starts its socket.
    #[track_caller]
    pub fn listen(self) -> Self {
        self.lab.must(&format!("systemctl start {}", self.socket()));
        self
    }

    /// Starts its service, and with it its socket.
    #[track_caller]
    pub fn start(self) -> Self {
        self.lab
            .must(&format!("systemctl start {}", self.service()));
        self
    }

    /// Has systemd `start` or `stop` it, and does not wait for the end of that.
    #[track_caller]
    pub fn begin(&self, job: &str) {
        let service = self.service();
        self.lab
            .must(&format!("systemctl {job} --no-block {service}"));
    }

    /// Waits until it is `active`, `inactive` or `failed`.
    #[track_caller]
    pub fn wait_for_state(&self, state: &str) {
        wait_until(&format!("the service is {state}"), || {
            self.show("ActiveState") == state
        });
    }

    /// Reloads it; fails if `systemctl reload` does.
    #[track_caller]
    pub fn reload(&self) {
        self.lab
            .must(&format!("systemctl reload {}", self.service()));
    }

    /// Reloads it onto the application with that version, which answers whoever
    /// connects from then on.
    #[track_caller]
    pub fn deploy(&self, version: &str) {
        self.deploy_app(&APP.replace("\"1\"", &format!("\"{version}\"")));
        assert_eq!(
            self.text("/"),
            version,
            "the old code answers after a reload"
        );
    }

    /// Reloads it onto another application.
    #[track_caller]
    pub fn deploy_app(&self, text: &str) {
        self.write_app(text);
        self.reload();
    }

    /// Its socket, as this machine sees it.
    pub fn address(&self) -> Address {
        Address::Unix(
            format!(
                "/proc/{}/root/run/rgunicorn/{}.sock",
                self.lab.pid1, self.name
            )
            .into(),
        )
    }

    /// The answer to one request on a new connection.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        Connection::open(&self.address()).unwrap().get(path)
    }

    /// The text of [`get`](Self::get).
    #[track_caller]
    pub fn text(&self, path: &str) -> String {
        self.get(path).text()
    }

    /// Starts clients of both kinds.
    #[track_caller]
    pub fn traffic(&self) -> Traffic {
        Traffic::start(
            &self.address(),
            Load {
                pause: Duration::from_millis(6),
                ..Load::default()
            },
        )
    }

    /// A property of its service.
    #[track_caller]
    pub fn show(&self, property: &str) -> String {
        self.lab.must(&format!(
            "systemctl show --value --property={property} {}",
            self.service()
        ))
    }

    /// A property of its socket.
    #[track_caller]
    pub fn show_socket(&self, property: &str) -> String {
        self.lab.must(&format!(
            "systemctl show --value --property={property} {}",
            self.socket()
        ))
    }

    #[track_caller]
    pub fn master(&self) -> u32 {
        self.show("MainPID").parse().unwrap()
    }

    /// All processes of its service but the master, the oldest first: that is
    /// the fork server, unless it was replaced.
    #[track_caller]
    pub fn children(&self) -> Vec<u32> {
        let folder = format!("/sys/fs/cgroup{}", self.show("ControlGroup"));
        let master = self.master();
        // One that is removed meanwhile has no processes.
        let find = [
            "find",
            &folder,
            "-name",
            "cgroup.procs",
            "-exec",
            "cat",
            "{}",
            "+",
        ];
        let pids = self.lab.run(&find).output;
        let mut pids: Vec<u32> = pids.lines().filter_map(|line| line.parse().ok()).collect();
        pids.retain(|pid| *pid != master);
        pids.sort_unstable();
        pids
    }

    /// The journal's records of its service.
    #[track_caller]
    pub fn journal(&self) -> Vec<Entry> {
        self.lab.journal(&["--unit", &self.service()])
    }

    /// Waits for a record of its service that fits.
    #[track_caller]
    pub fn wait_for_entry(&self, what: &str, fits: impl Fn(&Entry) -> bool) -> Entry {
        let mut found = None;
        wait_until(&format!("the journal has {what}"), || {
            found = self.journal().into_iter().find(|entry| fits(entry));
            found.is_some()
        });
        found.unwrap()
    }
}

impl Lab {
    /// A site with that application and two workers, not started yet.
    #[track_caller]
    pub fn site(&self, name: &'static str, app: &str) -> Site<'_> {
        let site = Site { lab: self, name };
        site.write_app(app);
        site.configure("");
        site
    }
}
