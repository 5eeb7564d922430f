//! Whose account a site's processes run in, and what that keeps others from.

use crate::{
    lab::Lab,
    site::{APP, Site},
    wait::wait_until,
};
use serde_json::Value;

/// Its code tries to get at another site, `shop`, and answers with what came of
/// each attempt.
const INTRUDER: &str = r#"
import ctypes, json, os, signal, socket, subprocess

PIDS = [@PIDS@]
FILES = [@FILES@]
libc = ctypes.CDLL(None, use_errno=True)

def ptrace(pid):
    PTRACE_ATTACH = 16
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) == -1:
        raise OSError(ctypes.get_errno(), "ptrace")

def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)

def attempts():
    for pid in PIDS:
        for file in ["environ", "mem", "maps", "root/etc/rgunicorn"]:
            yield f"open /proc/{pid}/{file}", lambda: open(f"/proc/{pid}/{file}", "rb").read(1)
        yield f"list the descriptors of {pid}", lambda: os.listdir(f"/proc/{pid}/fd")
        yield f"terminate {pid}", lambda: os.kill(pid, signal.SIGTERM)
        yield f"kill {pid}", lambda: os.kill(pid, signal.SIGKILL)
        yield f"trace {pid}", lambda: ptrace(pid)
    for file in FILES:
        yield f"read {file}", lambda: open(file, "rb").read()
        yield f"write {file}", lambda: open(file, "ab")
    for folder in ["/var/lib", "/var/lib/private", "/var/cache", "/var/cache/private", "/run"]:
        folder = f"{folder}/rgunicorn/shop"
        yield f"list {folder}", lambda: os.listdir(folder)
        yield f"write to {folder}", lambda: open(f"{folder}/intruder", "w")
    yield "connect to the control socket", lambda: connect("/run/rgunicorn/shop/control")
    yield "connect to the socket", lambda: connect("/run/rgunicorn/shop.sock")
    for words in [["rgunicornctl", "-i", "shop", "reload"], ["systemctl", "stop", "rgunicorn@shop"]]:
        yield " ".join(words), lambda: subprocess.run(words, check=True, capture_output=True)

def app(environ, start_response):
    outcomes = {}
    for name, attempt in attempts():
        try:
            attempt()
            outcomes[name] = "done"
        except (OSError, subprocess.CalledProcessError) as error:
            outcomes[name] = repr(error)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(outcomes).encode()]
"#;

/// Attempts to get at `victim` and `files` from a site of its own, and returns
/// those that were not refused.
#[track_caller]
fn attack(lab: &Lab, victim: Site<'_>, files: &[&str]) -> Vec<String> {
    let mut pids = victim.children();
    pids.push(victim.master());
    let app = INTRUDER
        .replace("@PIDS@", &format!("{pids:?}").replace(['[', ']'], ""))
        .replace("@FILES@", &format!("{files:?}").replace(['[', ']'], ""));
    let intruder = lab.site("intruder", &app).start();
    let outcomes: serde_json::Map<String, Value> =
        serde_json::from_str(&intruder.text("/")).unwrap();
    assert!(outcomes.len() > 40, "{outcomes:#?}");
    let done = outcomes.iter().filter(|(_, outcome)| *outcome == "done");
    done.map(|(name, _)| name.clone()).collect()
}

pub fn a_hostile_site_cannot_reach_its_neighbour(lab: &Lab) {
    let secrets = [
        "/etc/rgunicorn/shop.env",
        "/etc/rgunicorn/shop.secret_key",
        "/etc/rgunicorn/shop.toml",
        "/run/credentials/rgunicorn@shop.service/secret_key",
        "/var/lib/rgunicorn/shop/slow",
    ];
    let victim = lab.site("shop", APP);
    lab.write("/etc/rgunicorn/shop.env", "PASSWORD=1234\n");
    lab.write("/etc/rgunicorn/shop.secret_key", "1234\n");
    lab.must("chmod 600 /etc/rgunicorn/shop.env /etc/rgunicorn/shop.secret_key");
    lab.write("/etc/sysusers.d/shop.conf", "g shop-config - -\n");
    lab.must("systemd-sysusers");
    lab.must("chgrp shop-config /etc/rgunicorn/shop.toml");
    lab.must("chmod 640 /etc/rgunicorn/shop.toml");
    victim.example(&victim.service(), "secrets.conf");
    victim.drop_in("[Service]\nSupplementaryGroups=shop-config\n");
    victim.example(&victim.socket(), "proxy.conf");
    victim.start();
    let master = victim.master();
    victim.text("/slow");
    for secret in secrets {
        // As its own site sees it: the credential is mounted for that alone.
        let path = format!("/proc/{master}/root{secret}");
        assert!(lab.has(&path), "{secret}");
    }

    let done = attack(lab, victim, &secrets);

    assert_eq!(done, [] as [&str; 0]);
    assert_eq!(victim.master(), master);
    assert_eq!(victim.text("/"), "1");
    let curl = "curl --silent --show-error --unix-socket /run/rgunicorn/shop.sock http://shop/";
    assert_eq!(lab.must(&format!("runuser -u www-data -- {curl}")), "1");
    victim.deploy("2");
}

pub fn every_account_may_connect_to_a_site_unless_told_otherwise(lab: &Lab) {
    lab.site("shop", APP).listen();

    let curl = "curl --silent --show-error --unix-socket /run/rgunicorn/shop.sock http://shop/";
    assert_eq!(lab.must(&format!("runuser -u www-data -- {curl}")), "1");
    assert_eq!(lab.must(&format!("runuser -u nobody -- {curl}")), "1");
}

pub fn a_name_that_makes_no_account_is_refused_with_the_reason(lab: &Lab) {
    for (name, reason) in [
        ("shop.example", "only letters, digits"),
        (r"a\x2db", "only letters, digits"),
        (
            "abcdefghijklmnopqrstuvwxyz-29",
            "28 characters are the most",
        ),
    ] {
        let site = lab.site(name, APP);

        for unit in [site.socket(), site.service()] {
            let start = lab.systemctl(&format!("start {unit}"));
            assert_eq!(start.status, Some(1), "{unit}: {}", start.output);
        }

        assert_eq!(site.show("ActiveState"), "inactive", "{name}");
        wait_until("the status says what to do", || {
            let status = lab.systemctl(&format!("status {}", site.socket())).output;
            let says = |words| status.contains(words);
            [reason, "rename /etc/rgunicorn/", "set User="].map(says) == [true; 3]
        });
    }

    // This one systemd itself refuses, when it reads the unit.
    let start = lab.systemctl("start rgunicorn@a:b.service");
    assert_eq!(start.status, Some(1), "{}", start.output);
    wait_until("systemd gives the reason", || {
        (lab.journal(&["UNIT=rgunicorn@a:b.service"]).iter())
            .any(|entry| entry.message().contains("Invalid user/group name"))
    });
}

pub fn the_longest_name_has_an_account(lab: &Lab) {
    let site = lab.site("Abcdefghijklmnopqrstuvwxy-_8", APP).start();

    assert_eq!(site.text("/"), "1");
    let owner = lab.must(&format!("stat --format=%U /proc/{}", site.master()));
    assert_eq!(owner, "rg-Abcdefghijklmnopqrstuvwxy-_8");
}

pub fn an_account_that_exists_runs_a_site_of_any_name(lab: &Lab) {
    lab.write("/etc/sysusers.d/shop.conf", "u shop - - /srv/shop\n");
    lab.must("systemd-sysusers");
    lab.must("install --directory --owner=shop --mode=755 /srv/shop/media");
    let app = APP.replace(
        "STATE / \"slow\"",
        "pathlib.Path(\"/srv/shop/media/upload\")",
    );
    let site = lab.site("shop.example", &app);
    site.example(&site.service(), "user.conf");
    site.listen();

    assert_eq!(site.get("/slow").status, 200);

    let owner = lab.must("stat --format=%U:%G /srv/shop/media/upload");
    assert_eq!(owner, "shop:shop");
}

pub fn data_stays_readable_when_the_account_changes(lab: &Lab) {
    let site = lab.site("shop", APP);
    let folders = ["/var/lib/rgunicorn/shop", "/var/cache/rgunicorn/shop"];
    let accounts = [
        // The account of all sites before each had one of its own.
        ("rgunicorn", "[Service]\nUser=rgunicorn\n"),
        ("rg-shop", ""),
        ("shop", "[Service]\nDynamicUser=no\nUser=shop\n"),
        ("rg-shop", ""),
    ];
    lab.write("/etc/sysusers.d/shop.conf", "u shop - -\n");
    lab.must("systemd-sysusers");
    for (account, drop_in) in accounts {
        site.drop_in(drop_in);
        site.start();

        assert_eq!(site.text("/slow"), "1");
        for folder in folders {
            let files = lab.must(&format!(
                "find -L {folder} -not -path */pycache* -printf %u:"
            ));
            assert!(
                files.split(':').all(|owner| ["", account].contains(&owner)),
                "{account}: {files}"
            );
        }
        lab.must(&format!("systemctl stop {}", site.service()));
    }
}
