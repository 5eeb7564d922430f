//! Memory: what the kernel tells of it, and to whom.

use crate::{lab::Lab, wait::wait_until};

/// Holds as many MiB as the path says, and answers with its process id.
const APP: &str = r#"
import os

held = []

def app(environ, start_response):
    size = environ["PATH_INFO"].strip("/")
    if size:
        held.append(os.urandom(1 << 20) * int(size))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]
"#;

/// The sandbox does not hide the workers' memory from the master.
pub fn a_worker_that_grows_too_large_is_replaced(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.configure("worker_memory_max = \"80M\"\n");
    let site = site.start();

    let grown: u32 = site.text("/100").parse().unwrap();

    let entry = site.wait_for_entry("the worker is replaced", |entry| {
        !entry.field("WORKER_MEMORY_MAX").is_empty()
    });
    assert_eq!(entry.field("OBJECT_PID"), grown.to_string());
    assert_eq!(entry.field("WORKER_MEMORY_MAX"), (80 << 20).to_string());
    let own: u64 = entry.field("MEMORY_BYTES").parse().unwrap();
    assert!((100 << 20..150 << 20).contains(&own), "{own}");
    wait_until("it has left", || {
        let children = site.children();
        children.len() == 3 && !children.contains(&grown)
    });
}

/// With the units as they are, which say nothing about it, and their sandbox, which has the
/// control groups read-only: systemd makes an exception for the one file.
pub fn memory_pressure_is_watched_where_systemd_announces_it(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.configure("loglevel = \"debug\"\n");
    let site = site.start();
    let version = lab.version();

    let open = lab.must(&format!("ls -l /proc/{}/fd", site.master()));
    let watched = open.contains("rgunicorn@shop.service/memory.pressure");

    assert_eq!(watched, version >= 254, "systemd {version}: {open}");
    let says = |text: &str| {
        let journal = site.journal();
        journal
            .iter()
            .any(|entry| entry.message().starts_with(text))
    };
    wait_until(
        "all is in the journal that is logged until it serves",
        || says("Ready "),
    );
    assert_eq!(says("Memory pressure is watched"), version >= 254);
    assert!(!says("Memory pressure is not watched"));
}
