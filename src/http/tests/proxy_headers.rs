//! The cases in `tests/requests/proxy-valid` and `proxy-invalid`, whole and byte by byte.

use proptest::prelude::*;
use rgunicorn_http::{ProxyHeader, ProxyVersions, Refusal, Start};

use crate::files::{Case, cases};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const ALL: [(&str, ProxyVersions); 3] = [
    ("v1", ProxyVersions::V1),
    ("v2", ProxyVersions::V2),
    ("auto", ProxyVersions::Both),
];

/// Reads it whole and byte by byte, which has to give the same.
fn outcome(bytes: &[u8], versions: ProxyVersions) -> Result<Start, Refusal> {
    let whole = ProxyHeader::read(bytes, versions);
    let in_pieces = (0..=bytes.len())
        .map(|length| ProxyHeader::read(&bytes[..length], versions))
        .find(|outcome| !matches!(outcome, Ok(Start::Undecided | Start::Begun)))
        .unwrap_or(whole);
    assert_eq!(in_pieces, whole, "{}", bytes.escape_ascii());
    whole
}

fn said<'case>(case: &'case Case, key: &str) -> Option<&'case str> {
    let found = case.expected.iter().find(|(name, _)| name == key);
    found.map(|(_, value)| &**value)
}

fn is_for(case: &Case, versions: &str) -> bool {
    said(case, "versions")
        .unwrap()
        .split(' ')
        .any(|it| it == versions)
}

#[test]
fn valid_headers_are_read_as_their_files_say() {
    for case in cases("proxy-valid") {
        let name = case.path.display();
        for (versions_name, versions) in ALL {
            let outcome = outcome(&case.bytes, versions);
            if !is_for(&case, versions_name) {
                assert_eq!(outcome, Ok(Start::Absent), "{name} for {versions_name}");
                continue;
            }
            let Ok(Start::Header(header, length)) = outcome else {
                panic!("{name}: {outcome:?}");
            };
            assert_eq!(&case.bytes[length..], REQUEST, "{name}");
            assert_eq!(Some(header.protocol()), said(&case, "protocol"), "{name}");
            let addresses = match header {
                ProxyHeader::Tcp { client, server } => Some((client, server)),
                ProxyHeader::Local | ProxyHeader::Unknown | ProxyHeader::Unspecified => None,
            };
            let expected = said(&case, "client").zip(said(&case, "server"));
            let expected =
                expected.map(|(client, server)| (client.parse().unwrap(), server.parse().unwrap()));
            assert_eq!(addresses, expected, "{name}");
        }
    }
}

#[test]
fn invalid_headers_are_refused() {
    for case in cases("proxy-invalid") {
        for (versions_name, versions) in ALL {
            let expected = if is_for(&case, versions_name) {
                Err(Refusal::BadProxyHeader)
            } else {
                Ok(Start::Absent)
            };
            assert_eq!(
                outcome(&case.bytes, versions),
                expected,
                "{} for {versions_name}",
                case.path.display()
            );
        }
    }
}

#[test]
fn what_begins_like_a_header_is_waited_for() {
    for (bytes, both) in [
        (&b""[..], Start::Undecided),
        (b"P", Start::Undecided),
        (b"PROXY", Start::Undecided),
        (b"\r\n", Start::Undecided),
        (b"\r\n\r\n\0\r\nQUIT", Start::Undecided),
        (b"PROXY ", Start::Begun),
        (b"\r\n\r\n\0\r\nQUIT\n\x21", Start::Begun),
        (b"PUT", Start::Absent),
        (b"PROXYS", Start::Absent),
        (b"\r\nGET", Start::Absent),
    ] {
        assert_eq!(
            ProxyHeader::read(bytes, ProxyVersions::Both),
            Ok(both),
            "{}",
            bytes.escape_ascii()
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_give_the_same_whole_and_in_pieces(
        start in 0_usize..4,
        rest in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let start = [&b""[..], b"PROXY ", b"PROXY TCP4 1.2.3.4 ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"][start];
        let bytes = [start, &rest].concat();
        for (_, versions) in ALL {
            if let Ok(Start::Header(_, length)) = outcome(&bytes, versions) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
