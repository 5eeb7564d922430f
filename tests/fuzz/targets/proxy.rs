//! Headers of the PROXY protocol: the same verdict in one piece and in many, that of the
//! reference, and a bound on what is waited for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rgunicorn_fuzz::reference::proxy::{self, Found};
use rgunicorn_http::{ProxyHeader, ProxyVersions, Refusal, Start};

/// The longest header: 16 bytes, and as many as 16 bits can count.
const LONGEST: usize = 16 + 0xffff;

fuzz_target!(|data: &[u8]| {
    if let Some((first, bytes)) = data.split_first() {
        let versions = match first % 3 {
            0 => ProxyVersions::Both,
            1 => ProxyVersions::V1,
            _ => ProxyVersions::V2,
        };
        check(bytes, versions);
    }
});

fn check(bytes: &[u8], versions: ProxyVersions) {
    let whole = ProxyHeader::read(bytes, versions);
    let is_decided =
        |read: &Result<Start, Refusal>| !matches!(read, Ok(Start::Undecided | Start::Begun));
    let first = (0..=bytes.len())
        .map(|length| ProxyHeader::read(&bytes[..length], versions))
        .find(is_decided);
    assert_eq!(first.unwrap_or(whole), whole);

    let expected = proxy::header(
        bytes,
        versions != ProxyVersions::V2,
        versions != ProxyVersions::V1,
    );
    match whole {
        Ok(Start::Header(header, length)) => {
            let (client, server) = match header {
                ProxyHeader::Tcp { client, server } => (Some(client), Some(server)),
                ProxyHeader::Local | ProxyHeader::Unknown | ProxyHeader::Unspecified => {
                    (None, None)
                }
            };
            let protocol = header.protocol().to_owned();
            assert_eq!(expected, Found::Header(protocol, client, server, length));
        }
        Ok(Start::Absent) => assert_eq!(expected, Found::Absent),
        Ok(Start::Undecided | Start::Begun) => {
            assert!(bytes.len() < LONGEST);
            assert!(matches!(expected, Found::Incomplete));
        }
        Err(_) => assert!(matches!(expected, Found::Refused | Found::Incomplete)),
    }
}
