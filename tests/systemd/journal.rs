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

pub fn a_configuration_may_print_much_while_it_runs(lab: &Lab) {
    let site = lab.site("shop", APP);
    let conf = "\
import sys
for number in range(1000):
    print('line', number, file=sys.stderr, flush=True)
";
    lab.write("/srv/shop/gunicorn.conf.py", conf);
    site.configure("config = \"/srv/shop/gunicorn.conf.py\"\n");

    let site = site.start();
    site.get("/print");

    for line in ["line 0", "line 999"] {
        let entry = site.wait_for_entry(line, |entry| entry.message() == line);
        assert_eq!(entry.field("GENERATION"), "1", "{entry:?}");
    }
}

/// `/dev/log`, as the units' sandbox has it.
pub fn records_for_syslog_reach_the_journal_by_its_own_socket(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.configure("syslog = true\nsyslog_addr = \"unix:///dev/log\"\nsyslog_prefix = \"shop\"\n");
    let site = site.start();

    site.get("/pid");

    for (identifier, text) in [
        ("gunicorn.shop.error", "Ready after "),
        ("gunicorn.shop.access", "\"GET /pid HTTP/1.1\" 200"),
    ] {
        let entry = site.wait_for_entry(identifier, |entry| {
            entry.field("SYSLOG_IDENTIFIER") == identifier && entry.message().contains(text)
        });
        assert_eq!(entry.field("_TRANSPORT"), "syslog", "{entry:?}");
    }
    assert_eq!(site.show("NRestarts"), "0");
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
    let app = APP.replace(
        "            time.sleep(2)\n",
        "            while not (STATE / \"go\").exists(): time.sleep(0.05)\n",
    );
    let site = lab.site("shop", &app);
    site.configure("threads = 2\ntimeout = 4\n");
    let site = site.start();
    let mut connection = Connection::open(&site.address()).unwrap();
    let id = "7f3c-of-the-proxy";
    let request =
        |path: &str| format!("GET {path} HTTP/1.1\r\nHost: shop\r\nX-Request-ID: {id}\r\n\r\n");
    connection.send(request("/raise?item=3")).receive();
    connection.send(request("/slow"));
    site.wait_for_entry("that the request is slow", |entry| {
        entry.message().contains(" has run for ")
    });
    lab.must("touch /var/lib/rgunicorn/shop/go");
    connection.receive();
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
    assert!(
        slow.0.starts_with("The request GET /slow has run for "),
        "{seen:#?}"
    );
    assert!(late.0.contains(" ended after "), "{seen:#?}");
    for entry in &tied {
        assert_eq!(entry.field("HTTP_METHOD"), "GET", "{entry:?}");
    }

    // Without one from outside, each has one of its own.
    for _ in 0..2 {
        connection.get("/raise");
    }
    let ids = || -> BTreeSet<_> {
        let errors = lab.journal(&["--unit", &site.service(), "HTTP_PATH=/raise"]);
        errors
            .iter()
            .map(|entry| entry.field("REQUEST_ID"))
            .collect()
    };
    wait_until("the errors are in the journal", || ids().len() == 3);
    let mut own_ids = ids();
    assert!(own_ids.remove(id), "{own_ids:?}");
    assert!(!own_ids.contains(""), "{own_ids:?}");
}

/// Writes in every way that Python has while several requests are served at a time.
const WRITES: &str = r#"
import logging, os, sys, threading
import rgunicorn

logging.basicConfig(format="%(message)s")
at_once = threading.Barrier(int(os.environ["AT_ONCE"]))

def app(environ, start_response):
    id = rgunicorn.request_id()
    for number in range(5):
        at_once.wait(60)
        print("printed", number, "for", id)
        print(f"error {number}", "for", id, file=sys.stderr)
        logging.error(f"logged {number}\non two lines\nfor {id}")
        logging.error("long " + "x" * 10_000 + f" {number}\nfor {id}")
        try:
            {}["key"]
        except KeyError:
            sys.excepthook(*sys.exc_info())
    os.write(2, f"raw, not for {id}\n".encode())
    thread = threading.Thread(target=print, args=[f"thread, not for {id}"])
    thread.start()
    thread.join()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(id)))])
    return [id.encode()]
"#;

pub fn what_is_written_for_a_request_has_its_id(lab: &Lab) {
    const REQUESTS: usize = 8;
    for (threads, unbuffered) in [(1, ""), (4, ""), (1, "\nPYTHONUNBUFFERED = \"1\"")] {
        let site = lab.site("shop", WRITES);
        let settings = format!(
            "app = \"app:app\"\nchdir = \"/srv/shop\"\nworkers = 1\nthreads = {threads}\n\
             accesslog = \"-\"\n[env]\nAT_ONCE = \"{threads}\"{unbuffered}\n"
        );
        lab.write("/etc/rgunicorn/shop.toml", &settings);
        let site = site.start();
        let since = lab.must("date +@%s.%N");
        let ask = |client: usize| {
            let mut connection = Connection::open(&site.address()).unwrap();
            let ids = (0..REQUESTS / threads).map(|number| {
                let sent = format!("{threads}-{}-{client}-{number}", unbuffered.len());
                let header = match number % 2 {
                    0 => format!("X-Request-ID: {sent}\r\n"),
                    _ => String::new(),
                };
                connection.send(format!("GET / HTTP/1.1\r\nHost: shop\r\n{header}\r\n"));
                let id = connection.receive().text();
                assert!(number % 2 == 1 || id == sent, "{id}, {sent}");
                id
            });
            ids.collect::<Vec<_>>()
        };
        let ids: BTreeSet<String> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..threads)
                .map(|client| scope.spawn(move || ask(client)))
                .collect();
            let ids = clients.into_iter().map(|client| client.join().unwrap());
            ids.flatten().collect()
        });
        assert_eq!(ids.len(), REQUESTS);
        let entries = || {
            let since = format!("--since={since}");
            lab.journal(&["--unit", &site.service(), &since])
        };
        // A traceback and a write of several pages may be in pieces if the machine is so busy
        // that their parts come late.
        let is_complete = |id: &str, entries: &[Entry]| {
            let ends = format!("for {id}");
            let tied = entries
                .iter()
                .filter(|entry| entry.field("REQUEST_ID") == id);
            let messages: Vec<_> = tied.map(Entry::message).collect();
            let count = |begin: &str, end: &str| {
                let texts = messages.iter();
                let found = texts.filter(|text| text.starts_with(begin) && text.ends_with(end));
                found.count()
            };
            ["printed ", "error ", "logged "]
                .iter()
                .all(|begin| count(begin, &ends) == 5)
                && count("long xxx", "") == 5
                && (0..5).all(|number| count("", &format!("x {number}\n{ends}")) == 1)
                && count("Traceback ", "") == 5
                && count("", "KeyError: 'key'") == 5
                && messages.iter().any(|text| text.contains("\" 200 "))
        };
        let unmarked = ["raw, not for ", "thread, not for "];
        let begins_with = |entries: &[Entry], begin: &str| {
            let messages = entries.iter().map(Entry::message);
            messages.filter(|text| text.starts_with(begin)).count()
        };
        wait_until("all is in the journal", || {
            let entries = entries();
            ids.iter().all(|id| is_complete(id, &entries))
                && unmarked.map(|begin| begins_with(&entries, begin)) == [REQUESTS; 2]
        });
        let entries = entries();
        for entry in &entries {
            let id = entry.field("REQUEST_ID");
            let message = entry.message();
            assert!(!message.contains('\u{1}'), "{entry:?}");
            if let Some((_, of)) = message.rsplit_once("for ") {
                assert!(id.is_empty() || of == id, "{entry:?}");
            }
        }
        for begin in unmarked {
            let found = (entries.iter()).filter(|entry| entry.message().starts_with(begin));
            for entry in found {
                assert_eq!(entry.field("REQUEST_ID"), "", "{entry:?}");
            }
        }
        lab.must(&format!("systemctl stop {}", site.service()));
    }
}

/// As Flask's and Django's users do it: their loggers have the handlers of Gunicorn's.
const LOGGING: &str = r#"import logging

orders = logging.getLogger("shop.orders")
orders.handlers = logging.getLogger("gunicorn.error").handlers
orders.setLevel(logging.DEBUG)

def price():
    try:
        {}["price"]
    except KeyError:
        orders.exception("no price\nfor it", extra={"ORDER_ID": 17})

def app(environ, start_response):
    match environ["PATH_INFO"]:
        case "/all":
            orders.debug("a debug record")
            orders.info("an order of %s", "two books")
            orders.warning("the last one")
            orders.critical("out of paper")
            logging.getLogger("gunicorn.error").debug("not wanted")
            price()
        case "/long":
            orders.info("long " + "\u20ac" * 40_000)
        case "/end":
            orders.info("the end")
    start_response("200 OK", [("Content-Length", "0")])
    return []
"#;

pub fn records_of_logging_keep_what_they_know_in_the_journal(lab: &Lab) {
    let site = lab.site("shop", LOGGING).start();
    // Each time journald has taken what came before: what finds its queue full for long
    // goes another way, without the fields.
    let wait_for = |begin: &str| {
        site.wait_for_entry(begin, |entry| entry.message().starts_with(begin));
    };
    wait_for("Ready ");
    for (path, last) in [
        ("/all", "no price"),
        ("/long", "[rest] "),
        ("/end", "the end"),
    ] {
        site.get(path);
        wait_for(last);
    }

    let of_logger = lab.journal(&["--unit", &site.service(), "LOGGER=shop.orders"]);
    let message_of = |entry: &Entry| entry.message().lines().next().unwrap().to_owned();
    let short: Vec<_> = (of_logger.iter())
        .filter(|entry| entry.message().len() < 10_000)
        .map(|entry| {
            (
                message_of(entry),
                entry.field("PRIORITY"),
                entry.field("CODE_LINE"),
            )
        })
        .collect();
    let expected = [
        ("a debug record", "7", "16"),
        ("an order of two books", "6", "17"),
        ("the last one", "4", "18"),
        ("out of paper", "2", "19"),
        ("no price", "3", "11"),
        ("the end", "6", "25"),
    ];
    let expected = expected
        .map(|(text, priority, line)| (text.to_owned(), priority.to_owned(), line.to_owned()));
    assert_eq!(short, expected);
    let found = |text: &str| {
        let mut entries = of_logger.iter();
        entries
            .find(|entry| entry.message().starts_with(text))
            .unwrap()
    };
    let failed = found("no price");
    assert!(
        failed
            .message()
            .starts_with("no price\nfor it\nTraceback (most recent call last):\n")
            && failed.message().ends_with("\nKeyError: 'price'"),
        "{failed:?}"
    );
    for (name, value) in [
        ("CODE_FILE", "/srv/shop/app.py"),
        ("CODE_FUNC", "price"),
        ("ORDER_ID", "17"),
        ("GENERATION", "1"),
        ("SYSLOG_IDENTIFIER", "rgunicorn"),
        ("THREAD_NAME", "MainThread"),
    ] {
        assert_eq!(failed.field(name), value, "{failed:?}");
    }
    assert_ne!(failed.field("WORKER_ID"), "");
    assert_eq!(failed.field("OBJECT_PID"), failed.field("_PID"));
    // One that no entry holds is several.
    let long: Vec<_> = (of_logger.iter().map(Entry::message))
        .filter(|message| message.len() > 10_000)
        .collect();
    let long: Vec<_> = (long.iter())
        .map(|text| {
            text.trim_end_matches(" [cut]")
                .trim_start_matches("[rest] ")
        })
        .collect();
    assert_eq!(long.len(), 3);
    assert_eq!(long.concat(), format!("long {}", "\u{20ac}".repeat(40_000)));
    let everything = site.journal();
    for text in ["out of paper", "not wanted"] {
        let times = everything
            .iter()
            .filter(|entry| entry.message().contains(text));
        assert_eq!(times.count(), usize::from(text != "not wanted"), "{text}");
    }
}

pub fn a_namespace_of_the_journal_has_all_records(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.drop_in("[Service]\nLogNamespace=shop\n");
    site.write_app(&APP.replace(
        "print(\"printed by the application\")",
        "print(\"printed by the application\"); \
         logging.getLogger(\"gunicorn.error\").error(\"logged by its handler\")",
    ));
    let site = site.start();
    site.get("/print");

    let service = site.service();
    let messages = || -> Vec<String> {
        let entries = lab.journal(&["--namespace=shop", "--unit", &service]);
        entries.iter().map(Entry::message).collect()
    };
    for text in ["printed by the application", "logged by its handler"] {
        wait_until(&format!("the namespace has what was {text}"), || {
            messages().iter().any(|message| message == text)
        });
    }

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

pub fn a_request_is_an_entry_with_fields(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.configure("accesslog = \"journal\"\n");
    let site = site.start();
    let mut connection = Connection::open(&site.address()).unwrap();
    connection.send(
        "GET /raise?item=3 HTTP/1.1\r\nHost: shop\r\nX-Request-ID: 8c1d-of-the-proxy\r\n\r\n",
    );
    assert_eq!(connection.receive().status, 500);
    let service = site.service();
    let failed = || lab.journal(&["--unit", &service, "HTTP_STATUS=500"]);
    wait_until("the request is in the journal", || !failed().is_empty());

    let [entry] = &failed()[..] else {
        panic!("{:#?}", failed());
    };

    for (name, value) in [
        ("HTTP_METHOD", "GET"),
        ("HTTP_TARGET", "/raise?item=3"),
        ("REQUEST_ID", "8c1d-of-the-proxy"),
        ("GENERATION", "1"),
        ("PRIORITY", "5"),
        ("SYSLOG_IDENTIFIER", "rgunicorn"),
        ("_SYSTEMD_UNIT", "rgunicorn@shop.service"),
    ] {
        assert_eq!(entry.field(name), value, "{name}: {entry:?}");
    }
    assert!(
        entry
            .message()
            .contains("\"GET /raise?item=3 HTTP/1.1\" 500 ")
    );
    for name in ["DURATION_USEC", "HTTP_BYTES"] {
        assert!(entry.field(name).parse::<u64>().unwrap() > 0, "{entry:?}");
    }
    assert_eq!(entry.field("_PID"), entry.field("OBJECT_PID"), "{entry:?}");
    // Which worker gets a connection is the kernel's choice.
    let ready = format!(
        "Worker {} is ready (pid {}, ",
        entry.field("WORKER"),
        entry.field("_PID")
    );
    site.wait_for_entry("the start of its worker", |entry| {
        entry.message().starts_with(&ready)
    });
    // So is what the server logged about it.
    wait_until("there is one more record about it", || {
        let about = lab.journal(&["--unit", &service, "REQUEST_ID=8c1d-of-the-proxy"]);
        about.len() == 2
    });
}
