//! The control socket when clients misbehave: `rgunicornctl`, and so
//! `systemctl reload`, has to get through.

use crate::harness::{Running, Server, program::RGUNICORNCTL};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::{
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
};

/// More than the server keeps at one time.
const MANY: usize = 100;

/// Clients that connect and never ask for anything.
fn silent_clients(server: &Running, count: usize) -> Vec<UnixStream> {
    let path = server.folder().join("run/control");
    (0..count)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect()
}

fn reload_in_background(server: &Running) -> Child {
    Command::new(RGUNICORNCTL)
        .arg("reload")
        .env("RUNTIME_DIRECTORY", server.folder().join("run"))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

#[test]
fn silent_clients_do_not_keep_a_reload_out() {
    let server = Server::running("hello:app").start();
    let silent = silent_clients(&server, MANY);

    let reload = server.ctl(&["reload"]);
    let status = server.ctl(&["status"]);

    assert_eq!(reload.status, 0, "{reload:?}");
    assert_eq!(status.status, 0, "{status:?}");
    drop(silent);
}

#[test]
fn silent_clients_do_not_displace_one_that_waits_for_its_reload() {
    let server = Server::running("shop:app")
        .file("shop.py", "from hello import app\n")
        .start();
    server.write(
        "shop.py",
        "import slow\nslow.app({'PATH_INFO': '/until/go'}, lambda *_: None)\nfrom hello import app\n",
    );
    let mut reload = reload_in_background(&server);
    server.wait_until("the new code is being loaded", || {
        !server.read("go.started").is_empty()
    });

    let silent = silent_clients(&server, MANY);
    assert_eq!(server.ctl(&["status"]).status, 0);
    server.write("go", "");

    let status = reload.wait().unwrap();
    assert!(status.success(), "{status}");
    drop(silent);
}

#[test]
fn a_master_without_free_descriptors_says_so_once_and_recovers() {
    let server = Server::running("hello:app").start();
    let master = Pid::from_raw(server.pid());
    // No number below the limit is free.
    let limit = Rlimit {
        current: (0..1 << 20)
            .find(|fd| !Path::new(&format!("/proc/{}/fd/{fd}", server.pid())).exists()),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let before = prlimit(master, Resource::Nofile, limit).unwrap();

    let waiting = silent_clients(&server, 1);
    server.wait_for_log("control socket");
    for _ in 0..20 {
        assert_eq!(server.get("/").status, 200);
    }
    assert_eq!(server.log_count("control socket"), 1);
    prlimit(master, Resource::Nofile, before).unwrap();

    let outcome = server.ctl(&["status"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(server.log_count("control socket"), 1);
    drop(waiting);
}
