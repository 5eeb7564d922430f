//! The page for people and its data.

use crate::machine::{Machine, line, usual, wait_until};
use rgunicorn_control::protocol::{Answer, ReloadCounts, Request, Summary};
use serde_json::Value;

/// A server of which the last reload failed, for a reason that is meant to be markup.
const REASON: &str = "</td><script src=//evil.example></script>\n'\"&\u{1b}[2J";

fn failed(request: Request) -> Vec<u8> {
    match (request, usual(request)) {
        (Request::Summary, Answer::Summary(summary)) => line(&Answer::Summary(Summary {
            reloads: ReloadCounts {
                failed: 1,
                last_at: Some(1000),
                ..ReloadCounts::default()
            },
            last_reload_failure: Some(REASON.into()),
            ..summary
        })),
        (_, answer) => line(&answer),
    }
}

#[test]
fn the_page_is_a_table_of_all_sites_that_needs_no_script() {
    let mut machine = Machine::new();
    let _servers = [
        machine.working("shop"),
        machine.server("broken", failed),
        machine.server("<b>", |_| b"nonsense\n".to_vec()),
    ];
    machine.start(600);

    let mut page = machine.get_admitted("/");
    // One that takes two seconds, on a busy machine, has no answer either.
    wait_until("both sites answer in time", || {
        page = machine.get_admitted("/");
        page.body.contains(" 1 without an answer")
    });

    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html; charset=utf-8"));
    let html = &page.body;
    for part in [
        ">3 sites, 1 without an answer, the last reload of 1 failed<",
        "<th scope=\"row\">shop</th>",
        ">2 of 2</td>",
        "<span class=\"good\">serving</span>",
        "<th scope=\"row\">&lt;b&gt;</th>",
        "<span class=\"bad\">no answer</span>",
        "<span class=\"bad\">failed ",
        "&lt;/td&gt;&lt;script src=//evil.example&gt;&lt;/script&gt;\n&#39;&quot;&amp;\u{fffd}[2J",
        "<noscript><meta http-equiv=\"refresh\"",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    // One script and one style, and both are ours.
    assert_eq!(html.matches("<script").count(), 1, "{html}");
    assert!(!html.contains("style="), "{html}");
    assert_eq!(html.matches("://").count(), 0, "{html}");
}

#[test]
fn why_a_reload_failed_is_for_those_only_whom_the_socket_lets_in() {
    let mut machine = Machine::new();
    let _server = machine.server("broken", failed);
    machine.start(600);
    let word = "evil.example";
    let command = "journalctl -u rgunicorn@broken -p warning";

    for path in ["/", "/data.json"] {
        wait_until("the reason is shown", || {
            machine.get_admitted(path).body.contains(word)
        });

        let mut public = String::new();
        wait_until("how to find it is shown", || {
            public = machine.get(path).body;
            public.contains(command)
        });
        assert!(!public.contains(word), "{path}: {public}");
    }
    assert!(!machine.get_admitted("/metrics").body.contains(word));
    // It is counted, for everybody.
    let line = "rgunicorn_last_reload_successful{site=\"broken\"} 0";
    wait_until("it is counted", || {
        machine.get("/metrics").body.contains(line)
    });
}

#[test]
fn everything_comes_from_here_and_the_browser_is_told_so() {
    let mut machine = Machine::new();
    machine.start(600);

    for (path, content_type) in [
        ("/", "text/html"),
        ("/page.js", "text/javascript"),
        ("/page.css", "text/css"),
        ("/data.json", "application/json"),
        ("/metrics", "text/plain"),
    ] {
        let response = machine.get(path);
        assert_eq!(response.status, 200, "{path}");
        for header in [
            &format!("content-type: {content_type}"),
            "default-src 'none'; script-src 'self'; style-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
        ] {
            assert!(response.head.contains(header), "{path}: {header}");
        }
        assert!(!response.head.contains("access-control"), "{path}");
        // Its only address is a name of the standard.
        let own = response.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains("://"), "{path}");
        assert!(!own.contains("@import") && !own.contains("url("), "{path}");
    }
}

#[test]
fn the_data_have_the_sites_and_what_was_seen() {
    let mut machine = Machine::new();
    let _servers = [machine.working("shop"), machine.server("broken", failed)];
    machine.start(600);

    let data: Value = serde_json::from_str(&machine.get_admitted("/data.json").body).unwrap();

    let sites = data["sites"].as_array().unwrap();
    let names: Vec<_> = sites.iter().map(|site| site["name"].as_str()).collect();
    assert_eq!(names, [Some("broken"), Some("shop")]);
    assert_eq!(sites[1]["workers_busy"], 1);
    assert_eq!(sites[1]["last_reload_failure"], Value::Null);
    let reason = sites[0]["last_reload_failure"].as_str().unwrap();
    assert_eq!(reason, REASON.replace('\u{1b}', "\u{fffd}"));
    let history = &data["history"];
    assert_eq!(history["at"].as_array().unwrap().len(), 1);
    assert_eq!(history["busy"], serde_json::json!([2]));
    assert_eq!(history["sites"]["shop"]["busy"], serde_json::json!([1]));
}

#[test]
fn a_scrape_is_part_of_what_was_seen() {
    let mut machine = Machine::new();
    let _server = machine.working("shop");
    machine.start(600);

    machine.get("/metrics");
    let mut looks = 0;
    wait_until("a later look is added", || {
        let data: Value = serde_json::from_str(&machine.get("/data.json").body).unwrap();
        looks = data["history"]["at"].as_array().unwrap().len();
        looks >= 2
    });
}
