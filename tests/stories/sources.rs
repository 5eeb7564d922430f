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
