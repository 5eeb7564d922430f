//! Settings about the process itself, each by its effect: the pid file, the umask, a port
//! that is shared with other servers.

use crate::harness::{Program, Server, client::Address};
use nix::sys::signal::Signal;
use std::{fs, os::unix::fs::PermissionsExt};

const OS_REFUSES: i32 = 71;

/// Writes a file for each request, with all the permissions it can get.
const WRITER: &str = "
import os
def app(environ, start_response):
    descriptor = os.open(environ['PATH_INFO'].strip('/'), os.O_CREAT | os.O_WRONLY, 0o666)
    os.close(descriptor)
    start_response('200 OK', [('Content-Length', '0')])
    return []
";

#[test]
fn the_pid_file_is_there_while_the_server_runs() {
    let server = Server::running("hello:app")
        .setting("pidfile", "shop.pid")
        .start();

    assert_eq!(server.read("shop.pid"), format!("{}\n", server.pid()));
    assert_eq!(server.stop(), 0);
    assert!(!server.folder().join("shop.pid").exists());
}

#[test]
fn a_pid_file_of_a_server_that_runs_is_an_error_that_names_it() {
    let server = Server::running("hello:app")
        .setting("pidfile", "shop.pid")
        .start();
    let path = server.folder().join("shop.pid");
    let path = path.to_str().unwrap();

    let outcome = Program::rgunicorn(&["-b", "127.0.0.1:0", "--pid", path, "hello:app"]).run();

    assert_eq!(outcome.status, OS_REFUSES, "{outcome:?}");
    let says = format!(
        "rgunicorn: --pid: {path} belongs to a server that runs, with the pid {}; stop it, or name another file\n",
        server.pid()
    );
    assert_eq!(outcome.stderr, says);
    assert_eq!(server.read("shop.pid"), format!("{}\n", server.pid()));
}

#[test]
fn a_pid_file_of_a_server_that_was_killed_is_replaced() {
    let server = Server::running("hello:app")
        .setting("pidfile", "shop.pid")
        .start();
    let killed = server.pid();
    server.signal(Signal::SIGKILL);
    server.wait_for_exit();
    assert_eq!(server.read("shop.pid"), format!("{killed}\n"));

    server.start_again();

    assert_ne!(server.pid(), killed);
    assert_eq!(server.read("shop.pid"), format!("{}\n", server.pid()));
}

#[test]
fn a_reload_moves_the_pid_file_and_writes_one_that_is_gone() {
    let server = Server::running("hello:app")
        .setting("pidfile", "shop.pid")
        .start();
    let pid = format!("{}\n", server.pid());

    fs::remove_file(server.folder().join("shop.pid")).unwrap();
    server.reload();
    assert_eq!(server.read("shop.pid"), pid);

    server.set("pidfile", "market.pid");
    server.reload();
    assert_eq!(server.read("market.pid"), pid);
    assert!(!server.folder().join("shop.pid").exists());
}

/// The permissions of a file that the application makes.
#[track_caller]
fn permissions(folder: &std::path::Path, name: &str) -> u32 {
    let metadata = fs::metadata(folder.join(name)).unwrap();
    metadata.permissions().mode() & 0o777
}

#[test]
fn the_umask_is_that_of_the_files_the_application_makes_and_of_unix_sockets() {
    let server = Server::running("writer:app")
        .file("writer.py", WRITER)
        .binding_a_unix_socket()
        .setting("umask", "027")
        .start();
    server.get("/first");
    assert_eq!(permissions(server.folder(), "first"), 0o640);
    assert_eq!(permissions(server.folder(), "bound.sock"), 0o640);

    server.set("umask", 0o077);
    server.reload();
    server.get("/second");
    assert_eq!(permissions(server.folder(), "second"), 0o600);
}

#[test]
fn the_umask_is_written_as_for_gunicorn() {
    for (word, mode) in [("0", 0o666), ("022", 0o644), ("0x1f", 0o640), ("63", 0o600)] {
        let server = Server::typed("writer:app")
            .file("writer.py", WRITER)
            .argument("-m")
            .argument(word)
            .binding_a_port()
            .start();
        server.get("/made");
        assert_eq!(permissions(server.folder(), "made"), mode, "{word}");
    }
}

#[test]
fn another_server_may_share_the_port_only_if_both_say_so() {
    let first = Server::running("hello:app")
        .binding_a_port()
        .setting("reuse_port", true)
        .start();
    let Address::Tcp(address) = first.address() else {
        panic!("{:?}", first.address());
    };

    let second = Server::typed("hello:app")
        .argument("--reuse-port")
        .argument("-b")
        .argument(&address.to_string())
        .bound_to(address)
        .start();
    assert_eq!(second.get("/").status, 200);
    let refused = Program::rgunicorn(&["-b", &address.to_string(), "hello:app"]).run();
    assert_eq!(refused.status, OS_REFUSES, "{refused:?}");

    assert_eq!(first.stop(), 0);
    assert_eq!(second.get("/").status, 200);
}

#[test]
fn sockets_of_systemd_are_shared_by_its_unit_and_the_log_says_so() {
    let server = Server::running("hello:app")
        .setting("reuse_port", true)
        .start();

    server.wait_for_log("reuse_port has no effect here (shop.toml:");
    server.wait_for_log("set ReusePort= in the socket unit");
    assert_eq!(server.get("/").status, 200);
}
