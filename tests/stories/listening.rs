//! Where the server listens, and who holds its sockets.

use crate::harness::{
    Connection, Program, Server, client::Address, processes, sockets::free_port, wait_until,
};
use nix::sys::signal::Signal;
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
};
use std::{
    fs,
    net::{Ipv6Addr, SocketAddr, TcpListener},
    os::unix::net::UnixListener,
};

#[test]
fn in_a_terminal_two_flags_and_a_name_are_enough() {
    let server = Server::typed("hello:app")
        .argument("-w")
        .argument("2")
        .binding_a_port()
        .start();

    assert_eq!(server.get("/").text(), "Hello, world!\n");
    assert_eq!(server.wait_for_workers(2).len(), 2);
}

#[test]
fn a_port_is_bound_and_released() {
    let server = Server::running("hello:app").binding_a_port().start();
    let Address::Tcp(address) = server.address() else {
        unreachable!()
    };

    assert_eq!(server.get("/").status, 200);
    server.stop();

    assert!(TcpListener::bind(address).is_ok());
}

#[test]
fn a_port_can_be_bound_again_at_once_after_clients_were_served() {
    let server = Server::running("hello:app").binding_a_port().start();
    server.get("/");
    server.stop();

    server.start_again();

    assert_eq!(server.get("/").status, 200);
}

/// Where nobody accepts them.
#[test]
fn as_many_connections_wait_as_backlog_says() {
    const BACKLOG: usize = 3;
    let server = Server::running("hello:app")
        .setting("backlog", i64::try_from(BACKLOG).unwrap())
        .binding_a_unix_socket()
        .start();
    let Address::Unix(path) = server.address() else {
        unreachable!()
    };
    server.signal(Signal::SIGWINCH);
    server.wait_until("no worker is left", || server.worker_pids().is_empty());
    let address = SocketAddrUnix::new(&path).unwrap();
    let mut waiting = Vec::new();

    let refused = loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        match connect(&socket, &address) {
            Ok(()) if waiting.len() < 100 => waiting.push(socket),
            connected => break connected,
        }
    };

    assert_eq!(refused, Err(Errno::AGAIN));
    // The kernel takes one more than it is told.
    assert_eq!(waiting.len(), BACKLOG + 1);
    drop(waiting);
    server.signal(Signal::SIGTTIN);
    server.wait_for_workers(1);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_unix_socket_is_bound_and_removed() {
    let server = Server::running("hello:app").binding_a_unix_socket().start();
    let Address::Unix(path) = server.address() else {
        unreachable!()
    };

    assert_eq!(server.get("/").status, 200);
    server.stop();

    assert!(!path.exists());
}

#[test]
fn a_unix_socket_that_nobody_serves_any_more_is_replaced() {
    let server = Server::running("hello:app").binding_a_unix_socket();
    drop(UnixListener::bind(server.path("bound.sock")).unwrap());

    let server = server.start();

    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_passed_unix_socket_is_served_and_left_alone() {
    let server = Server::running("hello:app").on_a_unix_socket().start();
    let Address::Unix(path) = server.address() else {
        unreachable!()
    };

    assert_eq!(server.get("/").status, 200);
    server.stop();

    assert!(path.exists());
}

#[test]
fn every_passed_socket_is_served() {
    let server = Server::running("hello:app")
        .and_a_unix_socket("backdoor")
        .start();

    let mut second = Connection::open(&server.second_address()).unwrap();

    assert_eq!(server.get("/").status, 200);
    assert_eq!(second.get("/").status, 200);
}

#[test]
fn several_addresses_are_bound() {
    let ports = [free_port(), free_port()];
    let first = SocketAddr::from(([127, 0, 0, 1], ports[0]));
    let second = SocketAddr::from((Ipv6Addr::LOCALHOST, ports[1]));
    let server = Server::typed("hello:app")
        .argument("--bind")
        .argument(&first.to_string())
        .argument("--bind")
        .argument(&second.to_string())
        .bound_to(first)
        .start();

    assert_eq!(server.get("/").status, 200);
    assert_eq!(
        Connection::open(&Address::Tcp(second))
            .unwrap()
            .get("/")
            .status,
        200
    );
}

#[test]
fn a_descriptor_can_be_named() {
    let server = Server::running("hello:app")
        .setting("bind", "fd://3")
        .without_listen_variables()
        .start();

    assert_eq!(server.get("/").status, 200);
}

#[test]
fn sockets_that_were_passed_to_another_process_are_not_taken() {
    let port = free_port();

    let server = Server::running("hello:app")
        .with_sockets_of_somebody_else()
        .setting("bind", format!("127.0.0.1:{port}"))
        .launch();
    server.wait_for_notice("READY=1");

    let mut connection =
        Connection::open(&Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))).unwrap();
    assert_eq!(connection.get("/").status, 200);
    drop(server);
}

#[test]
fn the_app_does_not_see_what_systemd_told_the_master() {
    let server = Server::running("state:app").env("FDSTORE", "8").start();

    let state = server.get("/").json();

    for name in [
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "FDSTORE",
    ] {
        assert_eq!(state["environ"].get(name), None, "{name}");
    }
}

#[test]
fn only_workers_that_have_loaded_the_app_hold_a_socket() {
    let server = Server::running("shop:app")
        .workers(2)
        .file(
            "shop.py",
            "import os\n\
             import slow\n\
             slow.mark('importing')\n\
             slow.app({'PATH_INFO': '/until/go.%d' % os.getpid()}, print)\n\
             from hello import app\n",
        )
        .launch();
    let importing = |count: usize| {
        server.wait_until("the next worker is importing", || {
            server.read("importing").lines().count() >= count
        });
        let noted = server.read("importing");
        noted.lines().last().unwrap().to_owned()
    };

    let first = importing(1);
    assert_eq!(server.worker_pids().len(), 0);
    server.write(&format!("go.{first}"), "");
    let serving = server.wait_for_workers(1);
    let second = importing(2);
    assert_eq!(server.worker_pids(), serving);

    server.write(&format!("go.{second}"), "");
    server.wait_for_workers(2);
}

#[test]
fn a_client_that_waits_during_a_restart_is_answered_after_it() {
    let server = Server::running("hello:app").start();
    server.stop();
    let waiting = server.get_in_background("/");

    server.start_again();

    assert_eq!(waiting.join().unwrap().unwrap().status, 200);
}

#[test]
fn a_descriptor_that_is_not_open_is_named() {
    let outcome = Program::rgunicorn(&["--bind", "fd://77", "hello:app"]).run();

    assert_eq!(outcome.status, 71, "{outcome:?}");
    assert!(outcome.stderr.contains("77"), "{outcome:?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
}

#[test]
fn a_unix_socket_can_be_used_by_any_user() {
    let server = Server::running("hello:app").binding_a_unix_socket().start();
    let Address::Unix(path) = server.address() else {
        unreachable!()
    };

    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());

    assert_eq!(mode & 0o777, 0o666, "mode {mode:o}");
}

#[test]
fn the_processes_have_their_configured_name() {
    let server = Server::running("hello:app")
        .setting("proc_name", "market")
        .start();

    for pid in server.children() {
        wait_until("the process has its name", || {
            processes::command_line(pid).contains("market")
        });
    }
}
