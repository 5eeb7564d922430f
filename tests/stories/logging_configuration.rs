//! `logconfig`, `logconfig_dict`, `logconfig_json` and `logger_class`: what they do to Python's
//! `logging`, and how one that cannot be used fails.

use crate::{
    compare::venv,
    harness::{Program, Server},
};

/// Logs with the logger that Gunicorn's users take over.
const APP: &str = "\
import logging
def app(environ, start_response):
    logging.getLogger('gunicorn.error').info('hello from the application')
    logging.getLogger('shop').info('hello from the shop')
    start_response('200 OK', [])
    return [b'ok']
";

/// Records of requests are the server's business, and the log says so.
const NOT_THEIRS: &str = "the server itself logs requests";

fn with(conf: &str) -> Server {
    Server::running("shop:app")
        .workers(1)
        .file("shop.py", APP)
        .setting("config", "gunicorn.conf.py")
        .file("gunicorn.conf.py", conf)
}

const CLASS: &str = r#"
import logging
from gunicorn import glogging

class HealthFilter(logging.Filter):
    def filter(self, record):
        return "/health" not in record.getMessage()

class Logger(glogging.Logger):
    def setup(self, cfg):
        super().setup(cfg)
        self._set_handler(self.error_log, cfg.errorlog, logging.Formatter("CUSTOM %(levelname)s %(message)s"))
        logging.getLogger("gunicorn.access").addFilter(HealthFilter())

    def warning(self, msg, *args, **kwargs):
        super().warning("(careful) " + msg, *args, **kwargs)

logger_class = Logger

def post_fork(server, worker):
    server.log.info("forked %d", 5)
    worker.log.warning("booting")
"#;

#[test]
fn a_logger_class_gives_hooks_their_log_and_records_their_form() {
    let server = with(CLASS).start();

    assert_eq!(server.get("/").status, 200);

    for line in [
        "CUSTOM INFO forked 5\n",
        "CUSTOM WARNING (careful) booting\n",
        "CUSTOM INFO hello from the application\n",
        NOT_THEIRS,
    ] {
        server.wait_for_log(line);
        assert_eq!(server.log_count(line.trim_end()), 1, "{line}");
    }
}

#[test]
fn a_logger_class_that_is_given_access_records_elsewhere_is_told_that_it_gets_none() {
    let module = "\
from gunicorn.glogging import Logger
class Quiet(Logger):
    def access(self, resp, req, environ, request_time):
        raise SystemExit
";
    let server = Server::running("shop:app")
        .file("shop.py", APP)
        .file("logs.py", module)
        .setting("logger_class", "logs.Quiet")
        .start();

    assert_eq!(server.get("/").status, 200);

    server.wait_for_log("logger_class: access() of logs.Quiet is not called");
}

/// Its handlers are its own, and ours are not there as well.
#[test]
fn the_class_of_a_gunicorn_that_is_installed_logs_each_record_once() {
    let conf = "\
import gunicorn.glogging
assert hasattr(gunicorn.glogging.Logger, 'atoms')
class Logger(gunicorn.glogging.Logger):
    error_fmt = 'REAL %(message)s'
logger_class = Logger
def post_fork(server, worker):
    server.log.info('forked')
";
    let server = with(conf)
        .setting("python", venv().join("bin/python").to_str().unwrap())
        .start();

    assert_eq!(server.get("/").status, 200);

    for line in ["REAL forked\n", "REAL hello from the application\n"] {
        server.wait_for_log(line);
    }
    assert_eq!(server.log_count("hello from the application"), 1);
    assert_eq!(server.log_count("forked"), 1);
}

#[test]
fn a_dict_in_the_configuration_may_have_objects_and_is_completed_as_with_gunicorn() {
    let conf = r#"
import logging, sys

class Shout(logging.Formatter):
    def format(self, record):
        return "SHOUT " + super().format(record).upper()

logconfig_dict = {
    "formatters": {"shout": {"()": Shout}},
    "handlers": {
        "error_console": {"class": "logging.StreamHandler", "formatter": "shout", "stream": sys.stderr},
        "console": {"class": "rgunicorn.logging.JournalHandler"},
    },
    "loggers": {
        "gunicorn.error": {"handlers": ["error_console"], "level": "INFO", "propagate": False},
        "gunicorn.access": {"handlers": ["error_console"]},
    },
}
"#;
    let server = with(conf).start();

    assert_eq!(server.get("/").status, 200);

    server.wait_for_log("SHOUT HELLO FROM THE APPLICATION\n");
    // By the handler of the root logger, which it leaves as it is.
    server.wait_for_log("[INFO] hello from the shop\n");
    server.wait_for_log(NOT_THEIRS);
    assert_eq!(server.log_count("hello from the application"), 0);

    let converted = Program::rgunicorn(&["--convert", "gunicorn.conf.py"])
        .file("gunicorn.conf.py", conf)
        .run();
    let kept = "logconfig_dict (gunicorn.conf.py:8): a dict; keep it there";
    assert!(converted.stdout.contains(kept), "{converted:?}");
}

const INI: &str = "\
[loggers]
keys=root,gunicorn.error
[handlers]
keys=file
[formatters]
keys=plain
[logger_root]
level=INFO
handlers=file
[logger_gunicorn.error]
level=INFO
handlers=file
propagate=0
qualname=gunicorn.error
[handler_file]
class=FileHandler
formatter=plain
args=('%(here)s/app.log',)
[formatter_plain]
format=INI %(levelname)s %(message)s
";

#[test]
fn files_configure_logging_before_the_application_is_loaded() {
    let json = r#"{
        "formatters": {"plain": {"format": "JSON %(levelname)s %(message)s"}},
        "handlers": {"file": {"class": "logging.FileHandler", "filename": "app.log", "formatter": "plain"}},
        "loggers": {"gunicorn.error": {"handlers": ["file"], "propagate": false}},
        "root": {"level": "INFO", "handlers": ["file"]}
    }"#;
    for (setting, text, word) in [("logconfig", INI, "INI"), ("logconfig_json", json, "JSON")] {
        let server = Server::running("shop:app")
            .workers(1)
            .file("shop.py", APP)
            .file("log.conf", text)
            .setting(setting, "log.conf")
            .start();

        assert_eq!(server.get("/").status, 200, "{setting}");

        assert_eq!(
            server.read("app.log"),
            format!("{word} INFO hello from the application\n{word} INFO hello from the shop\n"),
        );
    }
}

#[test]
fn what_cannot_be_used_fails_the_start_with_its_file_and_the_reason() {
    for (setting, text, reason) in [
        ("logconfig", "[loggers]\nkeys=root\n", "log.conf: "),
        (
            "logconfig_json",
            r#"{"loggers": {"gunicorn.error": {"handlers": ["nowhere"]}}}"#,
            "log.conf: Unable to configure logger 'gunicorn.error': Unable to add handler 'nowhere'",
        ),
        ("logconfig_json", "{", "log.conf: Expecting property name"),
    ] {
        let server = Server::running("shop:app")
            .file("shop.py", APP)
            .file("log.conf", text)
            .setting(setting, "log.conf")
            .launch();

        assert_eq!(server.wait_for_exit(), 3, "{setting}");

        let log = server.stderr();
        let begins = format!("{setting}: {}", server.folder().display());
        assert!(log.contains(&begins) && log.contains(reason), "{log}");
    }
    for (class, reason) in [
        (
            "nowhere.Logger",
            "logger_class: nowhere.Logger: No module named 'nowhere'",
        ),
        ("shop.Missing", "logger_class: shop.Missing: "),
        ("shop.app", "logger_class: shop.app: "),
    ] {
        let server = Server::running("shop:app")
            .file("shop.py", APP)
            .setting("logger_class", class)
            .launch();

        assert_eq!(server.wait_for_exit(), 3, "{class}");
        assert!(server.stderr().contains(reason), "{}", server.stderr());
    }
}

#[test]
fn a_reload_with_a_broken_one_leaves_the_old_workers() {
    let server = Server::running("shop:app")
        .workers(1)
        .file("shop.py", APP)
        .file("log.conf", INI)
        .setting("logconfig", "log.conf")
        .start();
    let before = server.wait_for_workers(1);
    server.write("log.conf", "[loggers]\n");

    let outcome = server.ctl(&["reload"]);

    assert_ne!(outcome.status, 0, "{outcome:?}");
    server.wait_for_log("cannot load the application: logconfig: ");
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.worker_pids(), before);
}

/// What configuration files and applications are known to import.
const NAMES: &str = r#"
import importlib
import gunicorn
from gunicorn import glogging, util
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.errors import ConfigError, HaltServer
from gunicorn.glogging import CONFIG_DEFAULTS, Logger
from gunicorn.instrument.statsd import Statsd
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker
from gunicorn.workers.sync import SyncWorker

def app(environ, start_response):
    start_response("200 OK", [])
    try:
        importlib.import_module("gunicorn.nothing_like_it")
    except ModuleNotFoundError as error:
        missing = error.name
    ours = Arbiter.__module__.partition(".")[0] == "rgunicorn"
    return [f"{gunicorn.version_info >= (20, 0)} {missing} {ours}".encode()]
"#;

#[test]
fn names_of_gunicorn_can_be_imported_and_are_its_own_where_it_is_installed() {
    let server = Server::running("shop:app").file("shop.py", NAMES);
    let answer = server.start().get("/").text();
    assert_eq!(answer, "True gunicorn.nothing_like_it True");

    let python = venv().join("bin/python");
    let server = Server::running("shop:app")
        .file("shop.py", NAMES)
        .setting("python", python.to_str().unwrap());
    let answer = server.start().get("/").text();
    assert_eq!(answer, "True gunicorn.nothing_like_it False");
}
