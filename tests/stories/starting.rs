//! A start: one worker boots alone and serves as soon as it can, the others follow.

use crate::harness::{Running, Server};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::thread::available_parallelism;

const WORKERS: u16 = 8;

/// Each worker notes when it begins to load the application and when it has; in
/// between it waits for a file.
const SHOP: &str = r#"
import os
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def note(event):
    line = "%s %d\n" % (event, os.getpid())
    file = os.open(HERE + "/boots", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, line.encode())
    os.close(file)


note("begins")
while not os.path.exists(HERE + "/go.%d" % os.getpid()):
    time.sleep(0.01)
note("ends")


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"#;

/// Launches the server where it may use no more than this many processors, and gives
/// how many those are.
fn launched_on(most: usize, server: Server) -> (Running, usize) {
    // Of a thread that ends: what it starts inherits its processors, and no other test
    // does.
    let launch = move || {
        let this_thread = Pid::from_raw(0);
        let allowed = sched_getaffinity(this_thread).unwrap();
        let mut few = CpuSet::new();
        let chosen: Vec<usize> = (0..CpuSet::count())
            .filter(|cpu| allowed.is_set(*cpu).unwrap())
            .take(most)
            .collect();
        for cpu in &chosen {
            few.set(*cpu).unwrap();
        }
        sched_setaffinity(this_thread, &few).unwrap();
        // A control group may have the time of fewer.
        let processors = available_parallelism().unwrap().get();
        (server.launch(), processors)
    };
    std::thread::spawn(launch).join().unwrap()
}

/// What the workers have noted.
struct Boots {
    /// The process ids of those that load the application now.
    under_way: Vec<String>,
    begun: usize,
    ended: usize,
    /// The most that were loading it at the same time.
    most: usize,
}

fn boots(server: &Running) -> Boots {
    let notes = server.folder().join("boots");
    let notes = std::fs::read_to_string(notes).unwrap_or_default();
    let mut boots = Boots {
        under_way: Vec::new(),
        begun: 0,
        ended: 0,
        most: 0,
    };
    for line in notes.lines() {
        match line.split_once(' ').unwrap() {
            ("begins", pid) => {
                boots.begun += 1;
                boots.under_way.push(pid.to_owned());
            }
            (_, pid) => {
                boots.ended += 1;
                boots.under_way.retain(|other| other != pid);
            }
        }
        boots.most = boots.most.max(boots.under_way.len());
    }
    boots
}

/// Lets one worker finish to load the application.
fn release(server: &Running, pid: &str) {
    let ended = boots(server).ended;
    server.write(&format!("go.{pid}"), "");
    server.wait_until("it ends", || boots(server).ended > ended);
}

#[test]
fn the_first_worker_serves_while_the_others_boot_one_on_each_processor() {
    for most in [1, 2] {
        let server = Server::running("shop:app")
            .workers(WORKERS)
            .file("shop.py", SHOP);
        let (server, processors) = launched_on(most, server);
        server.wait_until("one begins", || boots(&server).begun > 0);
        let status = server.ctl(&["status"]);
        assert!(status.stdout.contains("0 of 8 workers"), "{status:?}");
        let first = boots(&server).under_way;
        assert_eq!(first.len(), 1, "{first:?}");

        release(&server, &first[0]);

        // No other can answer.
        assert_eq!(server.get("/").text(), first[0]);
        for ended in 1..usize::from(WORKERS) {
            let begun = usize::from(WORKERS).min(ended + processors);
            server.wait_until("the next begins", || boots(&server).begun >= begun);
            assert!(!server.notices().contains(&"READY=1".to_owned()));
            release(&server, &boots(&server).under_way[0]);
        }
        server.wait_until_ready();
        let boots = boots(&server);
        assert_eq!(boots.begun, usize::from(WORKERS));
        assert_eq!(boots.most, processors);
    }
}

#[test]
fn a_first_worker_that_cannot_load_the_application_is_the_only_one_that_tries() {
    let broken = SHOP
        .replace("while not", "while False and not")
        .replace("def app", "raise ValueError('no goods today')\ndef app");
    let server = Server::running("shop:app")
        .workers(WORKERS)
        .file("shop.py", &broken)
        .launch();

    assert_eq!(server.wait_for_exit(), 3);

    assert_eq!(boots(&server).begun, 1);
    let tracebacks = server.log_count("Traceback (most recent call last)");
    assert_eq!(tracebacks, 1, "{}", server.stderr());
}
