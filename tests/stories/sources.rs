//! Where settings come from: the environment, a file, the command line; and
//! which of them wins.

use crate::harness::{Outcome, Program, Running, Server, sockets::free_port};
use std::net::TcpListener;

#[test]
fn the_printed_configuration_can_be_read_again() {
    let config = "app = \"hello:app\"\nworkers = 3\nbind = [\"127.0.0.1:8001\", \"unix:shop.sock\"]\n\
                  keepalive = 7\npreload = true\npythonpath = [\"lib\"]\n[env]\nCOLOUR = \"blue\"\n";
    let mut program =
        Program::rgunicorn(&["--config", "shop.toml", "--print-config"]).file("shop.toml", config);

    let printed = program.run();
    program.folder.write("shop.toml", &printed.stdout);
    let again = program.run();

    assert_eq!(
        (printed.status, again.status),
        (0, 0),
        "{printed:?} {again:?}"
    );
    let values = |outcome: &Outcome| outcome.stdout.parse::<toml::Table>().unwrap();
    assert_eq!(values(&printed), values(&again));
    assert_eq!(values(&printed)["workers"], 3.into());
    assert_eq!(values(&printed)["env"]["COLOUR"], "blue".into());
    assert_eq!(values(&printed)["timeout"], 30.into());
}

#[test]
fn the_command_line_is_stronger_than_the_file() {
    let outcome = Program::rgunicorn(&[
        "--config",
        "shop.toml",
        "-w",
        "3",
        "-b",
        ":8002",
        "-t",
        "9",
        "-e",
        "COLOUR=green",
        "-n",
        "market",
        "--keep-alive",
        "11",
        "--graceful-timeout",
        "12",
        "--log-level",
        "debug",
        "--backlog",
        "13",
        "--print-config",
        "other:app",
    ])
    .file(
        "shop.toml",
        "app = \"hello:app\"\nworkers = 2\ntimeout = 5\n[env]\nCOLOUR = \"blue\"\nSIZE = \"big\"\n",
    )
    .file("other.py", "from hello import app\n")
    .run();

    assert_eq!(outcome.status, 0, "{outcome:?}");
    let values: toml::Table = outcome.stdout.parse().unwrap();
    for (key, value) in [
        ("workers", toml::Value::Integer(3)),
        ("timeout", 9.into()),
        ("keepalive", 11.into()),
        ("graceful_timeout", 12.into()),
        ("backlog", 13.into()),
        ("app", "other:app".into()),
        ("loglevel", "debug".into()),
        ("proc_name", "market".into()),
    ] {
        assert_eq!(values[key], value, "{key}");
    }
    assert_eq!(values["env"]["COLOUR"], "green".into());
    assert_eq!(values["env"]["SIZE"], "big".into());
}

#[test]
fn a_file_in_the_current_directory_is_read_without_being_named() {
    let outcome = Program::rgunicorn(&["--print-config"])
        .file("rgunicorn.toml", "app = \"hello:app\"\nworkers = 5\n")
        .run();

    assert_eq!(
        outcome.stdout.parse::<toml::Table>().unwrap()["workers"],
        5.into(),
        "{outcome:?}"
    );
}

#[test]
fn sockets_from_systemd_override_bind() {
    let port = free_port();

    let server = Server::running("hello:app")
        .setting("bind", format!("127.0.0.1:{port}"))
        .start();

    assert_eq!(server.get("/").status, 200);
    assert!(
        TcpListener::bind(("127.0.0.1", port)).is_ok(),
        "the file's address was bound too"
    );
}

/// The scheme that the application sees when its proxy, here 127.0.0.1, says https.
#[track_caller]
fn scheme(server: &Running) -> String {
    let environ = server
        .request("GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n")
        .json();
    environ["wsgi.url_scheme"].as_str().unwrap().to_owned()
}

#[test]
fn the_environment_says_whose_forwarding_headers_are_believed_as_for_gunicorn() {
    let server = |value: &str| Server::running("environment:app").env("FORWARDED_ALLOW_IPS", value);

    for (value, scheme_seen) in [
        ("192.0.2.1", "http"),
        ("192.0.2.1, 127.0.0.0/8", "https"),
        ("*", "https"),
        ("", "http"),
    ] {
        assert_eq!(scheme(&server(value).start()), scheme_seen, "{value:?}");
    }
    let file = server("*").setting("forwarded_allow_ips", "192.0.2.1");
    assert_eq!(scheme(&file.start()), "http");
    let flag = server("192.0.2.1")
        .argument("--forwarded-allow-ips")
        .argument("127.0.0.1");
    assert_eq!(scheme(&flag.start()), "https");
}

#[test]
fn flags_in_variables_are_stronger_than_the_file_and_weaker_than_the_command_line() {
    let server = Server::typed("environment:app")
        .binding_a_port()
        .file(
            "more.toml",
            "workers = 3\nkeepalive = 3\ntimeout = 3\nbacklog = 3\n",
        )
        .env("WEB_CONCURRENCY", "9")
        .env(
            "GUNICORN_CMD_ARGS",
            "-c more.toml --keep-alive 4 --timeout 4 --backlog 4",
        )
        .env(
            "RGUNICORN_CMD_ARGS",
            "--timeout=5 --backlog=5 --env 'COLOUR=light blue'",
        )
        .argument("--backlog=6")
        .start();

    server.wait_for_workers(3);
    let printed = server.ctl(&["config"]).stdout;
    for line in [
        "workers = 3  # more.toml:1:11",
        "keepalive = 4  # --keep-alive in $GUNICORN_CMD_ARGS",
        "timeout = 5  # --timeout in $RGUNICORN_CMD_ARGS",
        "backlog = 6  # --backlog on the command line",
        "env = { COLOUR = \"light blue\" }  # --env in $RGUNICORN_CMD_ARGS",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    server.reload();
    assert_eq!(server.ctl(&["config"]).stdout, printed);
}

#[test]
fn the_number_of_workers_can_come_from_the_platform() {
    let server = Server::running("hello:app").env("WEB_CONCURRENCY", "2");

    server.start().wait_for_workers(2);

    let file = Server::running("hello:app")
        .workers(1)
        .env("WEB_CONCURRENCY", "2")
        .start();
    assert_eq!(file.worker_pids().len(), 1);
}

#[test]
fn mistakes_in_a_variable_with_flags_are_reported_with_those_of_the_file() {
    let outcome = Program::rgunicorn(&["--config", "shop.toml"])
        .file("shop.toml", "app = \"hello:app\"\nwokers = 2\n")
        .env("GUNICORN_CMD_ARGS", "--timeout soon --workers 0")
        .run();

    assert_eq!(outcome.status, 78, "{outcome:?}");
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    for (line, begin) in lines.iter().zip([
        "rgunicorn: shop.toml:2:1: unknown setting",
        "rgunicorn: $GUNICORN_CMD_ARGS: --workers: must be",
        "rgunicorn: $GUNICORN_CMD_ARGS: --timeout: must be",
    ]) {
        assert!(line.starts_with(begin), "{outcome:?}");
    }
    assert_eq!(lines.len(), 3, "{outcome:?}");
}

#[test]
fn a_variable_that_cannot_be_used_is_named() {
    let run = |value: &str, words: &[&str]| {
        Program::rgunicorn(words)
            .env("FORWARDED_ALLOW_IPS", value)
            .run()
    };

    let printed = run("10.0.0.0/8,::1", &["--print-config", "hello:app"]);
    let refused = run("10.0.0.0/8,proxy", &["--check-config", "hello:app"]);

    assert!(
        printed.stdout.contains(
            "\nforwarded_allow_ips = [\"10.0.0.0/8\", \"::1\"]  # $FORWARDED_ALLOW_IPS\n"
        ),
        "{printed:?}"
    );
    assert_eq!(refused.status, 78, "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    for word in [
        "forwarded_allow_ips (from $FORWARDED_ALLOW_IPS)",
        "\"proxy\"",
    ] {
        assert!(refused.stderr.contains(word), "{refused:?}");
    }
}
