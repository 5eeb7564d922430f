//! The application's own Python: any version from 3.10 on, any virtual
//! environment, nothing installed into it.

use crate::harness::{
    Program, Server,
    program::{RGUNICORN, copy_folder},
    sockets::free_port,
};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Every Python of this machine that can be started.
pub fn interpreters() -> Vec<PathBuf> {
    (10..=14)
        .filter_map(|minor| {
            let output = Command::new(format!("python3.{minor}"))
                .args(["-c", "import sys; print(sys.executable)"])
                .stderr(Stdio::null())
                .output()
                .ok()?;
            let path = String::from_utf8(output.stdout).ok()?;
            output.status.success().then(|| PathBuf::from(path.trim()))
        })
        .collect()
}

fn make_venv(python: &Path, at: &str) {
    let status = Command::new(python)
        .args(["-m", "venv", "--without-pip", at])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn every_python_of_this_machine_runs_the_application() {
    let found = interpreters();
    assert!(!found.is_empty(), "no Python between 3.10 and 3.14");

    for python in found {
        let server = Server::running("state:app")
            .setting("python", python.to_str().unwrap())
            .start();

        assert_eq!(
            server.get("/").json()["executable"],
            python.to_str().unwrap()
        );
    }
}

#[test]
fn a_virtual_environment_is_named_by_its_interpreter() {
    let server =
        Server::running("shop:app").file("shop.py", "import goods\nfrom state import app\n");
    let venv = server.path("venv");
    make_venv(Path::new("python3"), &venv);
    let packages = std::fs::read_dir(format!("{venv}/lib"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("site-packages");
    std::fs::write(packages.join("goods.py"), "").unwrap();

    let server = server
        .setting("python", format!("{venv}/bin/python"))
        .start();

    let state = server.get("/").json();
    assert_eq!(state["prefix"], venv);
    assert_eq!(state["executable"], format!("{venv}/bin/python"));
}

#[test]
fn an_interpreter_may_be_named_relative_to_the_application() {
    let server = Server::running("state:app");
    make_venv(Path::new("python3"), &server.path("venv"));
    let venv = server.path("venv");

    let server = server.setting("python", "venv/bin/python").start();

    assert_eq!(server.get("/").json()["prefix"], venv);
}

#[test]
fn a_reload_changes_the_interpreter() {
    let server = Server::running("state:app");
    let venv = server.path("venv");
    make_venv(Path::new("python3"), &venv);
    let server = server.start();
    assert_ne!(server.get("/").json()["prefix"], venv);
    server.set("python", format!("{venv}/bin/python"));

    server.reload();

    assert_eq!(server.get("/").json()["prefix"], venv);
}

#[test]
fn a_python_that_is_too_old_or_no_cpython_is_refused_in_one_line() {
    let server = Server::running("hello:app")
        .file("python", "#!/bin/sh\necho 'Python 2.7.18' >&2\nexit 1\n");
    let path = server.path("python");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let server = server.setting("python", path.as_str()).launch();

    assert_ne!(server.wait_for_exit(), 0);

    assert!(server.stderr().contains(&path), "{}", server.stderr());
}

#[test]
fn a_program_that_is_no_python_is_named_with_what_it_has_to_be() {
    let address = format!("127.0.0.1:{}", free_port());
    for arguments in [
        &["--bind", &address][..],
        &["--bind", &address, "--preload"],
        &["--check-config"],
    ] {
        let words = [arguments, &["--python", "/bin/false", "hello:app"]].concat();

        let outcome = Program::rgunicorn(&words).run();

        assert_eq!(outcome.status, 3, "{outcome:?}");
        let last = outcome.stderr.lines().last().unwrap();
        for word in ["exit status 1", "/bin/false", "CPython 3.10"] {
            assert!(last.contains(word), "{outcome:?}");
        }
    }
}

/// Makes the interpreter say that it is another one before any of our code runs.
const POSES_AS: &str = "import sys\n";

#[test]
fn an_interpreter_that_is_too_old_or_another_one_is_refused_in_one_line() {
    for (pose, shown) in [
        (
            "sys.version_info = (3, 9, 2, 'final', 0)\n",
            "cpython 3.9.2",
        ),
        (
            "sys.version_info = (2, 7, 18, 'final', 0)\n",
            "cpython 2.7.18",
        ),
        ("sys.implementation.name = 'pypy'\n", "pypy 3."),
    ] {
        let address = format!("127.0.0.1:{}", free_port());
        for (arguments, lines) in [
            (&["--check-config"][..], 1),
            (&["--bind", &address], 3),
            (&["--bind", &address, "--preload"], 3),
        ] {
            let words = [arguments, &["hello:app"]].concat();
            let mut program = Program::rgunicorn(&words)
                .file("pose/sitecustomize.py", &format!("{POSES_AS}{pose}"));
            let folder = program.folder.join("pose");
            program = program.env("PYTHONPATH", folder.to_str().unwrap());

            let outcome = program.run();

            assert_eq!(outcome.status, 3, "{outcome:?}");
            let last = outcome.stderr.lines().last().unwrap();
            for word in [
                "python3 is ",
                shown,
                "needs CPython 3.10 or newer",
                "python=",
            ] {
                assert!(last.contains(word), "{word}: {outcome:?}");
            }
            // "started" and "Listening on" come before.
            assert_eq!(outcome.stderr.lines().count(), lines, "{outcome:?}");
        }
    }
}

#[test]
fn what_an_old_interpreter_has_to_read_is_written_in_its_language() {
    const CHECK: &str = "import ast, sys
tree = ast.parse(open(sys.argv[1]).read(), feature_version=(3, 6))
# What Python 2 lacks, as far as it is tempting.
new = (ast.JoinedStr, ast.AnnAssign, ast.AsyncFunctionDef, ast.Nonlocal, ast.YieldFrom, ast.Starred)
for node in ast.walk(tree):
    assert not isinstance(node, new), ast.dump(node)
    if isinstance(node, ast.arguments):
        assert not node.kwonlyargs and not node.posonlyargs, ast.dump(node)
    if isinstance(node, ast.arg):
        assert node.annotation is None, ast.dump(node)
    if isinstance(node, ast.Raise):
        assert node.cause is None, ast.dump(node)
";
    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/worker/python");
    for file in ["__main__.py", "rgunicorn_start.py", "rgunicorn_held.py"] {
        let output = Command::new("python3")
            .args(["-c", CHECK, &format!("{FOLDER}/{file}")])
            .output()
            .unwrap();

        assert!(output.status.success(), "{file}: {output:?}");
    }
}

/// What an upgrade does to a master that goes on running: the worker files are another
/// release's. Here the version that the master tells is changed on its way.
const UPGRADED: &str = "import os\n\
    if os.path.exists('upgraded') and 'RGUNICORN_MASTER_VERSION' in os.environ:\n    \
    os.environ['RGUNICORN_MASTER_VERSION'] = '0.0.1'\n";

const SHOWS_ITS_VARIABLES: &str = "import os\ndef app(environ, start_response):\n    \
    start_response('200 OK', [])\n    return [repr(os.environ).encode()]\n";

#[test]
fn worker_files_of_another_release_are_not_started() {
    let server = Server::running("shop:app")
        .file("shop.py", SHOWS_ITS_VARIABLES)
        .file("pose/sitecustomize.py", UPGRADED);
    let folder = server.path("pose");
    let server = server.env("PYTHONPATH", &folder).start();
    assert!(!server.get("/").text().contains("RGUNICORN_MASTER_VERSION"));
    server.write("upgraded", "");

    let reload = server.ctl(&["reload"]);

    assert_eq!(reload.status, 1, "{reload:?}");
    for words in [
        "are of rgunicorn ",
        "the master is 0.0.1: restart the service",
    ] {
        assert!(reload.stderr.contains(words), "{reload:?}");
    }
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_python_that_puts_no_folder_of_a_script_first_runs_the_application() {
    let server = Server::running("state:app")
        .env("PYTHONSAFEPATH", "1")
        .start();

    assert_eq!(server.get("/").status, 200);
}

/// As on a disk that becomes full: Python does not notice that the end of a file is missing.
#[test]
fn bytecode_that_cannot_be_written_whole_is_not_left_for_the_next_start() {
    const FULL: &str = "import os, resource
if os.path.exists('full'):
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
";
    let server = Server::running("hello:app")
        .file("pose/sitecustomize.py", FULL)
        .file("full", "");
    let (files, folder) = (server.path("files"), server.path("pose"));
    let built = Path::new(RGUNICORN).with_file_name("worker");
    copy_folder(&built, Path::new(&files));
    let _ = std::fs::remove_dir_all(format!("{files}/rgunicorn/__pycache__"));
    let is_whole = |name: &str| {
        let mut caches = std::fs::read_dir(format!("{files}/rgunicorn/__pycache__")).unwrap();
        caches.any(|file| {
            file.unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .starts_with(name)
        })
    };
    let server = server
        .setting("worker_dir", files.as_str())
        .env("PYTHONPATH", &folder)
        .env("PYTHONDONTWRITEBYTECODE", "")
        .start();
    assert_eq!(server.get("/").status, 200);
    assert!(is_whole("__init__."));
    assert!(!is_whole("application."));

    server.reload();
    assert_eq!(server.get("/").status, 200);
    std::fs::remove_file(server.folder().join("full")).unwrap();
    server.reload();

    assert_eq!(server.get("/").status, 200);
    assert!(is_whole("application."));
}
