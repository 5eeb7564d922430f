//! Applications that a script starts by itself, as Gunicorn's `BaseApplication` does it.

use crate::{
    compare::venv,
    harness::{Outcome, Program, Running, Server, program::RGUNICORN, sockets::free_port},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{path::Path, process::Command};

const USAGE: i32 = 64;
const BAD_CONFIG: i32 = 78;
const FAILED_TO_BOOT: i32 = 3;
const NOT_AN_APPLICATION: i32 = 4;

/// Where `import rgunicorn` finds it in a build tree, as in a virtual environment where it is
/// installed.
fn modules() -> String {
    let built = Path::new(RGUNICORN).parent().unwrap();
    built.join("worker").to_str().unwrap().to_owned()
}

/// A server that this script starts.
fn script(arguments: &[&str], text: &str) -> Server {
    let server = Server::typed("serve.py")
        .file("serve.py", text)
        .program("python3")
        .env("PYTHONPATH", &modules());
    (arguments.iter()).fold(server, |server, word| server.argument(word))
}

/// What becomes of a script that serves nothing.
fn outcome(arguments: &[&str], text: &str) -> Outcome {
    outcome_of("python3", arguments, text)
}

fn outcome_of(program: &str, arguments: &[&str], text: &str) -> Outcome {
    Program::new(program, arguments)
        .file("serve.py", text)
        .env("PYTHONPATH", &modules())
        .run()
}

/// Another process sees it as the one that was started.
fn status(server: &Running) -> String {
    server.ctl(&["status"]).stdout
}

/// As Gunicorn's documents have it.
const DOCUMENTED: &str = r#"
import os, sys
from rgunicorn.app.base import BaseApplication

def handler_app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join([__name__, os.path.basename(sys.argv[0]), *sys.argv[1:]]).encode()]

class StandaloneApplication(BaseApplication):
    def __init__(self, app, options=None):
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self):
        config = {
            key: value
            for key, value in self.options.items()
            if key in self.cfg.settings and value is not None
        }
        for key, value in config.items():
            self.cfg.set(key.lower(), value)

    def load(self):
        return self.application

if __name__ == "__main__":
    options = {"workers": "2", "timeout": None, "keepalive": 5, "debug": True}
    StandaloneApplication(handler_app, options).run()
"#;

#[test]
fn a_script_serves_its_own_application_and_runs_again_with_its_arguments_at_a_reload() {
    let server = script(&["--site", "two words"], DOCUMENTED).start();
    let before = server.wait_for_workers(2);
    let answer = "__main__ serve.py --site two words";
    assert_eq!(server.get("/").text(), answer);
    let config = server.ctl(&["config"]).stdout;
    assert!(config.contains("\nkeepalive = 5  # serve.py:"), "{config}");
    assert!(config.contains("# app is not set"), "{config}");
    let traffic = server.under_load();

    server.write("serve.py", &DOCUMENTED.replace("[__name__,", "[\"new\","));
    server.reload();

    assert_eq!(
        server.get("/").text(),
        answer.replace("__main__", "new"),
        "{}",
        status(&server)
    );
    server.wait_until("every worker is a new one", || {
        let now = server.worker_pids();
        now.len() == 2 && now.is_disjoint(&before)
    });
    assert_eq!(traffic.finish(), [] as [&str; 0]);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_script_with_a_mistake_at_a_reload_leaves_the_service_as_it_is() {
    let server = script(&[], DOCUMENTED).start();
    let before = server.wait_for_workers(2);

    server.write("serve.py", "import nothing_like_it\n");
    server.signal(Signal::SIGHUP);

    server.wait_for_log("serve.py:1: ModuleNotFoundError: No module named 'nothing_like_it'");
    assert_eq!(server.get("/").text(), "__main__ serve.py");
    assert_eq!(server.worker_pids(), before);
}

#[test]
fn a_new_program_takes_over_from_a_script_with_its_arguments() {
    let server = script(&["--site", "a"], DOCUMENTED).start();
    let traffic = server.under_load();

    server.forget_notices();
    server.signal(Signal::SIGUSR2);

    server.wait_for_log("generation 2 serves");
    server.wait_for_reload();
    assert_eq!(server.get("/").text(), "__main__ serve.py --site a");
    server.reload();
    assert_eq!(traffic.finish(), [] as [&str; 0]);
}

/// Hooks by `cfg.set`, an application that only a closure has, and a `with` around `run()`.
const CLOSURE: &str = r#"
import contextlib, os
from rgunicorn.app.base import BaseApplication
from rgunicorn.arbiter import Arbiter

class Custom(BaseApplication):
    def __init__(self, make):
        self.make = make
        super().__init__()

    def load_config(self):
        # Without options.
        pass

    def load(self):
        return self.make()

@contextlib.contextmanager
def shop():
    held = {"open": True}
    try:
        yield held
    finally:
        held["open"] = False

def main():
    calls = []
    with shop() as held:
        def make():
            def app(environ, start_response):
                start_response("200 OK", [])
                return [f"{held} {calls}".encode()]
            return app

        custom = Custom(make)
        custom.cfg.set("workers", 1)
        custom.cfg.set("pre_fork", lambda server, worker: calls.append("pre_fork"))
        custom.cfg.set("post_fork", lambda server, worker: calls.append(
            ("post_fork", server.app is custom, isinstance(server, Arbiter), server.cfg.workers)))
        custom.cfg.set("post_worker_init", lambda worker: calls.append(
            ("init", worker.wsgi is custom.callable)))
        custom.cfg.set("on_exit", lambda server: open("exit", "w").write("1"))
        custom.run()

main()
"#;

#[test]
fn what_a_script_holds_around_run_is_held_in_its_workers_and_its_hooks_are_called() {
    let server = script(&[], CLOSURE).start();

    assert_eq!(
        server.get("/").text(),
        "{'open': True} ['pre_fork', ('post_fork', True, True, 1), ('init', True)]"
    );

    assert_eq!(server.stop(), 0);
    assert_eq!(server.read("exit"), "1");
}

/// As in projects that are written for Gunicorn: nothing of them is changed.
const AIRFLOW: &str = r#"
import gunicorn.app.base
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.message import Request

class Log(Logger):
    pass

class GunicornApplication(gunicorn.app.base.BaseApplication):
    def __init__(self, app, options=None):
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self):
        for key, value in self.options.items():
            self.cfg.set(key.lower(), value)

    def init(self, parser, opts, args):
        pass

    def load(self):
        return self.application

def app(environ, start_response):
    start_response("200 OK", [])
    return [type(gunicorn.app.base.BaseApplication).__name__.encode(), environ["SERVER_SOFTWARE"].encode()]

application = GunicornApplication(app, {"workers": 1, "logger_class": Log, "loglevel": "debug"})
assert isinstance(application.cfg, Config)
Arbiter(application).run()
"#;

#[test]
fn a_script_that_is_written_for_gunicorn_is_served_as_it_is_whether_that_is_installed_or_not() {
    let other = venv().join("bin/python");
    for python in ["python3", other.to_str().unwrap()] {
        let server = Server::typed("--config")
            .argument("script:serve.py")
            .argument("--python")
            .argument(python)
            .file("serve.py", AIRFLOW)
            .start();

        let answer = server.get("/").text();

        assert!(answer.starts_with("typergunicorn/"), "{answer}");
    }
}

#[test]
fn a_script_may_be_a_module_a_folder_or_an_archive_and_stand_in_a_toml_file() {
    let package = |server: Server| {
        let main = DOCUMENTED.replace("import os, sys", "import os, sys\nfrom . import goods");
        server
            .file("shop/__init__.py", "")
            .file("shop/goods.py", "")
            .file("shop/__main__.py", &main)
    };
    let module = package(Server::typed("-m"))
        .argument("shop")
        .argument("one")
        .program("python3")
        .env("PYTHONPATH", &modules());
    let folder = Server::typed("folder")
        .argument("one")
        .file("folder/__main__.py", DOCUMENTED)
        .program("python3")
        .env("PYTHONPATH", &modules());
    let archive = Server::typed("shop.pyz")
        .argument("one")
        .file("archived/__main__.py", DOCUMENTED)
        .program("python3")
        .env("PYTHONPATH", &modules());
    let zipped = Command::new("python3")
        .args(["-m", "zipapp", "-o", &archive.path("shop.pyz")])
        .arg(archive.path("archived"))
        .status();
    assert!(zipped.unwrap().success());
    for server in [module, folder, archive] {
        let server = server.start();
        let answer = server.get("/").text();
        assert!(answer.starts_with("__main__ "), "{answer}");
        assert!(answer.ends_with(" one"), "{answer}");
        server.reload();
        assert_eq!(server.get("/").text(), answer);
    }

    let server = Server::typed("--config=site.toml")
        .file("site.toml", "config = \"script:serve.py\"\nworkers = 1\n")
        .file("serve.py", DOCUMENTED)
        .start();

    assert_eq!(server.get("/").text(), "__main__ serve.py");
    // As it is with a gunicorn.conf.py, the file is stronger.
    server.wait_for_workers(1);
}

/// Gunicorn's flags are those of the script.
const FLAGS: &str = r#"
import os
from rgunicorn.app.base import Application

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"served"]

class Flags(Application):
    def init(self, parser, opts, args):
        assert args == ["extra"], args
        return {"workers": 1, "keepalive": 7, "timeout": 40}

    def load(self):
        return app

Flags("%(prog)s [OPTIONS]").run()
"#;

/// Gunicorn's own application, started by a script.
#[test]
fn wsgi_application_loads_what_is_named_as_the_program_does() {
    const OWN: &str = "
from gunicorn.app.wsgiapp import WSGIApplication
class Own(WSGIApplication):
    def __init__(self, app_uri, options):
        self.app_uri = app_uri
        self.options = options
        super().__init__()
    def load_config(self):
        for key, value in self.options.items():
            self.cfg.set(key, value)
Own('hello:app', {'workers': 1}).run()
";
    const RUN: &str = "
import sys
from gunicorn.app.wsgiapp import run
sys.argv = ['gunicorn', '-w', '1', 'hello:app', '--preload']
sys.exit(run())
";
    const NOTHING: &str = "from gunicorn.app.wsgiapp import run\nrun()\n";
    for text in [OWN, RUN] {
        let server = Server::typed("--config=script:serve.py")
            .file("serve.py", text)
            .start();
        server.wait_for_workers(1);
        assert_eq!(server.get("/").status, 200);
    }

    let ended = Program::rgunicorn(&["--config=script:serve.py"])
        .file("serve.py", NOTHING)
        .run();
    assert_eq!(ended.status, BAD_CONFIG, "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("ConfigError: No application module specified."),
        "{ended:?}"
    );
}

#[test]
fn the_variable_of_gunicorn_is_none_of_a_script_however_that_is_named() {
    let text = DOCUMENTED.replace("import os, sys", "import os, sys; sys.argv = ['serve.py']");
    let named = |variable: &str, words: &[&str]| {
        Program::rgunicorn(words)
            .file("serve.py", &text)
            .file(
                "rgunicorn.toml",
                if words.len() == 1 {
                    "config = \"script:serve.py\"\n"
                } else {
                    ""
                },
            )
            .env("PYTHONPATH", &modules())
            .env(variable, "--backlog 77")
            .run()
    };
    for words in [
        &["--print-config"][..],
        &["--print-config", "-c", "script:serve.py"],
    ] {
        let ignored = named("GUNICORN_CMD_ARGS", words);
        assert_eq!(ignored.status, 0, "{ignored:?}");
        assert!(!ignored.stdout.contains("backlog = 77"), "{ignored:?}");

        let ours = named("RGUNICORN_CMD_ARGS", words);
        assert!(ours.stdout.contains("backlog = 77 "), "{ours:?}");
    }
}

#[test]
fn an_application_takes_the_flags_of_gunicorn_and_its_variables() {
    let server = script(&["-w", "2", "--log-level=debug", "extra"], FLAGS)
        .file("gunicorn.conf.py", "keepalive = 8\nbacklog = 64\n")
        .env("GUNICORN_CMD_ARGS", "-w 3 --backlog 65")
        .start();

    server.wait_for_workers(2);
    let config = server.ctl(&["config"]).stdout;

    for line in [
        "keepalive = 8 ",
        "timeout = 40 ",
        "backlog = 65 ",
        "workers = 2 ",
    ] {
        assert!(config.contains(&format!("\n{line}")), "{line}: {config}");
    }
}

#[test]
fn a_script_may_go_elsewhere_and_change_its_environment() {
    let text = DOCUMENTED
        .replace(
            "import os, sys\n",
            "import os, sys\nos.environ['SHOP'] = os.environ.get('SHOP', '') + 'x'\nos.chdir('inside')\n",
        )
        .replace("[__name__,", "[os.getcwd(), os.environ['SHOP'],");
    let server = script(&["a"], &text).file("inside/x", "").start();
    let inside = server.folder().join("inside").display().to_string();

    // What it left to the master, it finds when it runs again.
    assert_eq!(server.get("/").text(), format!("{inside} xx serve.py a"));
}

#[test]
fn a_script_that_is_started_from_elsewhere_runs_where_it_was_started_whatever_its_arguments() {
    let text = DOCUMENTED
        .replace(
            "        return self.application",
            "        print(os.getcwd())\n        return self.application",
        )
        .replace("options = {", "options = {\"check_config\": True, ");
    for arguments in ["", "serve.py"] {
        let command = format!(
            "mkdir elsewhere; path=$PWD/serve.py; cd elsewhere; exec python3 $path {arguments}"
        );

        let ended = outcome_of("sh", &["-c", &command], &text);

        let printed = ended.stderr.trim_end();
        assert!(printed.ends_with("/elsewhere"), "{arguments}: {ended:?}");
    }
}

#[test]
fn settings_of_rgunicorn_can_be_set_and_flags_are_checked() {
    let with = |key: &str, value: &str| {
        let options = format!("options = {{\"{key}\": {value}}}\n    #");
        DOCUMENTED.replace("options = {\"workers\"", &format!("{options} {{"))
    };
    let printed = outcome(
        &["serve.py"],
        &with("rgunicorn", "{'surge': 3}")
            .replace("\"rgunicorn\":", "\"print_config\": True, \"rgunicorn\":"),
    );
    assert_eq!(printed.status, 0, "{printed:?}");
    assert!(printed.stdout.contains("\nsurge = 3 "), "{printed:?}");

    let converted = Program::rgunicorn(&["--convert", "script:serve.py"])
        .file("serve.py", &with("rgunicorn", "{'surge': 3}"))
        .run();
    assert_eq!(converted.status, 0, "{converted:?}");
    for line in ["\nsurge = 3\n", "\nconfig = \"script:/"] {
        assert!(converted.stdout.contains(line), "{converted:?}");
    }
    assert!(!converted.stdout.contains("app ="), "{converted:?}");

    let checked = outcome(&["serve.py"], &with("check_config", "True"));
    assert_eq!(checked.status, 0, "{checked:?}");
    assert_eq!(
        checked.stdout,
        "configuration and application serve.py are valid\n"
    );

    let line = 1 + DOCUMENTED
        .lines()
        .position(|line| line.contains("cfg.set("))
        .unwrap();
    let refused = outcome(&["serve.py"], &with("workers", "'many'"));
    assert_eq!(refused.status, BAD_CONFIG, "{refused:?}");
    let place = format!("serve.py:{line}: workers: ");
    assert!(refused.stderr.contains(&place), "{refused:?}");

    let refused = outcome(&["serve.py"], &with("post_fork", "lambda server: 0"));
    assert_eq!(refused.status, BAD_CONFIG, "{refused:?}");
    assert!(
        refused.stderr.contains("must take 2 arguments"),
        "{refused:?}"
    );
}

#[test]
fn a_script_that_cannot_be_served_says_why() {
    // The default port may be taken.
    let bind = "options = {\"bind\": \"127.0.0.1:0\", ";
    let load = |body: &str| {
        let text = DOCUMENTED.replace("options = {", bind);
        text.replace("return self.application", body)
    };
    for (text, status, says) in [
        (
            load("raise KeyError('no shop')"),
            FAILED_TO_BOOT,
            "KeyError: 'no shop'",
        ),
        (
            load("return None"),
            NOT_AN_APPLICATION,
            "load() of StandaloneApplication returned None, which is not callable",
        ),
        (
            load("return asynchronous").replace(
                "class Standalone",
                "async def asynchronous(scope, receive, send):\n    pass\n\nclass Standalone",
            ),
            NOT_AN_APPLICATION,
            "what load() of StandaloneApplication returned is an ASGI application",
        ),
    ] {
        let ended = outcome(&["serve.py"], &text);
        assert_eq!(ended.status, status, "{ended:?}");
        assert!(ended.stderr.contains(says), "{ended:?}");
    }

    let unknown = DOCUMENTED.replace(
        "for key, value in config.items():",
        "self.cfg.set('wrokers', 1)\n        for key, value in config.items():",
    );
    let ended = outcome(&["serve.py"], &unknown);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("no configuration setting for: wrokers"),
        "{ended:?}"
    );
}

#[test]
fn a_script_that_never_calls_run_says_so() {
    for (text, says) in [
        (
            "print('hello')\n",
            "the script ended without a call of run()",
        ),
        (
            "import sys\nsys.exit(5)\n",
            "(the script exited before it called run())",
        ),
        (
            "import nothing_like_it\n",
            "serve.py:1: ModuleNotFoundError: ",
        ),
        ("def x(:\n", "serve.py:1: SyntaxError: "),
    ] {
        let ended = Program::rgunicorn(&["-c", "script:serve.py"])
            .file("serve.py", text)
            .run();
        assert_eq!(ended.status, BAD_CONFIG, "{ended:?}");
        assert!(ended.stderr.contains(says), "{ended:?}");
    }
    let ended = Program::rgunicorn(&["-c", "script:nowhere.py"]).run();
    assert_eq!(ended.status, BAD_CONFIG, "{ended:?}");
    assert!(
        ended.stderr.contains("nowhere.py: FileNotFoundError"),
        "{ended:?}"
    );

    let ended = Program::rgunicorn(&["-c", "script:serve.py", "shop:app"])
        .file("serve.py", DOCUMENTED)
        .run();
    assert_eq!(ended.status, USAGE, "{ended:?}");
    assert!(
        ended.stderr.contains("serves an application of its own"),
        "{ended:?}"
    );

    let toml = "config = \"script:serve.py\"\npaste = \"serve.py\"\n";
    let ended = Program::rgunicorn(&["-c", "site.toml"])
        .file("serve.py", DOCUMENTED)
        .file("site.toml", toml)
        .run();
    assert_eq!(ended.status, BAD_CONFIG, "{ended:?}");
    assert!(ended.stderr.contains("site.toml:2:9: paste: "), "{ended:?}");
}

#[test]
fn arguments_of_a_script_that_are_too_long_are_refused() {
    let long = "x".repeat(100_000);
    let ended = outcome(&["serve.py", &long, &long, &long, &long], DOCUMENTED);

    assert_ne!(ended.status, 0);
    assert!(
        ended
            .stderr
            .contains("the arguments of the script take too much room"),
        "{}",
        ended.stderr
    );
}

#[test]
fn run_where_no_server_can_begin_is_refused() {
    let in_process = DOCUMENTED.replace(
        "    StandaloneApplication(handler_app, options).run()",
        "    import multiprocessing\n    serve = StandaloneApplication(handler_app, options).run\n    \
         child = multiprocessing.get_context('fork').Process(target=serve)\n    child.start()\n    \
         child.join()\n    sys.exit(child.exitcode)",
    );
    let in_thread = DOCUMENTED.replace(
        "    StandaloneApplication(handler_app, options).run()",
        "    import threading\n    def serve():\n        try:\n            \
         StandaloneApplication(handler_app, options).run()\n        except SystemExit as error:\n            \
         print(error, file=sys.stderr)\n            os._exit(1)\n    threading.Thread(target=serve).start()",
    );
    for (arguments, text, says) in [
        (
            &["serve.py"][..],
            in_process.as_str(),
            "in a process that the script has forked",
        ),
        (
            &["serve.py"],
            &in_thread,
            "has to be called in the main thread",
        ),
        (
            &[
                "-c",
                "import serve; serve.StandaloneApplication(serve.handler_app).run()",
            ],
            DOCUMENTED,
            "there has to be one, so write this into a file",
        ),
    ] {
        let ended = outcome(arguments, text);
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(ended.stderr.contains(says), "{ended:?}");
    }

    let at_import = DOCUMENTED.replace("if __name__ == \"__main__\":", "if True:");
    let ended = Program::rgunicorn(&["-b", "127.0.0.1:0", "serve:handler_app"])
        .file("serve.py", &at_import)
        .run();
    assert_eq!(ended.status, FAILED_TO_BOOT, "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("or start the script with --config script:"),
        "{ended:?}"
    );
}

#[test]
fn a_script_goes_into_the_background_if_it_says_so() {
    let port = free_port();
    let text = DOCUMENTED.replace(
        "\"workers\": \"2\"",
        &format!(
            "\"workers\": 1, \"bind\": \"127.0.0.1:{port}\", \"daemon\": True, \"pidfile\": \"pid\""
        ),
    );
    let program = Program::new("python3", &["serve.py"]).file("serve.py", &text);
    let mut program = program.env("PYTHONPATH", &modules());
    let ended = program.run();
    assert_eq!(ended.status, 0, "{ended:?}");

    let pid = std::fs::read_to_string(program.folder.join("pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
}

#[test]
fn python_with_the_module_is_the_program() {
    let ended = Program::new("python3", &["-m", "rgunicorn", "--version"])
        .env("PYTHONPATH", &modules())
        .run();

    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.starts_with("rgunicorn "), "{ended:?}");
}
