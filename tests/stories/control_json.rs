//! `rgunicornctl --json` with the commands that change something, and with those that fail.

use crate::harness::{Running, Server};
use serde_json::{Value, json};

/// The exit status, and the one object that is printed.
#[track_caller]
fn asked(server: &Running, words: &[&str]) -> (i32, Value) {
    let outcome = server.ctl(&[words, &["--json"]].concat());
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
    let object = serde_json::from_str(&outcome.stdout).unwrap();
    (outcome.status, object)
}

#[test]
fn what_an_order_has_come_to_is_one_object() {
    let server = Server::running("hello:app").workers(2).start();
    server.wait_for_workers(2);

    let (status, reloaded) = asked(&server, &["reload"]);
    assert_eq!((status, &reloaded["outcome"]), (0, &json!("done")));
    assert_eq!(reloaded["message"], "generation 2 serves");
    assert_eq!(reloaded["generation"], 2);
    assert_eq!(reloaded["workers_wanted"], 2);
    assert!(reloaded["workers_ready"].as_u64() >= Some(2), "{reloaded}");

    let (status, scaled) = asked(&server, &["scale", "+1"]);
    assert_eq!((status, &scaled["outcome"]), (0, &json!("done")));
    assert_eq!(scaled["workers_wanted"], 3);
    assert_eq!(scaled["workers_wanted_before"], 2);
    assert_eq!(scaled["generation"], 2);
    server.wait_for_workers(3);

    let (_, listed) = asked(&server, &["workers"]);
    // Those of generation 1 may still be leaving.
    let mut workers = listed["workers"].as_array().unwrap().iter();
    let worker = workers.find(|worker| worker["generation"] == 2).unwrap();
    let worker = worker["worker"].clone();
    let (status, replaced) = asked(&server, &["restart-worker", &worker.to_string()]);
    assert_eq!((status, &replaced["outcome"]), (0, &json!("done")));
    assert_eq!(replaced["worker"], worker);
    assert_eq!(replaced["workers_wanted"], 3);

    assert_eq!(
        asked(&server, &["stop"]),
        (0, json!({"outcome": "done", "message": "stopped"}))
    );
}

#[test]
fn without_json_an_order_prints_what_it_did_before() {
    let server = Server::running("hello:app").workers(1).start();

    let scaled = server.ctl(&["scale", "2"]);
    let reloaded = server.ctl(&["reload"]);

    assert_eq!(
        scaled.stdout,
        "2 workers wanted instead of 1, until the next reload\n"
    );
    // The log of the unit has it.
    assert_eq!((reloaded.status, reloaded.stdout.as_str()), (0, ""));
}

#[test]
fn a_failure_is_an_object_with_its_reason_and_has_the_same_exit_status() {
    let server = Server::running("hello:app").workers(1).start();
    server.set("workers", 0);

    for (words, status) in [
        (&["reload"][..], 1),
        (&["scale", "60000"], 1),
        (&["restart-worker", "999999999"], 1),
        (&["stacks", "999999999"], 1),
        (&["-s", "/run/there/is/none", "status"], 69),
        (&["-s", "/run/there/is/none", "top"], 69),
    ] {
        let text = server.ctl(words);
        let (json_status, object) = asked(&server, words);

        assert_eq!((text.status, json_status), (status, status), "{text:?}");
        assert_eq!(text.stdout, "");
        assert_eq!(object["outcome"], "failed");
        let reason = object["error"].as_str().unwrap();
        let said: Vec<&str> = (text.stderr.lines())
            .map(|line| line.strip_prefix("rgunicornctl: ").unwrap())
            .collect();
        assert_eq!(reason.lines().collect::<Vec<_>>(), said);
    }
}

#[test]
fn top_as_json_is_one_look_and_needs_no_terminal() {
    let server = Server::running("hello:app").workers(2).start();
    server.wait_for_workers(2);

    let (status, seen) = asked(&server, &["top"]);

    assert_eq!(status, 0);
    let servers = seen["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 1);
    assert_eq!(servers[0]["server"], "rgunicorn");
    assert_eq!(servers[0]["error"], Value::Null);
    assert_eq!(servers[0]["status"]["workers_wanted"], 2);
    assert_eq!(servers[0]["workers"].as_array().unwrap().len(), 2);
}
