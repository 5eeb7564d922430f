//! An upgrade in place: another version takes over in the master's process.

use crate::{
    lab::{Entry, Lab, next_version, output_of, target},
    site::{APP, Site},
    wait::wait_until,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

const NEW_VERSION: &str = "0.99.0";

/// The tree that `packaging/install` makes of the version that is upgraded to, made once.
fn next_installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let root = target().join("tmp/next-installed");
        let tree = next_version();
        output_of(
            Command::new(tree.join("packaging/install"))
                .env("CARGO_TARGET_DIR", tree.join("target"))
                .env("DESTDIR", &root),
        );
        root
    })
}

/// Puts the program of the next version, and its worker files, beside and over those of the
/// present one.
#[track_caller]
fn install_next(lab: &Lab) {
    let root = next_installed();
    let worker = format!("/usr/lib/rgunicorn/{NEW_VERSION}");
    lab.push(&root.join(&worker[1..]), &worker);
    // A running program cannot be written to, only replaced.
    lab.push(&root.join("usr/bin/rgunicorn"), "/usr/bin/rgunicorn.next");
    lab.must("mv /usr/bin/rgunicorn.next /usr/bin/rgunicorn");
}

#[track_caller]
fn version(site: &Site<'_>) -> String {
    let status = site.lab.must("rgunicornctl -i shop status --json");
    let version = status.split("\"version\":\"").nth(1).unwrap();
    version.split('"').next().unwrap().to_owned()
}

pub fn another_version_takes_over_under_the_same_pid_and_no_request_is_lost(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let (master, before, old) = (site.master(), site.children(), version(&site));
    let traffic = site.traffic();
    install_next(lab);

    let said = lab.must("rgunicornctl -i shop upgrade");
    traffic.wait_for_answers(100);

    assert!(
        said.contains(&format!("rgunicorn {NEW_VERSION} has taken over")),
        "{said}"
    );
    assert_eq!(site.master(), master);
    site.wait_for_state("active");
    assert_eq!(site.show("SubState"), "running");
    assert_eq!(version(&site), NEW_VERSION);
    wait_until("the old processes have left", || {
        let now = site.children();
        before.iter().all(|pid| !now.contains(pid))
    });
    let taken_over = site.wait_for_entry("that another version runs", |entry| {
        entry.message().contains("has taken over from")
    });
    assert!(
        taken_over.message().contains(&old),
        "{}",
        taken_over.message()
    );

    // It goes on as a service: it is reloaded, watched, restarted and stopped.
    site.deploy("2");
    lab.must("systemctl daemon-reload");
    lab.must(&format!("systemctl restart {}", site.service()));
    traffic.wait_for_answers(100);
    assert_eq!(traffic.finish(), [""; 0]);
    assert_eq!(site.show("NRestarts"), "0");
    assert_ne!(site.master(), master);
}

pub fn usr2_five_times_under_load_loses_no_request(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let master = site.master();
    let traffic = site.traffic();
    let count = |text: &str| {
        let entries = site.journal();
        let messages = entries.iter().map(Entry::message);
        messages.filter(|message| message.contains(text)).count()
    };

    for number in 1..=5 {
        lab.must(&format!(
            "systemctl kill --kill-whom=main --signal=USR2 {}",
            site.service()
        ));
        wait_until("it has taken over", || {
            count("has taken over from") == number && count("Reload finished") == number
        });
        traffic.wait_for_answers(30);
    }

    assert_eq!(traffic.finish(), [""; 0]);
    assert_eq!(site.master(), master);
    site.wait_for_state("active");
    site.deploy("2");
}

pub fn a_program_that_cannot_take_over_leaves_the_service_as_it_is(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let (master, before) = (site.master(), site.children());
    lab.must("cp /bin/false /usr/bin/rgunicorn.next");
    lab.must("cp /usr/bin/rgunicorn /usr/bin/rgunicorn.kept");
    lab.must("mv /usr/bin/rgunicorn.next /usr/bin/rgunicorn");

    let outcome = lab.run(&["rgunicornctl", "-i", "shop", "upgrade"]);
    lab.must("mv /usr/bin/rgunicorn.kept /usr/bin/rgunicorn");

    assert_eq!(outcome.status, Some(1), "{}", outcome.output);
    assert!(
        outcome.output.contains("it does not run: exit status 1"),
        "{}",
        outcome.output
    );
    assert_eq!((site.master(), site.children()), (master, before));
    assert_eq!(site.text("/"), "1");
    site.reload();
}
