//! Restarts behind a balancer, where no systemd holds the sockets.

use crate::harness::{Load, Running, Server, haproxy::Haproxy, traffic::Traffic};
use nix::sys::signal::Signal;
use std::time::Duration;

/// A server as the example for HAProxy wants it, except that the test ends its drain.
fn server() -> Running {
    let server = Server::running("hello:app")
        .binding_a_port()
        .workers(2)
        .setting("health_path", "/health")
        .setting("keepalive", 75)
        .setting("drain_time", 3600)
        .start();
    server.wait_for_workers(2);
    server
}

#[test]
fn rolling_restarts_behind_haproxy_lose_no_request() {
    let servers = [server(), server()];
    let [one, two] = &servers;
    let haproxy = Haproxy::start([&one.address(), &two.address()]);
    for name in ["one", "two"] {
        haproxy.wait_until_up(name);
    }
    let load = Load {
        kept_alive: 8,
        one_shot: 4,
        pause: Duration::from_millis(5),
        ..Load::default()
    };
    let traffic = Traffic::start(haproxy.address(), load);

    for (server, name) in servers.iter().zip(["one", "two"]).cycle().take(4) {
        server.signal(Signal::SIGTERM);
        haproxy.wait_until_drained(name);
        // Instead of the end of drain_time.
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait_for_exit(), 0);
        server.start_again();
        haproxy.wait_until_up(name);
        traffic.wait_for_answers(100);
    }

    assert_eq!(traffic.finish(), Vec::<String>::new());
    let all = haproxy.row("BACKEND");
    for column in ["econ", "eresp", "wretr", "wredis", "hrsp_5xx"] {
        assert_eq!(all[column], "0", "{column} in {all:?}");
    }
    // Else they would drain.
    for server in &servers {
        server.signal(Signal::SIGINT);
    }
}
