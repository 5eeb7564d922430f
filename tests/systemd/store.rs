//! Listeners that rgunicorn opens itself, kept by systemd while the service restarts.

use crate::{
    client::{Address, Connection},
    lab::Lab,
    site::{APP, Site},
    traffic::{Load, Traffic},
    wait::wait_until,
};
use std::{net::SocketAddr, time::Duration};

pub fn listeners_of_its_own_survive_restarts_under_load(lab: &Lab) {
    let site = site_without_a_socket_unit(lab);
    site.configure("bind = [\"127.0.0.1:8000\", \"unix:/run/rgunicorn/shop/http.sock\"]\n");
    site.start();
    assert_eq!(site.show("NFileDescriptorStore"), "2");
    let load = Load {
        pause: Duration::from_millis(6),
        ..Load::default()
    };
    let over_tcp = lab.in_network(|| Traffic::start(&port(8000), load));
    let over_unix = Traffic::start(&socket_file(lab), load);

    for _ in 0..5 {
        let master = site.master();
        lab.must(&format!("systemctl restart {}", site.service()));
        assert_ne!(site.master(), master);
        over_tcp.wait_for_answers(50);
        over_unix.wait_for_answers(50);
    }

    assert_eq!(over_tcp.finish(), [""; 0]);
    assert_eq!(over_unix.finish(), [""; 0]);
    assert_eq!(site.show("NFileDescriptorStore"), "2");
    site.wait_for_entry("who opened them", |entry| {
        entry.message().contains("127.0.0.1:8000")
            && entry.field("ORIGIN") == "rgunicorn before the restart"
    });
}

/// After a crash, too, nobody is refused.
pub fn listeners_of_its_own_survive_a_crash(lab: &Lab) {
    let site = site_without_a_socket_unit(lab);
    site.configure("bind = \"127.0.0.1:8000\"\n");
    site.drop_in("[Service]\nRestartSec=2\n");
    site.start();

    lab.must(&format!("kill -KILL {}", site.master()));
    wait_until("the crashed service waits to be started again", || {
        // Its workers answer until systemd has ended them as well.
        site.show("SubState").starts_with("auto-restart") || site.show("NRestarts") == "1"
    });
    let answer = lab.in_network(|| Connection::open(&port(8000)).unwrap().get("/").text());

    assert_eq!(answer, "1");
    assert_eq!(site.show("NRestarts"), "1");
}

pub fn listeners_of_its_own_are_closed_when_they_are_not_wanted(lab: &Lab) {
    let site = site_without_a_socket_unit(lab);
    let listens = |number| lab.in_network(|| Connection::open(&port(number)).map(|_| ()).is_ok());
    site.configure("bind = [\"127.0.0.1:8000\", \"127.0.0.1:8001\"]\n");
    site.start();
    assert_eq!((listens(8000), listens(8001)), (true, true));

    site.configure("bind = \"127.0.0.1:8001\"\n");
    lab.must(&format!("systemctl restart {}", site.service()));

    assert_eq!((listens(8000), listens(8001)), (false, true));
    assert_eq!(site.show("NFileDescriptorStore"), "1");
    lab.must(&format!("systemctl stop {}", site.service()));
    assert_eq!(site.show("NFileDescriptorStore"), "0");
    assert!(!listens(8001));
    site.start();
    assert!(listens(8001));
}

/// A site whose service does not require a socket unit, and whose socket files outlive a
/// restart, as an administrator writes it.
fn site_without_a_socket_unit(lab: &Lab) -> Site<'_> {
    let site = lab.site("shop", APP);
    let copy = "sed -e /^Requires=/d \
                -e 's/^RuntimeDirectory=.*/&\\nRuntimeDirectoryPreserve=restart/' \
                /usr/lib/systemd/system/rgunicorn@.service \
                >/etc/systemd/system/rgunicorn@shop.service && systemctl daemon-reload";
    let copied = lab.run(&["sh", "-c", copy]);
    assert_eq!(copied.status, Some(0), "{}", copied.output);
    site
}

fn port(number: u16) -> Address {
    Address::Tcp(SocketAddr::from(([127, 0, 0, 1], number)))
}

/// The directory of a dynamic account is a symbolic link, which would lead out of the lab.
fn socket_file(lab: &Lab) -> Address {
    let path = "run/private/rgunicorn/shop/http.sock";
    Address::Unix(format!("/proc/{}/root/{path}", lab.pid1).into())
}
