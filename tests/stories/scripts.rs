//! The scripts that README.md names, started with tools that will not do.

use crate::harness::{Program, files::source};
use std::os::unix::fs::{PermissionsExt, symlink};

/// A tool that knows nothing but its version.
fn with_tool(script: Program, name: &str, version: &str) -> Program {
    let script = script.file(
        &format!("tools/{name}"),
        &format!("#!/bin/sh\necho '{version}'\n"),
    );
    let path = script.folder.join("tools").join(name);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    script
}

#[test]
fn a_rust_that_is_too_old_is_named_before_anything_is_installed_or_built() {
    for name in ["examples/serve", "tests/run"] {
        let script = Program::new(source(name).to_str().unwrap(), &[]);
        let script = with_tool(script, "cargo", "cargo 1.65.0");
        let script = with_tool(script, "rustc", "rustc 1.65.0");
        let tools = script.folder.join("tools");
        let path = format!("{}:/usr/bin:/bin", tools.display());
        let mut script = script.env("PATH", &path);

        let outcome = script.run();

        assert_eq!(outcome.status, 1, "{name}: {outcome:?}");
        let rustc = tools.join("rustc");
        for word in [
            "Rust 1.85",
            "1.65.0",
            rustc.to_str().unwrap(),
            "https://rustup.rs",
        ] {
            assert!(outcome.stderr.contains(word), "{name}: {outcome:?}");
        }
        assert_eq!(outcome.stdout, "", "{name}");
    }
}

#[test]
fn a_program_is_not_fetched_where_it_is_installed() {
    let script = Program::new(
        source("tests/setup-debian").to_str().unwrap(),
        &["haproxy", "fetched"],
    );
    let script = with_tool(script, "haproxy", "HAProxy version 2.6.12");
    // What would fetch it.
    let script = with_tool(script, "apt-get", "");
    let path = format!("{}:/usr/bin:/bin", script.folder.join("tools").display());
    let mut script = script.env("PATH", &path);

    let outcome = script.run();

    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert!(!script.folder.join("fetched").exists());
}

#[test]
fn an_uninstallation_disables_the_sites_and_nothing_else() {
    let mut script = Program::new(source("packaging/uninstall").to_str().unwrap(), &[]);
    let root = script.folder.join("root");
    let units = root.join("etc/systemd/system");
    let link = |wants: &str, unit: &str, target: &str| {
        std::fs::create_dir_all(units.join(wants)).unwrap();
        symlink(target, units.join(wants).join(unit)).unwrap();
    };
    let vendor = "/usr/lib/systemd/system";
    link(
        "sockets.target.wants",
        "rgunicorn@shop.socket",
        &format!("{vendor}/rgunicorn@.socket"),
    );
    link(
        "multi-user.target.wants",
        "rgunicorn@shop.service",
        &format!("{vendor}/rgunicorn@.service"),
    );
    link(
        "multi-user.target.wants",
        "ssh.service",
        &format!("{vendor}/ssh.service"),
    );
    script = script.env("DESTDIR", root.to_str().unwrap());

    let outcome = script.run();

    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert!(!units.join("sockets.target.wants").exists());
    let left: Vec<_> = std::fs::read_dir(units.join("multi-user.target.wants"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["ssh.service"]);
}
