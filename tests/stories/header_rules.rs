//! What the names of header fields mean: which say that the client spoke TLS, and which with
//! an underscore reach the application.

use crate::harness::{Running, Server};
use serde_json::Value;

/// Nobody is believed who connects over TCP.
fn untrusting() -> Server {
    Server::running("environment:app")
        .workers(1)
        .setting("forwarded_allow_ips", "192.0.2.1")
}

fn trusting() -> Server {
    Server::running("environment:app").workers(1)
}

fn environ(server: &Running, path: &str, fields: &str) -> Value {
    server
        .request(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
        .json()
}

fn status(server: &Running, fields: &str) -> u16 {
    server
        .request(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
        .status
}

#[test]
fn headers_with_an_underscore_are_dropped_refused_or_passed_on() {
    let fields = "X_Real: 6.6.6.6\r\nX-Other: yes\r\n";
    let default = untrusting().start();
    let drop = untrusting().setting("header_map", "drop").start();
    let refuse = untrusting()
        .argument("--header-map")
        .argument("refuse")
        .start();
    let dangerous = untrusting().setting("header_map", "dangerous").start();

    for server in [&default, &drop] {
        let environ = environ(server, "/", fields);
        assert_eq!(environ.get("HTTP_X_REAL"), None);
        assert_eq!(environ["HTTP_X_OTHER"], "yes");
    }
    assert_eq!(status(&refuse, fields), 400);
    assert_eq!(status(&refuse, "X-Real: 6.6.6.6\r\n"), 200);
    refuse.wait_for_log("Refused a request with 400: a header name has an underscore");
    assert_eq!(environ(&dangerous, "/", fields)["HTTP_X_REAL"], "6.6.6.6");
}

#[test]
fn two_names_with_one_key_are_joined_where_both_are_passed_on() {
    let server = untrusting().setting("header_map", "dangerous").start();

    for fields in ["X-Real: 1\r\nX_Real: 2\r\n", "X_Real: 1\r\nX-Real: 2\r\n"] {
        assert_eq!(
            environ(&server, "/", fields)["HTTP_X_REAL"],
            "1,2",
            "{fields}"
        );
    }
    // Framing is not read from a header that only looks like it.
    let environ = environ(&server, "/", "Content_Length: 7\r\nContent_Type: a/b\r\n");
    assert_eq!(environ["HTTP_CONTENT_LENGTH"], "7");
    assert_eq!(environ.get("CONTENT_TYPE"), None);
}

#[test]
fn forwarder_headers_are_passed_on_from_a_trusted_proxy_alone() {
    let fields = "Remote_User: eve\r\nRemote_Group: all\r\n";
    let listed = |server: Server| server.setting("forwarder_headers", "remote_user");

    let trusted = environ(&listed(trusting()).start(), "/", fields);
    let untrusted = environ(&listed(untrusting()).start(), "/", fields);
    let unlisted = environ(&trusting().start(), "/", fields);
    let all = environ(
        &trusting().argument("--forwarder-headers=*").start(),
        "/",
        fields,
    );

    assert_eq!(trusted["HTTP_REMOTE_USER"], "eve");
    assert_eq!(trusted.get("HTTP_REMOTE_GROUP"), None);
    assert_eq!(untrusted.get("HTTP_REMOTE_USER"), None);
    assert_eq!(unlisted.get("HTTP_REMOTE_USER"), None);
    assert_eq!(all["HTTP_REMOTE_GROUP"], "all");
}

#[test]
fn header_map_does_not_refuse_what_a_trusted_proxy_may_send() {
    let fields = "Script_Name: /shop\r\n";
    let refusing = |server: Server| server.setting("header_map", "refuse");

    let trusted = refusing(trusting()).start();
    let untrusted = refusing(untrusting()).start();

    assert_eq!(environ(&trusted, "/shop/a", fields)["SCRIPT_NAME"], "/shop");
    assert_eq!(status(&untrusted, fields), 400);
}

#[test]
fn nobody_but_a_trusted_proxy_moves_the_application() {
    let fields = "Script_Name: /shop\r\n";
    let dangerous = |server: Server| server.setting("header_map", "dangerous");

    let default = environ(&trusting().start(), "/shop/a", fields);
    let untrusted = environ(&untrusting().start(), "/shop/a", fields);
    let passed_on = environ(&dangerous(untrusting()).start(), "/shop/a", fields);
    let unlisted = environ(
        &trusting().setting("forwarder_headers", "").start(),
        "/shop/a",
        fields,
    );

    assert_eq!(
        (&default["SCRIPT_NAME"], &default["PATH_INFO"]),
        (&"/shop".into(), &"/a".into())
    );
    for environ in [untrusted, passed_on, unlisted] {
        assert_eq!(
            (&environ["SCRIPT_NAME"], &environ["PATH_INFO"]),
            (&"".into(), &"/shop/a".into())
        );
    }
}

#[test]
fn dangerous_settings_are_named_at_the_start_and_when_a_reload_changes_them() {
    let safe = untrusting().start();
    assert_eq!(safe.log_count("Dangerous"), 0);
    let server = untrusting()
        .setting("header_map", "dangerous")
        .argument("--strip-header-spaces")
        .start();
    let both = "Dangerous behind a proxy that reads requests in another way: \
                strip_header_spaces, header_map = \"dangerous\"";
    assert_eq!(server.log_count(both), 1, "{}", server.stderr());

    server.reload();
    assert_eq!(server.log_count("Dangerous"), 1);
    server.set("header_map", "drop");
    server.reload();
    server.wait_for_log("in another way: strip_header_spaces\n");
}

#[test]
fn the_headers_that_tell_about_tls_can_be_chosen() {
    let mut table = toml::Table::new();
    table.insert("X-Scheme".into(), "tls".into());
    let chosen = |server: Server| server.setting("secure_scheme_headers", table.clone());
    let scheme =
        |server: &Running, fields: &str| environ(server, "/", fields)["wsgi.url_scheme"].clone();

    let trusted = chosen(trusting()).start();
    assert_eq!(scheme(&trusted, "X-Scheme: TLS\r\n"), "https");
    assert_eq!(scheme(&trusted, "X-Scheme: plain\r\n"), "http");
    assert_eq!(scheme(&trusted, "X-Forwarded-Proto: https\r\n"), "http");

    let untrusted = chosen(untrusting()).start();
    assert_eq!(scheme(&untrusted, "X-Scheme: tls\r\n"), "http");

    let typed = trusting()
        .argument("--secure-scheme-header=X-Scheme=tls")
        .start();
    assert_eq!(scheme(&typed, "X-Scheme: tls\r\n"), "https");

    let default = trusting().start();
    for field in [
        "X-Forwarded-Proto: https",
        "X-Forwarded-Protocol: ssl",
        "X-Forwarded-Ssl: on",
    ] {
        assert_eq!(
            scheme(&default, &format!("{field}\r\n")),
            "https",
            "{field}"
        );
    }
}

#[test]
fn headers_that_contradict_each_other_about_tls_are_refused() {
    let mut table = toml::Table::new();
    table.insert("X-One".into(), "https".into());
    table.insert("X-Two".into(), "on".into());
    let server = trusting().setting("secure_scheme_headers", table).start();

    assert_eq!(status(&server, "X-One: https\r\nX-Two: on\r\n"), 200);
    assert_eq!(status(&server, "X-One: http\r\nX-Two: off\r\n"), 200);
    assert_eq!(status(&server, "X-One: https\r\nX-Two: off\r\n"), 400);
    assert_eq!(status(&server, "X-One: https\r\nX-One: http\r\n"), 400);
    // Nobody's word counts twice who is not believed at all.
    assert_eq!(
        status(&server, "X-One: https\r\nX-Forwarded-Proto: http\r\n"),
        200
    );
}
