//! Connections that begin with a header of the PROXY protocol.

use super::handover::{Pool, answer, turn};
use super::server::{REQUEST, TestServer, answer_ok, is_answered, next_request};
use crate::{Absence, Engine, ProxyProtocol, Settings, TrustedPeers};
use rgunicorn_http::{ProxyHeader, ProxyVersions};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc63d\x01\xc8\x22\x01\xbb";

fn settings(allowed: &str, absence: Absence) -> Settings {
    Settings {
        keepalive: Duration::from_secs(60),
        proxy_protocol: Some(ProxyProtocol {
            versions: ProxyVersions::Both,
            allowed: TrustedPeers::new(&[allowed.to_owned()]),
            absence,
        }),
        ..Settings::default()
    }
}

fn expected() -> ProxyHeader {
    ProxyHeader::Tcp {
        client: "192.0.2.7:51234".parse().unwrap(),
        server: "198.51.100.1:443".parse().unwrap(),
    }
}

/// Whom the next request is from, which is answered.
fn header_of_next(engine: &mut Engine) -> Option<ProxyHeader> {
    loop {
        turn(engine);
        if let Some((request, mut responder)) = engine.next_request() {
            let header = request.proxy_header().copied();
            answer_ok(&mut responder, engine.clock().date());
            engine.finish(responder);
            return header;
        }
    }
}

#[test]
fn all_requests_of_a_connection_are_from_whom_its_header_names() {
    for header in [V1, V2] {
        let mut server = TestServer::new(settings("127.0.0.1", Absence::Served));
        let mut client = server.client();
        client.write_all(header).unwrap();

        for _ in 0..3 {
            client.write_all(REQUEST).unwrap();
            let (request, mut responder) = next_request(&mut server);
            assert_eq!(request.proxy_header(), Some(&expected()));
            answer_ok(&mut responder, server.engine.clock().date());
            server.engine.finish(responder);
            assert!(is_answered(&server.answer(&mut client)));
        }
    }
}

#[test]
fn a_header_in_the_middle_of_a_connection_is_none() {
    let mut server = TestServer::new(settings("127.0.0.1", Absence::Served));
    let mut client = server.client();
    client.write_all(REQUEST).unwrap();
    assert!(is_answered(&server.answer(&mut client)));

    client.write_all(&[V1, REQUEST].concat()).unwrap();

    let text = server.answer(&mut client);
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
}

#[test]
fn a_connection_keeps_its_client_when_it_goes_to_another_worker() {
    for header in [V1, V2] {
        let bytes = [header, REQUEST].concat();
        for length in 0..=bytes.len() {
            let mut pool = Pool::new(&settings("127.0.0.1", Absence::Served));
            let mut client = pool.client(&bytes[..length]);

            pool.hand_over();

            client.write_all(&bytes[length..]).unwrap();
            assert_eq!(
                header_of_next(&mut pool.second),
                Some(expected()),
                "{length}"
            );
            assert!(is_answered(&answer(&mut pool.second, &mut client)));
            client.write_all(REQUEST).unwrap();
            assert_eq!(
                header_of_next(&mut pool.second),
                Some(expected()),
                "{length}"
            );
        }
    }
}

#[test]
fn a_served_connection_takes_no_header_where_it_goes() {
    let mut pool = Pool::new(&settings("127.0.0.1", Absence::Served));
    let mut client = pool.client(&[V1, REQUEST].concat());
    assert!(is_answered(&answer(&mut pool.first, &mut client)));

    pool.hand_over();

    client.write_all(&[V1, REQUEST].concat()).unwrap();
    let text = answer(&mut pool.second, &mut client);
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
}

fn first_answer(settings: Settings, bytes: &[u8]) -> (TcpStream, String) {
    let mut server = TestServer::new(settings);
    let mut client = server.client();
    client.write_all(bytes).unwrap();
    let text = server.answer(&mut client);
    (client, text)
}

#[test]
fn a_peer_that_may_not_speak_for_others_is_refused_as_soon_as_it_does() {
    for absence in [Absence::Served, Absence::Refused] {
        for begun in [&V1[..6], V1, &V2[..12], V2, b"PROXY nonsense\r\n"] {
            let (_, text) = first_answer(settings("192.0.2.1", absence), begun);
            assert!(text.starts_with("HTTP/1.1 403 "), "{text}");
        }
    }
}

#[test]
fn a_connection_without_a_header_is_served_unless_one_is_required() {
    for (allowed, absence, status) in [
        ("127.0.0.1", Absence::Served, "200"),
        ("192.0.2.1", Absence::Served, "200"),
        ("127.0.0.1", Absence::Refused, "400"),
        ("192.0.2.1", Absence::Refused, "403"),
    ] {
        let (_, text) = first_answer(settings(allowed, absence), REQUEST);
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
    }
}

#[test]
fn a_connection_that_is_silent_after_its_header_is_closed_without_an_answer() {
    let settings = Settings {
        client_timeout: Duration::from_secs(1),
        ..settings("127.0.0.1", Absence::Refused)
    };
    let (_, text) = first_answer(settings.clone(), V2);
    assert_eq!(text, "");

    // A header that is never complete is a request that is too slow.
    let (_, text) = first_answer(settings, &V2[..20]);
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
}
