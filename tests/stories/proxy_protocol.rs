//! The PROXY protocol: a proxy says at the start of a connection whom it speaks for.

use super::requests::files;
use crate::harness::{Connection, Running, Server, haproxy::Haproxy};
use serde_json::{Value, json};

const HEADER: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 51234 443\r\n";
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn server(versions: &str) -> Server {
    Server::running("environment:app")
        .workers(1)
        .setting("proxy_protocol", versions)
}

/// What the environ says of the client and of the proxy.
fn shown(environ: &Value) -> [Option<&str>; 5] {
    [
        "PROXY_PROTOCOL",
        "REMOTE_ADDR",
        "REMOTE_PORT",
        "PROXY_ADDR",
        "PROXY_PORT",
    ]
    .map(|key| environ.get(key).and_then(Value::as_str))
}

const FROM_HEADER: [Option<&str>; 5] = [
    Some("TCP4"),
    Some("192.0.2.7"),
    Some("51234"),
    Some("198.51.100.1"),
    Some("443"),
];

fn said<'case>(case: &'case files::Case, key: &str) -> Option<&'case str> {
    let found = case.expected.iter().find(|(name, _)| name == key);
    found.map(|(_, value)| &**value)
}

#[test]
fn every_header_is_read_or_refused_as_its_file_says() {
    for versions in ["v1", "v2", "auto"] {
        let server = server(versions).start();
        let are_for = |case: &files::Case| {
            let all = said(case, "versions").unwrap();
            all.split(' ').any(|it| it == versions)
        };
        for case in files::cases("proxy-valid") {
            println!("{versions}: {}", case.path.display());
            let mut connection = server.connect();
            let response = connection.send(&case.bytes).receive();
            if !are_for(&case) {
                assert_eq!(response.status, 400);
                continue;
            }
            let environ = response.json();
            let protocol = said(&case, "protocol").unwrap();
            let address = |key| said(&case, key).and_then(|text| text.rsplit_once(':'));
            let own_port = connection.local_port().unwrap().to_string();
            let expected = match (address("client"), address("server")) {
                (Some((client, client_port)), Some((server, server_port))) => [
                    Some(protocol),
                    Some(client.trim_matches(['[', ']'])),
                    Some(client_port),
                    Some(server.trim_matches(['[', ']'])),
                    Some(server_port),
                ],
                _ => [
                    Some(protocol),
                    Some("127.0.0.1"),
                    Some(&*own_port),
                    None,
                    None,
                ],
            };
            assert_eq!(shown(&environ), expected);
        }
        for case in files::cases("proxy-invalid") {
            println!("{versions}: {}", case.path.display());
            let mut connection = server.connect();
            // The server may refuse, and close, before it has read everything.
            let _ = connection.try_send(&case.bytes);
            let response = connection.receive();
            if are_for(&case) {
                assert_eq!(response.status, 400);
            }
            assert!((400..500).contains(&response.status), "{response:?}");
            assert!(response.says_close());
        }
    }
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let server = server("auto").start();
    let mut connection = server.connect();

    for byte in [HEADER, REQUEST].concat().bytes() {
        connection.send([byte]);
    }

    assert_eq!(shown(&connection.receive().json()), FROM_HEADER);
}

#[test]
fn without_the_setting_a_header_is_no_request() {
    let server = Server::running("environment:app").start();

    let response = server.request([HEADER, REQUEST].concat());

    assert_eq!(response.status, 400);
}

#[test]
fn the_flag_alone_stands_for_both_versions() {
    for flag in ["--proxy-protocol", "--proxy-protocol=v1"] {
        let server = Server::running("environment:app").argument(flag).start();
        let environ = server.request([HEADER, REQUEST].concat()).json();
        assert_eq!(shown(&environ), FROM_HEADER, "{flag}");
    }
}

#[test]
fn all_requests_of_a_connection_are_the_clients_also_in_threads_and_after_a_reload() {
    for threads in [1, 4] {
        let server = server("auto")
            .setting("threads", threads)
            .setting("keepalive", 600)
            .start();
        let mut connection = server.connect();
        let first = connection.send([HEADER, REQUEST].concat()).receive().json();
        let mut silent = server.connect();
        silent.send(HEADER);
        let mut partial = server.connect();
        partial.send(&HEADER[..20]);
        let second = connection.send(REQUEST).receive().json();

        server.reload();

        let third = connection.send(REQUEST).receive().json();
        let of_silent = silent.send(REQUEST).receive().json();
        let of_partial = partial
            .send([&HEADER[20..], REQUEST].concat())
            .receive()
            .json();
        for environ in [first, second, third, of_silent, of_partial] {
            assert_eq!(shown(&environ), FROM_HEADER);
        }
    }
}

#[test]
fn only_listed_proxies_may_speak_for_others() {
    let server = server("auto")
        .setting("proxy_allow_ips", "192.0.2.1,10.0.0.0/8")
        .start();

    let refused = server.request([HEADER, REQUEST].concat());
    let own = server.request(REQUEST);

    assert_eq!(refused.status, 403);
    assert!(refused.says_close());
    assert_eq!(shown(&own.json())[..2], [None, Some("127.0.0.1")]);
    server.wait_for_log(
        "with 403 Forbidden: proxy_allow_ips does not have the peer that speaks the PROXY protocol",
    );
}

#[test]
fn the_clients_of_a_unix_socket_may_speak_for_others() {
    let server = server("auto")
        .setting("proxy_allow_ips", "")
        .on_a_unix_socket()
        .start();

    let environ = server.request([HEADER, REQUEST].concat()).json();

    assert_eq!(shown(&environ), FROM_HEADER);
}

#[test]
fn the_header_can_be_required() {
    let required = |server: Server| server.setting("proxy_protocol_required", true).start();
    let listed = required(server("auto"));
    let unlisted = required(server("auto").setting("proxy_allow_ips", "192.0.2.1"));

    assert_eq!(
        shown(&listed.request([HEADER, REQUEST].concat()).json()),
        FROM_HEADER
    );
    assert_eq!(listed.request(REQUEST).status, 400);
    assert_eq!(unlisted.request([HEADER, REQUEST].concat()).status, 403);
    assert_eq!(unlisted.request(REQUEST).status, 403);
    assert_eq!(server("auto").start().request(REQUEST).status, 200);
}

#[test]
fn whom_a_proxy_speaks_for_is_not_believed_what_the_proxy_is() {
    let trusting = server("auto").start();
    let untrusting = server("auto")
        .setting("forwarded_allow_ips", "192.0.2.7")
        .start();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n";

    for (server, scheme) in [(trusting, "https"), (untrusting, "http")] {
        let environ = server.request([HEADER, request].concat()).json();
        assert_eq!(environ["wsgi.url_scheme"], json!(scheme));
    }
}

#[test]
fn a_client_that_sends_half_a_header_is_timed_out() {
    let server = server("auto").setting("client_timeout", 1).start();

    let response = server.request(&HEADER[..20]);

    assert_eq!(response.status, 408);
}

/// HAProxy sends its checks with a header, too (`check-send-proxy` goes with `send-proxy`).
#[test]
fn haproxy_says_who_its_clients_are() {
    let start = || -> Running {
        server("auto")
            .binding_a_port()
            .setting("proxy_protocol_required", true)
            .setting("health_path", "/health")
            .setting("keepalive", 75)
            .start()
    };
    for (words, servers) in [
        ("send-proxy", [start(), start()]),
        ("send-proxy-v2", [start(), start()]),
    ] {
        let [one, two] = &servers;
        let haproxy = Haproxy::with([&one.address(), &two.address()], words);
        for name in ["one", "two"] {
            haproxy.wait_until_up(name);
        }
        for _ in 0..4 {
            let mut client = Connection::open(haproxy.address()).unwrap();
            for _ in 0..2 {
                let environ = client.get("/").json();
                let port = client.local_port().unwrap().to_string();
                assert_eq!(environ["PROXY_PROTOCOL"], "TCP4", "{words}");
                assert_eq!(environ["REMOTE_ADDR"], "127.0.0.1");
                assert_eq!(environ["REMOTE_PORT"], port, "{words}");
            }
        }
    }
}
