//! What bash makes of the tabulator key, with the completions that are installed. It runs in
//! a terminal of its own.

use crate::harness::{
    Program,
    files::{Folder, source},
    wait::DEADLINE,
};
use std::{
    fs,
    io::{Read, Write},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

/// What bash calls instead of the program, when this is typed.
#[track_caller]
fn completed(program: &str, typed: &str) -> String {
    let folder = Folder::with_apps();
    for name in ["shop.toml", "blog.toml", "no$(name).toml", "notes.txt"] {
        folder.write(&format!("etc/{name}"), "");
    }
    let installed = format!(
        "{}/packaging/completions/{program}.bash",
        env!("CARGO_MANIFEST_DIR")
    );
    let sites = folder.join("etc");
    let script = fs::read_to_string(installed)
        .unwrap()
        .replace("/etc/rgunicorn", sites.to_str().unwrap());
    folder.write("completion.bash", &script);
    folder.write(
        "setup",
        &format!(
            "PS1='typ''e> '\nsource completion.bash\nbind 'set bell-style none'\n\
             {program}() {{ printf '%s ' \"$@\" >called; }}\n"
        ),
    );
    let mut bash = Command::new("script")
        .args(["-qec", "bash --noprofile --rcfile setup -i", "/dev/null"])
        .current_dir(folder.path())
        .env("TERM", "dumb")
        // What somebody has made of keys and prompts is not tested.
        .env("HOME", folder.path())
        .env_remove("INPUTRC")
        .env_remove("PROMPT_COMMAND")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = bash.stdout.take().unwrap();
    let (sender, shown) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 1024];
        while let Ok(count @ 1..) = output.read(&mut bytes) {
            let _ = sender.send(String::from_utf8_lossy(&bytes[..count]).into_owned());
        }
    });
    let mut seen = String::new();
    let deadline = Instant::now() + DEADLINE;
    let mut wait_for_prompt = |count: usize| {
        while seen.matches("type> ").count() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            match shown.recv_timeout(left) {
                Ok(more) => seen.push_str(&more),
                Err(error) => panic!("{error}: {seen}"),
            }
        }
    };

    let mut input = bash.stdin.take().unwrap();
    wait_for_prompt(1);
    input
        .write_all(format!("{program} {typed}\n").as_bytes())
        .unwrap();
    wait_for_prompt(2);
    input.write_all(b"exit\n").unwrap();

    bash.wait().unwrap();
    folder.read("called").trim_end().to_owned()
}

#[test]
fn instances_are_completed_from_their_configuration_files() {
    assert_eq!(completed("rgunicornctl", "-i sh\t"), "-i shop");
    assert_eq!(
        completed("rgunicornctl", "status --instance b\t"),
        "status --instance blog"
    );
    // Neither a file that is no configuration, nor one whose name a shell would expand.
    assert_eq!(completed("rgunicornctl", "-i no\t"), "-i no");
}

#[test]
fn commands_and_options_of_rgunicornctl_are_completed() {
    assert_eq!(completed("rgunicornctl", "rest\t 3"), "restart-worker 3");
    assert_eq!(
        completed("rgunicornctl", "-i shop list\t"),
        "-i shop listeners"
    );
    assert_eq!(
        completed("rgunicornctl", "-i shop workers --js\t"),
        "-i shop workers --json"
    );
}

#[test]
fn options_and_values_of_rgunicorn_are_completed() {
    assert_eq!(completed("rgunicorn", "--check\t"), "--check-config");
    assert_eq!(
        completed("rgunicorn", "--worker-class gt\t"),
        "--worker-class gthread"
    );
    assert_eq!(
        completed("rgunicorn", "-c etc/shop.t\t"),
        "-c etc/shop.toml"
    );
}

#[test]
fn completions_are_installed_where_the_shells_look_for_them_and_removed_again() {
    const PLACES: [&str; 6] = [
        "usr/share/bash-completion/completions/rgunicorn",
        "usr/share/bash-completion/completions/rgunicornctl",
        "usr/share/fish/vendor_completions.d/rgunicorn.fish",
        "usr/share/fish/vendor_completions.d/rgunicornctl.fish",
        "usr/share/zsh/site-functions/_rgunicorn",
        "usr/share/zsh/site-functions/_rgunicornctl",
    ];
    let folder = Folder::with_apps();
    let manifest: toml::Table = fs::read_to_string(source("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let programs = manifest["bin"].as_array().unwrap().iter();
    let programs = programs.map(|program| program["name"].as_str().unwrap());
    // The others are packages of their own.
    for name in programs.chain(["rgunicorn-metrics", "librgunicorn_worker.so"]) {
        folder.write(&format!("built/release/{name}"), "");
    }
    let root = folder.join("root");
    let run = |script: &str| {
        let outcome = Program::new(source(script).to_str().unwrap(), &[])
            .env("DESTDIR", root.to_str().unwrap())
            .env("CARGO_TARGET_DIR", folder.join("built").to_str().unwrap())
            .env("ZSH_COMPLETIONS", "/usr/share/zsh/site-functions")
            .run();
        assert_eq!(outcome.status, 0, "{outcome:?}");
    };

    run("packaging/install");
    for place in PLACES {
        assert!(root.join(place).is_file(), "{place}");
    }
    run("packaging/uninstall");

    for place in PLACES {
        assert!(!root.join(place).exists(), "{place}");
    }
}
