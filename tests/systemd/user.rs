//! Sites of a user, which the user's own systemd runs in the user's account.

use crate::{
    client::Address,
    lab::{Lab, Outcome},
    traffic::{Load, Traffic},
    wait::wait_until,
};
use std::time::Duration;

const APP: &str = r#"
import os, pathlib

VERSION = "1"

def app(environ, start_response):
    secret = pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"], "key").read_text()
    start_response("200 OK", [])
    return [f"{VERSION} {os.getuid()} {secret}".encode()]
"#;

const SITE: &str = "\
app = \"app:app\"
chdir = \"/home/alice/shop\"
workers = 2
bind = \"127.0.0.1:8000\"
memory_max = \"1G\"
credentials = { key = \"/home/alice/key\" }
";

/// The account alice, whose systemd runs although nobody is logged in.
struct User<'a>(&'a Lab);

impl<'a> User<'a> {
    #[track_caller]
    fn lingering_in(lab: &'a Lab) -> Self {
        lab.write(
            "/etc/sysusers.d/alice.conf",
            "u alice 1234 - /home/alice /bin/sh\n",
        );
        lab.must("systemd-sysusers");
        // What libpam-systemd does, which the small system does not have.
        lab.write(
            "/etc/systemd/system/user@.service.d/test.conf",
            "[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n",
        );
        lab.write("/home/alice/shop/app.py", APP);
        lab.write("/home/alice/key", "a key");
        lab.write("/home/alice/.config/rgunicorn/shop.toml", SITE);
        lab.must("chown --recursive alice: /home/alice");
        lab.must("chmod 600 /home/alice/key");
        lab.must("systemctl daemon-reload");
        lab.must("loginctl enable-linger alice");
        wait_until("the user's systemd runs", || {
            lab.has("/run/user/1234/systemd/private")
        });
        Self(lab)
    }

    fn run(&self, command: &str) -> Outcome {
        let words = "runuser -u alice -- env HOME=/home/alice XDG_RUNTIME_DIR=/run/user/1234";
        let words: Vec<&str> = words.split(' ').chain(command.split(' ')).collect();
        self.0.run(&words)
    }

    /// Runs a command that has to succeed.
    #[track_caller]
    fn must(&self, command: &str) -> String {
        let Outcome { status, output } = self.run(command);
        assert_eq!(status, Some(0), "{command}: {output}");
        output.trim_end().to_owned()
    }

    #[track_caller]
    fn deploy(&self, text: &str, time: u32) {
        let path = "/home/alice/shop/app.py";
        self.0.write(path, text);
        self.0.must(&format!("touch --date=@{time} {path}"));
    }
}

pub fn a_site_of_a_user_is_run_by_the_systemd_of_that_user(lab: &Lab) {
    let alice = User::lingering_in(lab);
    alice.must("systemctl --user enable --now rgunicorn@shop.socket");

    // The first request starts it; the generator has read `bind`, `memory_max` and
    // `credentials`.
    let socket = "curl --silent --unix-socket /run/user/1234/rgunicorn/shop.sock http://shop/";
    let port = "curl --silent http://127.0.0.1:8000/";
    assert_eq!(alice.must(socket), "1 1234 a key");
    assert_eq!(alice.must(port), "1 1234 a key");
    let show = "systemctl --user show --value rgunicorn@shop.service --property";
    assert_eq!(alice.must(&format!("{show} MemoryMax")), "1073741824");
    let status = alice.must("rgunicornctl --user -i shop status");
    assert!(status.contains("generation 1"), "{status}");
    let sites = alice.must("rgunicornctl --user top --json");
    assert!(sites.contains("\"server\":\"shop\""), "{sites}");
    let stranger = lab.run(&["rgunicornctl", "-i", "shop", "status"]);
    assert_eq!(stranger.status, Some(69), "{}", stranger.output);

    let address = format!("/proc/{}/root/run/user/1234/rgunicorn/shop.sock", lab.pid1);
    let traffic = Traffic::start(
        &Address::Unix(address.into()),
        Load {
            pause: Duration::from_millis(6),
            ..Load::default()
        },
    );
    alice.deploy(&APP.replace("\"1\"", "\"2\""), 1_700_000_001);
    alice.must("systemctl --user reload rgunicorn@shop");
    assert_eq!(alice.must(port), "2 1234 a key");
    alice.deploy("raise RuntimeError", 1_700_000_002);
    let refused = alice.run("systemctl --user reload rgunicorn@shop");
    assert_ne!(refused.status, Some(0));
    alice.deploy(&APP.replace("\"1\"", "\"3\""), 1_700_000_003);
    alice.must("systemctl --user restart rgunicorn@shop");
    traffic.wait_for_answers(100);
    assert_eq!(traffic.finish(), [""; 0]);
    assert_eq!(alice.must(port), "3 1234 a key");

    alice.must("systemctl --user disable --now rgunicorn@shop.socket");
    alice.must("systemctl --user stop rgunicorn@shop.service");
    assert_eq!(alice.must("find /home/alice/.config/systemd -type l"), "");
}

pub fn the_units_of_users_pass_systemd_analyze_verify(lab: &Lab) {
    let alice = User::lingering_in(lab);

    let found = alice.must(
        "systemd-analyze --user verify --man=no rgunicorn@shop.service rgunicorn@shop.socket",
    );

    assert_eq!(found, "");
}
