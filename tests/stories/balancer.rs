//! Restarts behind a balancer, where no systemd holds the sockets.

use crate::harness::wait_until;
use crate::harness::{Load, Running, Server, haproxy::Haproxy, nginx::Nginx, traffic::Traffic};
use nix::sys::signal::Signal;
use std::time::Duration;

/// A server as the examples want it, except that the test ends its drain.
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

/// How many requests its workers have answered.
fn answered(server: &Running) -> u64 {
    let listed = server.ctl(&["workers", "--json"]).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let workers = listed["workers"].as_array().unwrap().iter();
    workers
        .filter_map(|worker| worker["requests"].as_u64())
        .sum()
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

/// nginx does not ask for `health_path`: it notices when a connection is refused.
#[test]
fn rolling_restarts_behind_nginx_lose_no_request() {
    let servers = [server(), server()];
    let [one, two] = &servers;
    let nginx = Nginx::start([&one.address(), &two.address()]);
    let load = Load {
        kept_alive: 8,
        one_shot: 4,
        pause: Duration::from_millis(5),
        ..Load::default()
    };
    let traffic = Traffic::start(nginx.address(), load);

    for server in servers.iter().cycle().take(4) {
        server.signal(Signal::SIGTERM);
        traffic.wait_for_answers(100);
        // Instead of the end of drain_time.
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait_for_exit(), 0);
        traffic.wait_for_answers(100);
        server.start_again();
        // nginx tries it again after fail_timeout.
        wait_until("it gets requests again", || answered(server) > 100);
    }

    assert_eq!(traffic.finish(), Vec::<String>::new(), "{}", nginx.log());
    for server in &servers {
        server.signal(Signal::SIGINT);
    }
}
