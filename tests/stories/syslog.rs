//! The server's own log and the access log in syslog: as Gunicorn sends them, and nobody waits.

use super::upgrades;
use crate::harness::{Connection, LogServer, Program, Running, Server, processes};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::os::unix::net::UnixListener;

const NOT_WRITTEN: &str = "not written to the access log: syslog at";

/// `hello:app` with syslog, and a format without the time.
fn sending(to: &str) -> Server {
    Server::running("hello:app")
        .setting("syslog", true)
        .setting("syslog_addr", to)
        .setting("access_log_format", "%(m)s %(U)s %(s)s")
}

fn dropped(server: &Running, name: &str) -> u64 {
    let status: Value = serde_json::from_str(&server.ctl(&["status", "--json"]).stdout).unwrap();
    status[name].as_u64().unwrap()
}

#[test]
fn both_logs_are_sent_in_the_form_of_gunicorn_and_the_own_log_stays_where_it_is() {
    for threads in [1, 2] {
        let syslog = LogServer::udp();
        let server = sending(&format!("udp://{}", syslog.address()))
            .setting("threads", threads)
            .start();
        let worker = server.worker_pids().into_iter().next().unwrap();

        server.get("/a");

        let master = server.pid();
        let access = syslog.wait_for("/a");
        assert_eq!(
            access,
            format!("<14>gunicorn.hello.app.access: [{worker}] GET /a 200\0")
        );
        let ready = syslog.wait_for("Ready after");
        let head = format!("<14>gunicorn.hello.app.error: [{master}] Ready after ");
        assert!(ready.starts_with(&head) && ready.ends_with('\0'), "{ready}");
        let of_worker = syslog.wait_for("is ready");
        assert!(of_worker.contains(&format!(" [{worker}] Worker 1 is ready")));
        server.wait_for_log("Ready after");
        assert!(!server.stderr().contains("/a"), "{}", server.stderr());
        server.stop();
        syslog.wait_for("] Stopped\0");
    }
}

#[test]
fn unix_sockets_and_tcp_are_served_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let unix = |name: &str| format!("unix://{}", path(name).display());
    let tcp = LogServer::tcp();
    let to_tcp = format!("tcp://{}", tcp.address());
    for (syslog, to) in [
        (LogServer::unix_datagrams(path("one")), unix("one")),
        (
            LogServer::unix_datagrams(path("two")),
            unix("two") + "#dgram",
        ),
        (LogServer::unix_stream(path("three")), unix("three")),
        (
            LogServer::unix_stream(path("four")),
            unix("four") + "#stream",
        ),
        (tcp, to_tcp),
    ] {
        let server = sending(&to).start();

        server.get("/a");
        server.get("/b");

        assert!(syslog.wait_for("/b").ends_with("] GET /b 200\0"), "{to}");
        assert_eq!(syslog.with(".access: ").len(), 2, "{to}");
        syslog.wait_for("Ready after");
        server.stop();
        syslog.wait_for("] Stopped\0");
    }
}

#[test]
fn prefix_facility_and_level_are_as_set_and_the_access_log_may_be_left_out() {
    let syslog = LogServer::udp();
    let server = Server::typed("hello:app")
        .argument("--log-syslog")
        .argument("--log-syslog-to")
        .argument(&format!("udp://{}", syslog.address()))
        .argument("--log-syslog-prefix=shop")
        .argument("--log-syslog-facility=LOCAL3")
        .argument("--disable-redirect-access-to-syslog")
        .argument("--log-level=warning")
        .argument("--access-logfile=access.log")
        .binding_a_port()
        .start();

    server.get("/a");
    server.wait_until("the line is written", || {
        server.read("access.log").lines().count() == 1
    });
    let worker = server.worker_pids().into_iter().next().unwrap();
    processes::signal(worker, Signal::SIGKILL);
    let died = syslog.wait_for("died: killed by SIGKILL");
    server.stop();

    let head = format!("<156>gunicorn.shop.error: [{worker}] Worker 1 died");
    assert!(died.starts_with(&head), "{died}");
    assert!(!server.stderr().contains("Stopped"));
    assert_eq!(syslog.received(), [died]);
}

#[test]
fn the_access_log_goes_to_its_file_as_well() {
    let syslog = LogServer::udp();
    let server = sending(&format!("udp://{}", syslog.address()))
        .setting("accesslog", "access.log")
        .setting("access_log_filter", "errors")
        .start();

    server.get("/a");
    server.request("GET / HTTP/1.1\r\n\r\n");
    server.stop();

    assert_eq!(server.read("access.log"), "- - 400\n");
    let sent = syslog.with(".access: ");
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].ends_with("] - - 400\0"), "{sent:?}");
}

#[test]
fn a_configuration_in_python_says_it_as_for_gunicorn() {
    let syslog = LogServer::udp();
    let config = format!(
        "syslog = True\nsyslog_addr = 'udp://{}'\nsyslog_prefix = None\nproc_name = 'a:b'\n",
        syslog.address()
    );
    let server = Server::typed("hello:app")
        .file("gunicorn.conf.py", &config)
        .binding_a_port()
        .start();

    server.get("/a");

    assert!(
        syslog
            .wait_for("\"GET /a HTTP/1.1\" 200")
            .starts_with("<14>gunicorn.a.b.access: [")
    );
    server.stop();
}

#[test]
fn a_reload_changes_where_it_goes() {
    let (first, second) = (LogServer::udp(), LogServer::udp());
    let server = sending(&format!("udp://{}", first.address())).start();
    server.get("/first");
    first.wait_for("/first");

    server.set("syslog_addr", format!("udp://{}", second.address()));
    server.reload();
    server.get("/second");

    second.wait_for("/second");
    second.wait_for("Reload finished");
    server.set("syslog", false);
    server.reload();
    server.get("/third");
    server.stop();
    for log in [first.received(), second.received()] {
        let text = log.join("\n");
        assert!(
            !text.contains("/third") && !text.contains("Stopped"),
            "{text}"
        );
    }
    assert!(first.with("/second").is_empty());
}

#[test]
fn a_syslog_that_comes_later_gets_what_is_said_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let server = sending(&format!("unix://{}", path.display())).start();

    assert_eq!(server.get("/lost").status, 200);

    server.wait_for_log("not sent to syslog at unix://");
    server.wait_for_log(NOT_WRITTEN);
    assert!(server.stderr().contains("No such file or directory"));
    let syslog = LogServer::unix_datagrams(&path);
    server.wait_until("it is found", || {
        server.get("/found");
        !syslog.with("/found").is_empty()
    });
    assert!(dropped(&server, "syslog_records_dropped") > 0);
    server.wait_until("the record is counted", || {
        dropped(&server, "access_records_dropped") > 0
    });
    server.wait_until("it is found again", || {
        server.signal(Signal::SIGUSR1);
        !syslog.with("Got SIGUSR1").is_empty()
    });
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_stream_that_takes_nothing_keeps_nobody_waiting_and_what_is_dropped_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let _syslog = UnixListener::bind(&path).unwrap();
    let server = sending(&format!("unix://{}", path.display()))
        .setting("access_log_format", "%(f)s")
        .setting("keepalive", 60)
        .setting("limit_request_field_size", 8190)
        .start();
    let referer = "r".repeat(8000);
    let request = format!("GET / HTTP/1.1\r\nHost: h\r\nReferer: {referer}\r\n\r\n");

    // The socket and the queue of the worker are full long before the end.
    let mut connection = Connection::open(&server.address()).unwrap();
    for _ in 0..400 {
        assert_eq!(connection.send(&request).receive().status, 200);
    }

    server.wait_for_log(NOT_WRITTEN);
    assert!(server.stderr().contains("/log takes them too slowly"));
    server.wait_until("the records are counted", || {
        dropped(&server, "access_records_dropped") > 0
    });
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_name_without_an_address_stops_nobody() {
    // Where no name server answers, the resolver gives up after a second.
    let server = sending("udp://there.is.no.such.name.invalid:514")
        .env("RES_OPTIONS", "timeout:1 attempts:1")
        .start();

    assert_eq!(server.get("/").status, 200);

    server.wait_for_log("not sent to syslog at udp://there.is.no.such.name.invalid:514: ");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_server_that_stops_logs_what_was_not_sent_since_it_last_did() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let server = sending(&format!("unix://{}", path.display())).start();
    server.wait_for_log("not sent to syslog at unix://");

    server.stop();

    let log = server.stderr();
    let last = log.lines().last().unwrap();
    assert!(last.contains(" not sent to syslog at unix://"), "{log}");
    assert!(last.contains("No such file or directory"), "{log}");
}

#[test]
fn mistakes_are_found_where_they_stand() {
    let config = "app = \"hello:app\"\nsyslog_addr = \"/dev/log\"\nsyslog_facility = \"local9\"\n\
                  statsd_host = \"h:port\"\nstatsd_prefix = \"a\\nb\"\n";
    let outcome = Program::rgunicorn(&["--config", "shop.toml", "--check-config"])
        .file("shop.toml", config)
        .run();

    assert_eq!(outcome.status, 78, "{outcome:?}");
    for line in [
        "shop.toml:2:15: syslog_addr: must be an address such as \"udp://localhost:514\"",
        "shop.toml:3:19: syslog_facility: must be a facility of syslog such as \"user\"",
        "shop.toml:4:15: statsd_host: must be \"HOST:PORT\" or \"unix://PATH\", not \"h:port\"",
        "shop.toml:5:17: statsd_prefix: must be a text without control characters",
    ] {
        assert!(outcome.stderr.contains(line), "{line}\n{outcome:?}");
    }
}

#[test]
fn an_upgraded_server_sends_on() {
    let syslog = LogServer::udp();
    let site = upgrades::site(sending(&format!("udp://{}", syslog.address())));

    site.upgrade();
    site.server.get("/after");

    syslog.wait_for("has taken over from");
    syslog.wait_for("GET /after 200");
    site.server.stop();
    syslog.wait_for("] Stopped\0");
}

#[test]
fn an_upgraded_server_remembers_what_was_lost_before() {
    const NAMES: [&str; 3] = [
        "access_records_dropped",
        "syslog_records_dropped",
        "statsd_metrics_dropped",
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let to = format!("unix://{}", path.display());
    let site = upgrades::site(sending(&to).setting("statsd_host", to.as_str()));
    let counts = || NAMES.map(|name| dropped(&site.server, name));
    let workers = site.server.worker_pids();
    for _ in 0..20 {
        site.server.get("/lost");
    }
    site.server.wait_until("losses are counted", || {
        counts().iter().all(|count| *count > 0)
    });
    // Those of workers that are gone are the master's to remember.
    for worker in &workers {
        processes::signal(*worker, Signal::SIGTERM);
    }
    site.server.wait_until("they are gone", || {
        site.server.worker_pids().is_disjoint(&workers)
    });
    // What has come since is taken.
    let _taker = LogServer::unix_datagrams(&path);
    let before = counts();

    site.upgrade();

    let after = counts();
    for (name, (after, before)) in NAMES.iter().zip(after.iter().zip(before)) {
        assert!(
            *after >= before && before > 0,
            "{name}: {before}, then {after}"
        );
    }
    site.server.stop();
}

/// Logs as applications do, also in a child.
const LOGGING: &str = "
import logging, os
log = logging.getLogger('shop')
log.setLevel(logging.INFO)
log.handlers = logging.getLogger('gunicorn.error').handlers
def app(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/child':
        pid = os.fork()
        if pid == 0:
            log.error('of the child')
            os._exit(7)
        path = str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    elif path == '/error':
        try:
            path[100]
        except IndexError:
            log.exception('failed')
    log.warning('seen %s', path)
    log.debug('not seen')
    start_response('200 OK', [('Content-Length', '0')])
    return []
";

#[test]
fn what_applications_log_with_our_handlers_is_sent_by_their_worker() {
    for preload in [false, true] {
        let syslog = LogServer::udp();
        let server = Server::running("shop:app")
            .file("shop.py", LOGGING)
            .setting("preload", preload)
            .setting("syslog", true)
            .setting("disable_redirect_access_to_syslog", true)
            .setting("syslog_addr", format!("udp://{}", syslog.address()))
            .start();
        let worker = server.worker_pids().into_iter().next().unwrap();

        server.get("/a");
        server.get("/error");
        // The child ends, and the worker goes on.
        server.get("/child");

        let record = syslog.wait_for("seen /a");
        assert_eq!(
            record,
            format!("<12>gunicorn.shop.app.error: [{worker}] seen /a\0")
        );
        let failed = syslog.wait_for("] failed\nTraceback");
        assert!(
            failed.starts_with("<11>")
                && failed.ends_with("IndexError: string index out of range\0")
        );
        syslog.wait_for("seen 7\0");
        server.wait_for_log("seen /a");
        server.stop();
        assert!(syslog.with("not seen").is_empty());
        assert!(syslog.with("of the child").is_empty());
        server.wait_for_log("of the child");
    }
}

#[test]
fn what_an_application_logs_and_nobody_takes_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let server = Server::running("shop:app")
        .file("shop.py", LOGGING)
        .setting("syslog", true)
        .setting("loglevel", "error")
        .setting("syslog_addr", format!("unix://{}", path.display()))
        .start();

    server.get("/error");

    server.wait_until("it is counted", || {
        server.get("/a");
        dropped(&server, "syslog_records_dropped") > 0
    });
    assert_eq!(server.stop(), 0);
}

/// Logs more than the socket of syslog holds when a worker ends.
const LAST_WORDS: &str = "
import atexit, logging
def log(when):
    for number in range(500):
        logging.getLogger('gunicorn.error').warning('%s %d %s', when, number, 'x' * 1000)
    logging.getLogger('gunicorn.error').warning('%s is over', when)
atexit.register(log, 'exit')
from hello import app
";

#[test]
fn what_a_worker_logs_last_is_sent_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let syslog = LogServer::unix_stream(&path);
    let server = Server::running("shop:app")
        .file("shop.py", LAST_WORDS)
        .setting("syslog", true)
        .setting("syslog_addr", format!("unix://{}", path.display()))
        .start();
    let failing = format!("{LAST_WORDS}\nlog('import')\nraise RuntimeError\n");

    let worker = server.worker_pids().into_iter().next().unwrap();
    processes::signal(worker, Signal::SIGTERM);
    syslog.wait_for("exit is over");

    server.write("shop.py", &failing);
    server.signal(Signal::SIGHUP);
    syslog.wait_for("import is over");
}
