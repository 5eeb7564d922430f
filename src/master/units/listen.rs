//! `bind` as the lines of a socket unit.

use super::escape::plain;
use super::instance::Instance;
use crate::config::{Binds, is_unit_path};
use crate::listeners::BindAddress;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// What a unit can do with an address.
enum Listen {
    /// The value of `ListenStream=`, and the host if there is one.
    Stream(String, Option<IpAddr>),
    /// The unit has it without being told.
    Already,
    /// Why it can do nothing.
    No(&'static str),
}

/// The lines for these addresses, and what is wrong with the others.
///
/// The site's own socket, `/run/rgunicorn/NAME.sock`, stays whatever is listed:
/// it is how others find the site.
pub(super) fn lines(binds: &Binds, own_socket: &Path) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut problems, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    for address in binds.addresses() {
        match listen(address, own_socket) {
            Listen::Stream(stream, host) => {
                lines.push(format!("ListenStream={stream}"));
                hosts.extend(host);
            }
            Listen::Already => {}
            Listen::No(why) => problems.push(format!("bind: \"{address}\" {why}")),
        }
    }
    // `[::]` takes IPv4, too, where the system says so, unless IPv4 is asked for by
    // itself. rgunicorn does the same where it opens the sockets.
    if hosts.iter().any(IpAddr::is_ipv4) && hosts.iter().any(IpAddr::is_ipv6) {
        lines.push("BindIPv6Only=ipv6-only".to_owned());
    }
    // At boot, sockets are opened before the network has its addresses.
    let is_always_there = |host: &IpAddr| host.is_loopback() || host.is_unspecified();
    if !hosts.iter().all(is_always_there) {
        lines.push("FreeBind=yes".to_owned());
    }
    (lines, problems)
}

fn listen(address: &BindAddress, own_socket: &Path) -> Listen {
    const NAME: &str = "is a host name, which systemd does not look up; write its address";
    const PATH: &str =
        "cannot be in a unit; write an absolute path without quotes, backslashes and \"..\"";
    match address {
        BindAddress::Tcp { port: 0, .. } => {
            Listen::No("has port 0, but systemd lets nobody choose the port; write its number")
        }
        BindAddress::Tcp { host, port } => {
            let number = host.split_once('%').map_or(&**host, |(number, _)| number);
            match number.parse::<IpAddr>() {
                Ok(ip @ IpAddr::V4(_)) => Listen::Stream(format!("{ip}:{port}"), Some(ip)),
                Ok(ip @ IpAddr::V6(_)) if host.chars().all(|c| c.is_ascii_graphic()) => {
                    Listen::Stream(format!("[{}]:{port}", plain(host)), Some(ip))
                }
                Ok(IpAddr::V6(_)) | Err(_) if host != "localhost" => Listen::No(NAME),
                Ok(IpAddr::V6(_)) | Err(_) => {
                    let ip = Ipv4Addr::LOCALHOST;
                    Listen::Stream(format!("{ip}:{port}"), Some(ip.into()))
                }
            }
        }
        BindAddress::Unix(path) if path == own_socket => Listen::Already,
        BindAddress::Unix(path) => match path.to_str() {
            Some(path) if is_unit_path(path) => Listen::Stream(plain(path), None),
            Some(_) | None => Listen::No(PATH),
        },
        BindAddress::Abstract(name) => match std::str::from_utf8(name) {
            // The same rule as for a path.
            Ok(name) if is_unit_path(&format!("/{name}")) => {
                Listen::Stream(format!("@{}", plain(name)), None)
            }
            Ok(_) | Err(_) => Listen::No(PATH),
        },
        BindAddress::Fd(_) => {
            Listen::No("is a descriptor of the process that starts rgunicorn; a unit has none")
        }
    }
}

/// The site's own socket under the system's manager.
pub(super) fn own_socket(instance: &Instance) -> String {
    format!("/run/rgunicorn/{instance}.sock")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value;

    fn told(words: &str) -> (Vec<String>, Vec<String>) {
        let binds = Binds::from_words(&[words.to_owned()]).unwrap();
        lines(&binds, Path::new("/run/rgunicorn/shop.sock"))
    }

    #[test]
    fn every_address_is_a_line() {
        for (words, expected) in [
            (
                "127.0.0.1:8000",
                &["ListenStream=127.0.0.1:8000"] as &[&str],
            ),
            (":80", &["ListenStream=0.0.0.0:80"]),
            ("localhost:9000", &["ListenStream=127.0.0.1:9000"]),
            ("[::1]:80", &["ListenStream=[::1]:80"]),
            ("10.0.0.5:80", &["ListenStream=10.0.0.5:80", "FreeBind=yes"]),
            (
                "[::]:80,:80",
                &[
                    "ListenStream=[::]:80",
                    "ListenStream=0.0.0.0:80",
                    "BindIPv6Only=ipv6-only",
                ],
            ),
            (
                "[fe80::1%eth0]:80",
                &["ListenStream=[fe80::1%%eth0]:80", "FreeBind=yes"],
            ),
            ("unix:/run/a b%i.sock", &["ListenStream=/run/a b%%i.sock"]),
            ("unix:@shop", &["ListenStream=@shop"]),
            ("unix:/run/rgunicorn/shop.sock", &[]),
        ] {
            assert_eq!(
                told(words),
                (expected.iter().map(ToString::to_string).collect(), vec![]),
                "{words}"
            );
        }
    }

    #[test]
    fn an_address_that_a_unit_cannot_have_is_named_and_the_others_stay() {
        for (word, why) in [
            ("shop.example:80", "host name"),
            ("127.0.0.1:0", "port 0"),
            ("fd://3", "descriptor"),
            ("unix:shop.sock", "absolute path"),
            ("unix:/run/a\nListenStream=/x", "absolute path"),
            ("unix:/run/a\\", "absolute path"),
            ("unix:@a\nb", "absolute path"),
            ("[fe80::1%a b]:80", "host name"),
        ] {
            let (lines, problems) = told(&format!(":80,{word}"));

            assert_eq!(lines, ["ListenStream=0.0.0.0:80"], "{word}");
            assert_eq!(problems.len(), 1, "{word}");
            assert!(problems[0].contains(why), "{problems:?}");
        }
    }
}
