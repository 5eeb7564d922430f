//! What an application writes reaches the journal, whatever state journald is in.

use crate::{
    client::Connection,
    lab::{Entry, Lab},
    site::Site,
    wait::wait_until,
};
use std::{collections::BTreeMap, time::Duration};

/// Writes in every way that a log has to keep apart.
const APP: &str = r#"
import logging, os, subprocess, sys, urllib.parse

log = logging.getLogger("gunicorn.error")

def app(environ, start_response):
    query = dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", "")))
    count = int(query.get("count", 1))
    match environ["PATH_INFO"]:
        case "/lines":
            for number in range(count):
                print(f"{query['name']} {number}")
        case "/lines_and_records":
            for number in range(count):
                print(f"{query['name']} {number}")
                environ["wsgi.errors"].write(f"{query['name']} error {number}\n")
        case "/priorities":
            for number in range(8):
                print(f"<{number}>priority {number}")
        case "/logged":
            logging.error("first\nsecond\n\nthird")
        case "/handler":
            for number in range(count):
                log.info("%s %d", query["name"], number)
        case "/printed":
            print("one\ntwo")
        case "/long":
            print("long " + "x" * 40_000)
            logging.error("long first\n" + "y" * 30_000)
        case "/child":
            wait = "until [ -e $STATE_DIRECTORY/go ]; do sleep 0.05; done"
            subprocess.Popen(["sh", "-c", f"{wait}; echo first; echo last"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
"#;

/// The records of the journal that begin with that word and a number, in the
/// order in which they stand there.
fn numbers(journal: &[Entry], word: &str) -> Vec<usize> {
    let begins = format!("{word} ");
    journal
        .iter()
        .filter_map(|entry| entry.message().strip_prefix(&begins)?.parse().ok())
        .collect()
}

/// Waits until the last of `count` numbers is in the journal. What another worker has
/// written before may come later: each has pipes of its own.
#[track_caller]
fn wait_for_last(site: &Site, word: &str, count: usize) {
    let last = format!("{word} {}", count - 1);
    wait_until("the last line is in the journal", || {
        let found = ["--unit", &site.service(), "--lines=200"];
        let journal = site.lab.journal(&found);
        journal.iter().any(|entry| entry.message() == last)
    });
}

fn notices(site: &Site) -> Vec<Entry> {
    let id = "MESSAGE_ID=d9d3fc9400404ca7bdc6830b5f68c0e4";
    site.lab.journal(&["--unit", &site.service(), id])
}

fn journald(lab: &Lab) -> String {
    lab.must("systemctl show --value --property=MainPID systemd-journald")
}

pub fn no_line_of_a_burst_is_lost(lab: &Lab) {
    const LINES: usize = 5000;
    let site = lab.site("shop", APP).start();

    // With a restart between, as journald's rate limit is not tested here.
    for name in ["first", "second"] {
        site.get(&format!("/lines?count={LINES}&name={name}"));
        wait_for_last(&site, name, LINES);
        if name == "first" {
            lab.must("systemctl restart systemd-journald");
        }
    }

    let journal = site.journal();
    let expected: Vec<_> = (0..LINES).collect();
    for name in ["first", "second"] {
        let found = numbers(&journal, name);
        assert!(found == expected, "{name}: {} of {LINES}", found.len());
    }
    assert!(notices(&site).is_empty());
}

pub fn what_the_application_writes_keeps_its_form(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    for path in ["/priorities", "/logged", "/printed", "/long"] {
        site.get(path);
    }
    // Each worker has pipes of its own, and each of them stdout and stderr.
    for last in [
        "priority 7",
        "ERROR:root:first",
        "two",
        "long ",
        "ERROR:root:long",
    ] {
        site.wait_for_entry(last, |entry| entry.message().starts_with(last));
    }

    let journal = site.journal();
    let by_message: BTreeMap<String, &Entry> = journal
        .iter()
        .map(|entry| (entry.message(), entry))
        .collect();
    for number in 0..8 {
        let entry = by_message[&format!("priority {number}")];
        assert_eq!(entry.field("PRIORITY"), number.to_string());
        assert_eq!(entry.field("STREAM"), "stdout");
        assert_eq!(entry.field("SYSLOG_IDENTIFIER"), "rgunicorn");
    }
    let logged = by_message["ERROR:root:first\nsecond\n\nthird"];
    assert_eq!(logged.field("STREAM"), "stderr");
    for line in ["one", "two"] {
        assert!(by_message.contains_key(line), "{line}");
    }
    let long = format!("long {}", "x".repeat(40_000));
    assert!(by_message.contains_key(&long), "a long line");
    let long = format!("ERROR:root:long first\n{}", "y".repeat(30_000));
    assert!(by_message.contains_key(&long), "a long record");

    let ready = journal
        .iter()
        .find(|entry| entry.message().starts_with("Ready "))
        .unwrap();
    assert_eq!(ready.field("PRIORITY"), "6");
    assert_eq!(ready.field("SYSLOG_IDENTIFIER"), "rgunicorn");
    assert!(ready.field("CODE_FILE").contains("log/events"), "{ready:?}");
    assert_ne!(ready.field("CODE_LINE"), "");
}

/// A program that a request started goes on when its worker has retired.
pub fn what_a_child_writes_after_its_worker_has_left_is_kept(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let before = site.children();
    site.get("/child");
    site.deploy_app(APP);
    wait_until("the old processes are gone", || {
        let now = site.children();
        before.iter().all(|pid| !now.contains(pid))
    });

    lab.must("touch /var/lib/rgunicorn/shop/go");

    site.wait_for_entry("what the child writes", |entry| entry.message() == "last");
    let journal = site.journal();
    let first = journal.iter().find(|entry| entry.message() == "first");
    assert_eq!(first.unwrap().field("STREAM"), "stdout");
}

pub fn a_journald_that_is_restarted_misses_nothing(lab: &Lab) {
    const ROUNDS: usize = 3;
    let site = lab.site("shop", APP).start();

    // Its socket stays: what is written meanwhile waits. (More restarts in a row
    // are refused by systemd.)
    for round in 0..ROUNDS {
        site.get(&format!("/lines?count=400&name=round{round}"));
        lab.must("systemctl restart systemd-journald");
    }
    for round in 0..ROUNDS {
        let word = format!("round{round}");
        let last = format!("{word} 399");
        site.wait_for_entry(&last, |entry| entry.message() == last);
        let expected: Vec<_> = (0..400).collect();
        assert_eq!(numbers(&site.journal(), &word), expected, "{round}");
    }
    assert!(notices(&site).is_empty());
}

pub fn a_stopped_journald_blocks_no_request(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    lab.must(&format!("kill -STOP {}", journald(lab)));

    answers_while_nobody_reads(&site);

    lab.must(&format!("kill -CONT {}", journald(lab)));
    the_gap_is_reported_once(&site);
}

/// What journald does not take by itself, the master takes and keeps.
pub fn a_stopped_journald_blocks_no_application_that_logs(lab: &Lab) {
    const RECORDS: usize = 2000;
    let site = lab.site("shop", APP).start();
    lab.must(&format!("kill -STOP {}", journald(lab)));

    let mut connection = Connection::open(&site.address()).unwrap();
    let path = format!("/handler?count={RECORDS}&name=handled");
    assert_eq!(connection.get(&path).text(), "ok");

    lab.must(&format!("kill -CONT {}", journald(lab)));
    wait_until("all records are in the journal", || {
        let mut found = numbers(&site.journal(), "handled");
        found.sort_unstable();
        found == (0..RECORDS).collect::<Vec<_>>()
    });
    assert!(notices(&site).is_empty());
    connection.get("/handler?count=1&name=after");
    let after = site.wait_for_entry("a record of the handler", |entry| {
        entry.message() == "after 0"
    });
    assert_eq!(after.field("LOGGER"), "gunicorn.error");
}

pub fn a_journal_that_is_gone_stops_no_request(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let sockets =
        "systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket";
    lab.systemctl(&format!("stop {sockets} systemd-journald.service"));
    let state = lab.systemctl("is-active systemd-journald.socket");
    assert_eq!(state.output.trim(), "inactive");

    answers_while_nobody_reads(&site);

    lab.systemctl(&format!("start {sockets} systemd-journald.service"));
    the_gap_is_reported_once(&site);
}

/// Writes several times as much as waits anywhere; the first that writes more
/// waits a while, and nobody after it.
fn answers_while_nobody_reads(site: &Site) {
    let mut connection = Connection::open(&site.address()).unwrap();
    for round in 0..20 {
        let path = format!("/lines?count=1000&name=gap{round}");
        assert_eq!(connection.get(&path).text(), "ok");
    }
    site.deploy_app(&APP.replace("b\"ok\"", "b\"OK\""));
    assert_eq!(site.text("/"), "OK");
}

/// What is written from now on is kept, and one record says what was lost.
fn the_gap_is_reported_once(site: &Site) {
    site.wait_for_entry("how much was lost", |entry| {
        entry.message().contains("records were dropped")
    });
    site.get("/lines?count=1000&name=after");
    wait_for_last(site, "after", 1000);

    let notices = notices(site);
    assert_eq!(notices.len(), 1, "{notices:#?}");
    let dropped: usize = notices[0].field("DROPPED").parse().unwrap();
    let journal = site.journal();
    let kept: Vec<_> = (0..20)
        .flat_map(|round| numbers(&journal, &format!("gap{round}")))
        .collect();
    assert_eq!(kept.len() + dropped, 20_000);
    // What was kept is the beginning, without a hole.
    let expected: Vec<_> = (0..kept.len()).map(|index| index % 1000).collect();
    assert!(kept == expected, "{} lines are not the first", kept.len());
    assert_eq!(numbers(&journal, "after"), (0..1000).collect::<Vec<_>>());
}

pub fn the_service_stops_although_journald_does_not_read(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    lab.must(&format!("kill -STOP {}", journald(lab)));
    site.get("/lines?count=600&name=before");

    let began = std::time::Instant::now();
    lab.must(&format!("systemctl stop {}", site.service()));
    let waited = began.elapsed();

    lab.must(&format!("kill -CONT {}", journald(lab)));
    assert!(waited < Duration::from_secs(30), "{waited:?}");
    assert_eq!(site.show("Result"), "success");
}

/// journald looks up the unit of a record when it reads it.
pub fn the_last_words_of_a_start_that_fails_are_those_of_the_unit(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.drop_in("[Service]\nRestart=no\n");
    site.configure("worker_dir = \"/nowhere\"\n");
    lab.must(&format!("kill -STOP {}", journald(lab)));
    lab.must(&format!("systemctl start --no-block {}", site.service()));

    // If it did not wait for journald, it would end meanwhile.
    let began = std::time::Instant::now();
    wait_until("it waits, or has ended", || {
        began.elapsed() > Duration::from_secs(1) || site.show("ActiveState") == "failed"
    });
    lab.must(&format!("kill -CONT {}", journald(lab)));

    site.wait_for_entry("the reason", |entry| entry.message().contains("/nowhere"));
}
