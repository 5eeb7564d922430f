//! The command lines: help, version, and `rgunicornctl`.

use super::shop::shop;
use crate::harness::{Program, Running, Server, files::Folder, program::RGUNICORNCTL};

#[test]
fn help_names_the_flags_that_gunicorn_users_know() {
    let outcome = Program::rgunicorn(&["--help"]).run();

    assert_eq!(outcome.status, 0, "{outcome:?}");
    for word in [
        "-c",
        "--config",
        "-b",
        "--bind",
        "-w",
        "--workers",
        "-k",
        "--worker-class",
        "--threads",
        "-t",
        "--timeout",
        "--graceful-timeout",
        "--keep-alive",
        "--backlog",
        "--log-level",
        "-n",
        "--name",
        "--chdir",
        "--pythonpath",
        "-e",
        "--env",
        "--preload",
        "--python",
        "--check-config",
        "--print-config",
    ] {
        assert!(
            outcome.stdout.contains(word),
            "{word} is not in\n{}",
            outcome.stdout
        );
    }
}

#[test]
fn both_programs_print_their_version() {
    for path in [crate::harness::program::RGUNICORN, RGUNICORNCTL] {
        let outcome = Program::new(path, &["--version"]).run();

        assert_eq!(outcome.status, 0, "{outcome:?}");
        assert!(
            outcome.stdout.contains(env!("CARGO_PKG_VERSION")),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_reload_command_returns_when_the_new_code_serves() {
    let server = Server::running("shop:app")
        .workers(2)
        .file("shop.py", &shop("old"))
        .start();
    assert_eq!(server.get("/").text(), "old");
    server.write("shop.py", &shop("new"));

    let outcome = server.ctl(&["reload"]);

    assert_eq!(outcome.status, 0, "{outcome:?}");
    for _ in 0..20 {
        assert_eq!(server.get("/").text(), "new");
    }
}

#[test]
fn a_reload_command_fails_with_the_reason_when_the_code_does() {
    let server = Server::running("shop:app")
        .file("shop.py", &shop("old"))
        .start();
    server.write("shop.py", "raise RuntimeError('not in stock')\n");

    let outcome = server.ctl(&["reload"]);

    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert!(outcome.stderr.contains("not in stock"), "{outcome:?}");
    assert_eq!(server.get("/").text(), "old");
}

#[test]
fn a_reload_command_fails_with_the_reason_when_the_file_does() {
    let server = Server::running("hello:app").start();
    server.write_raw_config("app = \"hello:app\"\nwokers = 2\n");

    let outcome = server.ctl(&["reload"]);

    assert_eq!(outcome.status, 1, "{outcome:?}");
    for word in ["shop.toml:2", "workers"] {
        assert!(outcome.stderr.contains(word), "{outcome:?}");
    }
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_command_without_a_server_says_how_to_name_one() {
    let outcome = Program::new(RGUNICORNCTL, &["status"]).run();

    assert_eq!(outcome.status, 64, "{outcome:?}");
    assert_eq!(
        outcome.stderr,
        "rgunicornctl: no server given, and none of yours runs in a terminal where XDG_RUNTIME_DIR is \
         set: for rgunicorn@NAME.service type `rgunicornctl --instance NAME status`; without \
         XDG_RUNTIME_DIR, start the server with `rgunicorn --control-socket PATH`, then type \
         `rgunicornctl --socket PATH status`\n"
    );
}

/// A server as in a terminal of a user who has this runtime directory.
fn in_a_terminal(runtime: &str) -> Running {
    Server::typed("hello:app")
        .env("RUNTIME_DIRECTORY", "")
        .env("XDG_RUNTIME_DIR", runtime)
        .start()
}

#[test]
fn servers_in_terminals_are_found_without_a_word() {
    let runtime = Folder::new();
    let at = runtime.path().to_str().unwrap();
    let status = |words: &[&str]| {
        let mut words = words.to_vec();
        words.push("status");
        Program::new(RGUNICORNCTL, &words)
            .env("XDG_RUNTIME_DIR", at)
            .run()
    };
    let one = in_a_terminal(at);

    let outcome = status(&[]);

    assert!(outcome.stdout.starts_with("generation 1: "), "{outcome:?}");
    let two = in_a_terminal(at);
    let outcome = status(&[]);
    assert_eq!(outcome.status, 64, "{outcome:?}");
    let pid = two.pid().to_string();
    assert!(
        outcome.stderr.contains(&format!("--instance {pid} status")),
        "{outcome:?}"
    );
    let outcome = status(&["--user", "--instance", &pid]);
    assert!(outcome.stdout.starts_with("generation 1: "), "{outcome:?}");
    // They leave nothing behind.
    assert_eq!(two.stop(), 0);
    let outcome = status(&[]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(one.stop(), 0);
    let left = std::fs::read_dir(runtime.join("rgunicorn")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn a_server_that_cannot_have_a_control_socket_serves_without() {
    let server = in_a_terminal("/proc/nowhere");

    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_server_in_a_terminal_is_reached_as_that_message_says() {
    let server = Server::typed("hello:app")
        .argument("--control-socket")
        .argument("here.ctl")
        .binding_a_port()
        .start();

    let outcome = server.ctl(&["--socket", "here.ctl", "status"]);

    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("1 worker ready"), "{outcome:?}");
}

#[test]
fn a_command_that_reaches_no_server_says_so() {
    let outcome = Program::new(RGUNICORNCTL, &["reload"])
        .env("RUNTIME_DIRECTORY", "/nowhere")
        .run();

    assert_ne!(outcome.status, 0);
    assert!(outcome.stderr.contains("/nowhere/control"), "{outcome:?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
}

#[test]
fn an_unknown_command_is_refused() {
    let server = Server::running("hello:app").start();

    let outcome = server.ctl(&["relaod"]);

    assert_eq!(outcome.status, 64, "{outcome:?}");
    assert!(server.notices().is_empty());
}

#[test]
fn another_user_cannot_control_a_server() {
    let server = Server::running("hello:app").start();

    let run = server.folder().join("run");
    let outcome = Program::new(RGUNICORNCTL, &["reload"])
        .unprivileged()
        .env("RUNTIME_DIRECTORY", run.to_str().unwrap())
        .run();

    assert_ne!(outcome.status, 0, "{outcome:?}");
    assert!(server.notices().is_empty());
}

#[test]
fn an_old_unit_is_explained_as_the_file_and_the_units_that_replace_it() {
    let line =
        "ExecStart=/srv/shop/venv/bin/gunicorn --user shop \\\n -w 4 -b unix:/run/x.sock shop:app";
    let words =
        "gunicorn --user shop -w 4 -b unix:/run/x.sock --python /srv/shop/venv/bin/python shop:app";
    let words = ["--explain-unit", "--"].into_iter().chain(words.split(' '));
    let words: Vec<&str> = words.collect();

    let outcome = Program::rgunicorn(&["--explain-unit", line]).run();

    assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{outcome:?}");
    let file = "# /etc/rgunicorn/shop.toml\n\
                app = \"shop:app\"\n\
                python = \"/srv/shop/venv/bin/python\"\n\
                bind = \"unix:/run/x.sock\"\n\
                workers = 4\n\
                user = \"shop\"\n";
    assert!(outcome.stdout.starts_with(file), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("\nListenStream=/run/x.sock\n"));
    assert!(outcome.stdout.contains("\nUser=shop\n"));
    assert_eq!(Program::rgunicorn(&words).run().stdout, outcome.stdout);
}

#[test]
fn a_script_is_explained_as_a_site_without_app_and_arguments() {
    let line = "ExecStart=/srv/shop/venv/bin/python /srv/shop/serve.py --port 80";

    let outcome = Program::rgunicorn(&["--explain-unit", line]).run();

    assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{outcome:?}");
    let file = "# /etc/rgunicorn/serve.toml\n\
                config = \"script:/srv/shop/serve.py\"\n\
                python = \"/srv/shop/venv/bin/python\"\n\
                \n\
                # Not taken over:\n\
                #   -- --port 80: the script of a site has no arguments; give it variables of `env`\n";
    assert!(outcome.stdout.starts_with(file), "{}", outcome.stdout);
}

#[test]
fn its_own_command_line_is_explained_and_its_mistakes_are_named() {
    let outcome = Program::rgunicorn(&[
        "-w",
        "4",
        "--explain-unit",
        "--wrkers=4",
        "-b",
        "8000",
        "shop:app",
    ])
    .run();

    assert_eq!(outcome.status, 64, "{outcome:?}");
    assert!(outcome.stdout.contains("app = \"shop:app\"\nworkers = 4\n"));
    let mistakes: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(
        mistakes,
        [
            "rgunicorn: --bind: \"8000\" is only a number; for a port write \":8000\"",
            "rgunicorn: --wrkers: neither Gunicorn nor rgunicorn has this option",
        ]
    );

    let outcome = Program::rgunicorn(&["--explain-unit"]).run();
    assert_eq!(outcome.status, 64, "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("rgunicorn --explain-unit -- gunicorn"),
        "{outcome:?}"
    );
}
