//! Python's `logging`: the loggers of Gunicorn that applications know, and the handler that
//! they are given.

use crate::{
    compare::venv,
    harness::{
        Server,
        program::{RGUNICORN, copy_folder},
    },
};
use rustix::pipe::{PipeFlags, pipe_with};
use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    process::Command,
    thread,
};

/// A server for an application that needs the packages of the tests.
fn with_packages(app: &str) -> Server {
    let python = venv().join("bin/python");
    Server::running("shop:app")
        .workers(1)
        .file("shop.py", app)
        .setting("python", python.to_str().unwrap())
}

/// As it is recommended everywhere.
const FLASK: &str = r#"
import logging
from flask import Flask

app = Flask(__name__)
gunicorn_logger = logging.getLogger("gunicorn.error")
app.logger.handlers = gunicorn_logger.handlers
app.logger.setLevel(gunicorn_logger.level)

@app.route("/")
def index():
    app.logger.info("an order of %s", "two books")
    app.logger.warning("the last one")
    try:
        {}["price"]
    except KeyError:
        app.logger.exception("no price\nfor it")
    logging.getLogger("gunicorn.access").info("a line of the application's own access log")
    return "ok"
"#;

#[test]
fn flask_with_gunicorns_handlers_logs_each_record_once_and_by_the_level_of_the_server() {
    let server = with_packages(FLASK).start();

    assert_eq!(server.get("/").status, 200);

    let worker = *server.wait_for_workers(1).first().unwrap();
    server.wait_for_log("KeyError: 'price'");
    for line in [
        format!("[{worker}] [INFO] an order of two books\n"),
        format!("[{worker}] [WARNING] the last one\n"),
        format!("[{worker}] [ERROR] no price\nfor it\nTraceback (most recent call last):\n"),
    ] {
        assert!(server.stderr().contains(&line), "{line}");
    }
    for text in ["two books", "the last one", "no price", "own access log"] {
        server.wait_for_log(text);
        assert_eq!(server.log_count(text), 1, "{text}");
    }
    drop(server);

    let quiet = with_packages(FLASK).setting("loglevel", "error").start();
    assert_eq!(quiet.get("/").status, 200);
    quiet.wait_for_log("KeyError: 'price'");
    assert_eq!(quiet.log_count("two books"), 0);
    assert_eq!(quiet.log_count("the last one"), 0);
}

#[test]
fn gunicorns_handlers_write_to_the_file_of_the_error_log() {
    for captures in [false, true] {
        let server = with_packages(FLASK)
            .setting("errorlog", "error.log")
            .setting("capture_output", captures)
            .start();
        let path = |name: &str| server.folder().join(name);

        assert_eq!(server.get("/").status, 200);
        fs::rename(path("error.log"), path("old.log")).unwrap();
        assert_eq!(server.get("/").status, 200);
        server.stop();

        let level = "] [INFO] ";
        for name in ["old.log", "error.log"] {
            let log = server.read(name);
            assert_eq!(log.matches("an order of two books\n").count(), 1, "{log}");
            let line = log.lines().find(|line| line.contains("two books")).unwrap();
            assert_eq!(line.matches(level).count(), 1, "{line}");
            assert!(log.contains("KeyError: 'price'"), "{log}");
        }
        assert_eq!(server.stderr(), "");
    }
}

#[test]
fn what_the_file_of_the_error_log_does_not_take_of_them_is_on_standard_error() {
    let server = with_packages(FLASK)
        .setting("errorlog", "/dev/full")
        .start();

    assert_eq!(server.get("/").status, 200);

    server.wait_for_log("[INFO] an order of two books\n");
    server.wait_for_log("KeyError: 'price'");
}

const DJANGO: &str = r#"
import logging
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

def index(request):
    logging.getLogger("shop.orders").info("an order for %d", 5)
    logging.getLogger("gunicorn.error").warning("to the logger of the server")
    return HttpResponse("ok")

def broken(request):
    raise LookupError("raised by a view")

urlpatterns = [path("", index), path("broken", broken)]
settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"server": {"class": "rgunicorn.logging.JournalHandler"}},
        "root": {"handlers": ["server"], "level": "INFO"},
        "loggers": {"django": {"handlers": ["server"], "propagate": False}},
    },
)
app = get_wsgi_application()
"#;

#[test]
fn django_logs_with_the_handler_that_its_settings_name() {
    let server = with_packages(DJANGO).setting("preload", true).start();

    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.get("/broken").status, 500);

    for text in [
        "[INFO] an order for 5\n",
        "[WARNING] to the logger of the server\n",
        "[ERROR] Internal Server Error: /broken\nTraceback (most recent call last):\n",
        "LookupError: raised by a view\n",
    ] {
        server.wait_for_log(text);
        assert_eq!(server.log_count(text.lines().next().unwrap()), 1, "{text}");
    }
}

#[test]
fn the_configuration_and_its_hooks_have_the_loggers() {
    let conf = r#"
import logging
loglevel = "warning"
log = logging.getLogger("gunicorn.error")
log.warning("the configuration runs")

def when_ready(server):
    assert server.log.error_log is log and server.log.access_log.name == "gunicorn.access"
    log.warning("ready with %d handlers at %d", len(log.handlers), log.level)

def post_fork(server, worker):
    log.info("not wanted")
    worker.log.error_log.error("forked")
"#;
    let server = Server::running("hello:app")
        .workers(1)
        .setting("config", "gunicorn.conf.py")
        .file("gunicorn.conf.py", conf)
        .start();

    for text in [
        "[WARNING] the configuration runs",
        "[WARNING] ready with 1 handlers at 30",
        "[ERROR] forked",
    ] {
        server.wait_for_log(text);
        assert_eq!(server.log_count(text), 1, "{text}");
    }
    assert_eq!(server.log_count("not wanted"), 0);
}

/// It would take memory in every process.
#[test]
fn logging_is_not_loaded_for_an_application_that_does_not_log() {
    let app = "\
import sys
def app(environ, start_response):
    start_response('200 OK', [])
    loaded = [name for name in ('logging', 'rgunicorn.logging', 'socket') if name in sys.modules]
    return [repr(loaded).encode()]
";
    let server = Server::running("shop:app").file("shop.py", app).start();

    assert_eq!(server.get("/").text(), "[]");
}

const BUSY: &str = r#"
import logging, os, threading

log = logging.getLogger("gunicorn.error")

def say(name):
    for number in range(200):
        log.info("%s %d %s", name, number, "x" * 500)

def app(environ, start_response):
    threads = [threading.Thread(target=say, args=(f"thread {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    child = os.fork()
    if child == 0:
        say("child")
        os._exit(0)
    os.waitpid(child, 0)
    for thread in threads:
        thread.join()
    start_response("200 OK", [])
    return [b"ok"]
"#;

#[test]
fn threads_and_children_that_log_at_once_lose_and_tear_nothing() {
    let server = Server::running("shop:app")
        .file("shop.py", BUSY)
        .workers(1)
        .start();

    assert_eq!(server.get("/").status, 200);

    let log = server.stderr();
    let names = (0..4).map(|number| format!("thread {number}"));
    for name in names.chain(["child".to_owned()]) {
        for number in 0..200 {
            let line = format!("[INFO] {name} {number} {}\n", "x".repeat(500));
            assert_eq!(log.matches(&line).count(), 1, "{name} {number}");
        }
    }
}

#[test]
fn a_reader_of_the_log_that_stops_reading_does_not_stop_an_application_that_logs() {
    let app = "\
import logging
log = logging.getLogger('gunicorn.error')
def app(environ, start_response):
    for number in range(50):
        log.error('y' * 4000)
    start_response('200 OK', [])
    return [b'ok']
";
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let server = Server::running("shop:app")
        .file("shop.py", app)
        .setting("timeout", 0)
        .workers(1)
        .output(writer)
        .start();

    // More than three pipes hold. Only one record waits.
    assert_eq!(server.get("/").status, 200);
    // As much as it holds: then it takes records again.
    let mut reader = File::from(reader);
    let mut full = vec![0; 60_000];
    reader.read_exact(&mut full).unwrap();
    let read = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.stop(), 0);
    drop(server);

    let text = read.join().unwrap();
    let notice = " were dropped because stderr did not take them";
    assert!(text.contains(notice), "{}", text.len());
}

#[test]
fn an_application_may_import_logging_after_the_files_of_the_server_are_gone() {
    let app = "\
def app(environ, start_response):
    import logging
    logging.getLogger('gunicorn.error').error('imported late')
    start_response('200 OK', [])
    return [b'ok']
";
    let server = Server::running("shop:app").file("shop.py", app).workers(1);
    let folder = server.path("worker");
    let built = Path::new(RGUNICORN).with_file_name("worker");
    copy_folder(&built, Path::new(&folder));
    let server = server.setting("worker_dir", folder.as_str()).start();
    fs::remove_dir_all(&folder).unwrap();

    assert_eq!(server.get("/").status, 200);

    server.wait_for_log("[ERROR] imported late");
    assert_eq!(server.log_count("no handlers"), 0);
}

/// As in a command of the project that has the same configuration of `logging`.
#[test]
fn outside_the_server_the_handler_writes_lines_to_stderr() {
    let worker = Path::new(RGUNICORN).with_file_name("worker");
    let run = |more: &str| {
        let program = format!(
            "import logging\n\
             from rgunicorn.logging import JournalHandler\n\
             logging.basicConfig(handlers=[JournalHandler(ORDER=5)])\n\
             {more}"
        );
        let output = Command::new("python3")
            .args(["-c", &program])
            .env("PYTHONPATH", &worker)
            .env_remove("JOURNAL_STREAM")
            // Others copy this folder meanwhile.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    };

    let logged = run("logging.error('out of %s', 'paper')");
    assert!(logged.ends_with("] [ERROR] out of paper\n"), "{logged}");

    let refused = run("JournalHandler(order=5)");
    assert!(
        refused.contains("'order' is no name of a field"),
        "{refused}"
    );
}
