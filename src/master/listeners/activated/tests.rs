use super::*;
use crate::listeners::{BindAddress, Opening, open};
use rgunicorn_link::protocol::ListenAddress;
use rustix::fs::OFlags;
use std::io::{Read, Seek};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

const HOW: Opening = Opening {
    backlog: 16,
    umask: 0,
    reuse_port: false,
    owner: None,
};

/// What a process says that was started with `first` and `second` as the
/// descriptors 3 and 4, as systemd starts a service.
fn started_with(first: impl Into<OwnedFd>, second: impl Into<OwnedFd>, names: &str) -> String {
    let variables = format!("LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={names}");
    started(first, second, &variables)
}

/// The same with other variables in its environment, in the syntax of the shell.
fn started(first: impl Into<OwnedFd>, second: impl Into<OwnedFd>, variables: &str) -> String {
    let mut said = tempfile::tempfile().unwrap();
    let status = Command::new("sh")
        .args([
            "-c",
            &format!(
                "exec 3<&0 4<&1 0</dev/null 1>/dev/null; \
                 unset LISTEN_PID LISTEN_FDS LISTEN_FDNAMES; {variables} exec \"$@\""
            ),
            "sh",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "--quiet"])
        .arg("listeners::activated::tests::what_the_started_process_does")
        .stdin(Stdio::from(first.into()))
        .stdout(Stdio::from(second.into()))
        .stderr(said.try_clone().unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    let mut text = String::new();
    said.rewind().unwrap();
    said.read_to_string(&mut text).unwrap();
    text
}

#[test]
#[ignore = "runs in a process of its own, which the other tests start"]
fn what_the_started_process_does() {
    let sockets = Activated::from_env().and_then(|activated| {
        assert!(std::env::var_os("LISTEN_FDS").is_none());
        let by_number = [BindAddress::Fd(3)];
        open(
            activated,
            &by_number,
            &"127.0.0.1:0".parse().unwrap(),
            HOW,
            0,
        )
    });
    match sockets {
        Err(error) => eprintln!("{error}"),
        Ok(sockets) => {
            assert!(sockets.ignored.is_empty());
            for Listener {
                name,
                address,
                fd,
                origin,
            } in &sockets.listeners
            {
                let flags = rustix::fs::fcntl_getfl(fd).unwrap();
                assert!(flags.contains(OFlags::NONBLOCK));
                eprintln!("{name} {address:?} {origin:?}");
            }
            eprintln!("control: {}", sockets.control.is_some());
        }
    }
}

#[test]
fn sockets_of_all_kinds_are_taken_over_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sock");
    let tcp = TcpListener::bind("[::1]:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let unix = UnixListener::bind(&path).unwrap();

    let said = started_with(tcp, unix, "web:nginx");

    let tcp = ListenAddress::Tcp {
        host: "::1".to_owned(),
        port,
    };
    let unix = ListenAddress::Unix(path.to_str().unwrap().to_owned());
    assert_eq!(
        said,
        format!("web {tcp:?} Systemd\nnginx {unix:?} Systemd\ncontrol: false\n")
    );
}

#[test]
fn a_socket_named_control_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(folder.path().join("control")).unwrap();

    let said = started_with(tcp, unix, "http:control");

    assert_eq!(said.lines().count(), 2);
    assert!(said.starts_with("http Tcp"), "{said}");
    assert!(said.ends_with("control: true\n"), "{said}");
}

#[test]
fn a_socket_that_cannot_be_served_is_named() {
    let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();
    let stream =
        "only TCP and unix stream sockets are served, use ListenStream= in the socket unit";

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(
        started_with(tcp(), udp, "http:dns"),
        format!("socket \"dns\" from systemd is a datagram socket; {stream}\n")
    );

    let file = tempfile::tempfile().unwrap();
    assert_eq!(
        started_with(tcp(), file, "http:stored"),
        format!("socket \"stored\" from systemd is not a socket; {stream}\n")
    );

    let (one, _other) = UnixStream::pair().unwrap();
    assert_eq!(
        started_with(tcp(), one, "http:accepted"),
        "socket \"accepted\" from systemd is a stream socket that does not listen; \
         set Accept=no in the socket unit\n"
    );
}

#[test]
fn sockets_without_names_are_not_lost() {
    for (variables, first, second) in [
        ("LISTEN_PID=$$ LISTEN_FDS=2", "unknown", "unknown"),
        ("LISTEN_FDS=2", "unknown", "unknown"),
        ("LISTEN_FDS=2 LISTEN_FDNAMES=http:web", "http", "web"),
    ] {
        let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();

        let said = started(tcp(), tcp(), variables);

        let names: Vec<_> = said
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(names, [first, second, "control:"], "{variables}");
    }
}

#[test]
fn an_environment_that_contradicts_itself_is_refused() {
    for (variables, complaint) in [
        ("LISTEN_PID=$$ LISTEN_FDS=x", "LISTEN_FDS=\"x\""),
        ("LISTEN_PID=$$ LISTEN_FDS=-1", "LISTEN_FDS=\"-1\""),
        ("LISTEN_PID=$$ LISTEN_FDS=9999999", "LISTEN_FDS=\"9999999\""),
        (
            "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http",
            "LISTEN_FDNAMES=\"http\"",
        ),
        ("LISTEN_PID=me LISTEN_FDS=2", "LISTEN_PID=\"me\""),
    ] {
        let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();

        assert_eq!(
            started(tcp(), tcp(), variables),
            format!(
                "{complaint} in the environment is not valid; systemd sets it for socket units\n"
            )
        );
    }
}
