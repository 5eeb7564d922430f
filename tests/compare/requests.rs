//! The settings about how requests are read: both servers read the same into the environ, and
//! refuse the same.

use super::gunicorn::Gunicorn;
use crate::harness::{Connection, Response, Server, client::Address, files::Folder};

/// What differs: the server's own, and who calls it where.
const OTHERS: &[&str] = &[
    "SERVER_SOFTWARE",
    "SERVER_PORT",
    "REMOTE_PORT",
    "wsgi.errors",
    "wsgi.input",
    "wsgi.multithread",
    "wsgi.file_wrapper",
    "gunicorn.socket",
    // Gunicorn's alone.
    "wsgi.early_hints",
    // Ours alone.
    "werkzeug.socket",
    "CONTENT_LENGTH",
];

fn ask(address: &Address, request: &[u8]) -> Response {
    let mut connection = Connection::open(address).unwrap();
    let _ = connection.try_send(request);
    connection.receive()
}

/// Both started with these flags answer each request in the same way.
#[track_caller]
fn assert_same<T: AsRef<[u8]>>(flags: &[&str], requests: &[T]) {
    let server = Server::running("environment:app").workers(1);
    let ours = flags
        .iter()
        .fold(server, |server, flag| server.argument(flag))
        .start();
    let theirs = Gunicorn::with_arguments("environment:app", Folder::new(), flags);
    for request in requests {
        let request = request.as_ref();
        let shown_request = request.escape_ascii();
        let (ours, theirs) = (
            ask(&ours.address(), request),
            ask(&theirs.address(), request),
        );
        assert_eq!(ours.status, theirs.status, "{flags:?} {shown_request}");
        if ours.status == 200 {
            let shown = |response: &Response| {
                let mut environ = response.json().as_object().unwrap().clone();
                environ.retain(|key, _| !OTHERS.contains(&key.as_str()));
                environ
            };
            assert_eq!(shown(&ours), shown(&theirs), "{flags:?} {shown_request}");
        }
    }
}

/// Requests that only some switch permits. Those with other versions are missing: Gunicorn
/// answers them in the version they claim, say with `HTTP/2.0 200 OK`.
const DEVIATING: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\tend\r\nZ: w\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX\r\n Y: z\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\nY\t: z\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX Y : z\r\n\r\n",
    "get / HTTP/1.1\r\nHost: a\r\n\r\n",
    "ab / HTTP/1.1\r\nHost: a\r\n\r\n",
    "A# / HTTP/1.1\r\nHost: a\r\n\r\n",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\nHost: a\r\n\r\n",
    "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
];

#[test]
fn deviating_requests_are_refused_as_by_gunicorn() {
    assert_same(&[], DEVIATING);
}

#[test]
fn permitted_requests_are_read_as_by_gunicorn() {
    let switches = [
        "--permit-obsolete-folding",
        "--strip-header-spaces",
        "--permit-unconventional-http-method",
        "--permit-unconventional-http-version",
    ];

    assert_same(&switches, DEVIATING);
    assert_same(
        &[
            "--casefold-http-method",
            "--permit-unconventional-http-method",
        ],
        &["post / HTTP/1.1\r\nHost: a\r\n\r\n"],
    );
    assert_same(
        &["--casefold-http-method"],
        &["get / HTTP/1.1\r\nHost: a\r\n\r\n"],
    );
}

/// Fields that could pass for others, and fields of proxies.
const AMBIGUOUS: &[&str] = &[
    "GET /shop/a HTTP/1.1\r\nHost: a\r\nX_Real: 1\r\nX-Other: 2\r\n\r\n",
    "GET /shop/a HTTP/1.1\r\nHost: a\r\nX_Real: 1\r\nX-Real: 2\r\nX_REAL: 3\r\n\r\n",
    "GET /shop/a HTTP/1.1\r\nHost: a\r\nPath_Info: /b\r\nRemote_User: eve\r\n\r\n",
    "GET /shop/a HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n",
    "GET /shop/a HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n\r\n",
    "GET /shop/a HTTP/1.1\r\nHost: a\r\nX_Forwarded_Proto: https\r\n\r\n",
];

/// Without the header that moves the application: from anybody, `dangerous` takes it there.
const MOVING: &str = "GET /shop/a HTTP/1.1\r\nHost: a\r\nSCRIPT_NAME: /shop\r\n\r\n";

#[test]
fn the_proxy_protocol_is_read_as_by_gunicorn() {
    let request = &b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"[..];
    // Gunicorn answers 500 to a malformed header of version 2.
    let v2 = &b"\r\n\r\n\0\r\nQUIT\n"[..];
    let headers = [
        &b""[..],
        b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 443\r\n",
        b"PROXY TCP6 2001:db8::7 2001:db8::1 51234 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 51234\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 65536\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 51234 443\r\n",
        &[
            v2,
            b"\x21\x11\0\x0c\xc0\0\x02\x07\xc63d\x01\xc8\x22\x01\xbb",
        ]
        .concat(),
    ];
    let requests = headers.map(|header| [header, request].concat());

    for mode in [
        "--proxy-protocol=off",
        "--proxy-protocol",
        "--proxy-protocol=v1",
        "--proxy-protocol=v2",
    ] {
        assert_same(&[mode, "--workers=1"], &requests);
    }
    assert_same(
        &["--proxy-protocol=auto", "--proxy-allow-from=192.0.2.1"],
        &requests,
    );
    assert_same(
        &["--proxy-protocol=auto", "--proxy-allow-from=*"],
        &requests,
    );
}

#[test]
fn ambiguous_headers_are_mapped_as_by_gunicorn() {
    let untrusting = "--forwarded-allow-ips=192.0.2.1";
    let moving = [AMBIGUOUS, &[MOVING]].concat();
    for map in ["drop", "refuse"] {
        let map = format!("--header-map={map}");
        assert_same(&[&map], &moving);
        assert_same(&[&map, untrusting], &moving);
    }
    assert_same(&["--forwarder-headers=REMOTE_USER"], &moving);
    assert_same(&["--forwarder-headers=*"], &moving);
    assert_same(&["--header-map=dangerous"], &moving);
    assert_same(&["--header-map=dangerous", untrusting], AMBIGUOUS);
}
