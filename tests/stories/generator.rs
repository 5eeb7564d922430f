//! `rgunicorn-generator`, run as systemd runs it, on a folder of its own.

use crate::harness::{
    Outcome, Program,
    program::{RGUNICORN_GENERATOR, copy_program},
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    time::Duration,
};

/// It with the files of the folder `sites`, which nobody else can write to, whatever
/// the umask is, under systemd 252.
fn with_sites(files: &[(&str, &str)]) -> Program {
    under_systemd("systemd 252 (252.38-1~deb12u1)", files)
}

/// The same under the systemd of that version.
fn under_systemd(version: &str, files: &[(&str, &str)]) -> Program {
    let mut program = Program::new(RGUNICORN_GENERATOR, &["units", "early", "late", "sites"]);
    let systemctl = format!("#!/bin/sh\n[ \"$*\" = --version ] && echo '{version}'\n");
    fs::create_dir(program.folder.join("bin")).unwrap();
    program = program.file("systemctl", &systemctl);
    let [from, to] = ["systemctl", "bin/systemctl"].map(|name| program.folder.join(name));
    copy_program(&from, &to);
    let path = program.folder.join("bin");
    program = program.env("PATH", path.to_str().unwrap());
    fs::create_dir(program.folder.join("sites")).unwrap();
    set_mode(&program, "sites", 0o755);
    for (name, text) in files {
        let path = format!("sites/{name}");
        program = program.file(&path, text);
        set_mode(&program, &path, 0o644);
    }
    program
}

fn set_mode(program: &Program, path: &str, mode: u32) {
    let path = program.folder.join(path);
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Runs it on these files, into the folder `units`.
fn generated(files: &[(&str, &str)]) -> (Program, Outcome) {
    let mut program = with_sites(files);
    let outcome = program.run();
    (program, outcome)
}

fn exists(program: &Program, path: &str) -> bool {
    program.folder.join(path).exists()
}

#[test]
fn each_site_has_drop_ins_for_its_own_units() {
    let (program, outcome) = generated(&[
        ("shop.toml", "bind = \":80\"\nmemory_max = \"1G\""),
        ("plain.toml", "workers = 2"),
        ("notes.txt", "memory_max"),
    ]);

    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(outcome.stderr, "");
    let service = program
        .folder
        .read("units/rgunicorn@shop.service.d/10-rgunicorn.conf");
    assert!(service.contains("\n[Service]\nMemoryMax=1G\n"), "{service}");
    let socket = program
        .folder
        .read("units/rgunicorn@shop.socket.d/10-rgunicorn.conf");
    assert!(
        socket.contains("\n[Socket]\nListenStream=0.0.0.0:80\n"),
        "{socket}"
    );
    let made = fs::read_dir(program.folder.join("units")).unwrap().count();
    assert_eq!(made, 2);
}

#[test]
fn whatever_is_wrong_it_succeeds_and_says_so_in_a_line() {
    let (program, outcome) = generated(&[
        ("a b.toml", "memory_max = \"1G\""),
        ("broken.toml", "memory_max = ["),
        ("deep.toml", &format!("a = {}", "[".repeat(100_000))),
        ("good.toml", "memory_max = \"1G\""),
        (
            "wrong.toml",
            "memory_max = \"1GB\"\ntasks_max = 0\ncpu_quota = \"100%\"",
        ),
        ("x.toml", "\u{0}"),
    ]);

    assert_eq!(outcome.status, 0, "{outcome:?}");
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 5, "{outcome:?}");
    for (line, words) in lines.iter().zip([
        r#"rename the file to "a\\x20b""#,
        "broken.toml:1:",
        "deep.toml:1:",
        "wrong.toml:1:14: memory_max",
        "x.toml:1:",
    ]) {
        assert!(
            line.starts_with("rgunicorn-generator: ") && line.contains(words),
            "{line}"
        );
        assert!(line.len() < 1000, "{line}");
    }
    assert!(lines[3].contains("and 1 more"), "{lines:?}");
    assert!(exists(
        &program,
        "units/rgunicorn@good.service.d/10-rgunicorn.conf"
    ));
    let wrong = program
        .folder
        .read("units/rgunicorn@wrong.service.d/10-rgunicorn.conf");
    assert!(
        wrong.contains("CPUQuota=100%") && !wrong.contains("MemoryMax"),
        "{wrong}"
    );
}

#[test]
fn a_machine_without_sites_needs_nothing() {
    let mut program = Program::new(RGUNICORN_GENERATOR, &["units", "early", "late", "nowhere"]);

    let outcome = program.run();

    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert!(!exists(&program, "units"));
}

#[test]
fn a_folder_that_cannot_be_written_to_does_not_fail_the_boot() {
    let mut program = with_sites(&[("shop.toml", "memory_max = \"1G\"")]).file("units", "a file");

    let outcome = program.run();

    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(
        outcome.stderr.contains("cannot write below units"),
        "{outcome:?}"
    );
}

/// It has read `user = "root"`, and does nothing about it but to keep the site from starting
/// and to name `what` others can write to.
#[track_caller]
fn assert_distrusts(mut program: Program, what: &str) {
    let outcome = program.run();

    assert_eq!(outcome.status, 0, "{outcome:?}");
    let says = format!("{what}; give it to root");
    assert!(outcome.stderr.contains(&says), "{outcome:?}");
    assert!(
        outcome.stderr.contains("can write to ") && outcome.stderr.lines().count() == 1,
        "{outcome:?}"
    );
    // In no other account, either: that of the site is not known.
    let service = program
        .folder
        .read("units/rgunicorn@shop.service.d/10-rgunicorn.conf");
    assert!(!service.contains("User="), "{service}");
    assert!(service.contains("\nStateDirectory=\n"), "{service}");
    assert!(!exists(&program, "units/rgunicorn@shop.socket.d"));
}

#[test]
fn a_file_that_others_can_write_is_reported_and_not_used() {
    let program = with_sites(&[("shop.toml", "user = \"root\"")]);
    set_mode(&program, "sites/shop.toml", 0o666);

    assert_distrusts(program, "can write to it");
}

#[test]
fn a_file_that_others_can_exchange_is_reported_and_not_used() {
    // By renaming.
    let program = with_sites(&[("shop.toml", "user = \"root\"")]);
    set_mode(&program, "sites", 0o2775);
    assert_distrusts(program, "/sites");

    // By a link of their own to what nobody else can write.
    let program = with_sites(&[]);
    let folder = program.folder.path().to_owned();
    fs::create_dir(folder.join("shared")).unwrap();
    fs::write(folder.join("blog.toml"), "user = \"root\"").unwrap();
    set_mode(&program, "blog.toml", 0o644);
    symlink("../blog.toml", folder.join("shared/shop.toml")).unwrap();
    symlink("../shared/shop.toml", folder.join("sites/shop.toml")).unwrap();
    set_mode(&program, "shared", 0o775);
    assert_distrusts(program, "/shared");
}

#[test]
fn a_link_to_a_file_that_only_root_can_exchange_is_used() {
    let mut program = with_sites(&[]).file("blog.toml", "memory_max = \"1G\"");
    set_mode(&program, "blog.toml", 0o644);
    symlink("../blog.toml", program.folder.join("sites/shop.toml")).unwrap();

    let outcome = program.run();

    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert!(exists(
        &program,
        "units/rgunicorn@shop.service.d/10-rgunicorn.conf"
    ));
}

#[test]
fn a_hundred_sites_take_no_time_that_a_boot_would_notice() {
    let text = "app = \"shop:app\"\nchdir = \"/srv/shop\"\nbind = \"127.0.0.1:80\"\nuser = \"shop\"\n\
                memory_max = \"1G\"\n[env]\nA = \"1\"\n";
    let names: Vec<String> = (0..100)
        .map(|number| format!("shop-{number}.toml"))
        .collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), text)).collect();
    let began = std::time::Instant::now();

    let (program, outcome) = generated(&files);

    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    let made = fs::read_dir(program.folder.join("units")).unwrap().count();
    assert_eq!(made, 200);
}

#[test]
fn what_only_newer_versions_of_systemd_know_is_a_drop_in_for_all_sites() {
    const FOLDER: &str = "units/rgunicorn@.service.d";
    let sites = [("shop.toml", "workers = 2"), ("blog.toml", "workers = 2")];

    let mut program = under_systemd("systemd 257 (257.9-1~deb13u1)", &sites);
    let outcome = program.run();

    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    let restarts = program
        .folder
        .read(&format!("{FOLDER}/10-rgunicorn-restarts.conf"));
    assert!(
        restarts.contains("\n[Service]\nRestartSteps="),
        "{restarts}"
    );
    let subgroup = program
        .folder
        .read(&format!("{FOLDER}/10-rgunicorn-subgroup.conf"));
    assert!(
        subgroup.contains("\n[Service]\nDelegateSubgroup="),
        "{subgroup}"
    );

    // An older one would warn of it.
    let (program, outcome) = generated(&sites);
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert!(!exists(&program, "units"));

    let mut program = with_sites(&sites).env("PATH", "/nowhere");
    let outcome = program.run();
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert!(!exists(&program, "units"));
}

#[test]
fn a_call_without_a_folder_is_explained() {
    let outcome = Program::new(RGUNICORN_GENERATOR, &[]).run();

    assert_eq!(outcome.status, 64, "{outcome:?}");
    assert!(
        outcome.stderr.starts_with("Usage: rgunicorn-generator "),
        "{outcome:?}"
    );
    let help = Program::new(RGUNICORN_GENERATOR, &["--help"]).run();
    assert_eq!((help.status, help.stdout), (0, outcome.stderr));
}
