//! Starting and stopping, listening, and what a site runs with.

use crate::{
    client::{Address, Connection},
    lab::{Lab, test_packages},
    site::APP,
    wait::wait_until,
};
use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

pub fn the_first_request_starts_the_service(lab: &Lab) {
    let site = lab.site("shop", APP).listen();
    assert_eq!(site.show("ActiveState"), "inactive");

    let response = site.get("/");

    assert_eq!((response.status, response.text().as_str()), (200, "1"));
    // The first worker may have answered while the second was loading.
    wait_until("the service is active", || {
        site.show("ActiveState") == "active"
    });
}

/// The start may take five seconds, the import takes eight: the master has to
/// ask systemd for more time, and not say that it is ready before it is.
pub fn the_service_is_ready_only_when_the_application_is_loaded(lab: &Lab) {
    let site = lab.site(
        "shop",
        &format!("{APP}\ntime.sleep(8)\n(STATE / 'loaded').touch()\n"),
    );
    site.drop_in("[Service]\nTimeoutStartSec=5\n");
    site.listen();

    let (first, loaded_at_start) = thread::scope(|scope| {
        let first = scope.spawn(|| site.text("/"));
        site.start();
        let loaded = lab.has("/var/lib/rgunicorn/shop/loaded");
        (first.join().unwrap(), loaded)
    });

    assert_eq!(first, "1");
    assert!(
        loaded_at_start,
        "`systemctl start` returned before the application was loaded"
    );
    assert_eq!(site.show("NRestarts"), "0");
}

pub fn a_running_request_is_answered_before_the_service_stops(lab: &Lab) {
    let site = lab.site("shop", APP).start();

    let (answer, stopped) = thread::scope(|scope| {
        let slow = scope.spawn(|| site.text("/slow"));
        wait_until("the slow request runs", || {
            lab.has("/var/lib/rgunicorn/shop/slow")
        });
        let stopped = lab.systemctl(&format!("stop {}", site.service()));
        (slow.join().unwrap(), stopped)
    });

    assert_eq!(answer, "1");
    assert_eq!(stopped.status, Some(0), "{}", stopped.output);
    assert_eq!(site.show("Result"), "success");
}

/// The stop may take five seconds, the drain takes eight: the master has to ask systemd for
/// more time.
pub fn a_drain_may_take_longer_than_the_unit_allows_for_a_stop(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.configure("drain_time = 8\nhealth_path = \"/health\"\n");
    site.drop_in("[Service]\nTimeoutStopSec=5\n");
    let site = site.start();
    assert_eq!(site.get("/health").status, 200);

    let began = Instant::now();
    let stopped = thread::scope(|scope| {
        let stopped = scope.spawn(|| lab.systemctl(&format!("stop {}", site.service())));
        wait_until("the status says so", || {
            site.show("StatusText").contains("draining")
        });
        assert_eq!(site.show("ActiveState"), "deactivating");
        stopped.join().unwrap()
    });

    assert_eq!(stopped.status, Some(0), "{}", stopped.output);
    assert!(began.elapsed() >= Duration::from_secs(8));
    assert_eq!(site.show("Result"), "success");
}

/// A `daemon-reload` starts the manager's timers anew from the beginning of the
/// start or the stop, whatever extensions there were: the units must set no limit
/// that could have passed by then.
pub fn a_daemon_reload_cuts_off_neither_a_start_nor_a_reload_nor_a_stop(lab: &Lab) {
    lab.write(
        "/etc/systemd/system.conf.d/short.conf",
        "[Manager]\nDefaultTimeoutStartSec=2s\nDefaultTimeoutStopSec=2s\n",
    );
    lab.must("systemctl daemon-reexec");
    let waiting = |file: &str| {
        format!(
            "(STATE / '{file}-began').touch()\n\
             while not (STATE / '{file}').exists(): time.sleep(0.05)\n"
        )
    };
    let app = |version: &str, boot: &str| {
        let request = waiting("stop").replace('\n', "\n            ");
        APP.replace("\"1\"", &format!("\"{version}\""))
            .replace("(STATE / \"slow\").touch()", request.trim_end())
            .replace("            time.sleep(2)\n", "")
            + &waiting(boot)
    };
    let state = "/var/lib/rgunicorn/shop";
    let outlast_the_limit = |file: &str| {
        wait_until("it has begun", || lab.has(&format!("{state}/{file}-began")));
        let began = Instant::now();
        wait_until("the manager's limit has passed", || {
            began.elapsed() > Duration::from_secs(3)
        });
        lab.must("systemctl daemon-reload");
        lab.must(&format!("touch {state}/{file}"));
    };
    let site = lab.site("shop", &app("1", "start"));

    site.begin("start");
    outlast_the_limit("start");
    site.wait_for_state("active");
    assert_eq!(site.show("NRestarts"), "0", "the start was cut off");
    assert_eq!(site.text("/"), "1");

    site.write_app(&app("2", "reload"));
    thread::scope(|scope| {
        let reload = scope.spawn(|| site.reload());
        outlast_the_limit("reload");
        reload.join().unwrap();
    });
    assert_eq!(site.text("/"), "2");

    thread::scope(|scope| {
        let slow = scope.spawn(|| site.text("/slow"));
        wait_until("the request runs", || {
            lab.has(&format!("{state}/stop-began"))
        });
        site.begin("stop");
        outlast_the_limit("stop");
        assert_eq!(slow.join().unwrap(), "2");
    });
    site.wait_for_state("inactive");
    assert_eq!(site.show("Result"), "success");
}

pub fn two_sites_live_side_by_side(lab: &Lab) {
    let shop = lab.site("shop", APP).listen();
    let blog = lab.site("blog", &APP.replace("\"1\"", "\"blog\"")).listen();
    assert_eq!(
        (shop.text("/"), blog.text("/")),
        ("1".to_owned(), "blog".to_owned())
    );

    blog.deploy("new blog");
    lab.must(&format!(
        "systemctl stop {} {}",
        shop.socket(),
        shop.service()
    ));

    assert_eq!(blog.text("/"), "new blog");
    assert_eq!(shop.show("ActiveState"), "inactive");
}

pub fn a_port_is_a_drop_in(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let fetch = || {
        let address = Address::Tcp("127.0.0.1:8000".parse().unwrap());
        Connection::open(&address).map(|mut connection| connection.get("/").text())
    };
    assert!(lab.in_network(fetch).is_err());

    site.example(&site.socket(), "port.conf");
    lab.must(&format!("systemctl restart {}", site.socket()));

    assert_eq!(lab.in_network(fetch).unwrap(), "1");
    assert_eq!(site.text("/"), "1");
}

pub fn an_idle_site_exits_and_the_next_request_starts_it_again(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.configure("idle_exit = \"2s\"\n");
    site.start();

    for _ in 0..3 {
        site.wait_for_state("inactive");
        assert_eq!(site.show("Result"), "success");
        assert_eq!(site.show_socket("ActiveState"), "active");
        assert_eq!(site.text("/"), "1");
    }

    assert_eq!(site.show("NRestarts"), "0");
    site.wait_for_entry("why it ended", |entry| {
        entry.field("REASON") == "no connection for 2 s"
    });
}

/// Several clients come at any moment from shortly before the site exits until it has.
pub fn requests_around_the_moment_of_an_idle_exit_are_answered(lab: &Lab) {
    const MOST_ROUNDS: usize = 60;
    let site = lab.site("shop", APP);
    site.configure("idle_exit = \"1s\"\n");
    site.start();
    let mut random = fastrand::Rng::with_seed(7);
    let mut starts = BTreeSet::new();

    for _ in 0..MOST_ROUNDS {
        let idle_since = Instant::now();
        let delays: Vec<_> = (0..6)
            .map(|_| Duration::from_millis(random.u64(850..1600)))
            .collect();
        thread::scope(|scope| {
            for delay in delays {
                scope.spawn(move || {
                    thread::sleep(delay.saturating_sub(idle_since.elapsed()));
                    assert_eq!(site.text("/"), "1");
                });
            }
        });
        starts.insert(site.show("InvocationID"));
        if starts.len() > 12 {
            break;
        }
    }

    assert!(starts.len() > 2, "it was started only as {starts:?}");
    assert_eq!(site.show("NRestarts"), "0");
}

/// Its packages were installed for this machine's Python, which may be another:
/// what Flask needs works as plain Python too.
pub fn flask_runs_from_a_virtual_environment(lab: &Lab) {
    let app = "import flask, sys\n\
               app = flask.Flask(__name__)\n\
               @app.get('/<name>')\n\
               def greet(name):\n\
               \x20   return f'Hello {name} from {sys.prefix}'\n";
    let site = lab.site("shop", app);
    lab.must("python3 -m venv --without-pip /srv/shop/venv");
    let packages = lab.must("find /srv/shop/venv -name site-packages");
    for package in [
        "blinker",
        "click",
        "flask",
        "itsdangerous",
        "jinja2",
        "markupsafe",
        "werkzeug",
    ] {
        lab.push(
            &test_packages().join(package),
            &format!("{packages}/{package}"),
        );
    }
    site.configure("python = \"/srv/shop/venv/bin/python\"\n");
    site.listen();

    assert_eq!(site.text("/world"), "Hello world from /srv/shop/venv");
}

/// As it was written for Gunicorn.
const SCRIPT: &str = r#"
import os
from gunicorn.app.base import BaseApplication

class Shop(BaseApplication):
    def load_config(self):
        self.cfg.set("workers", 2)
        self.cfg.set("post_fork", lambda server, worker: os.environ.update(FORKED="yes"))

    def load(self):
        def app(environ, start_response):
            start_response("200 OK", [])
            return [(VERSION + os.environ["FORKED"]).encode()]
        return app

VERSION = "1"
if __name__ == "__main__":
    Shop().run()
"#;

pub fn a_script_that_starts_the_server_itself_is_a_site(lab: &Lab) {
    let site = lab.site("shop", APP);
    let (script, file) = ("/srv/shop/serve.py", "/etc/rgunicorn/shop.toml");
    lab.write(script, SCRIPT);
    lab.write(file, &format!("config = \"script:{script}\"\n"));
    let site = site.start();
    assert_eq!(site.text("/"), "1yes");
    let master = site.master();

    lab.write(script, &SCRIPT.replace("\"1\"", "\"2\""));
    site.reload();

    assert_eq!(site.text("/"), "2yes");
    assert_eq!(site.master(), master);
}

pub fn a_hello_takes_little_memory(lab: &Lab) {
    let site = lab.site("shop", HELLO).start();
    for _ in 0..200 {
        site.get("/");
    }

    let pss_kib = |pid: u32| -> u64 {
        let rollup = lab.must(&format!("cat /proc/{pid}/smaps_rollup"));
        let line = rollup.lines().find(|line| line.starts_with("Pss:"));
        line.and_then(|line| line.split_whitespace().nth(1))
            .unwrap()
            .parse()
            .unwrap()
    };
    let master = pss_kib(site.master());
    let workers = site.children().len() - 1;
    let all = master + site.children().into_iter().map(pss_kib).sum::<u64>();

    assert_eq!(workers, 2);
    assert!(master < 4 * 1024, "the master takes {master} KiB");
    assert!(
        all * 1024 < 16_000_000,
        "all processes take {all} KiB, not less than 16 MB"
    );
}

const HELLO: &str = r#"
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello, World!\n"]
"#;
