//! What `journalctl` and `systemctl status` show.

use crate::{
    client::Connection,
    lab::{Entry, Lab},
    site::APP,
    wait::wait_until,
};
use std::collections::BTreeSet;

pub fn what_the_application_writes_is_in_the_journal(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    for path in ["/print", "/log", "/raise"] {
        site.get(path);
    }

    let printed = site.wait_for_entry("what was printed", |entry| {
        entry.message() == "printed by the application"
    });
    let logged = site.wait_for_entry("what was logged", |entry| {
        entry.message().contains("logged by the application")
    });
    let raised = site.wait_for_entry("what was raised", |entry| {
        entry.message().contains("Traceback")
            && entry
                .message()
                .ends_with("LookupError: raised by the application")
    });

    for entry in [&printed, &logged, &raised] {
        assert_eq!(
            entry.field("_SYSTEMD_UNIT"),
            "rgunicorn@shop.service",
            "{entry:?}"
        );
        assert_ne!(entry.field("WORKER_ID"), "", "{entry:?}");
        assert_eq!(entry.field("GENERATION"), "1", "{entry:?}");
    }
    assert_eq!(raised.field("PRIORITY"), "3", "{raised:?}");
}

pub fn everything_about_a_worker_is_found_by_its_pid(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    site.get("/print");
    let printed = site.wait_for_entry("what was printed", |entry| {
        entry.message() == "printed by the application"
    });
    let pid = printed.field("OBJECT_PID");
    lab.must(&format!("kill -KILL {pid}"));
    site.wait_for_entry("the death", |entry| {
        entry.message().contains(&format!("(pid {pid}, after "))
    });

    let of_the_worker = lab.journal(&["--unit", &site.service(), &format!("OBJECT_PID={pid}")]);

    let messages: Vec<_> = of_the_worker.iter().map(Entry::message).collect();
    let worker = printed.field("WORKER_ID");
    let [ready, output, died] = &messages[..] else {
        panic!("{messages:#?}");
    };
    assert!(ready.starts_with(&format!("Worker {worker} is ready")));
    assert_eq!(output, "printed by the application");
    assert!(died.starts_with(&format!("Worker {worker} died: killed by SIGKILL")));
}

pub fn the_records_about_a_request_have_its_id(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.configure("threads = 2\ntimeout = 1\n");
    let site = site.start();
    let mut connection = Connection::open(&site.address()).unwrap();
    let id = "7f3c-of-the-proxy";
    for path in ["/raise?item=3", "/slow"] {
        connection.send(format!(
            "GET {path} HTTP/1.1\r\nHost: shop\r\nX-Request-ID: {id}\r\n\r\n"
        ));
        connection.receive();
    }
    site.wait_for_entry("the end of the slow request", |entry| {
        entry.message().starts_with("The request GET /slow ended ")
    });

    let tied = lab.journal(&["--unit", &site.service(), &format!("REQUEST_ID={id}")]);
    let seen: Vec<_> = tied
        .iter()
        .map(|entry| (entry.message(), entry.field("HTTP_PATH")))
        .collect();
    let [raised, slow, late] = &seen[..] else {
        panic!("{seen:#?}");
    };
    assert!(raised.0.starts_with("Error handling request"), "{seen:#?}");
    assert_eq!(raised.1, "/raise");
    assert!(slow.0.contains("has run for 1 s"), "{seen:#?}");
    assert!(late.0.contains(" ended after "), "{seen:#?}");
    for entry in &tied {
        assert_eq!(entry.field("HTTP_METHOD"), "GET", "{entry:?}");
    }

    // Without one from outside, each has one of its own.
    let own_ids: BTreeSet<_> = ["/raise", "/raise"]
        .iter()
        .enumerate()
        .map(|(before, path)| {
            connection.get(path);
            let with_own = || lab.journal(&["--unit", &site.service(), "HTTP_PATH=/raise"]);
            wait_until("the next error is in the journal", || {
                with_own().len() > before
            });
            with_own()[before].field("REQUEST_ID")
        })
        .collect();
    assert_eq!(own_ids.len(), 2, "{own_ids:?}");
    assert!(!own_ids.contains(""), "{own_ids:?}");
}

pub fn a_namespace_of_the_journal_has_all_records(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.drop_in("[Service]\nLogNamespace=shop\n");
    let site = site.start();
    site.get("/print");

    let service = site.service();
    let messages = || -> Vec<String> {
        let entries = lab.journal(&["--namespace=shop", "--unit", &service]);
        entries.iter().map(Entry::message).collect()
    };
    wait_until("the namespace has what was printed", || {
        messages().contains(&"printed by the application".to_owned())
    });

    let messages = messages();
    assert!(
        messages.iter().any(|text| text.starts_with("Ready ")),
        "{messages:#?}"
    );
    let elsewhere = lab.journal(&["--unit", &service, "SYSLOG_IDENTIFIER=rgunicorn"]);
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

pub fn the_events_of_the_master_have_fields(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    site.reload();
    lab.must(&format!("systemctl stop {}", site.service()));
    site.wait_for_entry("the end", |entry| entry.message() == "Stopped");

    let unit = site.service();
    let records = lab.journal(&[
        "--unit",
        &unit,
        "_COMM=rgunicorn",
        "SYSLOG_IDENTIFIER=rgunicorn",
    ]);
    let mut named = records
        .iter()
        .filter(|entry| !entry.field("MESSAGE_ID").is_empty());
    for begins in [
        "Listening on ",
        "Ready ",
        "Reload began ",
        "Reload finished ",
        "Stopping ",
        "Stopped",
    ] {
        assert!(
            named.any(|entry| entry.message().starts_with(begins)),
            "{begins}: {records:#?}"
        );
    }
    for entry in &records {
        assert_ne!(entry.field("PRIORITY"), "", "{entry:?}");
    }
    let second = lab.journal(&["--unit", &unit, "GENERATION=2"]);
    assert!(
        second
            .iter()
            .any(|entry| entry.message().starts_with("Reload finished ")),
        "{second:#?}"
    );
    let explained = lab.must(&format!("journalctl --no-pager --catalog --unit {unit}"));
    assert!(explained.contains("Defined-By: rgunicorn"), "{explained}");
}

pub fn the_status_says_why_a_start_failed(lab: &Lab) {
    let site = lab.site("shop", "raise LookupError('no such database')\n");
    site.drop_in("[Service]\nRestart=no\n");
    let failed_start = || {
        let start = lab.systemctl(&format!("start {}", site.service()));
        assert_eq!(start.status, Some(1), "{}", start.output);
        site.show("StatusText")
    };

    let status = failed_start();
    assert_eq!(status, "cannot start: LookupError: no such database");
    let shown = lab.systemctl(&format!("status {}", site.service())).output;
    assert!(shown.contains(&format!("Status: \"{status}\"")), "{shown}");

    site.configure("wokers = 3\n");
    let status = failed_start();
    assert!(
        status.contains("/etc/rgunicorn/shop.toml:4:1: "),
        "{status}"
    );

    // The reason does not outlive its cause.
    site.configure("");
    site.write_app(APP);
    site.start();
    let status = site.show("StatusText");
    assert!(status.starts_with("generation 1: "), "{status}");
}

/// systemd ignores a notification of more than 4096 bytes.
pub fn the_status_of_a_failed_start_has_the_beginning_of_a_very_long_message(lab: &Lab) {
    let site = lab.site("shop", "raise ValueError('x' * 5000)\n");
    site.drop_in("[Service]\nRestart=no\n");

    let start = lab.systemctl(&format!("start {}", site.service()));

    assert_eq!(start.status, Some(1), "{}", start.output);
    let status = site.show("StatusText");
    assert!(
        status.starts_with("cannot start: ValueError: xxx") && status.ends_with("xxx…"),
        "{status}"
    );
}

pub fn the_status_is_one_line(lab: &Lab) {
    let site = lab.site("shop", APP).start();

    let status = site.show("StatusText");
    assert!(
        status.starts_with("generation 1: 2 workers ready"),
        "{status}"
    );
    site.reload();
    let status = site.show("StatusText");
    assert!(
        status.starts_with("generation 2: 2 workers ready"),
        "{status}"
    );
}

pub fn every_mistake_of_the_configuration_is_an_entry_of_its_own(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.configure("wokers = 3\ntimeout = \"soon\"\n[logconfig_dict]\nversion = 1\n");

    let start = lab.systemctl(&format!("start {}", site.service()));

    assert_ne!(start.status, Some(0), "{}", start.output);
    for begin in [
        "shop.toml:4:1: unknown setting \"wokers\"",
        "shop.toml:5:11: timeout: must be",
        "shop.toml:6:2: Gunicorn's setting \"logconfig_dict\"",
    ] {
        let begin = format!("Configuration refused: /etc/rgunicorn/{begin}");
        let entry = site.wait_for_entry(&begin, |entry| entry.message().starts_with(&begin));
        assert_eq!(entry.message().lines().count(), 1, "{entry:?}");
        assert_eq!(entry.field("PRIORITY"), "3", "{entry:?}");
    }

    let mistaken = "wokers = 5\ntimeout = \"late\"\n";
    site.configure("");
    site.start();
    site.configure(mistaken);
    let reload = lab.systemctl(&format!("reload {}", site.service()));

    assert_ne!(reload.status, Some(0), "{}", reload.output);
    for begin in [
        "Configuration refused: /etc/rgunicorn/shop.toml:5:11: timeout: must be",
        "Reload failed, generation 1 continues to serve: 2 mistakes in the configuration",
    ] {
        let found = |entry: &Entry| {
            entry.message().starts_with(begin)
                && (begin.starts_with("Reload") || entry.message().contains("late"))
        };
        let entry = site.wait_for_entry(begin, found);
        assert_eq!(entry.message().lines().count(), 1, "{entry:?}");
    }
}

pub fn a_start_that_fails_for_another_reason_is_not_an_error_of_the_configuration(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.drop_in("[Service]\nRestart=no\n");
    site.configure("worker_dir = \"/nowhere\"\n");

    let start = lab.systemctl(&format!("start {}", site.service()));

    assert_ne!(start.status, Some(0), "{}", start.output);
    let entry = site.wait_for_entry("the reason", |entry| entry.message().contains("/nowhere"));
    assert!(entry.message().starts_with("Cannot start: "), "{entry:?}");
    assert_eq!(entry.field("PRIORITY"), "3", "{entry:?}");
    let explained = lab.must(&format!(
        "journalctl --no-pager -x --unit {}",
        site.service()
    ));
    assert!(
        explained.contains("Subject: rgunicorn could not start"),
        "{explained}"
    );
}
