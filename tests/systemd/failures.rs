//! Crashes, hangs and starts that fail.

use crate::{
    client::Connection,
    lab::{Entry, Lab},
    site::{APP, Site},
    wait::{DEADLINE, wait_until},
};
use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

/// The process ids of both workers: requests are sent until each has answered.
#[track_caller]
fn workers(site: Site<'_>) -> BTreeSet<u32> {
    let mut workers = BTreeSet::new();
    wait_until("both workers have answered", || {
        // In parallel, so that one worker cannot answer all of them.
        let connections: Vec<_> = (0..8)
            .map(|_| Connection::open(&site.address()).unwrap())
            .collect();
        workers.extend(
            connections
                .into_iter()
                .map(|mut connection| connection.get("/pid").text().parse::<u32>().unwrap()),
        );
        workers.len() == 2
    });
    workers
}

fn kill(lab: &Lab, signal: &str, pid: u32) {
    lab.must(&format!("kill -{signal} {pid}"));
}

pub fn a_killed_worker_is_replaced_and_costs_only_its_own_requests(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let before = workers(site);
    let killed = *before.first().unwrap();
    let traffic = site.traffic();

    kill(lab, "KILL", killed);
    wait_until("another process has taken its place", || {
        let children = site.children();
        children.len() == 3 && !children.contains(&killed)
    });
    traffic.wait_for_answers(200);

    // Six clients keep a connection and three connect anew each time: the worker
    // had at most one request of each. No connection may have been refused.
    let failures = traffic.finish();
    assert!(failures.len() <= 9, "{failures:#?}");
    assert!(
        !failures
            .iter()
            .any(|failure| failure.contains("cannot connect")),
        "{failures:#?}"
    );
    let after = workers(site);
    assert!(!after.contains(&killed));
    assert_eq!(
        after.intersection(&before).count(),
        1,
        "the other worker stays"
    );
    assert_eq!(site.show("NRestarts"), "0");
}

pub fn a_killed_fork_server_is_replaced_and_costs_no_request(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let workers_before = workers(site);
    let fork_server = site.children()[0];
    assert!(!workers_before.contains(&fork_server));
    let traffic = site.traffic();

    kill(lab, "KILL", fork_server);
    wait_until(
        "another process and its workers have taken its place",
        || {
            let is_old = |pid: &u32| *pid == fork_server || workers_before.contains(pid);
            let children = site.children();
            children.len() == 3 && !children.iter().any(is_old)
        },
    );
    traffic.wait_for_answers(200);
    assert_eq!(traffic.finish(), Vec::<String>::new());

    // The new one can fork a worker and be replaced by a reload.
    kill(lab, "KILL", *workers(site).first().unwrap());
    wait_until("there are two workers again", || site.children().len() == 3);
    site.deploy("2");
    assert_eq!(site.show("NRestarts"), "0");
}

pub fn a_killed_master_comes_back_and_the_socket_never_refuses(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let killed = site.master();
    let traffic = site.traffic();

    kill(lab, "KILL", killed);
    wait_until("systemd has restarted the service", || {
        site.show("ActiveState") == "active" && ![0, killed].contains(&site.master())
    });
    traffic.wait_for_answers(200);

    // Each client had one request under way at most, and one more that the
    // dying worker took from the queue.
    let failures = traffic.finish();
    assert!(failures.len() <= 18, "{failures:#?}");
    assert!(
        !failures
            .iter()
            .any(|failure| failure.contains("cannot connect")),
        "{failures:#?}"
    );
    assert_eq!(site.show("NRestarts"), "1");
    assert_eq!(
        site.children().len(),
        3,
        "no worker of the dead master is left"
    );
}

pub fn a_frozen_master_is_restarted_by_the_watchdog(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.drop_in("[Service]\nWatchdogSec=6\n");
    site.start();
    let frozen = site.master();

    let seconds = |property| site.show(property).parse::<u64>().unwrap() / 1_000_000;
    wait_until(
        "it has reset the watchdog for longer than its time-out",
        || seconds("WatchdogTimestampMonotonic") > seconds("ActiveEnterTimestampMonotonic") + 6,
    );
    assert_eq!(site.master(), frozen);
    kill(lab, "STOP", frozen);
    wait_until("systemd has restarted the service", || {
        site.show("ActiveState") == "active" && ![0, frozen].contains(&site.master())
    });

    assert_eq!(site.text("/"), "1");
    let unit = ["UNIT=rgunicorn@shop.service", "UNIT_RESULT=watchdog"];
    lab.wait_for_record("the watchdog as the cause", &unit);
}

/// `timeout = 0`: nothing else would replace the workers.
pub fn a_stopped_pool_logs_its_stacks_and_is_restarted_by_the_watchdog(lab: &Lab) {
    let site = lab.site("shop", &APP.replace("time.sleep(2)", "time.sleep(3600)"));
    site.configure("timeout = 0\n");
    site.drop_in("[Service]\nWatchdogSec=8\n");
    site.start();
    let (master, workers) = (site.master(), workers(site));

    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut connection = Connection::open(&site.address()).unwrap();
            connection.send("GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n");
            connection.try_receive().unwrap_err();
        });
        wait_until("the slow request runs", || {
            lab.has("/var/lib/rgunicorn/shop/slow")
        });
        for worker in &workers {
            kill(lab, "STOP", *worker);
        }
        wait_until("systemd has restarted the service", || {
            site.show("ActiveState") == "active" && ![0, master].contains(&site.master())
        });
        waiting.join().unwrap();
    });

    assert_eq!(site.text("/"), "1");
    let unit = ["UNIT=rgunicorn@shop.service", "UNIT_RESULT=watchdog"];
    lab.wait_for_record("the watchdog as the cause", &unit);
    site.wait_for_entry("the event", |entry| {
        entry.field("MESSAGE_ID") == "1f8cafd054d4475cbb0a263384817b82"
    });
    site.wait_for_entry("the stack of the slow request", |entry| {
        let message = entry.message();
        message.contains("app.py") && message.contains("in app")
    });
}

/// Both workers are in a request for longer than `WatchdogSec=`.
pub fn a_busy_pool_is_left_alone_by_the_watchdog(lab: &Lab) {
    let app = APP.replace(
        "            time.sleep(2)\n",
        "            while not (STATE / \"go\").exists(): time.sleep(0.05)\n",
    );
    let site = lab.site("shop", &app);
    site.configure("timeout = 0\n");
    site.drop_in("[Service]\nWatchdogSec=6\n");
    site.start();
    let master = site.master();

    thread::scope(|scope| {
        let slow = [0, 1].map(|_| scope.spawn(|| site.text("/slow")));
        wait_until("the requests run", || {
            lab.has("/var/lib/rgunicorn/shop/slow")
        });
        let began = Instant::now();
        wait_until("workers that were silent would have been ended", || {
            began.elapsed() > Duration::from_secs(16)
        });
        lab.must("touch /var/lib/rgunicorn/shop/go");
        for request in slow {
            assert_eq!(request.join().unwrap(), "1");
        }
    });

    assert_eq!(
        (site.master(), site.show("NRestarts")),
        (master, "0".into())
    );
}

pub fn a_frozen_master_is_stopped(lab: &Lab) {
    for is_loading in [true, false] {
        let site = loading_site(lab);
        if !is_loading {
            lab.must("touch /var/lib/rgunicorn/shop/go");
            site.wait_for_state("active");
        }

        kill(lab, "STOP", site.master());
        let pids = site.children();
        lab.systemctl(&format!("stop {}", site.service()));

        let state = site.show("ActiveState");
        assert!(["inactive", "failed"].contains(&state.as_str()), "{state}");
        for pid in pids {
            assert!(!lab.has(&format!("/proc/{pid}/exe")), "{pid} is left");
        }
    }
}

pub fn a_master_that_hangs_at_the_start_is_restarted(lab: &Lab) {
    let site = loading_site(lab);
    let frozen = site.master();

    kill(lab, "STOP", frozen);
    lab.must("touch /var/lib/rgunicorn/shop/go");

    site.wait_for_state("active");
    assert_eq!(site.text("/"), "1");
    let unit = ["UNIT=rgunicorn@shop.service", "UNIT_RESULT=watchdog"];
    lab.wait_for_record("the watchdog as the cause", &unit);
}

/// Then systemd has forgotten the watchdog, and the kernel's alarm is left.
pub fn a_master_that_hangs_at_the_start_during_a_daemon_reload_is_restarted(lab: &Lab) {
    let site = loading_site(lab);
    let frozen = site.master();

    kill(lab, "STOP", frozen);
    lab.must("systemctl daemon-reload");
    wait_until("the alarm has gone off", || {
        let status = lab.must(&format!("cat /proc/{frozen}/status"));
        let pending = (status.lines()).find_map(|line| line.strip_prefix("ShdPnd:\t"));
        // SIGALRM; other signals may wait, too.
        u64::from_str_radix(pending.unwrap(), 16).unwrap() & (1 << 13) != 0
    });
    lab.must("touch /var/lib/rgunicorn/shop/go");
    kill(lab, "CONT", frozen);

    site.wait_for_state("active");
    assert_eq!(site.text("/"), "1");
    let unit = ["UNIT=rgunicorn@shop.service", "EXIT_STATUS=14"];
    lab.wait_for_record("the alarm as the cause", &unit);
}

/// A site whose application goes on loading until there is a file `go`.
#[track_caller]
fn loading_site(lab: &Lab) -> Site<'_> {
    let app = format!(
        "{APP}\n(STATE / 'loading').touch()\n\
         while not (STATE / 'go').exists(): time.sleep(0.05)\n"
    );
    let site = lab.site("shop", &app);
    site.drop_in("[Service]\nWatchdogSec=5\n");
    site.begin("start");
    wait_until("the application is loading", || {
        lab.has("/var/lib/rgunicorn/shop/loading")
    });
    site
}

pub fn a_site_that_cannot_start_keeps_its_socket(lab: &Lab) {
    let site = lab.site("shop", "raise LookupError('no such database')\n");
    // More often than systemd's default start limit allows.
    site.drop_in("[Service]\nRestartSec=100ms\nRestartMaxDelaySec=200ms\n");
    site.listen();

    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut connection = Connection::open(&site.address()).unwrap();
            connection.set_timeout(3 * DEADLINE);
            connection.get("/").text()
        });
        wait_until("systemd has tried seven times", || {
            site.show("NRestarts").parse::<u32>().unwrap() >= 7
        });
        assert_eq!(site.show_socket("ActiveState"), "active");
        let unit = ["UNIT=rgunicorn@shop.service", "EXIT_STATUS=3"];
        lab.wait_for_record("the exit status that says that it could not boot", &unit);
        site.wait_for_entry("the reason", |entry| {
            entry.message().contains("Traceback") && entry.message().contains("no such database")
        });

        site.write_app(APP);
        assert_eq!(
            waiting.join().unwrap(),
            "1",
            "the request that had waited is answered"
        );
    });
}

/// From systemd 254 on. An older one has nothing for it, and nothing to warn of.
pub fn a_site_that_cannot_start_is_restarted_after_pauses_that_grow(lab: &Lab) {
    let site = lab.site("shop", "raise LookupError('no such database')\n");
    site.configure("no_such_setting = 1\n");
    lab.must("systemctl daemon-reload");
    let site = site.listen();

    let pauses = |count: usize| -> Vec<Duration> {
        let mut failures: Vec<u64> = vec![];
        wait_until("it has failed so often", || {
            let unit = ["UNIT=rgunicorn@shop.service", "EXIT_STATUS=78"];
            // When systemd has said it, not when journald has stored it.
            failures = (lab.journal(&unit).iter())
                .map(|entry| entry.field("_SOURCE_REALTIME_TIMESTAMP").parse().unwrap())
                .collect();
            failures.len() > count
        });
        let pairs = failures.windows(2);
        pairs
            .map(|pair| Duration::from_micros(pair[1] - pair[0]))
            .collect()
    };
    thread::scope(|scope| {
        let waiting = [0, 1, 2].map(|_| scope.spawn(|| site.text("/")));
        let grow = lab.version() >= 254;
        let pauses = pauses(4);
        let least = if grow {
            [1000, 1700, 2900, 5000]
        } else {
            [1000; 4]
        };
        for (pause, least) in pauses.iter().zip(least) {
            assert!(*pause >= Duration::from_millis(least), "{pauses:?}");
        }
        let drop_ins = site.show("DropInPaths");
        assert_eq!(
            drop_ins.contains("10-rgunicorn-restarts.conf"),
            grow,
            "{drop_ins}"
        );
        assert_eq!(site.show("RestartUSec"), "1s");
        assert_eq!(site.show_socket("ActiveState"), "active");

        // The next pause is of almost nine seconds, which nobody needs to wait for.
        site.write_app(APP);
        site.configure("");
        lab.must(&format!("systemctl restart {}", site.service()));
        for request in waiting {
            assert_eq!(request.join().unwrap(), "1");
        }
    });
    if lab.version() >= 254 {
        assert_eq!(site.show("NRestarts"), "0", "the pauses are short again");
        kill(lab, "KILL", site.master());
        wait_until("it is counted", || site.show("NRestarts") == "1");
        site.wait_for_state("active");
        lab.must(&format!("systemctl reset-failed {}", site.service()));
        assert_eq!(site.show("NRestarts"), "0", "the count is forgotten");
    }
    let warnings: Vec<_> = (lab.journal(&["--identifier=systemd"]).iter())
        .map(Entry::message)
        .filter(|message| message.contains("Unknown key"))
        .collect();
    assert_eq!(warnings, [] as [&str; 0]);
}

pub fn a_stopped_journald_delays_no_request(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let journald = lab
        .must("systemctl show --value --property=MainPID systemd-journald")
        .parse()
        .unwrap();

    kill(lab, "STOP", journald);
    // 2 MB of output, which nobody reads.
    let mut connection = Connection::open(&site.address()).unwrap();
    for _ in 0..10_000 {
        assert_eq!(connection.get("/chatter").text(), "1");
    }
    site.deploy("2");

    kill(lab, "CONT", journald);
    // What is written before journald reads again may still be lost.
    wait_until("the journal has what is said now", || {
        site.text("/log");
        let logged = "logged by the application";
        site.journal()
            .iter()
            .any(|entry| entry.message().contains(logged))
    });
    site.wait_for_entry("how much was lost", |entry| {
        entry.message().contains("records were dropped")
    });
}
