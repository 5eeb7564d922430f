//! Reloads that succeed and reloads that fail.

use crate::{lab::Lab, site::APP, wait::wait_until};

pub fn ten_reloads_under_load_lose_no_request(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let traffic = site.traffic();

    for version in 2..=11 {
        site.deploy(&version.to_string());
        traffic.wait_for_answers(100);
    }

    let bodies = traffic.bodies();
    assert_eq!(traffic.closed(), 0);
    assert_eq!(traffic.finish(), Vec::<String>::new());
    assert_eq!(bodies.len(), 11, "{bodies:?}");
    assert_eq!(site.show("NRestarts"), "0");
}

pub fn a_reload_onto_broken_code_fails_and_the_old_code_answers(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let traffic = site.traffic();

    site.write_app("def load():\n    return 1 / 0\n\nload()\n");
    let reload = lab.systemctl(&format!("reload {}", site.service()));

    assert_ne!(reload.status, Some(0), "{}", reload.output);
    traffic.wait_for_answers(200);
    assert_eq!(traffic.bodies().into_iter().collect::<Vec<_>>(), ["1"]);
    assert_eq!(traffic.finish(), Vec::<String>::new());
    assert_eq!(site.show("ActiveState"), "active");
    let entry = site.wait_for_entry("the traceback", |entry| {
        entry.message().contains("Traceback")
    });
    assert!(entry.message().contains("return 1 / 0"), "{entry:?}");
    assert!(entry.message().contains("ZeroDivisionError"), "{entry:?}");

    site.deploy("2");
}

pub fn a_reload_onto_a_broken_configuration_fails_and_says_where(lab: &Lab) {
    let site = lab.site("shop", APP).start();

    site.configure("wokers = 3\n");
    let reload = lab.systemctl(&format!("reload {}", site.service()));

    assert_ne!(reload.status, Some(0), "{}", reload.output);
    assert_eq!(site.text("/"), "1");
    let entry = site.wait_for_entry("the mistake", |entry| entry.message().contains("wokers"));
    assert!(entry.message().contains("shop.toml"), "{entry:?}");
    assert!(entry.message().contains("workers"), "{entry:?}");
}

/// systemd ignores a notification of more than 4096 bytes, and the status is in the
/// same one as `READY=1`.
pub fn a_reload_that_fails_with_a_very_long_message_ends(lab: &Lab) {
    let site = lab.site("shop", APP).start();

    for _ in 0..2 {
        site.write_app("raise ValueError('x' * 5000)\n");
        let reload = lab.systemctl(&format!("reload {}", site.service()));

        assert_ne!(reload.status, Some(0), "{}", reload.output);
        site.wait_for_state("active");
        let status = site.show("StatusText");
        assert!(
            status.contains("; last reload failed: ValueError: xxx"),
            "{status}"
        );
        assert!(status.ends_with("xxx…"), "{status}");
    }
    site.deploy("2");
}

pub fn silent_clients_of_the_control_socket_do_not_keep_a_reload_out(lab: &Lab) {
    const SILENT: &str = "\
import socket, time
clients = [socket.socket(socket.AF_UNIX) for _ in range(100)]
for client in clients:
    client.connect('/run/rgunicorn/shop/control')
open('/run/silent', 'w').close()
time.sleep(600)
";
    let site = lab.site("shop", APP).start();
    lab.write("/root/silent.py", SILENT);
    lab.must("systemd-run --unit=silent python3 /root/silent.py");
    wait_until("the silent clients are connected", || {
        lab.has("/run/silent")
    });

    site.deploy("2");
}

/// Without `--kill-whom=main` the signal goes to the fork server and the workers
/// as well, also to those that the reload has just started.
pub fn a_hangup_of_all_processes_is_a_reload(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let traffic = site.traffic();

    for _ in 0..20 {
        lab.must(&format!("systemctl kill --signal=HUP {}", site.service()));
        traffic.wait_for_answers(10);
    }
    site.deploy("2");
    traffic.wait_for_answers(100);

    assert_eq!(traffic.finish(), Vec::<String>::new());
    assert_eq!(site.show("NRestarts"), "0");
    let died = site.journal().into_iter();
    let died: Vec<_> = died
        .map(|entry| entry.message())
        .filter(|message| message.contains("died") || message.contains("failed"))
        .collect();
    assert_eq!(died, Vec::<String>::new());
}
