//! Reloads: new code and new configuration, when and how they take effect.

use super::shop::{assert_all_say, selling, shop, shop_that_waits};
use crate::harness::{Server, processes};
use nix::sys::signal::Signal;
use std::os::unix::fs::symlink;

#[test]
fn reload_replaces_every_worker_and_drops_no_request() {
    let server = Server::running("hello:app").workers(2).start();
    let before = server.wait_for_workers(2);
    let traffic = server.under_load();

    server.reload();

    assert_eq!(server.notices(), ["RELOADING=1", "READY=1"]);
    server.wait_until("every worker is a new one", || {
        let now = server.worker_pids();
        now.len() == 2 && now.is_disjoint(&before)
    });
    assert_eq!(traffic.finish(), [] as [&str; 0]);
}

#[test]
fn ten_reloads_under_load_lose_nothing() {
    let server = selling("0").setting("keepalive", 5).start();
    let traffic = server.under_load();

    for number in 1..=10 {
        server.write("shop.py", &shop(&number.to_string()));
        server.reload();
        assert_eq!(server.get("/").text(), number.to_string());
        traffic.wait_for_answers(30);
    }

    assert_eq!(traffic.bodies().len(), 11);
    assert_eq!(traffic.finish(), [] as [&str; 0]);
    server.wait_until("only the last generation is left", || {
        server.children().len() == 3
    });
}

#[test]
fn ten_reloads_of_a_preloaded_app_lose_nothing() {
    let server = selling("0")
        .setting("preload", true)
        .setting("keepalive", 5)
        .start();
    let traffic = server.under_load();

    for number in 1..=10 {
        server.write("shop.py", &shop(&number.to_string()));
        server.reload();
        assert_eq!(server.get("/").text(), number.to_string());
        traffic.wait_for_answers(30);
    }

    assert_eq!(traffic.finish(), [] as [&str; 0]);
}

#[test]
fn after_a_reload_every_worker_runs_the_new_code() {
    for preload in [false, true] {
        let server = selling("old").setting("preload", preload).start();
        assert_all_say(&server, "old");
        server.write("shop.py", &shop("new"));

        server.reload();

        assert_all_say(&server, "new");
    }
}

#[test]
fn new_settings_hold_after_a_reload() {
    let server = Server::running("state:app").workers(1).start();
    server.set("workers", 3);
    server.set(
        "env",
        toml::Table::from_iter([("COLOUR".to_owned(), toml::Value::from("green"))]),
    );

    server.reload();

    server.wait_for_workers(3);
    assert_eq!(server.get("/").json()["environ"]["COLOUR"], "green");
    server.set("workers", 1);
    server.reload();
    server.wait_for_workers(1);
}

#[test]
fn a_variable_removed_from_the_configuration_is_gone_after_a_reload() {
    let server = Server::running("state:app")
        .setting(
            "env",
            toml::Table::from_iter([("COLOUR".to_owned(), toml::Value::from("green"))]),
        )
        .start();
    assert_eq!(server.get("/").json()["environ"]["COLOUR"], "green");
    server.set("env", toml::Table::new());

    server.reload();

    assert_eq!(server.get("/").json()["environ"].get("COLOUR"), None);
}

#[test]
fn another_application_can_be_named() {
    let server = Server::running("hello:app").start();
    server.set("app", "factory:make(\"Bonjour\")");

    server.reload();

    assert_all_say(&server, "Bonjour!");
}

#[test]
fn a_link_to_a_release_is_followed_anew() {
    let server = Server::running("shop:app")
        .workers(2)
        .file("releases/1/shop.py", &shop("one"))
        .file("releases/2/shop.py", &shop("two"))
        .setting("chdir", "current");
    let current = server.path("current");
    symlink("releases/1", &current).unwrap();
    let server = server.start();
    assert_all_say(&server, "one");

    symlink("releases/2", format!("{current}.new")).unwrap();
    std::fs::rename(format!("{current}.new"), &current).unwrap();
    server.reload();

    assert_all_say(&server, "two");
}

#[test]
fn while_the_new_code_loads_the_old_serves_in_full_strength() {
    let server = selling("old").start();
    let before = server.wait_for_workers(2);
    let traffic = server.under_load();
    server.write("shop.py", &shop_that_waits("new"));
    server.forget_notices();
    server.signal(Signal::SIGHUP);
    server.wait_until("the new code is loading", || {
        !server.read("new.go.started").is_empty()
    });

    traffic.wait_for_answers(100);
    assert!(server.worker_pids().is_superset(&before));
    assert_eq!(server.notices(), ["RELOADING=1"]);

    server.write("new.go", "");
    server.wait_for_notice("READY=1");
    assert_all_say(&server, "new");
    assert_eq!(traffic.finish(), [] as [&str; 0]);
}

#[test]
fn a_reload_that_is_asked_for_during_a_reload_brings_the_newest_code() {
    let server = selling("old").start();
    server.write("shop.py", &shop_that_waits("new"));
    server.signal(Signal::SIGHUP);
    server.wait_until("the new code is loading", || {
        !server.read("new.go.started").is_empty()
    });

    server.write("shop.py", &shop("newest"));
    server.signal(Signal::SIGHUP);
    server.write("new.go", "");

    server.wait_until("the newest code serves", || {
        server.get("/").text() == "newest"
    });
    server.wait_for_workers(2);
}

#[test]
fn a_reload_that_had_to_wait_is_logged_with_its_requester() {
    let server = selling("old").start();
    server.write("shop.py", &shop_that_waits("new"));
    server.signal(Signal::SIGHUP);
    server.wait_until("the new code is loading", || {
        !server.read("new.go.started").is_empty()
    });

    server.signal(Signal::SIGHUP);
    server.wait_until("the second order is known", || {
        server.log_count("Got SIGHUP") == 2
    });
    server.signal(Signal::SIGTTIN);
    server.wait_for_log("Got SIGTTIN");
    server.write("new.go", "");

    server.wait_for_log("generation 3 is next");
    assert_eq!(
        server.log_count("Reload began (SIGHUP)"),
        2,
        "{}",
        server.stderr()
    );
}

/// As `systemctl kill -s HUP` does: it sends the signal to every process.
#[test]
fn sighup_to_every_process_ends_none_that_is_just_starting() {
    let server = selling("old").start();

    for _ in 0..8 {
        server.forget_notices();
        server.signal(Signal::SIGHUP);
        server.wait_until("the reload is over", || {
            for pid in server.children() {
                processes::signal(pid, Signal::SIGHUP);
            }
            server.notices().ends_with(&["READY=1".to_owned()])
        });
    }

    let log = server.stderr();
    assert!(!log.contains("failed"), "{log}");
    assert!(!log.contains("died"), "{log}");
    assert_all_say(&server, "old");
}

#[test]
fn a_stop_during_a_reload_stops() {
    let server = selling("old").setting("graceful_timeout", 2).start();
    server.write("shop.py", &shop_that_waits("new"));
    server.signal(Signal::SIGHUP);
    server.wait_until("the new code is loading", || {
        !server.read("new.go.started").is_empty()
    });

    assert_eq!(server.stop(), 0);
    server.wait_for_log("Reload not finished: the service is being stopped");
    assert_eq!(server.log_count("[ERROR]"), 0, "{}", server.stderr());

    assert_eq!(processes::started_for(server.folder()), [] as [i32; 0]);
}

#[test]
fn the_sockets_are_the_same_before_and_after() {
    for server in [
        Server::running("hello:app"),
        Server::running("hello:app").binding_a_port(),
        Server::running("hello:app").binding_a_unix_socket(),
    ] {
        let server = server.start();
        let traffic = server.under_load();

        server.reload();

        assert_eq!(server.get("/").status, 200);
        assert_eq!(traffic.finish(), [] as [&str; 0]);
    }
}

#[test]
fn old_generations_leave_nothing_behind() {
    let server = Server::running("hello:app").workers(2).start();
    for _ in 0..3 {
        server.reload();
    }

    server.wait_until("one fork server and two workers are left", || {
        server.children().len() == 3
    });
    let descriptors = processes::descriptors(server.pid()).len();
    for _ in 0..3 {
        server.reload();
    }
    server.wait_until("one fork server and two workers are left", || {
        server.children().len() == 3
    });
    server.wait_until("the master has no more descriptors than before", || {
        processes::descriptors(server.pid()).len() <= descriptors
    });
}
