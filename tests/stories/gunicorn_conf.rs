//! A configuration in Python: the application's interpreter runs it, and the master takes
//! from it what Gunicorn would.

use crate::harness::{Outcome, Program, Running, Server, processes, sockets::free_port};
use nix::sys::signal::Signal;
use std::net::{Ipv4Addr, SocketAddr};

const BAD_CONFIG: i32 = 78;

/// Starts a server in whose directory there is this `gunicorn.conf.py`.
fn started_with(conf: &str) -> Outcome {
    Program::rgunicorn(&["hello:app"])
        .file("gunicorn.conf.py", conf)
        .run()
}

fn printed(arguments: &[&str], files: &[(&str, &str)]) -> String {
    let program = Program::rgunicorn(&[arguments, &["--print-config"]].concat());
    let outcome = files
        .iter()
        .fold(program, |program, (name, text)| program.file(name, text))
        .run();
    assert_eq!(outcome.status, 0, "{outcome:?}");
    outcome.stdout
}

#[track_caller]
fn assert_has(text: &str, line: &str) {
    assert!(
        text.lines().any(|one| one == line),
        "{line:?} is not in\n{text}"
    );
}

/// One that serves with this `gunicorn.conf.py`.
fn serving(conf: &str) -> Server {
    Server::running("hello:app")
        .setting("config", "gunicorn.conf.py")
        .file("gunicorn.conf.py", conf)
}

fn generation(server: &Running) -> String {
    server.ctl(&["status"]).stdout
}

#[test]
fn a_gunicorn_conf_py_decides_what_is_served_and_where() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let conf = format!(
        "import multiprocessing, os\n\
         bind = '{address}'\n\
         workers = min(2, multiprocessing.cpu_count() * 2 + 1)\n\
         wsgi_app = 'shop:app'\n\
         chdir = 'code'\n\
         raw_env = ['SHOP=open', 'OF=' + os.getcwd()]\n\
         pythonpath = 'lib'\n\
         preload_app = True\n\
         proc_name = 'conf'\n\
         keepalive = '5'\n\
         helper = 'a variable of its own'\n"
    );
    let server = Server::typed("--log-level=info")
        .file("gunicorn.conf.py", &conf)
        .file("code/lib/goods.py", "def name():\n    return b'bread'\n")
        .file(
            "code/shop.py",
            "import goods, os\n\
             def app(environ, start_response):\n\
             \x20   start_response('200 OK', [])\n\
             \x20   return [goods.name(), b' ', os.environ['SHOP'].encode(), b' ', \
             os.getcwd()[len(os.environ['OF']):].encode()]\n",
        )
        .bound_to(address)
        .start();

    server.wait_for_workers(2);

    assert_eq!(server.get("/").text(), "bread open /code");
    let config = server.ctl(&["config"]).stdout;
    let conf = "gunicorn.conf.py";
    assert_has(&config, &format!("workers = 2  # {conf}:3"));
    assert_has(&config, &format!("app = \"shop:app\"  # {conf}:4"));
    assert_has(&config, &format!("keepalive = 5  # {conf}:10"));
    server.wait_for_log(&format!("{}", server.folder().join(conf).display()));
}

#[test]
fn the_command_line_is_stronger_than_the_program_and_that_than_variables_and_defaults() {
    let conf =
        "workers = 3\ntimeout = 7\nforwarded_allow_ips = '10.0.0.1'\nrgunicorn = {'surge': 2}\n";
    let mut program = Program::rgunicorn(&["--print-config", "-w", "4", "hello:app"])
        .file("gunicorn.conf.py", conf)
        .env("FORWARDED_ALLOW_IPS", "10.0.0.9");

    let text = program.run().stdout;

    assert_has(&text, "workers = 4  # --workers on the command line");
    assert_has(&text, "timeout = 7  # gunicorn.conf.py:2");
    assert_has(
        &text,
        "forwarded_allow_ips = [\"10.0.0.1\"]  # gunicorn.conf.py:3",
    );
    assert_has(&text, "surge = 2  # gunicorn.conf.py:4");
    assert_has(&text, "backlog = 2048");
}

#[test]
fn a_program_is_found_by_its_name_and_a_toml_file_is_preferred() {
    let conf = ("gunicorn.conf.py", "workers = 3\n");
    let other = ("other.py", "workers = 4\n");
    let settings = ("deploy/settings.py", "workers = 5\n");
    let toml = ("rgunicorn.toml", "workers = 6\n");
    let both = ("rgunicorn.toml", "config = \"other.py\"\ntimeout = 9\n");
    for (arguments, files, line) in [
        (
            &[] as &[&str],
            vec![conf],
            "workers = 3  # gunicorn.conf.py:1",
        ),
        (
            &["-c", "other.py"],
            vec![conf, other],
            "workers = 4  # other.py:1",
        ),
        (
            &["-c", "file:other.py"],
            vec![other],
            "workers = 4  # other.py:1",
        ),
        (
            &["--chdir", "deploy"],
            vec![conf, settings],
            "workers = 3  # gunicorn.conf.py:1",
        ),
        (&[], vec![conf, toml], "workers = 6  # rgunicorn.toml:1:11"),
        (
            &["-c", "other.py"],
            vec![other, toml],
            "workers = 4  # other.py:1",
        ),
        (&[], vec![conf, other, both], "workers = 4  # other.py:1"),
    ] {
        let text = printed(&[&["hello:app"], arguments].concat(), &files);
        assert_has(&text, line);
    }
    let text = printed(&["hello:app", "-c", "python:deploy.settings"], &[settings]);
    assert!(text.contains("workers = 5  # "), "{text}");
    assert!(text.contains("deploy/settings.py:1"), "{text}");
}

#[test]
fn values_are_taken_as_gunicorn_takes_them() {
    let conf = "\
import pathlib
from hello import app as hello
class Worker: pass
Worker.__module__, Worker.__qualname__ = 'gunicorn.workers.gthread', 'ThreadWorker'
bind = ('127.0.0.1:8001', '127.0.0.1:8002')
workers = '0x4'
timeout = None
preload_app = 'True'
worker_class = Worker
chdir = pathlib.Path('.').resolve()
user = None
proc_name = ''
env = 'production'
app = hello
python = 'a helper'
if True:
    backlog = 64
";
    let text = printed(&["hello:app"], &[("gunicorn.conf.py", conf)]);

    assert!(
        text.contains("bind = [\"127.0.0.1:8001\", \"127.0.0.1:8002\"]"),
        "{text}"
    );
    assert_has(&text, "workers = 4  # gunicorn.conf.py:6");
    assert_has(&text, "timeout = 30");
    assert_has(&text, "preload = true  # gunicorn.conf.py:8");
    assert_has(&text, "worker_class = \"gthread\"  # gunicorn.conf.py:9");
    assert_has(&text, "backlog = 64  # gunicorn.conf.py:17");
    assert_has(
        &text,
        "app = \"hello:app\"  # APP_MODULE on the command line",
    );
    assert_has(&text, "python = \"python3\"");
}

#[test]
fn a_program_that_raises_is_refused_with_its_place_and_its_traceback_once() {
    for (conf, place) in [
        (
            "workers = 2\nbind = open('/nowhere').read()\n",
            "gunicorn.conf.py:2: FileNotFoundError",
        ),
        ("workers = = 2\n", "gunicorn.conf.py:1: SyntaxError"),
        (
            "import nothing_like_it\n",
            "gunicorn.conf.py:1: ModuleNotFoundError",
        ),
        (
            "import sys\nsys.exit(0)\n",
            "gunicorn.conf.py:2: SystemExit: 0 (a configuration must not exit)",
        ),
    ] {
        let outcome = started_with(conf);

        assert_eq!(outcome.status, BAD_CONFIG, "{outcome:?}");
        let first = outcome.stderr.lines().next().unwrap();
        assert!(first.contains(place), "{outcome:?}");
        assert_eq!(
            outcome.stderr.matches("Traceback").count(),
            usize::from(!place.contains("SyntaxError")),
            "{outcome:?}"
        );
        assert!(!outcome.stderr.contains("configuration.py"), "{outcome:?}");
        assert_eq!(outcome.stdout, "");
    }
}

/// Gunicorn calls them for what is not there: TLS, and its second pool.
#[test]
fn hooks_that_nothing_would_call_are_accepted_and_said() {
    let server = serving(
        "workers = 1\ndirty_workers = 2\nhttp_protocols = 'h2,h1'\nprotocol = 'http'\n\
         def ssl_context(config, factory): raise SystemExit\n\
         def on_dirty_starting(arbiter): raise SystemExit\n",
    )
    .start();

    assert_eq!(server.get("/").status, 200);
    for line in [
        "dirty_workers has no effect here (gunicorn.conf.py:2): it is for dirty_apps",
        "http_protocols has no effect here (gunicorn.conf.py:3): clients speak HTTP/1.1",
        "ssl_context has no effect here (gunicorn.conf.py:5): it is for certfile",
        "on_dirty_starting has no effect here (gunicorn.conf.py:6): it is for dirty_apps",
    ] {
        server.wait_for_log_count(line, 1);
    }
    assert_eq!(server.log_count("has no effect here"), 4);
}

#[test]
fn what_only_old_versions_of_gunicorn_have_is_pointed_out() {
    let conf = "logfile = '-'\ndebug = True\ndef after_fork(server, worker): pass\n";
    let accepted = Program::rgunicorn(&["--check-config", "-c", "shop.py", "hello:app"])
        .file("shop.py", conf)
        .run();
    assert_eq!(accepted.status, 0, "{accepted:?}");
    for line in [
        "shop.py:1: logfile is no setting of Gunicorn any more; write errorlog",
        "shop.py:2: debug is no setting of Gunicorn any more; for development, use reload",
        "shop.py:3: after_fork is no setting of Gunicorn any more; call the hook post_fork",
    ] {
        let said = accepted.stderr.replace('`', "");
        assert!(said.contains(line), "{line}: {accepted:?}");
    }

    let refused =
        Program::rgunicorn(&["--debug", "--settings", "shop.settings", "hello:app"]).run();
    assert_eq!(refused.status, 64, "{refused:?}");
    for line in [
        "--debug is no setting of Gunicorn any more; for development, use",
        "--settings is no setting of Gunicorn any more; name the settings in the variable",
    ] {
        assert!(refused.stderr.contains(line), "{line}: {refused:?}");
    }
}

#[test]
fn what_would_be_missed_is_refused_with_what_to_do_instead() {
    let outcome = started_with("protocol = 'uwsgi'\ndirty_apps = ['shop:Model']\n");

    assert_eq!(outcome.status, BAD_CONFIG, "{outcome:?}");
    for line in [
        "gunicorn.conf.py:1: protocol: is not supported; workers speak HTTP alone: in nginx, write proxy_pass",
        "gunicorn.conf.py:2: dirty_apps: is not supported; run what takes long in a service of its own",
    ] {
        assert!(outcome.stderr.contains(line), "{line}: {outcome:?}");
    }
}

#[test]
fn a_program_that_is_not_there_is_named_by_who_names_it() {
    for (words, variable, line) in [
        (
            &["-c", "gone.py"][..],
            "",
            "cannot read HERE/gone.py: No such file or directory",
        ),
        (
            &[],
            "--config gone.py",
            "$GUNICORN_CMD_ARGS: --config: cannot read HERE/gone.py: No such file or directory",
        ),
        (
            &[],
            "-c gone.toml",
            "$GUNICORN_CMD_ARGS: --config: cannot read gone.toml: No such file or directory",
        ),
        (
            &["-c", "shop.toml"],
            "",
            "shop.toml:1:10: cannot read HERE/gone.py: No such file or directory",
        ),
        (
            &["-c", "python:gone"],
            "",
            "gone: ModuleNotFoundError: No module named 'gone' (",
        ),
    ] {
        let mut program = Program::rgunicorn(&[words, &["hello:app"]].concat())
            .file("shop.toml", "config = \"gone.py\"\n")
            .env("GUNICORN_CMD_ARGS", variable);
        let outcome = program.run();

        assert_eq!(outcome.status, BAD_CONFIG, "{outcome:?}");
        let here = program.folder.path().display().to_string();
        let line = format!("rgunicorn: {}", line.replace("HERE", &here));
        assert!(outcome.stderr.starts_with(&line), "{line}: {outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
}

#[test]
fn a_program_that_a_variable_names_has_that_as_its_origin() {
    let outcome = Program::rgunicorn(&["--print-config", "hello:app"])
        .file("more.py", "workers = 3\n")
        .env("GUNICORN_CMD_ARGS", "-c more.py")
        .run();

    assert!(
        outcome
            .stdout
            .contains("/more.py\"  # --config in $GUNICORN_CMD_ARGS\n"),
        "{outcome:?}"
    );
    assert_has(&outcome.stdout, "workers = 3  # more.py:1");
}

#[test]
fn every_mistake_is_reported_at_once_with_its_line() {
    let outcome = started_with(
        "workers = 2.5\n\
         loglevel = 'chatty'\n\
         def timeout(): return 5\n\
         bind = [8000]\n\
         keepalive = object()\n\
         rgunicorn = {'srge': 1, 'python': 'x', 'memory_max': '1G'}\n",
    );

    assert_eq!(outcome.status, BAD_CONFIG, "{outcome:?}");
    let places: Vec<&str> = outcome
        .stderr
        .lines()
        .map(|line| {
            line.strip_prefix("rgunicorn: gunicorn.conf.py:")
                .unwrap_or(line)
        })
        .collect();
    for (place, words) in [
        ("1: workers:", "whole number"),
        ("2: loglevel:", "chatty"),
        ("3: timeout:", "not a function"),
        ("4: bind:", "HOST"),
        ("5: keepalive:", "not <object"),
        ("6: rgunicorn:", "did you mean \"surge\""),
        ("6: python:", "before Python runs"),
        ("6: memory_max:", "before Python runs"),
    ] {
        let found = places.iter().find(|line| line.starts_with(place));
        let found = found.unwrap_or_else(|| panic!("{place}: {outcome:?}"));
        assert!(found.contains(words), "{found}");
    }
    assert_eq!(places.len(), 8, "{outcome:?}");
}

#[test]
fn a_name_that_is_nearly_a_setting_is_pointed_out() {
    let conf =
        "worker_clas = 'sync'\ntimeouts = 5\ngraceful = timeouts\n_worker = 3\nmaximum = 4\n";
    let outcome = Program::rgunicorn(&["--check-config", "hello:app"])
        .file("gunicorn.conf.py", conf)
        .run();

    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(
        outcome.stderr.contains(
            "gunicorn.conf.py:1: worker_clas is no setting and is not used; did you mean worker_class?"
        ),
        "{outcome:?}"
    );
    // One that the program itself uses is none.
    assert!(!outcome.stderr.contains("timeouts"), "{outcome:?}");
    assert!(!outcome.stderr.contains("_worker "), "{outcome:?}");
}

#[test]
fn what_serves_only_a_hint_never_makes_the_start_fail() {
    let conf = "\
class Lazy:
    def __getattr__(self, name): raise RuntimeError('not yet')
    @property
    def __class__(self): raise RuntimeError('not yet')
settings = Lazy()
current = Lazy()
config = 'gunicorn.conf.py'
check_config = False
print_config = False
when_ready = None
";
    let outcome = Program::rgunicorn(&["--check-config", "hello:app"])
        .file("gunicorn.conf.py", conf)
        .run();

    assert_eq!(outcome.status, 0, "{outcome:?}");
    // They are known, and belong on the command line.
    assert!(!outcome.stderr.contains("did you mean"), "{outcome:?}");
}

#[test]
fn the_application_is_found_where_gunicorn_finds_it() {
    // What the program changes the directory to is not where the application is.
    let server = serving("import os\nworkers = 1\nos.chdir('/')\n").start();
    assert_eq!(server.get("/").text(), "Hello, world!\n");

    // The directory of the start is searched behind that of the application.
    let server = Server::running("shop:app")
        .setting("config", "gunicorn.conf.py")
        .file("gunicorn.conf.py", "chdir = 'sub'\n")
        .file("goods.py", "name = b'bread'\n")
        .file("same.py", "name = b'outer'\n")
        .file("sub/same.py", "name = b'inner'\n")
        .file(
            "sub/shop.py",
            "import goods, same\n\
             def app(environ, start_response):\n\
             \x20   start_response('200 OK', [])\n\
             \x20   return [goods.name, b' ', same.name]\n",
        )
        .start();
    assert_eq!(server.get("/").text(), "bread inner");
}

#[test]
fn an_interpreter_that_ends_while_it_runs_the_program_is_reported() {
    let outcome = started_with("import os\nos._exit(5)\n");

    assert_eq!(outcome.status, 3, "{outcome:?}");
    assert!(
        outcome.stderr.contains("exit status 5, while it ran ")
            && outcome.stderr.contains("gunicorn.conf.py"),
        "{outcome:?}"
    );
}

#[test]
fn a_program_that_closes_the_descriptors_of_its_interpreter_is_told_so() {
    for (closes, status) in [
        ("os.close(3)", BAD_CONFIG),
        ("os.closerange(3, 256)", BAD_CONFIG),
        ("os.dup2(2, 3)", BAD_CONFIG),
        // Then there is only standard error to say it on.
        ("os.closerange(3, 4096)", 3),
    ] {
        let outcome = started_with(&format!("import os\n{closes}\n"));

        assert_eq!(outcome.status, status, "{closes}: {outcome:?}");
        assert!(
            outcome
                .stderr
                .contains("gunicorn.conf.py: it has closed descriptor 3"),
            "{closes}: {outcome:?}"
        );
    }
}

#[test]
fn a_program_that_never_ends_is_ended_with_its_stack() {
    let outcome = Program::rgunicorn(&["--boot-timeout", "1", "hello:app"])
        .file(
            "gunicorn.conf.py",
            "import time\nwhile True:\n    time.sleep(1)\n",
        )
        .run();

    assert_eq!(outcome.status, 3, "{outcome:?}");
    assert!(outcome.stderr.contains("SIGABRT"), "{outcome:?}");
    assert!(outcome.stderr.contains("gunicorn.conf.py"), "{outcome:?}");
}

#[test]
fn a_server_can_be_stopped_while_its_program_runs() {
    let server = serving("import time\nopen('runs', 'w').close()\ntime.sleep(3600)\n").launch();
    server.wait_until("the program runs", || server.folder().join("runs").exists());

    server.signal(Signal::SIGTERM);

    assert_eq!(server.wait_for_exit(), 0, "{}", server.stderr());
}

#[test]
fn a_reload_runs_the_program_again() {
    let server = serving("workers = 1\nraw_env = ['A=old']\n").start();
    server.write(
        "gunicorn.conf.py",
        "workers = 3\nraw_env = ['A=new']\nkeepalive = 9\n",
    );

    let outcome = server.ctl(&["reload"]);

    assert_eq!(outcome.status, 0, "{outcome:?}\n{}", server.stderr());
    server.wait_for_workers(3);
    let config = server.ctl(&["config"]).stdout;
    assert_has(&config, "keepalive = 9  # gunicorn.conf.py:3");
}

#[test]
fn a_reload_with_a_broken_program_fails_with_its_mistakes_and_the_old_one_serves() {
    let server = serving("workers = 2\n").start();
    server.wait_for_workers(2);
    let before = server.worker_pids();
    for (conf, says) in [
        ("workers = 1 / 0\n", "gunicorn.conf.py:1: ZeroDivisionError"),
        ("workers = 0\n", "gunicorn.conf.py:1: workers: must be"),
        (
            "timeout = -1\nkeepalive = 'x'\n",
            "gunicorn.conf.py:2: keepalive: must be",
        ),
        ("import os\nos._exit(1)\n", "while it ran"),
    ] {
        server.write("gunicorn.conf.py", conf);

        let outcome = server.ctl(&["reload"]);

        assert_ne!(outcome.status, 0, "{outcome:?}");
        assert!(outcome.stderr.contains(says), "{says}: {outcome:?}");
        assert_eq!(server.worker_pids(), before);
    }
    server.write("gunicorn.conf.py", "workers = 1\n");
    assert_eq!(server.ctl(&["reload"]).status, 0);
    server.wait_for_workers(1);
}

#[test]
fn a_program_that_takes_its_time_at_a_reload_keeps_nobody_waiting() {
    let server = serving("workers = 1\n").start();
    let before = generation(&server);
    server.write(
        "gunicorn.conf.py",
        "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.01)\n",
    );

    server.signal(Signal::SIGHUP);
    server.wait_for_log("Got SIGHUP");

    assert_eq!(server.get("/").text(), "Hello, world!\n");
    assert!(generation(&server).contains("reload"), "{before}");
    server.write("go", "");
    server.wait_for_log("generation 2 serves");
}

#[test]
fn a_fork_server_that_was_lost_is_replaced_with_what_its_program_had_set() {
    let server = serving("workers = 1\n").start();
    let fork_server = *server.other_pids().first().unwrap();
    processes::signal(fork_server, Signal::SIGKILL);
    server.wait_until("another generation serves", || {
        generation(&server).contains("generation 2")
    });

    server.wait_for_workers(1);
    assert_eq!(server.ctl(&["scale", "+1"]).status, 0);
    server.wait_for_workers(2);
}

#[test]
fn a_program_is_converted_to_a_file_with_the_same_settings() {
    let conf = "\
workers = 1 + 2
bind = ['127.0.0.1:8001', 'unix:/run/x.sock']
raw_env = ['A=b']
timeout = 30
worker_tmp_dir = '/dev/shm'
def post_fork(server, worker): pass
";
    let convert = |words: &[&str]| {
        let mut program = Program::rgunicorn(&[&["--convert", "conf.py"], words].concat());
        program = program.file("conf.py", conf);
        let outcome = program.run();
        assert_eq!(outcome.status, 0, "{outcome:?}");
        outcome.stdout
    };

    let text = convert(&[]);

    for line in [
        "# app = \"module:callable\"  # what to serve: nothing says it",
        "workers = 3",
        "timeout = 30",
        "#   post_fork (conf.py:6): a function; keep it there, and name the file with `config`",
        "#   worker_tmp_dir (conf.py:5) has no effect here: heartbeats are in shared memory, not in files",
    ] {
        assert_has(&text, line);
    }
    assert!(!text.contains("backlog"), "{text}");
    // It is a file that can be read, with what the program sets.
    let text = convert(&["hello:app"]);
    let printed = printed(&["-c", "new.toml"], &[("new.toml", &text)]);
    for line in ["app = \"hello:app\"", "workers = 3", "env = { A = \"b\" }"] {
        assert!(printed.contains(line), "{line}\n{text}\n{printed}");
    }
    assert!(printed.contains("unix:/run/x.sock"), "{printed}");
}

#[test]
fn what_a_program_prints_is_no_part_of_what_is_printed_of_it() {
    let outcome = Program::rgunicorn(&["--convert", "conf.py", "hello:app"])
        .file("conf.py", "print('a word', flush=True)\nworkers = 2\n")
        .run();

    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(!outcome.stdout.contains("a word"), "{outcome:?}");
    assert!(outcome.stderr.contains("a word"), "{outcome:?}");
}

#[test]
fn a_reload_that_is_ordered_while_the_first_configuration_is_read_ends_nothing() {
    let conf = "\
import os, time
open('runs', 'w').close()
while not os.path.exists('go'): time.sleep(0.01)
";
    let server = serving(conf).launch();
    server.wait_until("the program runs", || server.folder().join("runs").exists());

    server.signal(Signal::SIGHUP);
    server.write("go", "");

    server.wait_until_ready();
}

#[test]
fn a_program_that_survives_its_abort_is_killed() {
    let conf = "\
import faulthandler, signal, time
faulthandler.disable()
signal.signal(signal.SIGABRT, signal.SIG_IGN)
time.sleep(3600)
";
    // Long enough for Python to begin.
    let outcome = Program::rgunicorn(&["--boot-timeout", "5", "hello:app"])
        .file("gunicorn.conf.py", conf)
        .run();

    assert_eq!(outcome.status, 3, "{outcome:?}");
    assert!(
        outcome.stderr.contains("killed by SIGKILL, while it ran"),
        "{outcome:?}"
    );
}

#[test]
fn a_file_of_gunicorns_with_another_name_is_told_how_to_be_named() {
    let conf = ("gunicorn.conf", "import os\nworkers = 1 + 1\n");
    let refused = Program::rgunicorn(&["-c", "gunicorn.conf", "hello:app"])
        .file(conf.0, conf.1)
        .run();
    assert_eq!(refused.status, BAD_CONFIG, "{refused:?}");
    assert!(
        refused.stderr.contains("name it as file:gunicorn.conf"),
        "{refused:?}"
    );

    let printed = printed(&["-c", "file:gunicorn.conf", "hello:app"], &[conf]);

    assert_has(&printed, "workers = 2  # gunicorn.conf:2");
}
