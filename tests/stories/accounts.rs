//! Servers that root starts in a terminal and that serve in another account: `user`, `group`
//! and `initgroups`.

use super::upgrades;
use crate::harness::{
    LogServer, Program, Running, Server,
    client::Address,
    files::Folder,
    processes::Pid,
    program::{RGUNICORN, copy_folder, copy_program},
};
use nix::sys::signal::Signal;
use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::Path,
    sync::atomic::{AtomicU16, Ordering},
};

/// Accounts of every Debian: their numbers as user and as group.
const DAEMON: &str = "1 1";
const BAD_CONFIG: i32 = 78;
const BAD_USAGE: i32 = 64;

/// Tells in which account it runs, and where its home is.
const APP: &str = "
import os
def app(environ, start_response):
    ids = [*os.getresuid(), *os.getresgid()]
    assert ids[:3] == 3 * ids[:1] and ids[3:] == 3 * ids[3:4]
    body = f'{ids[0]} {ids[3]} {sorted(os.getgroups())} {os.environ[\"HOME\"]}'
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body.encode()]
";

/// A server that root starts, with what another account has to be able to read.
fn started_by_root() -> Server {
    let server = Server::typed("who:app").file("who.py", APP);
    let worker = server.path("worker");
    let built = Path::new(RGUNICORN).with_file_name("worker");
    copy_folder(&built, Path::new(&worker));
    server
        .env("HOME", "/root")
        .argument("--worker-dir")
        .argument(&worker)
        .argument("--python")
        .argument("/usr/bin/python3")
}

/// A port that only root may listen on, if the machine has the usual limit. No other test
/// gets it.
fn reserved_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1023);
    std::iter::repeat_with(|| NEXT.fetch_sub(1, Ordering::Relaxed))
        .take_while(|port| *port >= 600)
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .unwrap()
}

/// The account of a process, which has no other groups: its user and its group. `None` once
/// it is gone.
fn account_of(pid: Pid) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        // The real, the effective, the saved one, and that for files.
        assert!(words.windows(2).all(|pair| pair[0] == pair[1]), "{line}");
        words.first().copied().unwrap_or_default().to_owned()
    };
    assert!(field("Groups:").is_empty(), "{status}");
    Some(format!("{} {}", field("Uid:"), field("Gid:")))
}

/// The master and all others run in this account. One of a former generation may be leaving.
#[track_caller]
fn assert_account(server: &Running, account: &str) {
    assert_eq!(account_of(server.pid()).as_deref(), Some(account));
    let children = server.children();
    let accounts: BTreeSet<_> = children.into_iter().filter_map(account_of).collect();
    assert_eq!(accounts, BTreeSet::from([account.to_owned()]));
}

#[test]
fn root_opens_the_port_and_everything_else_runs_in_the_account() {
    let address = reserved_port();
    let server = started_by_root()
        .argument("--user=daemon")
        .argument("-b")
        .argument(&address.to_string())
        .bound_to(address)
        .start();

    assert_eq!(server.get("/").text(), "1 1 [] /root");
    assert_account(&server, DAEMON);

    server.reload();
    assert_eq!(server.get("/").text(), "1 1 [] /root");
    assert_eq!(server.stop(), 0);
}

#[test]
fn syslog_and_statsd_are_reached_from_the_account() {
    let folder = Folder::new();
    let open = |name: &str| {
        let log = LogServer::unix_datagrams(folder.join(name));
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o666)).unwrap();
        (log, format!("unix://{}", folder.join(name).display()))
    };
    let ((syslog, to_syslog), (statsd, to_statsd)) = (open("syslog"), open("statsd"));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let server = started_by_root()
        .argument("--user=daemon")
        .argument("--log-syslog")
        .argument("--log-syslog-to")
        .argument(&to_syslog)
        .argument("--statsd-host")
        .argument(&to_statsd)
        .binding_a_port()
        .start();

    server.get("/");

    syslog.wait_for("Root was given up");
    syslog.wait_for("\"GET / HTTP/1.1\" 200");
    statsd.wait_for("gunicorn.requests:1|c");
    statsd.wait_for("gunicorn.workers:1|g");
    assert_eq!(server.stop(), 0);
}

#[test]
fn an_upgrade_in_place_keeps_the_account_and_what_root_has_opened() {
    let address = reserved_port();
    let log = Folder::new();
    let site = upgrades::site(
        started_by_root()
            .argument("--user=daemon")
            .argument("--group=nogroup")
            .argument("--access-logfile")
            .argument(log.join("access.log").to_str().unwrap())
            .argument("-b")
            .argument(&address.to_string())
            .bound_to(address),
    );
    let server = &site.server;
    let (master, before) = (server.pid(), server.worker_pids());
    let traffic = server.under_load();

    for _ in 0..2 {
        site.install_copy();
        site.upgrade();
        assert!(site.runs_what_is_installed());
        traffic.wait_for_answers(20);
    }

    assert_eq!(traffic.finish(), [] as [&str; 0]);
    assert_eq!(server.pid(), master);
    assert!(server.wait_for_workers(2).is_disjoint(&before));
    assert_account(server, "1 65534");
    assert_eq!(server.get("/").text(), "1 65534 [] /root");
    assert_eq!(server.stop(), 0);
}

#[test]
fn accounts_may_be_numbers_and_the_group_another_one() {
    let server = started_by_root()
        .argument("-u")
        .argument("1")
        .argument("-g")
        .argument("65534")
        .binding_a_port()
        .start();

    assert_eq!(server.get("/").text(), "1 65534 [] /root");
}

#[test]
fn files_that_root_opens_belong_to_the_account() {
    let server = started_by_root();
    let folder = Folder::new();
    let logs = folder.path().canonicalize().unwrap();
    let log = logs.join("access.log");
    let (socket, control) = (server.path("bound.sock"), server.path("ctl"));
    let server = server
        .argument("--user=daemon")
        .argument("--group=nogroup")
        .argument("--umask=007")
        .argument("--control-socket")
        .argument(&control)
        .argument("--access-logfile")
        .argument(log.to_str().unwrap())
        .argument("-b")
        .argument(&format!("unix:{socket}"))
        .bound_to_path(&socket)
        .start();

    let owner = |path: &Path| {
        let file = fs::metadata(path).unwrap();
        (file.uid(), file.gid(), file.permissions().mode() & 0o777)
    };
    assert_eq!(owner(Path::new(&socket)), (1, 65534, 0o660));
    assert_eq!(owner(Path::new(&control)), (1, 65534, 0o600));
    assert_eq!(owner(&log), (1, 65534, 0o640));
    let Address::Unix(path) = server.address() else {
        panic!("{:?}", server.address());
    };
    assert_eq!(path, Path::new(&socket));
    server.get("/first");
    let has = |text: &str| fs::read_to_string(&log).is_ok_and(|lines| lines.contains(text));
    server.wait_until("the first request is logged", || has("/first"));

    // As logrotate with `create` leaves it.
    fs::rename(&log, logs.join("access.log.1")).unwrap();
    fs::write(&log, "").unwrap();
    std::os::unix::fs::chown(&log, Some(1), Some(65534)).unwrap();
    server.signal(Signal::SIGUSR1);
    server.wait_until("the new file is written to", || {
        server.get("/second");
        has("/second")
    });
    server.reload();
    server.get("/third");
    server.wait_until("the new generation writes to it", || has("/third"));

    let asked = Program::new(
        crate::harness::program::RGUNICORNCTL,
        &["-s", &control, "status"],
    );
    let outcome = asked.unprivileged_as(1).run();
    assert_eq!(outcome.status, 0, "{outcome:?}");
}

#[test]
fn the_error_log_is_opened_anew_by_the_account_wherever_it_is() {
    let own = Folder::new();
    std::os::unix::fs::chown(own.path(), Some(1), Some(1)).unwrap();
    let roots = Folder::new();
    for (folder, is_roots) in [(&own, false), (&roots, true)] {
        let log = folder.path().canonicalize().unwrap().join("error.log");
        let server = started_by_root()
            .argument("--user=daemon")
            .argument("--log-file")
            .argument(log.to_str().unwrap())
            .binding_a_port()
            .start();
        assert_eq!(fs::metadata(&log).unwrap().uid(), 1);

        fs::rename(&log, log.with_extension("1")).unwrap();
        if is_roots {
            fs::write(&log, "").unwrap();
            std::os::unix::fs::chown(&log, Some(1), Some(1)).unwrap();
        }
        server.signal(Signal::SIGUSR1);
        server.wait_until("the file is there", || log.exists());
        server.signal(Signal::SIGHUP);
        server.wait_until("the reload is in the new file", || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains("Reload finished"))
        });
    }
}

/// Writes down in which account it runs.
const CONF: &str = "
import os
with open('evaluated', 'a') as file:
    file.write(f'{os.getuid()}\\n')
wsgi_app = 'who:app'
user = 'daemon'
def on_starting(server):
    server.log.info('on_starting as %d of %d', os.getuid(), server.cfg.uid)
def post_fork(server, worker):
    worker.log.info('post_fork as %d', os.getuid())
";

#[test]
fn a_configuration_in_python_that_alone_names_the_account_runs_as_root_once() {
    let server = started_by_root()
        .file("gunicorn.conf.py", CONF)
        .binding_a_port()
        .launch();
    let evaluated = server.folder().join("evaluated");
    server.wait_until("it was run", || evaluated.exists());
    std::os::unix::fs::chown(&evaluated, Some(1), None).unwrap();
    server.wait_until_ready();

    assert_eq!(server.get("/").text(), "1 1 [] /root");
    server.wait_for_log("on_starting as 1 of 1");
    server.wait_for_log("post_fork as 1");
    server.reload();
    assert_eq!(server.read("evaluated"), "0\n1\n");
    assert_eq!(server.get("/").text(), "1 1 [] /root");
    assert_account(&server, DAEMON);
}

#[test]
fn a_configuration_in_python_does_not_run_as_root_if_the_account_is_known_before() {
    let server = started_by_root()
        .file("gunicorn.conf.py", CONF)
        .file("evaluated", "");
    std::os::unix::fs::chown(server.path("evaluated"), Some(1), None).unwrap();
    let server = server.argument("--user=daemon").binding_a_port().start();

    assert_eq!(server.read("evaluated"), "1\n");
    assert_eq!(server.get("/").text(), "1 1 [] /root");
}

#[test]
fn the_account_is_named_in_one_place() {
    let folder = Folder::new();
    let worker = folder.join("worker");
    copy_folder(&Path::new(RGUNICORN).with_file_name("worker"), &worker);
    let words = ["--user=daemon", "--python=/usr/bin/python3", "--worker-dir"];
    let outcome = Program::rgunicorn(&[&words[..], &[worker.to_str().unwrap(), "a:b"]].concat())
        .file("gunicorn.conf.py", "group = 'nogroup'\n")
        .run();

    assert_eq!(outcome.status, BAD_CONFIG, "{outcome:?}");
    let says = "group: user, group and initgroups have to be set in the same place";
    assert!(outcome.stderr.contains(says), "{outcome:?}");
}

/// Starts the server where the account `daemon` is a member of the groups 3 and 4.
const IN_GROUPS: &str = r#"#!/bin/sh
folder=$(dirname "$0")
sed -e 's/^\(sys:.*\)$/\1daemon/' -e 's/^\(adm:.*\)$/\1daemon/' /etc/group > "$folder/group"
exec unshare --mount sh -c '
    mount --bind "$1/group" /etc/group
    shift
    exec "$@"
' sh "$folder" RGUNICORN "$@"
"#;

#[test]
fn only_initgroups_gives_the_other_groups_of_the_account() {
    let script = IN_GROUPS.replace("RGUNICORN", RGUNICORN);
    for (flag, groups) in [(None, "[]"), (Some("--initgroups"), "[1, 3, 4]")] {
        let mut server = started_by_root().file("start.sh", &script);
        let start = server.path("start");
        copy_program(Path::new(&server.path("start.sh")), Path::new(&start));
        server = server.program(start).argument("--user=daemon");
        if let Some(flag) = flag {
            server = server.argument(flag);
        }
        let server = server.binding_a_port().start();

        assert_eq!(server.get("/").text(), format!("1 1 {groups} /root"));
        server.reload();
        assert_eq!(server.get("/").text(), format!("1 1 {groups} /root"));
    }
}

#[test]
fn an_account_that_does_not_exist_is_named() {
    for (word, says) in [
        (
            "--user=nosuch",
            "--user: there is no user \"nosuch\" on this machine\n",
        ),
        (
            "--group=nosuch",
            "--group: there is no group \"nosuch\" on this machine\n",
        ),
        (
            "--user=3999999999",
            "--user: no user has the number 3999999999, so its group is not known; name it with `group`\n",
        ),
    ] {
        let outcome = Program::rgunicorn(&[word, "-b", "127.0.0.1:0", "hello:app"]).run();

        assert_eq!(outcome.status, BAD_USAGE, "{outcome:?}");
        assert_eq!(outcome.stderr, format!("rgunicorn: {says}"));
    }
}

#[test]
fn only_root_can_change_the_account() {
    for (word, says) in [
        (
            "--user=daemon",
            "--user: rgunicorn runs as 65534 and cannot change to \"daemon\"; ",
        ),
        (
            "--group=daemon",
            "--group: rgunicorn runs as 65534 and cannot change to \"daemon\"; ",
        ),
    ] {
        let outcome = Program::rgunicorn(&[word, "-b", "127.0.0.1:0", "hello:app"])
            .unprivileged()
            .run();

        assert_eq!(outcome.status, BAD_USAGE, "{outcome:?}");
        let remedy = "start rgunicorn as root, or as that account with `runuser`\n";
        assert_eq!(outcome.stderr, format!("rgunicorn: {says}{remedy}"));
    }
}

#[test]
fn another_account_takes_effect_at_the_next_start() {
    let server = started_by_root()
        .env("NOTIFY_SOCKET", "")
        .setting("user", "daemon")
        .binding_a_port()
        .launch();
    server.wait_for_workers(1);

    server.set("user", "nobody");
    server.signal(Signal::SIGHUP);

    server.wait_for_log("The new user takes effect at the next restart");
    server.wait_for_log("Reload finished");
    assert_eq!(server.get("/").text(), "1 1 [] /root");
}

#[test]
fn what_the_account_cannot_reach_is_said_and_not_served_as_root() {
    let server = started_by_root();
    fs::set_permissions(server.path("who.py"), fs::Permissions::from_mode(0o600)).unwrap();

    let server = server.argument("--user=daemon").binding_a_port().launch();

    assert_eq!(server.wait_for_exit(), 3);
    assert!(
        server.stderr().contains("PermissionError"),
        "{}",
        server.stderr()
    );
}

#[test]
fn files_that_the_account_names_in_its_configuration_are_not_opened_by_root() {
    let own = Folder::new();
    let secret = own.join("secret");
    fs::create_dir(&secret).unwrap();
    let victim = secret.join("victim");
    fs::write(&victim, "x\n").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    // Nobody listens on it.
    let socket = secret.join("socket");
    drop(UnixListener::bind(&socket).unwrap());
    let facts = || {
        let facts = [&victim, &socket].map(|path| {
            let file = fs::symlink_metadata(path).unwrap();
            (file.ino(), file.uid(), file.mode())
        });
        let mut names: Vec<_> = fs::read_dir(&secret)
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        names.sort();
        (facts, names, fs::read_to_string(&victim).unwrap())
    };
    let before = facts();

    for line in [
        format!("errorlog = {victim:?}"),
        format!("pidfile = {victim:?}"),
        format!("bind = 'unix:{}'", secret.join("new").display()),
        format!("bind = 'unix:{}'", socket.display()),
        format!("rgunicorn = {{'control_socket': {socket:?}}}"),
    ] {
        let mut server = started_by_root()
            .file("gunicorn.conf.py", &line)
            .argument("--user=daemon");
        server = if line.starts_with("bind") {
            server.bound_to_path(&socket)
        } else {
            server.binding_a_port()
        };
        let server = server.launch();

        assert_ne!(server.wait_for_exit(), 0, "{line}");
        assert_eq!(facts(), before, "{line}");
    }

    // It is served without an access log.
    let line = format!("accesslog = {victim:?}");
    let server = started_by_root()
        .file("gunicorn.conf.py", &line)
        .argument("--user=daemon")
        .binding_a_port()
        .start();
    server.wait_for_log("Cannot open the access log");
    assert_eq!(server.get("/").text(), "1 1 [] /root");
    assert_eq!(facts(), before);
}

#[test]
fn files_that_the_account_names_in_its_configuration_are_opened_where_it_can() {
    let server = started_by_root();
    let own = server.path("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(1), Some(1)).unwrap();
    let conf = format!(
        "accesslog = '{own}/access.log'\nerrorlog = '{own}/error.log'\npidfile = '{own}/pid'\n\
         bind = 'unix:{own}/socket'\nrgunicorn = {{'control_socket': '{own}/ctl'}}\n"
    );

    let server = server
        .file("gunicorn.conf.py", &conf)
        .argument("--user=daemon")
        .bound_to_path(format!("{own}/socket"))
        .start();

    assert_eq!(server.get("/").text(), "1 1 [] /root");
    for name in ["access.log", "error.log", "pid", "socket", "ctl"] {
        let file = fs::symlink_metadata(format!("{own}/{name}")).unwrap();
        assert_eq!((file.uid(), file.gid()), (1, 1), "{name}");
    }
    assert_eq!(server.stop(), 0);
}
