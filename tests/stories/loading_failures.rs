//! Applications that cannot be loaded: the start ends with a status and one record
//! that says why.

use crate::harness::{Outcome, Program, Server, sockets::free_port};

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
