use super::super::{Activated, Opening, Sockets, open};
use super::*;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

const HOW: Opening = Opening {
    backlog: 16,
    umask: 0,
    reuse_port: false,
    owner: None,
};

/// Opens the addresses, taking what was stored.
fn start(texts: &[&str], stored: Vec<Stored>) -> Sockets {
    let addresses: Vec<BindAddress> = texts.iter().map(|text| text.parse().unwrap()).collect();
    let activated = Activated {
        stored,
        ..Activated::default()
    };
    let default = "127.0.0.1:0".parse().unwrap();
    open(activated, &addresses, &default, HOW, 64).unwrap()
}

/// What systemd passes on after the end of a program that had these sockets.
fn kept(sockets: Sockets) -> Vec<Stored> {
    let stored = sockets.listeners.into_iter().filter_map(stored_name);
    stored.map(|(name, fd)| Stored { name, fd }).collect()
}

fn stored_name(listener: Listener) -> Option<(String, OwnedFd)> {
    match listener.origin {
        Origin::Stored { name, .. } => Some((name, listener.fd)),
        Origin::Systemd | Origin::Inherited | Origin::Own(_) => None,
    }
}

/// For each listener, whether it was open before the start.
fn are_back(sockets: &Sockets) -> Vec<bool> {
    let is_back = |listener: &Listener| match listener.origin {
        Origin::Stored { is_back, .. } => is_back,
        Origin::Systemd | Origin::Inherited | Origin::Own(_) => false,
    };
    sockets.listeners.iter().map(is_back).collect()
}

/// A port that nobody listened on a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_name_says_which_address_it_is_and_contains_no_colon() {
    for (address, name_of_it) in [
        ("127.0.0.1:8000", "bind=127.0.0.1%3A8000"),
        ("[::1]:8000", "bind=[%3A%3A1]%3A8000"),
        ("unix:@a=b", "bind=unix%3A%40a%3Db"),
        ("unix:/run/käse.sock", "bind=unix%3A/run/k%C3%A4se.sock"),
    ] {
        let address = address.parse().unwrap();
        assert_eq!(name(&address, None).as_deref(), Some(name_of_it));
    }
}

#[test]
fn what_cannot_come_back_or_has_too_long_a_name_is_not_stored() {
    let long = format!("unix:/{}", "ä".repeat(50));
    for address in ["127.0.0.1:0", "fd://3", &long] {
        assert_eq!(name(&address.parse().unwrap(), None), None, "{address}");
    }
}

#[test]
fn listeners_are_the_same_after_a_restart_and_keep_the_connections_that_wait() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let path = folder.path().join("shop.sock");
    let (tcp, unix) = (
        format!("127.0.0.1:{port}"),
        format!("unix:{}", path.display()),
    );
    let texts = [tcp.as_str(), &unix, "unix:@rgunicorn-stored"];
    let before = start(&texts, Vec::new());
    assert_eq!(are_back(&before), [false; 3]);
    let stored = kept(before);
    let mut over_tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // A silent connection would not be accepted for some time.
    over_tcp.write_all(b"GET").unwrap();
    let _over_unix = UnixStream::connect(&path).unwrap();

    let after = start(&texts, stored);

    assert_eq!(are_back(&after), [true; 3]);
    assert_eq!(after.forgotten, [""; 0]);
    let mut fds = after.listeners.into_iter().map(|listener| listener.fd);
    let (tcp, unix) = (fds.next().unwrap(), fds.next().unwrap());
    let tcp = TcpListener::from(tcp);
    tcp.set_nonblocking(false).unwrap();
    assert!(tcp.accept().is_ok());
    assert!(UnixListener::from(unix).accept().is_ok());
}

#[test]
fn what_bind_no_longer_names_stops_listening_although_systemd_has_it_open() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let path = folder.path().join("shop.sock");
    let unix = format!("unix:{}", path.display());
    let stored = kept(start(&[&format!("127.0.0.1:{port}"), &unix], Vec::new()));
    let systemds: Vec<_> = (stored.iter())
        .map(|stored| stored.fd.try_clone().unwrap())
        .collect();

    let after = start(&["127.0.0.1:0"], stored);

    assert_eq!(after.forgotten.len(), 2);
    assert_eq!(after.forgotten[0], format!("bind=127.0.0.1%3A{port}"));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(!path.exists());
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
    drop(systemds);
}

#[test]
fn a_unix_socket_whose_file_was_removed_is_bound_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sock");
    let unix = format!("unix:{}", path.display());
    let stored = kept(start(&[&unix], Vec::new()));
    std::fs::remove_file(&path).unwrap();

    let after = start(&[&unix], stored);

    assert_eq!((are_back(&after), after.forgotten.len()), (vec![false], 1));
    assert!(UnixStream::connect(&path).is_ok());
}

#[test]
fn a_listener_for_both_protocols_is_replaced_when_ipv4_gets_one_of_its_own() {
    let port = free_port();
    let (both, ipv4) = (format!("[::]:{port}"), format!("0.0.0.0:{port}"));
    let stored = kept(start(&[&both], Vec::new()));
    let systemds = stored[0].fd.try_clone().unwrap();

    let after = start(&[&both, &ipv4], stored);

    assert_eq!(after.forgotten.len(), 1);
    assert_eq!(are_back(&after), [false, false]);
    let again = start(&[&both, &ipv4], kept(after));
    assert_eq!(are_back(&again), [true, true]);
    drop(systemds);
}

#[test]
fn beside_sockets_of_a_socket_unit_nothing_that_was_stored_is_served() {
    let port = free_port();
    let tcp = format!("127.0.0.1:{port}");
    let stored = kept(start(&[&tcp], Vec::new()));
    let mut of_systemd = start(&["127.0.0.1:0"], Vec::new()).listeners;
    of_systemd[0].origin = Origin::Systemd;
    let activated = Activated {
        listeners: of_systemd,
        stored,
        ..Activated::default()
    };

    let address = tcp.parse().unwrap();
    let sockets = open(
        activated,
        &[address],
        &"127.0.0.1:0".parse().unwrap(),
        HOW,
        64,
    )
    .unwrap();

    assert_eq!((sockets.listeners.len(), sockets.forgotten.len()), (1, 1));
}

#[test]
fn without_room_in_the_store_the_file_of_a_unix_socket_is_removed_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sock");
    let address = format!("unix:{}", path.display()).parse().unwrap();
    let default = "127.0.0.1:0".parse().unwrap();

    drop(open(Activated::default(), &[address], &default, HOW, 0).unwrap());

    assert!(!path.exists());
}
