//! The RPM package: installed, upgraded and erased with rpm. The systems here are
//! Debian, with a database of rpm that knows nothing else: so nothing is said about
//! what a package needs, and nothing about what Fedora adds.

use crate::{
    lab::{Lab, build, output_of, source, target},
    packages::{
        NEW_VERSION, assert_a_broken_site_does_no_harm, assert_data_is_kept,
        assert_metrics_are_restarted, assert_upgraded, keep_data, live_without_files, make_package,
        old_package, package_next_version, scrape, wait_until_nothing_is_left,
    },
    site::APP,
    wait::wait_until,
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    thread,
};

/// A package that holds up each upgrade when the files of the old version are removed, as
/// one that comes after it in the same transaction does.
const HOLD: &str = "\
Name: hold
Version: 1
Release: 1
Summary: Holds up an upgrade
License: MIT
BuildArch: noarch
%description
%summary
%triggerpostun -- rgunicorn
touch /run/held
# Not for ever, if the test fails meanwhile.
for i in $(seq 1200); do [ ! -e /run/held ] || sleep 0.1; done
%files
";

pub fn an_upgrade_of_the_rpm_loses_no_request_and_an_erasure_leaves_nothing(lab: &Lab) {
    install(lab, old_rpm());
    let site = lab.site("shop", APP);
    lab.must("systemctl enable --now rgunicorn@shop.socket");
    assert_eq!(
        lab.must("curl --silent --unix-socket /run/rgunicorn/shop.sock http://shop/"),
        "1"
    );
    let waiting = lab.site("waiting", APP).listen();
    scrape(lab);
    // The first request is answered before the service is ready.
    site.wait_for_state("active");
    let traffic = site.traffic();
    let (master, socket) = (site.master(), site.show_socket("InvocationID"));
    let new = new_rpm();
    lab.push(hold(), "/root/hold.rpm");
    lab.must("rpm --install --nodeps /root/hold.rpm");

    thread::scope(|scope| {
        let upgrade = scope.spawn(|| install(lab, new));
        wait_until("the files of the old version are removed", || {
            lab.has("/run/held") || upgrade.is_finished()
        });
        live_without_files(&site);
        assert_eq!(site.master(), master);
        // The service of the metrics leaves when nobody has asked for a while.
        scrape(lab);
        lab.must("rm /run/held");
        upgrade.join().unwrap();
    });
    assert_metrics_are_restarted(lab);
    lab.must("rpm --erase hold");
    traffic.wait_for_answers(300);

    assert_eq!(traffic.finish(), [""; 0]);
    assert_ne!(site.master(), master, "the old master still runs");
    assert_upgraded(&site);
    assert_eq!(site.show_socket("InvocationID"), socket);
    assert_eq!(waiting.show("ActiveState"), "inactive");
    assert_eq!(waiting.show_socket("ActiveState"), "active");
    assert_eq!(
        lab.must("rpm --query --queryformat %{VERSION} rgunicorn"),
        NEW_VERSION
    );
    assert_eq!(lab.must("rpm --verify --nodeps rgunicorn"), "");

    // Its data stays, and so do the files that the administrator has written.
    keep_data(lab);
    lab.must("rpm --erase rgunicorn");
    wait_until("systemd has forgotten the sites", || {
        lab.must("systemctl list-units --all --plain --no-legend rgunicorn@*")
            .is_empty()
    });
    assert_eq!(lab.must("find /etc/systemd/system -xtype l"), "");
    assert_data_is_kept(lab);
    assert!(lab.has("/etc/rgunicorn/shop.toml"));
    lab.must("rm -r /etc/rgunicorn /var/lib/rgunicorn /var/lib/private/rgunicorn");
    wait_until_nothing_is_left(lab);
}

pub fn an_rpm_with_a_site_that_does_not_start_again_is_installed(lab: &Lab) {
    install(lab, old_rpm());

    assert_a_broken_site_does_no_harm(lab, || install(lab, new_rpm()));

    assert_eq!(
        lab.must("rpm --query --queryformat %{VERSION} rgunicorn"),
        NEW_VERSION
    );
}

#[test]
fn rpmlint_reports_no_errors_and_no_warnings() {
    let package = old_rpm();
    let symbols = package.to_str().unwrap();
    let symbols = symbols.replace("/rgunicorn-", "/rgunicorn-debuginfo-");

    // It fails for errors only.
    let report = output_of(
        Command::new("rpmlint")
            .arg("--config")
            .arg(source("packaging/rpmlint.toml"))
            .arg(package)
            .arg(symbols),
    );

    assert!(report.contains("2 packages"), "{report}");
    assert!(report.contains("0 errors, 0 warnings"), "{report}");
}

#[test]
fn the_same_programs_are_packaged_into_the_same_rpm_in_another_folder() {
    let package = old_rpm();

    let again = make_package("rpm", "another/folder", &[]);

    assert!(fs::read(package).unwrap() == fs::read(again).unwrap());
}

#[test]
fn all_packages_have_the_files_that_packaging_install_puts_in_place() {
    let root = target().join("tmp/files");
    let _ = fs::remove_dir_all(&root);
    output_of(
        Command::new(source("packaging/install"))
            .env("CARGO_TARGET_DIR", build())
            .env("DESTDIR", &root),
    );
    let installed = output_of(
        Command::new("find")
            .arg(&root)
            .args(["-printf", "%M /%P\n"]),
    );
    let deb = output_of(
        Command::new("dpkg-deb")
            .arg("--contents")
            .arg(old_package()),
    );
    let list = "[%{FILEMODES:perms} %{FILENAMES}\n]";
    let rpm = output_of(
        Command::new("rpm")
            .args(["--query", "--queryformat", list, "--package"])
            .arg(old_rpm()),
    );

    assert!(files(&installed).contains("/usr/bin/rgunicorn"));
    assert_eq!(files(&deb), files(&installed));
    assert_eq!(files(&rpm), files(&installed));
}

/// The files of a list of permissions and paths, without what each kind of package has
/// of its own, and with the names that they have before they are compressed.
fn files(list: &str) -> BTreeSet<String> {
    let own = [
        "/usr/lib/.build-id/",
        "/usr/share/licenses/",
        "/usr/share/lintian/",
    ];
    let of_a_package = |path: &str| match path.strip_prefix("/usr/share/doc/rgunicorn/") {
        Some(document) => !document.contains('/'),
        None => own.iter().any(|folder| path.starts_with(folder)),
    };
    list.lines()
        .filter(|line| !line.starts_with('d'))
        // Of a link, without what it leads to.
        .map(|line| line.split(" -> ").next().unwrap())
        .map(|line| line.rsplit(' ').next().unwrap().trim_start_matches('.'))
        .filter(|path| !of_a_package(path))
        .map(|path| path.trim_end_matches(".gz").to_owned())
        .collect()
}

/// Returns what rpm has written.
#[track_caller]
fn install(lab: &Lab, package: &Path) -> String {
    lab.push(package, "/root/package.rpm");
    lab.must("rpm --upgrade --nodeps /root/package.rpm")
}

fn old_rpm() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| make_package("rpm", "old", &[]))
}

fn new_rpm() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| package_next_version("rpm"))
}

/// The package [`HOLD`].
fn hold() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        let folder = target().join("tmp/rpm/hold");
        fs::create_dir_all(&folder).unwrap();
        let specification = folder.join("hold.spec");
        fs::write(&specification, HOLD).unwrap();
        output_of(
            Command::new("rpmbuild")
                .args(["-bb", "--define"])
                .arg(format!("_topdir {}", folder.display()))
                .arg(specification),
        );
        folder.join("RPMS/noarch/hold-1-1.noarch.rpm")
    })
}
