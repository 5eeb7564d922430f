//! The Debian package: installed, upgraded and removed with dpkg.

use crate::{
    lab::{Lab, build, next_version, output_of, source, target},
    metrics::wait_for_samples,
    site::{APP, Site},
    wait::{DEADLINE, holds_within, wait_until},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// What the package and its sites leave behind, by its name.
const FIND_LEFT: &str = "find / /run /tmp -xdev ( -name *rgunicorn* -o -name rg-* ) \
                         -not -path /proc/* -not -path /sys/*";

pub fn an_upgrade_under_load_loses_no_request_and_a_purge_leaves_nothing(lab: &Lab) {
    install(lab, old_package());
    let site = lab.site("shop", APP);
    lab.must("systemctl enable --now rgunicorn@shop.socket");
    assert_eq!(
        lab.must("curl --silent --unix-socket /run/rgunicorn/shop.sock http://shop/"),
        "1"
    );
    // One that waits for its first request, and one that is stopped.
    let waiting = lab.site("waiting", APP).listen();
    let stopped = lab.site("stopped", APP).start();
    lab.must("systemctl stop rgunicorn@stopped.socket rgunicorn@stopped.service");

    // The first request is answered before the service is ready.
    site.wait_for_state("active");
    lab.push(new_package(), "/root/package.deb");
    scrape(lab);
    let traffic = site.traffic();
    let (master, socket) = (site.master(), site.show_socket("InvocationID"));
    lab.must("dpkg --unpack /root/package.deb");
    live_without_files(&site);
    assert_eq!(site.master(), master);
    // The service of the metrics leaves when nobody has asked for a while.
    scrape(lab);
    lab.must("dpkg --configure rgunicorn");
    assert_metrics_are_restarted(lab);
    traffic.wait_for_answers(300);

    assert_eq!(traffic.finish(), [""; 0]);
    assert_ne!(site.master(), master, "the old master still runs");
    assert_upgraded(&site);
    assert_eq!(site.show_socket("InvocationID"), socket);
    assert_eq!(waiting.show("ActiveState"), "inactive");
    assert_eq!(waiting.show_socket("ActiveState"), "active");
    assert_eq!(stopped.show_socket("ActiveState"), "inactive");

    // Its data stays, and so do the files that the administrator has written.
    keep_data(lab);
    lab.must("dpkg --remove rgunicorn");
    wait_until("systemd has forgotten the sites", || {
        lab.must("systemctl list-units --all --plain --no-legend rgunicorn@*")
            .is_empty()
    });
    assert_eq!(lab.must("find /etc/systemd/system -xtype l"), "");
    lab.must("dpkg --purge rgunicorn");
    assert_data_is_kept(lab);
    assert!(lab.has("/etc/rgunicorn/shop.toml"));
    assert!(!lab.has("/var/lib/rgunicorn/stopped"));

    lab.must("rm -r /etc/rgunicorn /var/lib/rgunicorn /var/lib/private/rgunicorn");
    wait_until_nothing_is_left(lab);
    assert_eq!(lab.run(&["dpkg", "--status", "rgunicorn"]).status, Some(1));
}

/// systemd removes the private folders of temporary files in its own time.
#[track_caller]
pub fn wait_until_nothing_is_left(lab: &Lab) {
    let words: Vec<&str> = FIND_LEFT.split_whitespace().collect();
    let mut found = lab.run(&words);
    // It fails, too, if what it was about to look into was removed just then.
    let nothing = holds_within(DEADLINE, || {
        found = lab.run(&words);
        found.status == Some(0) && found.output.is_empty()
    });
    assert!(nothing, "{found:?}");
}

/// Has a site do without the files of its version, which are removed long before it is
/// restarted if much is upgraded at once: it loses its fork server, and is told to run more
/// workers, and then other code.
#[track_caller]
pub fn live_without_files(site: &Site<'_>) {
    let lab = site.lab;
    let left = lab.must("ls /usr/lib/rgunicorn");
    assert!(left.contains(NEW_VERSION), "{left}");
    assert!(!left.contains(OLD_VERSION), "{left}");
    let ctl = |words: &str| lab.must(&format!("rgunicornctl -i shop {words}"));
    let listed = ctl("workers --json");
    let fork_server = (site.children().into_iter())
        .find(|pid| !listed.contains(&format!("\"pid\":{pid},")))
        .unwrap();

    lab.must(&format!("kill -KILL {fork_server}"));
    ctl("scale 4");
    wait_until("workers are started by another fork server", || {
        ctl("status").contains("4 workers ready")
    });
    assert!(!site.children().contains(&fork_server));
    site.deploy("2");
}

/// The new version runs, with its own files, and there are no others.
#[track_caller]
pub fn assert_upgraded(site: &Site<'_>) {
    let status = site.lab.must("rgunicornctl -i shop status --json");
    let version = format!("\"version\":\"{NEW_VERSION}\"");
    assert!(status.contains(&version), "{status}");
    assert_eq!(site.text("/"), "2");
    site.reload();
    let left = site.lab.must("ls -A /usr/lib/rgunicorn");
    assert!(!left.contains(OLD_VERSION), "{left}");
}

/// Enables the metrics, and reads them.
#[track_caller]
pub fn scrape(lab: &Lab) {
    lab.must("systemctl enable --now rgunicorn-metrics.socket");
    wait_for_samples(lab, &["rgunicorn_up{site=\"shop\"} 1"]);
}

/// After an upgrade the service runs the new program.
#[track_caller]
pub fn assert_metrics_are_restarted(lab: &Lab) {
    let pid = lab.must("systemctl show --value --property=MainPID rgunicorn-metrics.service");
    let program = lab.must(&format!("readlink /proc/{pid}/exe"));
    assert_eq!(program, "/usr/lib/rgunicorn/rgunicorn-metrics");
    scrape(lab);
}

/// Has the site `shop` keep a file, an empty directory and a link to nothing.
pub fn keep_data(lab: &Lab) {
    lab.write("/var/lib/rgunicorn/shop/orders", "1");
    lab.must("mkdir -p /var/lib/rgunicorn/shop/mail/new");
    lab.must("ln -s nowhere /var/lib/rgunicorn/shop/mail/lock");
}

#[track_caller]
pub fn assert_data_is_kept(lab: &Lab) {
    assert!(lab.has("/var/lib/rgunicorn/shop/orders"));
    assert_eq!(
        lab.must("find /var/lib/rgunicorn/shop/mail/new /var/lib/rgunicorn/shop/mail/lock"),
        "/var/lib/rgunicorn/shop/mail/new\n/var/lib/rgunicorn/shop/mail/lock"
    );
}

pub fn a_purge_of_a_package_that_was_never_used_leaves_nothing(lab: &Lab) {
    install(lab, old_package());
    assert!(lab.must(FIND_LEFT).contains("/usr/bin/rgunicorn"));

    lab.must("dpkg --purge rgunicorn");

    wait_until_nothing_is_left(lab);
}

pub fn a_purge_goes_into_no_folder_that_the_administrator_has_linked(lab: &Lab) {
    install(lab, old_package());
    lab.must("mkdir -p /srv/data/shop/empty");
    lab.must("ln -s /srv/data /var/lib/rgunicorn");

    lab.must("dpkg --purge rgunicorn");

    assert!(lab.has("/srv/data/shop/empty"));
    lab.must("rm /var/lib/rgunicorn");
    wait_until_nothing_is_left(lab);
}

pub fn a_site_that_does_not_start_again_does_not_fail_the_upgrade(lab: &Lab) {
    install(lab, old_package());

    assert_a_broken_site_does_no_harm(lab, || install(lab, new_package()));

    let status = lab.must("dpkg-query --show --showformat=${Status}/${Version} rgunicorn");
    assert!(status.starts_with("install ok installed/"), "{status}");
    assert!(status.contains(&format!("/{NEW_VERSION}-")), "{status}");
}

/// That a site which does not start again is reported by the upgrade, and keeps no other
/// from it.
#[track_caller]
pub fn assert_a_broken_site_does_no_harm(lab: &Lab, upgrade: impl FnOnce() -> String) {
    let broken = lab.site("broken", APP).start();
    let sound = lab.site("sound", APP).start();
    let master = sound.master();
    broken.write_app("raise RuntimeError");

    let output = upgrade();

    assert!(output.contains("not all sites were restarted"), "{output}");
    assert_ne!(sound.master(), master);
    assert_eq!(sound.text("/"), "1");
}

#[test]
fn lintian_reports_no_errors_and_no_warnings() {
    // A first release would have to close a bug of Debian's.
    let package = make_package("deb", "revised", &["--revision", "99"]);
    let symbols = package.to_str().unwrap();
    let symbols = symbols.replace("/rgunicorn_", "/rgunicorn-dbgsym_");

    output_of(
        Command::new("lintian")
            .args(["--allow-root", "--fail-on", "error,warning"])
            .arg(&package)
            .arg(symbols),
    );
}

#[test]
fn the_same_programs_are_packaged_into_the_same_bytes() {
    let package = old_package();

    let again = make_package("deb", "again", &[]);

    assert!(fs::read(package).unwrap() == fs::read(again).unwrap());
}

pub const OLD_VERSION: &str = env!("CARGO_PKG_VERSION");

/// That of `build-next`.
pub const NEW_VERSION: &str = "0.99.0";

/// Returns what dpkg has written.
#[track_caller]
fn install(lab: &Lab, package: &Path) -> String {
    lab.push(package, "/root/package.deb");
    lab.must("dpkg --install /root/package.deb")
}

pub fn old_package() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| make_package("deb", "old", &[]))
}

fn new_package() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| package_next_version("deb"))
}

/// Has `packaging/SCRIPT` package the programs that all tests use, in a folder of that
/// name. Returns the package, not that of the debug symbols.
pub fn make_package(script: &str, name: &str, options: &[&str]) -> PathBuf {
    let script_file = source("packaging").join(script);
    let folder = target().join("tmp").join(script).join(name);
    package(&script_file, build(), &folder, options)
}

/// The same of the next version.
pub fn package_next_version(script: &str) -> PathBuf {
    let script_file = next_version().join("packaging").join(script);
    let folder = target().join("tmp").join(script).join("next");
    package(&script_file, &next_version().join("target"), &folder, &[])
}

fn package(script: &Path, built: &Path, folder: &Path, options: &[&str]) -> PathBuf {
    let packages = output_of(
        Command::new(script)
            .env("CARGO_TARGET_DIR", folder)
            .arg("--built")
            .arg(built)
            .args(options),
    );
    let is_for_debuggers = |path: &str| path.contains("-dbgsym_") || path.contains("-debuginfo-");
    let package = packages.lines().find(|path| !is_for_debuggers(path));
    PathBuf::from(package.expect("the script names what it has made"))
}
