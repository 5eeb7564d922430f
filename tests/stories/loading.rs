//! How an application is found and loaded, and what happens when it is not.

use crate::harness::{Outcome, Program, Running, Server, processes, sockets::free_port};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const BOOT_FAILED: i32 = 3;
const NO_SUCH_APP: i32 = 4;

/// Runs a server for `app` with this `shop.py` and expects it to give up.
fn broken(app: &str, code: &str, arguments: &[&str]) -> Outcome {
    let address = format!("127.0.0.1:{}", free_port());
    let words = [&["--bind", &address, "--workers", "2"], arguments, &[app]].concat();
    Program::rgunicorn(&words).file("shop.py", code).run()
}

/// Expects the status, and one traceback in the log, or none where no code of
/// the application was run.
#[track_caller]
fn assert_gives_up(app: &str, code: &str, status: i32, tracebacks: usize, says: &str) {
    for arguments in [&[] as &[&str], &["--preload"]] {
        let outcome = broken(app, code, arguments);

        assert_eq!(outcome.status, status, "{arguments:?}: {outcome:?}");
        assert!(outcome.stderr.contains(says), "{arguments:?}: {outcome:?}");
        let found = outcome
            .stderr
            .matches("Traceback (most recent call last)")
            .count();
        assert_eq!(found, tracebacks, "{arguments:?}: {outcome:?}");
    }
}

#[test]
fn a_syntax_error_stops_the_start_with_its_place() {
    assert_gives_up(
        "shop:app",
        "def app(:\n    pass\n",
        BOOT_FAILED,
        0,
        "shop.py\", line 1",
    );
}

#[test]
fn a_module_that_raises_stops_the_start_with_its_traceback() {
    let code = "def deep():\n    raise ValueError('no goods today')\ndeep()\n";

    assert_gives_up(
        "shop:app",
        code,
        BOOT_FAILED,
        1,
        "ValueError: no goods today",
    );
}

#[test]
fn the_traceback_of_a_module_begins_in_the_module() {
    let outcome = broken("shop:app", "raise ValueError('no goods today')\n", &[]);

    let log = &outcome.stderr;
    let start = log.find("Traceback").unwrap();
    let first_frame = log[start..].lines().nth(1).unwrap();
    assert!(first_frame.contains("shop.py"), "{log}");
}

#[test]
fn a_module_that_is_missing_stops_the_start() {
    assert_gives_up("missing_shop:app", "", BOOT_FAILED, 0, "missing_shop");
}

/// Most often it is there, but for another interpreter.
#[test]
fn a_module_that_is_missing_is_reported_with_the_interpreter_and_where_it_looked() {
    for (app, code) in [
        ("missing_shop:app", ""),
        ("missing_shop.inner:app", ""),
        ("shop:app", "import missing_shop\n"),
    ] {
        for arguments in [
            &["--pythonpath", "/usr/share"] as &[&str],
            &["--pythonpath", "/usr/share", "--preload"],
            &["--pythonpath", "/usr/share", "--check-config"],
        ] {
            let outcome = broken(app, code, arguments);

            assert_eq!(outcome.status, BOOT_FAILED, "{outcome:?}");
            let log = &outcome.stderr;
            assert_eq!(
                log.matches("No module named 'missing_shop'").count(),
                1,
                "{log}"
            );
            let line = log.lines().find(|line| line.contains("No module named"));
            let line = line.unwrap();
            for word in ["python3 searched /", ", /usr/share", "standard library"] {
                assert!(line.contains(word), "{word}: {line}");
            }
        }
    }
}

#[test]
fn an_asgi_application_is_refused_when_it_is_loaded() {
    for name in [
        "coroutine",
        "two_arguments",
        "generator",
        "instance",
        "method",
        "partial",
        "Framework",
        "middleware",
        "make()",
    ] {
        let app = format!("asynchronous:{name}");
        for arguments in [&[] as &[&str], &["--check-config"]] {
            let outcome = broken(&app, "", arguments);

            assert_eq!(outcome.status, NO_SUCH_APP, "{app}: {outcome:?}");
            let last = outcome.stderr.lines().last().unwrap();
            for word in [&app, "is an ASGI application", "only WSGI", "uvicorn"] {
                assert!(last.contains(word), "{app}: {outcome:?}");
            }
        }
    }
}

#[test]
fn an_asynchronous_factory_is_refused() {
    let outcome = broken("asynchronous:make_later()", "", &["--check-config"]);

    assert_eq!(outcome.status, NO_SUCH_APP, "{outcome:?}");
    assert!(outcome.stderr.contains("async function"), "{outcome:?}");
    assert!(!outcome.stderr.contains("never awaited"), "{outcome:?}");
}

#[test]
fn a_wsgi_application_that_looks_like_an_asgi_one_is_served() {
    for name in ["decorated", "Iterable", "both", "proxy", "optional"] {
        let server = Server::running(&format!("asynchronous:{name}")).start();

        assert_eq!(server.get("/").text(), "WSGI", "{name}");
    }
}

#[test]
fn a_module_that_imports_something_missing_stops_the_start() {
    assert_gives_up(
        "shop:app",
        "import missing_warehouse\n",
        BOOT_FAILED,
        1,
        "missing_warehouse",
    );
}

#[test]
fn a_module_that_exits_stops_the_start() {
    assert_gives_up(
        "shop:app",
        "import sys\nsys.exit('closed for today')\n",
        BOOT_FAILED,
        1,
        "closed for today",
    );
}

#[test]
fn a_module_that_dies_stops_the_start() {
    for arguments in [&[] as &[&str], &["--preload"]] {
        let outcome = broken("shop:app", "import os\nos.abort()\n", arguments);

        assert_ne!(outcome.status, 0, "{outcome:?}");
        assert!(
            outcome.stderr.contains("SIGABRT") || outcome.stderr.contains("signal 6"),
            "{outcome:?}"
        );
    }
}

/// The log lines that begin with a time.
fn records(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.starts_with("[2")).collect()
}

#[test]
fn a_broken_application_is_one_record_and_its_summary_is_said_once() {
    for (app, code, summary) in [
        ("missing_shop:app", "", "No module named 'missing_shop'"),
        ("shop:app", "def app(:\n    pass\n", "SyntaxError: "),
        (
            "shop:app",
            "raise ValueError(f\"no {'goods'} today\")\n",
            "ValueError: no goods today",
        ),
        ("hello:missing_app", "", "missing_app"),
    ] {
        let outcome = broken(app, code, &[]);

        let log = &outcome.stderr;
        assert_eq!(log.matches(summary).count(), 1, "{log}");
        match records(log).as_slice() {
            [started, listening, failed] => {
                assert!(started.contains("started"), "{log}");
                assert!(listening.contains("Listening on"), "{log}");
                assert!(failed.contains(summary), "{log}");
            }
            _ => panic!("{log}"),
        }
    }
}

#[test]
fn an_attribute_that_is_missing_stops_the_start() {
    assert_gives_up("hello:missing_app", "", NO_SUCH_APP, 0, "missing_app");
}

#[test]
fn an_attribute_that_cannot_be_called_stops_the_start() {
    assert_gives_up("hello:NOT_CALLABLE", "", NO_SUCH_APP, 0, "NOT_CALLABLE");
}

#[test]
fn a_factory_called_in_the_wrong_way_stops_the_start() {
    assert_gives_up("factory:make(1, 2, 3, 4, 5)", "", NO_SUCH_APP, 0, "make");
    assert_gives_up("factory:make(unknown=1)", "", NO_SUCH_APP, 0, "unknown");
}

#[test]
fn a_factory_that_makes_nothing_stops_the_start() {
    assert_gives_up("factory:make_nothing()", "", NO_SUCH_APP, 0, "make_nothing");
}

#[test]
fn a_factory_that_raises_stops_the_start_with_its_traceback() {
    assert_gives_up(
        "factory:make_trouble()",
        "",
        BOOT_FAILED,
        1,
        "RuntimeError: the factory had trouble",
    );
}

#[test]
fn a_name_that_python_cannot_import_is_refused() {
    for app in [
        "hello:",
        ":app",
        "hello:app:more",
        "hello world:app",
        "hello:app(",
        "hello:app(open('x'))",
        "hello.py",
    ] {
        let outcome = broken(app, "", &[]);

        assert_ne!(outcome.status, 0, "{app}");
        assert!(!outcome.stderr.contains("Traceback"), "{app}: {outcome:?}");
    }
}

#[test]
fn a_broken_application_is_tried_once() {
    let code = "open('attempts', 'a').write('x')\nraise ValueError('no goods today')\n";
    let server = Server::running("shop:app")
        .workers(1)
        .file("shop.py", code)
        .launch();

    assert_eq!(server.wait_for_exit(), BOOT_FAILED);

    assert_eq!(server.read("attempts"), "x");
    assert!(!server.notices().contains(&"READY=1".to_owned()));
}

#[test]
fn the_application_is_what_its_name_says() {
    for (app, body) in [
        ("hello", "Hello, world!\n"),
        ("hello:app", "Hello, world!\n"),
        ("hello:application", "Hello, world!\n"),
        ("factory:make()", "Hello!"),
        ("factory:make(\"Goodbye\")", "Goodbye!"),
        ("factory:make('Hi', punctuation='?', times=2)", "Hi?Hi?"),
        ("factory:instance", "called"),
        ("package.module:app", "Hello, world!\n"),
    ] {
        let server = Server::running(app)
            .file("package/__init__.py", "")
            .file("package/module.py", "from hello import app\n")
            .start();

        assert_eq!(server.get("/").text(), body, "{app}");
    }
}

fn state(server: &Running) -> Value {
    server.get("/").json()
}

#[test]
fn modules_come_from_the_directory_and_the_python_path() {
    let server = Server::running("market:app")
        .setting("chdir", "inner")
        .setting(
            "pythonpath",
            toml::Value::Array(vec!["../library".into(), "..".into()]),
        )
        .file("inner/market.py", "import goods\nfrom state import app\n")
        .file("library/market.py", "raise ImportError('not this one')\n")
        .file("library/goods.py", "")
        .start();

    let state = state(&server);

    assert_eq!(
        state["cwd"],
        server.folder().join("inner").to_str().unwrap()
    );
}

#[test]
fn variables_reach_the_application() {
    let server = Server::running("state:app")
        .env("COLOUR", "blue")
        .env("SIZE", "big")
        .setting(
            "env",
            toml::Table::from_iter([("COLOUR".to_owned(), toml::Value::from("green"))]),
        )
        .start();

    let environ = &state(&server)["environ"];

    assert_eq!(environ["COLOUR"], "green");
    assert_eq!(environ["SIZE"], "big");
}

#[test]
fn variables_are_there_when_the_interpreter_starts() {
    let server = Server::running("shop:app")
        .setting(
            "env",
            toml::Table::from_iter([("PYTHONHASHSEED".to_owned(), toml::Value::from("0"))]),
        )
        .file(
            "shop.py",
            "import sys\nassert sys.flags.hash_randomization == 0\nfrom hello import app\n",
        )
        .start();

    assert_eq!(server.get("/").status, 200);
}

#[test]
fn the_server_leaves_no_traces_in_the_applications_interpreter() {
    let server = Server::running("state:app").workers(1).start();

    let state = state(&server);

    let own = |entry: &&Value| {
        entry.as_str().unwrap().contains("rgunicorn")
            && !entry.as_str().unwrap().starts_with("/tmp")
    };
    assert_eq!(
        state["path"]
            .as_array()
            .unwrap()
            .iter()
            .filter(own)
            .collect::<Vec<_>>(),
        [] as [&Value; 0]
    );
    assert_eq!(state["threads"], 1);
    for module in [
        "threading.local",
        "logging",
        "socket",
        "asyncio",
        "multiprocessing",
        "subprocess",
    ] {
        assert!(
            !state["modules"]
                .as_array()
                .unwrap()
                .contains(&json!(module)),
            "{module} is loaded"
        );
    }
}

#[test]
fn the_application_may_ask_what_serves_it() {
    let server = Server::running("shop:app")
        .file(
            "shop.py",
            "import rgunicorn\nassert rgunicorn.__version__\nfrom hello import app\n",
        )
        .start();

    assert_eq!(server.get("/").status, 200);
}

#[test]
fn without_preload_each_worker_imports_for_itself() {
    let server = Server::running("state:app").workers(2).start();
    server.wait_for_workers(2);

    for _ in 0..10 {
        let state = state(&server);
        assert_eq!(state["imported_by"], state["pid"]);
    }
}

#[test]
fn with_preload_the_workers_share_one_import() {
    let server = Server::running("shop:app")
        .workers(2)
        .setting("preload", true)
        .file(
            "shop.py",
            "open('imports', 'a').write('x')\nfrom state import app\n",
        )
        .start();
    let workers = server.wait_for_workers(2);

    let importers: Vec<_> = (0..10)
        .map(|_| state(&server)["imported_by"].as_i64().unwrap())
        .collect();

    assert_eq!(server.read("imports"), "x");
    assert!(importers.iter().all(|importer| *importer == importers[0]));
    assert!(!workers.contains(&i32::try_from(importers[0]).unwrap()));
}

#[test]
fn with_preload_what_was_imported_is_frozen() {
    let server = Server::running("shop:app")
        .setting("preload", true)
        .file(
            "shop.py",
            "import gc\ndef app(environ, start_response):\n    \
             start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
             return [str(gc.get_freeze_count()).encode()]\n",
        )
        .start();

    assert!(server.get("/").text().parse::<u32>().unwrap() > 1000);
}

#[test]
fn workers_of_one_preload_draw_different_random_numbers() {
    let server = Server::running("shop:app")
        .workers(2)
        .setting("preload", true)
        .file(
            "shop.py",
            "import os, random\nrandom.seed(1)\ndef app(environ, start_response):\n    \
             start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
             return [b'%d %s' % (os.getpid(), random.random().hex().encode())]\n",
        )
        .start();
    server.wait_for_workers(2);

    let mut first_draws = std::collections::BTreeMap::new();
    server.wait_until("both workers have answered", || {
        let answers: Vec<_> = (0..8).map(|_| server.get_in_background("/")).collect();
        for answer in answers {
            let text = answer.join().unwrap().unwrap().text();
            let (pid, draw) = text.split_once(' ').unwrap();
            first_draws.entry(pid.to_owned()).or_insert(draw.to_owned());
        }
        first_draws.len() == 2
    });

    let draws: Vec<_> = first_draws.values().collect();
    assert_ne!(draws[0], draws[1]);
}

#[test]
fn a_thread_of_the_application_runs_while_its_worker_waits() {
    let server = Server::running("shop:app")
        .file(
            "shop.py",
            "import threading, time\ndef tick():\n    while True:\n        open('ticks', 'a').write('x')\n        \
             time.sleep(0.01)\nthreading.Thread(target=tick, daemon=True).start()\nfrom hello import app\n",
        )
        .start();
    server.get("/");

    let before = server.read("ticks").len();

    server.wait_until("the thread ticks on", || {
        server.read("ticks").len() > before + 20
    });
}

#[test]
fn an_exit_handler_of_the_application_runs_when_its_worker_leaves() {
    let server = Server::running("shop:app")
        .file("shop.py", "import atexit\natexit.register(lambda: open('left', 'a').write('x'))\nfrom hello import app\n")
        .start();
    server.get("/");

    server.stop();

    assert_eq!(server.read("left"), "x");
}

/// Pauses a new worker between its fork and the installation of its signal
/// handlers, once the file `pause` is there: that imports `_signal`.
const SLOW_TO_HANDLE_SIGNALS: &str = "import builtins, os, time\nimport slow\n\
    server, original = os.getpid(), builtins.__import__\n\
    def importing(name, *rest, **more):\n    \
    if name == '_signal' and os.getpid() != server and os.path.exists('pause'):\n        \
    os.unlink('pause')\n        slow.mark('paused')\n        \
    while not os.path.exists('go'):\n            time.sleep(0.01)\n    \
    return original(name, *rest, **more)\n\
    builtins.__import__ = importing\n\
    from hello import app\n";

#[test]
fn a_signal_that_comes_before_a_worker_can_handle_it_is_not_lost() {
    for signal in [Signal::SIGQUIT, Signal::SIGINT, Signal::SIGTERM] {
        let server = Server::running("shop:app")
            .workers(1)
            .setting("preload", true)
            .file("shop.py", SLOW_TO_HANDLE_SIGNALS)
            .start();
        server.write("pause", "");
        server.signal(Signal::SIGTTIN);
        server.wait_until("a new worker pauses", || !server.read("paused").is_empty());
        let worker = server.read("paused").trim().parse().unwrap();

        processes::signal(worker, signal);
        assert!(processes::runs(worker), "{signal}");
        server.write("go", "");

        server.wait_until("it leaves", || !processes::runs(worker));
        server.wait_for_workers(2);
        for word in ["SIG", "kill"] {
            assert!(
                !server.stderr().contains(&format!("died: {word}")),
                "{}",
                server.stderr()
            );
        }
    }
}

#[test]
fn a_signal_does_not_disturb_a_worker_that_is_leaving() {
    let server = Server::running("shop:app")
        .workers(1)
        .file(
            "shop.py",
            "import atexit, slow\natexit.register(slow.app, {'PATH_INFO': '/until/go'}, print)\n\
             from hello import app\n",
        )
        .start();
    let worker = *server.worker_pids().first().unwrap();
    processes::signal(worker, Signal::SIGTERM);
    server.wait_until("it leaves", || !server.read("go.started").is_empty());

    processes::signal(worker, Signal::SIGQUIT);
    server.write("go", "");

    server.wait_until("it is gone", || !processes::runs(worker));
    assert!(!server.read("go.ended").is_empty());
    assert_eq!(server.log_count("SystemExit"), 0, "{}", server.stderr());
}

/// `except:` catches the `SystemExit` by which a signal ends Python code.
#[test]
fn a_worker_told_to_quit_leaves_although_the_application_catches_it_while_it_loads() {
    let server = Server::running("shop:app")
        .workers(1)
        .file(
            "shop.py",
            "import os, time\nimport slow\n\
             if os.path.exists('pause'):\n    os.unlink('pause')\n    \
             try:\n        slow.mark('paused')\n        time.sleep(600)\n    \
             except BaseException:\n        pass\n\
             from hello import app\n",
        )
        .start();
    server.write("pause", "");
    server.signal(Signal::SIGTTIN);
    server.wait_until("a new worker loads", || !server.read("paused").is_empty());
    let worker = server.read("paused").trim().parse().unwrap();

    processes::signal(worker, Signal::SIGQUIT);

    server.wait_until("it leaves", || !processes::runs(worker));
}

#[test]
fn an_error_of_any_length_is_reported_with_both_its_ends() {
    for piece in ["x\\n", "\\x01"] {
        for arguments in [&[] as &[&str], &["--preload"]] {
            let code =
                format!("raise ValueError('the start ' + '{piece}' * 200_000 + ' the end')\n");

            let outcome = broken("shop:app", &code, arguments);

            assert_eq!(outcome.status, BOOT_FAILED);
            for text in ["shop.py\", line 1", "the start", "the end"] {
                assert!(
                    outcome.stderr.contains(text),
                    "{text} is not in {} bytes",
                    outcome.stderr.len()
                );
            }
        }
    }
}
