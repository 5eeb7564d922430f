//! Settings that are nearly too long, and that are.

use crate::harness::{Program, Server};

const BAD_CONFIG: i32 = 78;

/// Tells how long the variable `LONG` is.
const APP: &str = "\
import os
def app(environ, start_response):
    start_response('200 OK', [])
    return [str(len(os.environ['LONG'])).encode()]
";

/// `NAME=VALUE` and its NUL byte have 128 KiB.
const LONGEST: usize = 128 * 1024 - "LONG=\0".len();

fn hooks(length: usize) -> String {
    format!(
        "raw_env = ['LONG=' + {length} * 'x']\n\
         def post_fork(server, worker):\n    \
             worker.log.info('cfg has %d', len(worker.cfg.env['LONG']))\n"
    )
}

#[test]
fn a_variable_as_long_as_linux_allows_reaches_the_application_and_the_hooks() {
    let file = Server::running("long:app")
        .file("long.py", APP)
        .setting(
            "env",
            toml::Table::from_iter([("LONG".to_owned(), "x".repeat(LONGEST).into())]),
        )
        .start();
    let in_python = |conf: &str| {
        Server::running("long:app")
            .file("long.py", APP)
            .setting("config", "gunicorn.conf.py")
            .file("gunicorn.conf.py", conf)
            .start()
    };
    let python = in_python(&hooks(LONGEST));
    // Both are given the settings.
    let with_logging = in_python(&format!(
        "logconfig_dict = {{'version': 1}}\n{}",
        hooks(LONGEST)
    ));

    for server in [&file, &python, &with_logging] {
        assert_eq!(server.get("/").text(), LONGEST.to_string());
        server.reload();
        assert_eq!(server.get("/").text(), LONGEST.to_string());
    }
    assert_eq!(python.log_count(&format!("cfg has {LONGEST}")), 2);
}

#[test]
fn a_variable_that_is_longer_is_refused_with_its_place() {
    let toml = format!(
        "app = \"a:b\"\n[env]\nLONG = \"{}\"\n",
        "x".repeat(LONGEST + 1)
    );
    let says = "env: the variable LONG is too long: Linux passes at most 128 KiB; put the value";
    for (name, text, place) in [
        ("shop.toml", toml, "shop.toml:3:1: "),
        ("shop.py", hooks(LONGEST + 1), "shop.py:1: "),
    ] {
        let outcome = Program::rgunicorn(&["-c", name, "a:b"])
            .file(name, &text)
            .run();

        assert_eq!(outcome.status, BAD_CONFIG, "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains(&format!("{place}{says}")),
            "{}",
            outcome.stderr
        );
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
}

#[test]
fn variables_that_are_too_long_together_are_refused_also_by_a_reload() {
    let conf = "raw_env = [f'LONG{number}=' + number * 30000 * 'x' for number in range(1, 4)]\n";
    let says = "gunicorn.conf.py:1: env: the variables have 175 KiB together";
    let outcome = Program::rgunicorn(&["hello:app"])
        .file("gunicorn.conf.py", conf)
        .run();
    assert_eq!(outcome.status, BAD_CONFIG, "{}", outcome.stderr);
    assert!(outcome.stderr.contains(says), "{}", outcome.stderr);

    let server = Server::running("hello:app")
        .setting("config", "gunicorn.conf.py")
        .file("gunicorn.conf.py", "")
        .start();
    let before = server.worker_pids();
    server.write("gunicorn.conf.py", conf);
    server.reload();

    server.wait_for_log(says);
    assert_eq!(server.worker_pids(), before);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn values_that_python_cannot_send_are_refused() {
    let outcome = Program::rgunicorn(&["hello:app"])
        .file("gunicorn.conf.py", "proc_name = 400000 * 'x'\n")
        .run();

    assert_eq!(outcome.status, BAD_CONFIG, "{}", outcome.stderr);
    let says = "the values of its settings take more than 320 KiB";
    assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
}
