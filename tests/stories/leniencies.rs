//! What the switches for unusual clients accept: each its own deviation, and no other.

use crate::harness::{Running, Server};

/// The switch, and what is answered 200 with it and `status` without.
struct Leniency {
    key: &'static str,
    request: &'static str,
    status: u16,
    /// What the application then sees, as its environ has it.
    sees: (&'static str, &'static str),
}

const LENIENCIES: &[Leniency] = &[
    Leniency {
        key: "permit_obsolete_folding",
        request: "GET / HTTP/1.1\r\nHost: a\r\nX-A: one\r\n  two\r\n\r\n",
        status: 400,
        sees: ("HTTP_X_A", "one two"),
    },
    Leniency {
        key: "strip_header_spaces",
        request: "GET / HTTP/1.1\r\nHost: a\r\nX-A : one\r\n\r\n",
        status: 400,
        sees: ("HTTP_X_A", "one"),
    },
    Leniency {
        key: "permit_unconventional_http_method",
        request: "get# / HTTP/1.1\r\nHost: a\r\n\r\n",
        status: 400,
        sees: ("REQUEST_METHOD", "get#"),
    },
    Leniency {
        key: "permit_unconventional_http_version",
        request: "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        status: 505,
        sees: ("SERVER_PROTOCOL", "HTTP/1.1"),
    },
];

#[track_caller]
fn assert_seen(server: &Running, leniency: &Leniency) {
    let response = server.request(leniency.request);
    assert_eq!(response.status, 200, "{}", leniency.key);
    let (variable, value) = leniency.sees;
    assert_eq!(response.json()[variable], value, "{}", leniency.key);
}

#[test]
fn each_switch_accepts_its_own_deviation_alone() {
    let none = Server::running("environment:app").start();
    for leniency in LENIENCIES {
        let status = none.request(leniency.request).status;
        assert_eq!(status, leniency.status, "{}", leniency.key);

        let flag = format!("--{}", leniency.key.replace('_', "-"));
        let server = Server::running("environment:app").argument(&flag).start();
        assert_seen(&server, leniency);
        for other in LENIENCIES.iter().filter(|other| other.key != leniency.key) {
            let status = server.request(other.request).status;
            assert_eq!(status, other.status, "{} with {}", other.key, leniency.key);
        }
    }
}

#[test]
fn a_reload_changes_what_is_accepted() {
    let server = Server::running("environment:app").start();
    let leniency = &LENIENCIES[0];
    assert_eq!(server.request(leniency.request).status, leniency.status);
    let config = server.read("shop.toml");

    server.write("shop.toml", &format!("{config}\n{} = true\n", leniency.key));
    server.reload();

    assert_seen(&server, leniency);
}

#[test]
fn methods_are_turned_into_upper_case_where_they_are_accepted() {
    let request = "post / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let casefolding = || Server::running("environment:app").setting("casefold_http_method", true);
    let refusing = casefolding().start();
    let server = casefolding()
        .setting("permit_unconventional_http_method", true)
        .start();

    assert_eq!(refusing.request(request).status, 400);
    assert_eq!(server.request(request).json()["REQUEST_METHOD"], "POST");
}
