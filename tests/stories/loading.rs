//! How an application is found and loaded, with preload and without.

use crate::harness::{Running, Server};
use serde_json::{Value, json};
use std::path::Path;

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
            && !Path::new(entry.as_str().unwrap()).starts_with(server.folder())
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
