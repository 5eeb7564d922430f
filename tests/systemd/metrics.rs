//! The metrics of all sites, over HTTP.

use crate::{control::PASSING, lab::Lab, site::APP, wait::wait_until};

const SCRAPE: &str = "curl --silent --show-error --fail http://127.0.0.1:9109/metrics";

/// The exposure that `systemd-analyze security` may find at most, in tenths.
const EXPOSURE: &str = "13";

#[track_caller]
fn has(text: &str, sample: &str) {
    assert!(text.lines().any(|line| line == sample), "{sample}: {text}");
}

/// Waits until all samples come at the same time: a site that is busy with other things for
/// two seconds counts as one that hangs.
#[track_caller]
pub fn wait_for_samples(lab: &Lab, samples: &[&str]) {
    wait_until(&format!("there are {samples:#?}"), || {
        let text = lab.must(SCRAPE);
        let is_there = |sample: &&str| text.lines().any(|line| line == *sample);
        samples.iter().all(is_there)
    });
}

pub fn all_sites_are_scraped_and_the_service_comes_and_goes(lab: &Lab) {
    lab.write(
        "/etc/systemd/system/rgunicorn-metrics.service.d/idle.conf",
        "[Service]\nExecStart=\nExecStart=/usr/lib/rgunicorn/rgunicorn-metrics --idle-exit 1\n",
    );
    lab.must("systemctl daemon-reload");
    lab.must("systemctl enable --now rgunicorn-metrics.socket");
    let state = || lab.must("systemctl show --value --property=ActiveState rgunicorn-metrics");
    assert_eq!(state(), "inactive");
    // Before there is any site.
    has(&lab.must(SCRAPE), "# TYPE rgunicorn_up gauge");

    let shop = lab.site("shop", APP).start();
    // It keeps its runtime directory, which is elsewhere then.
    let kept = lab.site("kept", APP);
    kept.drop_in("[Service]\nRuntimeDirectoryPreserve=restart\n");
    kept.start();
    // A name that makes no account: the generator finds one.
    let named = lab.site("shop.example", APP);
    lab.must("systemctl daemon-reload");
    named.start();
    let waiting = lab.site("waiting", APP).listen();
    assert_eq!(shop.text("/"), "1");

    for name in ["shop", "kept", "shop.example"] {
        let queue = format!("{{site=\"{name}\",listener=\"unix:/run/rgunicorn/{name}.sock\"}} 0");
        wait_for_samples(
            lab,
            &[
                &format!("rgunicorn_up{{site=\"{name}\"}} 1"),
                &format!("rgunicorn_listener_queue_length{queue}"),
                "rgunicorn_socket_only{site=\"waiting\"} 1",
                "rgunicorn_requests_total{site=\"shop\"} 1",
            ],
        );
    }
    assert_eq!(waiting.show("ActiveState"), "inactive");

    // A master that hangs.
    let master = shop.master();
    lab.must(&format!("kill -STOP {master}"));
    wait_for_samples(
        lab,
        &[
            "rgunicorn_up{site=\"shop\"} 0",
            "rgunicorn_up{site=\"kept\"} 1",
        ],
    );
    lab.must(&format!("kill -CONT {master}"));

    wait_until("it exits when nobody asks", || state() == "inactive");
    assert_eq!(
        lab.must("systemctl show --value --property=Result rgunicorn-metrics"),
        "success"
    );
    wait_for_samples(lab, &["rgunicorn_up{site=\"shop\"} 1"]);
}

pub fn the_service_sees_nothing_but_what_it_needs(lab: &Lab) {
    lab.site("shop", APP).start();
    lab.write("/srv/secret", "1234");
    lab.must("systemctl start rgunicorn-metrics.socket");
    wait_for_samples(lab, &["rgunicorn_up{site=\"shop\"} 1"]);

    let pid = lab.must("systemctl show --value --property=MainPID rgunicorn-metrics");
    let owner = lab.must(&format!("stat --format=%U /proc/{pid}"));
    assert_eq!(owner, "rgunicorn-metrics");
    let status = lab.must(&format!("cat /proc/{pid}/status"));
    for line in [
        "CapEff:\t0000000000000004",
        "CapBnd:\t0000000000000004",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        has(&status, line);
    }
    for path in [
        "/etc/passwd",
        "/etc/rgunicorn",
        "/srv",
        "/home",
        "/var/lib",
        "/usr/bin",
        "/run/dbus",
    ] {
        assert!(!lab.has(&format!("/proc/{pid}/root{path}")), "{path}");
    }
    // With its account and its privilege, no folder that it sees can be written to.
    let writable = format!(
        "setpriv --reuid=rgunicorn-metrics --regid=rgunicorn-metrics {PASSING} \
         find /proc/{pid}/root/ -type d -writable -not -path */root/proc/*"
    );
    assert_eq!(lab.must(&writable), "");

    lab.must("systemd-analyze verify --man=no rgunicorn-metrics.socket rgunicorn-metrics.service");
    lab.must(&format!(
        "systemd-analyze security --no-pager --offline=yes --threshold={EXPOSURE} \
         /usr/lib/systemd/system/rgunicorn-metrics.service"
    ));
}
