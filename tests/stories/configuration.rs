//! Settings that cannot be used: one line for each says where it is and what
//! would be right, and the server does not start.

use crate::harness::{Outcome, Program, Server, processes, program::RGUNICORN, sockets::free_port};
use nix::sys::signal::Signal;
use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener},
};

const BAD_USAGE: i32 = 64;
const OS_REFUSES: i32 = 71;
const BAD_CONFIG: i32 = 78;

/// The one line a refusal consists of.
#[track_caller]
fn complaint(outcome: &Outcome, status: i32) -> &str {
    assert_eq!(outcome.status, status, "{outcome:?}");
    assert_eq!(outcome.stdout, "", "{outcome:?}");
    let lines: Vec<&str> = outcome
        .stderr
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    match lines.as_slice() {
        [line] => line,
        _ => panic!("not one line: {outcome:?}"),
    }
}

#[track_caller]
fn assert_names(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
}

/// Starts with this configuration file.
fn started_with(config: &str) -> Outcome {
    Program::rgunicorn(&["--config", "shop.toml"])
        .file("shop.toml", config)
        .run()
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let outcome = started_with("app = \"hello:app\"\nwokers = 2\n");

    assert_names(
        complaint(&outcome, BAD_CONFIG),
        &["shop.toml:2", "wokers", "workers"],
    );
}

#[test]
fn a_bad_value_is_refused_with_what_would_be_good() {
    for (line, words) in [
        ("workers = 0", ["workers", "between 1 and"]),
        ("workers = \"many\"", ["workers", "auto"]),
        ("timeout = -1", ["timeout", "seconds"]),
        ("timeout = \"soon\"", ["timeout", "seconds"]),
        (
            "bind = \"localhost:http:80\"",
            ["bind", "localhost:http:80"],
        ),
        ("loglevel = \"loud\"", ["loglevel", "debug"]),
        ("preload = \"yes\"", ["preload", "true"]),
        ("keepalive = 1.5", ["keepalive", "1.5"]),
    ] {
        let outcome = started_with(&format!("# a comment\napp = \"hello:app\"\n{line}\n"));

        assert_names(complaint(&outcome, BAD_CONFIG), &["shop.toml:3"]);
        assert_names(complaint(&outcome, BAD_CONFIG), &words);
    }
}

#[test]
fn a_worker_class_that_there_is_not_is_refused_with_what_to_do_instead() {
    for (class, words) in [
        ("gevent", ["\"gevent\"", "raise `threads`"]),
        ("eventlet", ["\"eventlet\"", "raise `threads`"]),
        ("tornado", ["\"tornado\"", "\"sync\""]),
        ("uvicorn.workers.UvicornWorker", ["WSGI", "uvicorn"]),
        ("shop.Mine", ["\"shop.Mine\"", "\"auto\""]),
    ] {
        let flag = Program::rgunicorn(&["-k", class, "hello:app"]).run();
        let file = started_with(&format!(
            "app = \"hello:app\"\nworker_class = \"{class}\"\n"
        ));

        assert_names(complaint(&flag, BAD_USAGE), &["--worker-class"]);
        assert_names(complaint(&flag, BAD_USAGE), &words);
        assert_names(
            complaint(&file, BAD_CONFIG),
            &["shop.toml:2", "worker_class"],
        );
        assert_names(complaint(&file, BAD_CONFIG), &words);
    }
}

#[test]
fn the_sync_worker_with_one_thread_is_accepted_as_typed_for_gunicorn() {
    let server = Server::typed("hello:app")
        .argument("-k")
        .argument("sync")
        .argument("--threads")
        .argument("1")
        .binding_a_port()
        .start();

    assert_eq!(server.get("/").status, 200);
}

#[test]
fn what_is_harmless_of_gunicorns_settings_is_accepted_and_said() {
    let server = Server::typed("hello:app")
        .file(
            "more.toml",
            "http_parser = \"fast\"\nstatsd_host = \"\"\nraw_env = [\"A=1\"]\n",
        )
        .env(
            "GUNICORN_CMD_ARGS",
            "-c more.toml --ssl-version 2 --log-file -",
        )
        .argument("--max-requests")
        .argument("0")
        .argument("--log-file=-")
        .argument("--dirty-workers=0")
        .argument("--worker-tmp-dir")
        .argument("/dev/shm")
        .argument("--thread=1")
        .binding_a_port()
        .start();

    assert_eq!(server.get("/").status, 200);
    for line in [
        "http_parser has no effect here (more.toml:1:1): there is one parser",
        "ssl_version has no effect here (--ssl-version in $GUNICORN_CMD_ARGS)",
        "worker_tmp_dir has no effect here (--worker-tmp-dir on the command line): heartbeats are",
    ] {
        server.wait_for_log_count(line, 1);
    }
    assert_eq!(server.log_count("has no effect here"), 3);
    server.reload();
    assert_eq!(server.log_count("has no effect here"), 3);
}

#[test]
fn everything_that_cannot_be_used_of_a_command_line_is_reported_at_once() {
    let words = "--keyfile k --certfile c --dirty-app x:Y -w 0 --protocol uwsgi hello:app";
    let words: Vec<&str> = words.split(' ').collect();

    let outcome = Program::rgunicorn(&words).run();

    assert_eq!(outcome.status, BAD_USAGE, "{outcome:?}");
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 5, "{outcome:?}");
    for name in [
        "--keyfile",
        "--certfile",
        "--dirty-app",
        "--workers",
        "--protocol",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(name)),
            "{name}: {outcome:?}"
        );
    }
    assert!(
        outcome
            .stderr
            .contains("--keyfile is not supported; let a proxy in front terminate TLS")
    );
}

#[test]
fn a_syntax_error_is_refused_at_its_place() {
    let outcome = started_with("app = \"hello:app\"\n\nworkers 4\n");

    assert_names(complaint(&outcome, BAD_CONFIG), &["shop.toml:3"]);
}

#[test]
fn a_file_that_is_missing_is_named() {
    let outcome = Program::rgunicorn(&["--config", "nowhere.toml"]).run();

    assert_names(
        complaint(&outcome, BAD_CONFIG),
        &["nowhere.toml", "No such file"],
    );
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    let program =
        Program::rgunicorn(&["--config", "shop.toml"]).file("shop.toml", "app = \"hello:app\"\n");
    fs::set_permissions(
        program.folder.join("shop.toml"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();

    let outcome = program.unprivileged().run();

    assert_names(
        complaint(&outcome, BAD_CONFIG),
        &["shop.toml", "Permission denied"],
    );
}

#[test]
fn a_missing_application_is_refused_with_how_to_name_it() {
    let outcome = Program::rgunicorn(&[]).run();

    assert_names(complaint(&outcome, BAD_CONFIG), &["app", "module:callable"]);
}

#[test]
fn an_unknown_flag_is_refused() {
    let outcome = Program::rgunicorn(&["--wokers", "2", "hello:app"]).run();

    assert_eq!(outcome.status, BAD_USAGE, "{outcome:?}");
    assert_names(&outcome.stderr, &["--wokers", "--workers"]);
}

#[test]
fn a_bad_value_of_a_flag_is_refused() {
    let outcome = Program::rgunicorn(&["--workers", "many", "hello:app"]).run();

    assert_names(complaint(&outcome, BAD_USAGE), &["--workers", "many"]);
}

#[test]
fn a_port_that_is_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let from_flag = Program::rgunicorn(&["--bind", &address, "hello:app"]).run();
    let from_file = started_with(&format!("app = \"hello:app\"\nbind = \"{address}\"\n"));

    assert_names(
        complaint(&from_flag, OS_REFUSES),
        &["--bind", &address, "in use"],
    );
    assert_names(
        complaint(&from_file, OS_REFUSES),
        &["shop.toml:2", &address, "in use"],
    );
}

#[test]
fn a_unix_socket_in_use_is_not_replaced() {
    let mut program = Program::rgunicorn(&["--bind", "unix:taken.sock", "hello:app"]);
    let _taken = UnixListener::bind(program.folder.join("taken.sock")).unwrap();

    let outcome = program.run();

    assert_names(complaint(&outcome, OS_REFUSES), &["taken.sock", "in use"]);
}

#[test]
fn an_address_that_may_not_be_bound_is_named() {
    let program = Program::rgunicorn(&["--bind", "unix:private/shop.sock", "hello:app"]);
    fs::create_dir(program.folder.join("private")).unwrap();
    fs::set_permissions(
        program.folder.join("private"),
        fs::Permissions::from_mode(0o700),
    )
    .unwrap();

    let outcome = program.unprivileged().run();

    assert_names(
        complaint(&outcome, OS_REFUSES),
        &["private/shop.sock", "Permission denied"],
    );
}

#[test]
fn an_address_of_another_machine_is_named() {
    let outcome = Program::rgunicorn(&["--bind", "192.0.2.1:80", "hello:app"]).run();

    assert_names(complaint(&outcome, OS_REFUSES), &["192.0.2.1:80"]);
}

#[test]
fn an_interpreter_that_does_not_exist_is_named() {
    let port = free_port();
    let outcome = started_with(&format!(
        "app = \"hello:app\"\nbind = \"127.0.0.1:{port}\"\npython = \"/nowhere/bin/python\"\n"
    ));

    assert_names(
        complaint(&outcome, BAD_CONFIG),
        &["shop.toml:3", "/nowhere/bin/python"],
    );
}

#[test]
fn an_interpreter_that_cannot_be_executed_is_named() {
    let port = free_port();
    let outcome = started_with(&format!(
        "app = \"hello:app\"\nbind = \"127.0.0.1:{port}\"\npython = \"/etc/passwd\"\n"
    ));

    assert_names(
        complaint(&outcome, BAD_CONFIG),
        &["shop.toml:3", "/etc/passwd"],
    );
}

#[test]
fn a_directory_that_does_not_exist_is_named() {
    let port = free_port();
    let outcome = started_with(&format!(
        "app = \"hello:app\"\nbind = \"127.0.0.1:{port}\"\nchdir = \"/nowhere\"\n"
    ));

    assert_names(
        complaint(&outcome, BAD_CONFIG),
        &["shop.toml:3", "/nowhere"],
    );
}

#[test]
fn a_directory_that_may_not_be_entered_is_not_blamed_on_the_interpreter() {
    let program = Program::rgunicorn(&["--config", "shop.toml"])
        .file("shop.toml", "app = \"hello:app\"\nchdir = \"private\"\n");
    let private = program.folder.join("private");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();

    let outcome = program.unprivileged().run();

    let line = complaint(&outcome, BAD_CONFIG);
    let directory = format!("{:?}", private.to_str().unwrap());
    assert_names(line, &["shop.toml:2:9: chdir: cannot enter", &directory]);
    assert_names(line, &["Permission denied"]);
    assert!(!line.contains("python"), "{line}");
}

#[test]
fn a_directory_that_was_removed_is_named_when_a_fork_server_is_replaced() {
    let server = Server::running("hello:app")
        .setting("chdir", "site")
        .file(
            "site/hello.py",
            &fs::read_to_string("tests/apps/hello.py").unwrap(),
        )
        .start();
    fs::rename(server.folder().join("site"), server.folder().join("gone")).unwrap();

    for fork_server in server.other_pids() {
        processes::signal(fork_server, Signal::SIGKILL);
    }

    let directory = server.folder().join("site");
    server.wait_for_log(&format!("chdir: cannot enter {directory:?}: No such file"));
    assert_eq!(server.log_count("cannot run"), 0);
}

/// A file with a mistake of every kind in it.
const MISTAKEN: &str = "wokers = 4
workers = 0
bind = [\":80\", \":x\", 7]
chdir = \"/nowhere\"
python = \"/missing/python\"
dirty_apps = { a = \"b\" }

[logconfig_dict]
version = 1

[env]
A = 1
timeout = 60
";

/// Where its mistakes are, and what each is about.
const MISTAKES: &[(&str, &str)] = &[
    ("1:1", "\"wokers\""),
    ("2:11", "workers: must be"),
    ("3:16", "bind: \"x\" is not a port"),
    ("3:22", "bind: must be"),
    ("4:9", "chdir: cannot enter \"/nowhere\": No such file"),
    ("5:10", "python: cannot run \"/missing/python\""),
    ("6:1", "Gunicorn's setting \"dirty_apps\""),
    ("8:2", "Gunicorn's setting \"logconfig_dict\""),
    ("12:5", "env: the value of A must be a string"),
    ("13:1", "env: timeout is a setting"),
];

/// Each mistake has its line, and nothing else has.
#[track_caller]
fn assert_reported(lines: &[&str], prefix: &str) {
    assert_eq!(lines.len(), MISTAKES.len() + 1, "{lines:#?}");
    for ((place, about), line) in MISTAKES.iter().zip(lines) {
        assert!(
            line.starts_with(&format!("{prefix}shop.toml:{place}: ")) && line.contains(about),
            "{place} {about:?}: {line:?}"
        );
    }
    assert_names(lines[MISTAKES.len()], &["no application", "shop.toml"]);
}

#[test]
fn every_mistake_of_a_file_is_reported_at_once() {
    for words in [
        &["--config", "shop.toml"][..],
        &["--config", "shop.toml", "--check-config"],
        &["--config", "shop.toml", "--print-config"],
    ] {
        let outcome = Program::rgunicorn(words).file("shop.toml", MISTAKEN).run();

        assert_eq!(outcome.status, BAD_CONFIG, "{outcome:?}");
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        assert_reported(&lines, "rgunicorn: ");
    }
}

#[test]
fn every_mistake_of_a_file_is_reported_by_a_reload() {
    let server = Server::running("hello:app").start();
    server.write_raw_config(MISTAKEN);

    let outcome = server.ctl(&["reload"]);

    assert_eq!(outcome.status, 1, "{outcome:?}");
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    let lines: Vec<&str> = lines
        .iter()
        .map(|line| line.strip_prefix("rgunicornctl: ").unwrap_or(line))
        .collect();
    assert_reported(&lines, "");
    for (place, _) in MISTAKES {
        let entry = format!("Configuration refused: shop.toml:{place}: ");
        server.wait_until("the mistake is logged", || server.log_count(&entry) == 1);
    }
    server.wait_for_log(
        "generation 1 continues to serve: 11 mistakes in the configuration, see the log; the \
         first: shop.toml:1:1: ",
    );
    let status = server.ctl(&["status"]).stdout;
    assert!(status.contains("shop.toml:1:1"), "{status}");
    assert_eq!(status.lines().count(), 1, "{status}");
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn every_mistake_of_the_command_line_is_reported_at_once() {
    let outcome = Program::rgunicorn(&["-w", "0", "-t", "soon", "hello:app"]).run();

    assert_eq!(outcome.status, BAD_USAGE, "{outcome:?}");
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{outcome:?}");
    assert_names(lines[0], &["rgunicorn: --workers: must be"]);
    assert_names(lines[1], &["rgunicorn: --timeout: must be"]);
}

#[test]
fn a_worker_folder_that_cannot_be_found_is_named() {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");

    let outcome = Program::new(
        RGUNICORN,
        &[
            "--bind",
            &address,
            "--worker-dir",
            "/nowhere/worker",
            "hello:app",
        ],
    )
    .run();

    assert_names(complaint(&outcome, BAD_CONFIG), &["/nowhere/worker"]);
}

#[test]
fn a_good_configuration_passes_the_check() {
    let outcome = Program::rgunicorn(&["--config", "shop.toml", "--check-config"])
        .file("shop.toml", "app = \"hello:app\"\n")
        .run();

    assert_eq!(outcome.status, 0, "{outcome:?}");
}

#[test]
fn a_check_finds_what_is_wrong_with_the_file_and_with_the_application() {
    let check = |config: &str| {
        Program::rgunicorn(&["--config", "shop.toml", "--check-config"])
            .file("shop.toml", config)
            .run()
    };

    let file = check("app = \"hello:app\"\nwokers = 1\n");
    let app = check("app = \"missing:app\"\n");
    let attribute = check("app = \"hello:nothing\"\n");

    assert_names(complaint(&file, BAD_CONFIG), &["shop.toml:2", "workers"]);
    assert_names(complaint(&app, 3), &["missing"]);
    assert_names(complaint(&attribute, 4), &["nothing"]);
}

#[test]
fn a_check_takes_no_socket() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let outcome = Program::rgunicorn(&["--check-config", "--bind", &address, "hello:app"]).run();

    assert_eq!(outcome.status, 0, "{outcome:?}");
}

#[test]
fn a_file_that_is_not_regular_or_too_large_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = std::process::Command::new("mkfifo")
        .arg(path("pipe"))
        .status();
    assert!(made.unwrap().success());
    let huge = std::fs::File::create(path("huge")).unwrap();
    huge.set_len(300 * 1024 * 1024).unwrap();

    for (name, reason) in [
        ("pipe", "not a regular file"),
        ("huge", "larger than 1 MiB"),
        (".", "Is a directory"),
    ] {
        let outcome = Program::rgunicorn(&["--check-config", "-c", &path(name)]).run();

        assert_eq!(outcome.status, 78, "{outcome:?}");
        assert!(outcome.stderr.contains(reason), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
}

#[test]
fn an_account_that_only_root_can_give_is_refused_with_what_to_do() {
    let file = "app = \"hello:app\"\nuser = \"daemon\"\n";
    let outcome = Program::rgunicorn(&["--config", "shop.toml"])
        .file("shop.toml", file)
        .unprivileged()
        .run();
    assert_names(
        complaint(&outcome, BAD_CONFIG),
        &[
            "shop.toml:2:8: user: ",
            "\"daemon\"",
            "start rgunicorn as root",
        ],
    );

    // It only has to be looked at in the account that it is for.
    let outcome = Program::rgunicorn(&["--config", "shop.toml", "--print-config"])
        .file("shop.toml", file)
        .unprivileged()
        .run();
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(
        outcome
            .stdout
            .contains("user = \"daemon\"  # shop.toml:2:8")
    );
}

#[test]
fn settings_of_units_that_were_not_made_of_them_are_named() {
    let id = i64::from(rustix::process::getuid().as_raw());
    let server = Server::running("hello:app")
        .setting("user", id)
        .setting("memory_max", "1G")
        .start();

    server.wait_for_log("Without effect as configured: memory_max; run `systemctl daemon-reload`");
}
