//! What a site's file says about its units.

use crate::{
    client::{Address, Connection},
    lab::Lab,
    site::{APP, Site},
    wait::wait_until,
};

/// Every setting that is for units.
const EVERYTHING: &str = r#"
bind = ["127.0.0.1:8000", "unix:/run/other.sock"]
backlog = 64
user = "shop"
group = "www-data"
env_file = ["/etc/rgunicorn/shop.env", "-/etc/rgunicorn/none.env"]
credentials = { secret_key = "/etc/rgunicorn/shop.secret_key" }
read_write_paths = "/srv/shop/media"
memory_high = "40%"
memory_max = "512M"
cpu_quota = "150%"
tasks_max = 256
"#;

/// An application that answers with what it was given.
const GIVEN: &str = r#"
import grp, os, pathlib, pwd

def app(environ, start_response):
    (pathlib.Path("/srv/shop/media") / "file").touch()
    key = pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"]) / "secret_key"
    marks = [name for name in os.environ if name.startswith("RGUNICORN")]
    answer = (os.environ["PASSWORD"], key.read_text(), marks,
        pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(answer).encode()]
"#;

/// Writes its files; they take effect with `daemon-reload`.
fn site_with_everything(lab: &Lab) -> Site<'_> {
    let site = lab.site("shop", GIVEN);
    lab.write("/etc/sysusers.d/shop.conf", "u shop - - /srv/shop\n");
    lab.must("systemd-sysusers");
    lab.must("install --directory --owner=shop /srv/shop/media");
    lab.write("/etc/rgunicorn/shop.env", "PASSWORD=1234\n");
    lab.write("/etc/rgunicorn/shop.secret_key", "key");
    lab.must("chmod 600 /etc/rgunicorn/shop.env /etc/rgunicorn/shop.secret_key");
    site.configure(EVERYTHING);
    site
}

/// What the generator has reported.
fn reports(lab: &Lab) -> Vec<String> {
    let entries = lab.journal(&["--identifier=rgunicorn-generator"]);
    entries.iter().map(crate::lab::Entry::message).collect()
}

/// What the site may write to, besides its control group.
fn writable(site: Site<'_>) -> String {
    let paths = site.show("ReadWritePaths");
    let group = |path: &&str| path.starts_with("-/sys/fs/cgroup/");
    let others: Vec<_> = paths.split(' ').filter(|path| !group(path)).collect();
    assert_eq!(others.len() + 1, paths.split(' ').count(), "{paths}");
    others.join(" ")
}

fn at_port(lab: &Lab) -> std::io::Result<String> {
    lab.in_network(|| {
        let address = Address::Tcp("127.0.0.1:8000".parse().unwrap());
        Connection::open(&address).map(|mut connection| connection.get("/").text())
    })
}

pub fn one_file_says_everything_about_a_site(lab: &Lab) {
    let site = site_with_everything(lab);

    lab.must("systemctl daemon-reload");
    let site = site.start();

    for (property, value) in [
        ("User", "shop"),
        ("Group", "www-data"),
        ("MemoryMax", "536870912"),
        ("CPUQuotaPerSecUSec", "1.500000s"),
        ("TasksMax", "256"),
    ] {
        assert_eq!(site.show(property), value, "{property}");
    }
    assert_eq!(writable(site), "/srv/shop/media");
    assert_ne!(site.show("MemoryHigh"), "infinity");
    let files = site.show("EnvironmentFiles");
    assert!(
        files.contains("/etc/rgunicorn/shop.env (ignore_errors=no)"),
        "{files}"
    );
    assert!(
        files.contains("/etc/rgunicorn/none.env (ignore_errors=yes)"),
        "{files}"
    );
    assert_eq!(site.show_socket("Backlog"), "64");
    let given = "('1234', 'key', [], 'shop', 'www-data')";
    assert_eq!(site.text("/"), given);
    assert_eq!(at_port(lab).unwrap(), given);
    let curl = "curl --silent --show-error --unix-socket /run/other.sock http://shop/";
    assert_eq!(lab.must(curl), given);
    // systemd's sockets are those that were configured, and the units those that were
    // made of the file: nothing to warn of.
    let warnings: Vec<_> = site
        .journal()
        .iter()
        .filter(|entry| matches!(&*entry.field("PRIORITY"), "0" | "1" | "2" | "3" | "4"))
        .map(crate::lab::Entry::message)
        .collect();
    assert_eq!(warnings, [] as [&str; 0]);
    assert_eq!(reports(lab), [] as [&str; 0]);
    let verify = "systemd-analyze verify --man=no rgunicorn@shop.service rgunicorn@shop.socket";
    assert_eq!(lab.must(verify), "");
    // An administrator has the last word.
    site.drop_in("[Service]\nMemoryMax=1G\n");
    assert_eq!(site.show("MemoryMax"), "1073741824");
}

pub fn values_reach_systemd_as_they_are_written(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.configure(
        r#"
bind = "unix:/run/a b %i ; # $HOME.sock"
env_file = "-/etc/a b %i ; # $HOME"
read_write_paths = ["-/srv/a b %i ; # $HOME", "-/srv/ä"]
[credentials]
key = "/etc/rgunicorn/a:%i;#$HOME"
"#,
    );
    lab.write("/etc/rgunicorn/a:%i;#$HOME", "key");

    lab.must("systemctl daemon-reload");

    assert_eq!(
        site.show("EnvironmentFiles"),
        "/etc/a b %i ; # $HOME (ignore_errors=yes)"
    );
    let paths = site.show("ReadWritePaths");
    // It escapes what it prints for a shell.
    assert!(paths.contains(r"-/srv/a b %i ; # \$HOME"), "{paths}");
    assert!(paths.contains("-/srv/ä"), "{paths}");
    site.start();
    assert_eq!(site.text("/"), "1");
    assert!(
        lab.run(&["test", "-S", "/run/a b %i ; # $HOME.sock"])
            .status
            == Some(0)
    );
    let key = format!(
        "/proc/{}/root/run/credentials/{}/key",
        site.master(),
        site.service()
    );
    assert_eq!(lab.must(&format!("cat {key}")), "key");
    assert_eq!(reports(lab), [] as [&str; 0]);
}

pub fn a_broken_file_leaves_the_others_alone_and_is_reported(lab: &Lab) {
    let good = lab.site("shop", APP);
    good.configure("memory_max = \"512M\"\n");
    lab.write(
        "/etc/rgunicorn/broken.toml",
        "app = \"app:app\"\nuser = [\n",
    );
    lab.write(
        "/etc/rgunicorn/wrong.toml",
        "tasks_max = 0\nbind = \"fd://3\"\n",
    );
    lab.must("mkfifo /etc/rgunicorn/pipe.toml");
    lab.must("ln -s nowhere /etc/rgunicorn/link.toml");

    lab.must("systemctl daemon-reload");

    assert_eq!(good.start().text("/"), "1");
    assert_eq!(good.show("MemoryMax"), "536870912");
    for (unit, words) in [
        ("rgunicorn@broken.service", "/etc/rgunicorn/broken.toml:2:"),
        (
            "rgunicorn@wrong.service",
            "/etc/rgunicorn/wrong.toml:1:13: tasks_max",
        ),
        ("rgunicorn@pipe.service", "not a regular file"),
        ("rgunicorn@link.service", "No such file"),
    ] {
        wait_until(&format!("the journal has {words}"), || {
            let entries = lab.journal(&["--unit", unit, "--priority=err"]);
            entries.iter().any(|entry| entry.message().contains(words))
        });
        assert!(reports(lab).iter().any(|report| report.contains(words)));
    }
}

pub fn a_file_that_others_can_write_changes_no_unit(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.configure("user = \"root\"\nread_write_paths = \"/etc\"\n");
    lab.must("chown www-data /etc/rgunicorn/shop.toml");

    lab.must("systemctl daemon-reload");

    assert_eq!(site.show("User"), "rg-shop");
    assert_eq!(writable(site), "");
    wait_until("it is reported", || {
        reports(lab)
            .iter()
            .any(|report| report.contains("give it to root"))
    });

    lab.must("chown root /etc/rgunicorn/shop.toml");
    lab.must("systemctl daemon-reload");
    assert_eq!(site.show("User"), "root");
}

pub fn a_mistake_in_the_file_starts_the_site_in_no_other_account(lab: &Lab) {
    lab.write("/etc/sysusers.d/shop.conf", "u shop - -\n");
    lab.must("systemd-sysusers");
    let site = lab.site("shop", APP);
    site.configure("user = \"shop\"\n");
    lab.must("systemctl daemon-reload");
    site.start();
    assert_eq!(site.text("/slow"), "1");
    let assert_is_shops = || {
        for path in [
            "lib/rgunicorn/shop",
            "lib/rgunicorn/shop/slow",
            "cache/rgunicorn/shop",
        ] {
            let owner = lab.must(&format!("stat --dereference --format=%U /var/{path}"));
            assert_eq!(owner, "shop", "{path}");
        }
    };
    assert_is_shops();
    let told = |words: &str| {
        let entry = |entry: &crate::lab::Entry| entry.message().contains(words);
        site.journal().iter().filter(|each| entry(each)).count()
    };
    let fails = |job: &str| {
        let outcome = lab.systemctl(&format!("{job} {}", site.service()));
        assert_ne!(outcome.status, Some(0), "{}", outcome.output);
    };
    let place = "/etc/rgunicorn/shop.toml:4:";

    // While it runs.
    let runtime = "/run/rgunicorn/shop";
    let owner = || lab.must(&format!("stat --dereference --format=%U {runtime}"));
    assert_eq!(owner(), "shop");
    site.configure("user = \"shop\n");
    lab.must("systemctl daemon-reload");
    wait_until("it is reported", || {
        reports(lab).iter().any(|report| {
            report.contains(place) && report.contains("the site does not start until")
        })
    });
    fails("reload");
    wait_until("the reload says why", || {
        told(&format!("rgunicornctl: {place}")) > 0
    });
    assert_eq!(site.text("/"), "1");
    assert_is_shops();
    // It still is what `rgunicornctl` connects to.
    assert_eq!(owner(), "shop");
    lab.must("rgunicornctl -i shop status");

    // When it starts.
    fails("restart");
    wait_until("the start says why", || {
        told(&format!("Configuration refused: {place}")) > 0
    });
    assert_is_shops();
    assert_eq!(site.show_socket("ActiveState"), "active");

    // Below the name of a table, in a file that only the account of the site may read.
    site.configure("bind = \"127.0.0.1:8000\"\n[env]\nuser = \"shop\"\n");
    lab.must("chgrp shop /etc/rgunicorn/shop.toml");
    lab.must("chmod 640 /etc/rgunicorn/shop.toml");
    lab.must("systemctl daemon-reload");
    lab.must(&format!("systemctl restart {}", site.socket()));
    fails("restart");
    wait_until("the start says where the mistake is told", || {
        told("rgunicorn-generator could not tell from it in which account") > 0
    });
    assert_eq!(told("Permission denied"), 0);
    assert_is_shops();
    assert!(site.show_socket("Listen").contains("127.0.0.1:8000"));
    lab.must("chmod 644 /etc/rgunicorn/shop.toml");

    // The mistake is gone, but systemd does not know yet.
    site.configure("user = \"shop\"\n");
    fails("restart");
    wait_until("the start says what to do", || {
        told("run `systemctl daemon-reload`, then start the service again") > 0
    });
    assert_is_shops();

    lab.must("systemctl daemon-reload");
    lab.must(&format!("systemctl restart {}", site.service()));
    assert_eq!(site.text("/"), "1");
    assert_is_shops();
}

pub fn units_that_are_older_than_the_file_are_reported(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    site.configure("memory_max = \"512M\"\nbind = \"127.0.0.1:8000\"\n");
    let told = |words: &str| {
        let entry = |entry: &crate::lab::Entry| {
            let message = entry.message();
            message.contains(words) && message.contains("daemon-reload")
        };
        site.journal().iter().filter(|each| entry(each)).count()
    };

    let wait_until_told = |words: &str| wait_until(words, || told(words) == 1);

    site.reload();
    wait_until_told("The new memory_max takes effect after");
    lab.must(&format!("systemctl restart {}", site.service()));
    wait_until_told("Without effect as configured: memory_max");
    wait_until_told("Not listening on 127.0.0.1:8000");
    assert!(at_port(lab).is_err());

    lab.must("systemctl daemon-reload");
    lab.must(&format!("systemctl restart {}", site.socket()));
    site.wait_for_state("active");

    assert_eq!(at_port(lab).unwrap(), "1");
    assert_eq!(told("Without effect"), 1);
    assert_eq!(told("Not listening"), 1);

    // Without the account nothing is served: files would belong to another.
    site.configure("user = \"www-data\"\n");
    let restart = lab.systemctl(&format!("restart {}", site.service()));
    assert_ne!(restart.status, Some(0), "{}", restart.output);
    site.wait_for_entry("what to do", |entry| {
        let message = entry.message();
        message.contains("/etc/rgunicorn/shop.toml:4:8: user: ")
            && message.contains("run `systemctl daemon-reload`")
    });
    lab.must("systemctl daemon-reload");
    lab.must(&format!("systemctl restart {}", site.service()));
    assert_eq!(site.text("/"), "1");
}

pub fn a_site_of_any_name_has_an_account(lab: &Lab) {
    let long = "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz";
    let mut accounts = vec![];
    for name in ["shop.example", "shop@home", long] {
        let site = lab.site(name, APP);
        lab.must("systemctl daemon-reload");

        assert_eq!(site.start().text("/"), "1");

        let account = lab.must(&format!("stat --format=%U /proc/{}", site.master()));
        assert!(account.starts_with("rg_"), "{account}");
        assert!(!accounts.contains(&account), "{account}");
        accounts.push(account);
    }
}
