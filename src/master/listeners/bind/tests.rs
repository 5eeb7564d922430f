use super::super::{Activated, Sockets, open};
use super::*;
use rgunicorn_link::protocol::ListenAddress;
use rustix::fs::OFlags;
use rustix::io::FdFlags;
use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::IntoRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

const HOW: Opening = Opening {
    backlog: 16,
    umask: 0,
    reuse_port: false,
    owner: None,
};

fn parse(text: &str) -> BindAddress {
    text.parse().unwrap()
}

fn bound(texts: &[&str]) -> Result<Sockets, ListenerError> {
    let addresses: Vec<_> = texts.iter().map(|text| parse(text)).collect();
    open(
        Activated::default(),
        &addresses,
        &parse("127.0.0.1:0"),
        HOW,
        0,
    )
}

fn one(text: &str) -> Result<Listener, ListenerError> {
    bound(&[text]).map(|mut sockets| sockets.listeners.remove(0))
}

fn port(listener: &Listener) -> u16 {
    match listener.address {
        ListenAddress::Tcp { port, .. } => port,
        ListenAddress::Unix(_) => panic!("no port"),
    }
}

/// A path for a socket, as text, in a folder that goes away.
fn somewhere() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sock");
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn is_ready_to_serve(listener: &Listener) {
    let flags = rustix::fs::fcntl_getfl(&listener.fd).unwrap();
    assert!(flags.contains(OFlags::NONBLOCK));
    let flags = rustix::io::fcntl_getfd(&listener.fd).unwrap();
    assert!(flags.contains(FdFlags::CLOEXEC));
}

#[test]
fn a_tcp_listener_takes_connections_without_delay() {
    let listener = one("127.0.0.1:0").unwrap();

    is_ready_to_serve(&listener);
    let mut client = TcpStream::connect(("127.0.0.1", port(&listener))).unwrap();
    // Before its first bytes no connection can be accepted.
    client.write_all(b"GET").unwrap();
    let server = TcpListener::from(listener.fd);
    let (connection, peer) = server.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    assert!(connection.nodelay().unwrap());
    assert_eq!(listener.name, UNNAMED);
    assert_eq!(listener.origin, Origin::Own(None));
}

#[test]
fn a_host_may_be_a_name() {
    let listener = one("localhost:0").unwrap();

    assert!(TcpStream::connect(("localhost", port(&listener))).is_ok());
}

#[test]
fn ipv6_is_served() {
    let listener = one("[::1]:0").unwrap();

    assert!(TcpStream::connect(("::1", port(&listener))).is_ok());
    let expected = ListenAddress::Tcp {
        host: "::1".to_owned(),
        port: port(&listener),
    };
    assert_eq!(listener.address, expected);
}

#[test]
fn all_of_ipv4_and_all_of_ipv6_can_share_a_port() {
    let port = port(&one("0.0.0.0:0").unwrap());

    let both = bound(&[&format!("0.0.0.0:{port}"), &format!("[::]:{port}")]).unwrap();

    assert_eq!(both.listeners.len(), 2);
}

#[test]
fn without_any_address_the_default_is_bound() {
    let sockets = bound(&[]).unwrap();

    assert_eq!(sockets.listeners.len(), 1);
    assert!(sockets.ignored.is_empty() && sockets.control.is_none());
}

#[test]
fn an_address_is_bound_again_while_old_connections_linger() {
    let listener = one("127.0.0.1:0").unwrap();
    let port = port(&listener);
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"GET").unwrap();
    let server = TcpListener::from(listener.fd);
    drop(server.accept().unwrap());
    drop(server);

    assert!(one(&format!("127.0.0.1:{port}")).is_ok());
}

#[test]
fn a_port_in_use_is_named_with_a_way_to_find_the_user() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();

    let error = one(&format!("127.0.0.1:{port}")).unwrap_err();

    assert_eq!(
        error.to_string(),
        format!(
            "127.0.0.1:{port} is already in use (`ss -ltnp 'sport = :{port}'` shows by \
             which process)"
        )
    );
}

#[test]
fn the_same_address_twice_is_refused() {
    let error = bound(&["127.0.0.1:1234", "127.0.0.1:1234"]).map(|_| ());

    assert!(matches!(
        error,
        Err(ListenerError::Twice(_) | ListenerError::InUse { .. })
    ));
}

#[test]
fn an_address_of_another_machine_is_refused() {
    let error = one("192.0.2.1:0").unwrap_err();

    assert!(matches!(error, ListenerError::NotLocal(_)), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("192.0.2.1:0 is not an address")
    );
}

#[test]
fn a_host_without_an_address_is_refused() {
    let error = one("no-such-host.invalid:80").unwrap_err();

    assert!(matches!(error, ListenerError::Unresolved(..)), "{error}");
}

#[test]
fn a_unix_socket_is_served_and_its_file_goes_with_it() {
    let (_folder, path) = somewhere();
    let listener = one(&format!("unix:{path}")).unwrap();

    is_ready_to_serve(&listener);
    assert!(UnixStream::connect(&path).is_ok());
    assert_eq!(listener.address, ListenAddress::Unix(path.clone()));
    drop(listener);
    assert!(!Path::new(&path).exists());
}

#[test]
fn a_unix_socket_in_use_is_left_alone() {
    let (_folder, path) = somewhere();
    let _other = UnixListener::bind(&path).unwrap();

    let error = one(&format!("unix:{path}")).unwrap_err();

    assert_eq!(
        error.to_string(),
        format!("unix:{path} is already in use (`ss -lxp 'src {path}'` shows by which process)")
    );
    assert!(UnixStream::connect(&path).is_ok());
}

#[test]
fn a_file_that_is_not_a_socket_is_named_with_the_remedy() {
    let (_folder, path) = somewhere();
    std::fs::write(&path, "precious").unwrap();

    let error = one(&format!("unix:{path}")).unwrap_err();

    assert_eq!(
        error.to_string(),
        format!("unix:{path}: the file exists and is not a socket; remove it")
    );
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let (folder, path) = somewhere();
    drop(folder);

    let error = one(&format!("unix:{path}")).unwrap_err();

    let directory = Path::new(&path).parent().unwrap().display();
    assert_eq!(
        error.to_string(),
        format!(
            "unix:{path}: there is no directory {directory} (RuntimeDirectory= in the service unit \
             creates one)"
        )
    );
}

#[test]
fn an_abstract_unix_socket_is_served_and_one_in_use_is_refused() {
    let text = format!("unix:@rgunicorn-bind-test-{}", std::process::id());
    let listener = one(&text).unwrap();

    let name = text.strip_prefix("unix:").unwrap().to_owned();
    assert_eq!(listener.address, ListenAddress::Unix(name));
    let error = one(&text).unwrap_err();
    assert!(matches!(error, ListenerError::InUse { .. }), "{error}");
}

/// A descriptor as a parent leaves it behind: open and not close-on-exec.
fn inherited(fd: impl Into<OwnedFd>) -> RawFd {
    let fd = fd.into();
    rustix::io::fcntl_setfd(&fd, FdFlags::empty()).unwrap();
    fd.into_raw_fd()
}

#[test]
fn an_inherited_descriptor_is_taken_once() {
    let number = inherited(TcpListener::bind("127.0.0.1:0").unwrap());

    let listener = one(&format!("fd://{number}")).unwrap();

    is_ready_to_serve(&listener);
    assert_eq!(listener.origin, Origin::Inherited);
    assert!(TcpStream::connect(("127.0.0.1", port(&listener))).is_ok());
    let again = one(&format!("fd://{number}")).unwrap_err();
    assert!(matches!(again, ListenerError::NoDescriptor(_)), "{again}");
}

#[test]
fn an_inherited_descriptor_that_cannot_be_served_is_refused() {
    let udp = inherited(UdpSocket::bind("127.0.0.1:0").unwrap());
    let file = inherited(tempfile::tempfile().unwrap());

    assert_eq!(
        one(&format!("fd://{udp}")).unwrap_err().to_string(),
        format!("fd://{udp}: the descriptor is a datagram socket, not a listening stream socket")
    );
    assert_eq!(
        one(&format!("fd://{file}")).unwrap_err().to_string(),
        format!("fd://{file}: the descriptor is not a socket, not a listening stream socket")
    );
}

#[test]
fn a_descriptor_that_was_not_inherited_is_refused() {
    let error = one("fd://999").unwrap_err();

    assert_eq!(
        error.to_string(),
        "fd://999: this process has inherited no such descriptor"
    );
}

#[test]
fn sockets_from_systemd_make_bind_be_ignored() {
    let activated = Activated {
        listeners: vec![Listener {
            origin: Origin::Systemd,
            ..one("127.0.0.1:0").unwrap()
        }],
        ..Activated::default()
    };
    let same = format!("127.0.0.1:{}", port(&activated.listeners[0]));
    let further = inherited(TcpListener::bind("127.0.0.1:0").unwrap());
    let configured = [parse(&same), parse("127.0.0.1:1"), BindAddress::Fd(further)];

    let sockets = open(activated, &configured, &parse(":8000"), HOW, 0).unwrap();

    assert_eq!(sockets.ignored, [parse("127.0.0.1:1")]);
    let origins: Vec<_> = sockets.listeners.iter().map(|l| &l.origin).collect();
    assert_eq!(origins, [&Origin::Systemd, &Origin::Inherited]);
}
