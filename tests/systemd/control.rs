//! Who may use a site's control socket.

use crate::{lab::Lab, site::APP};

/// The privilege that the service rgunicorn-metrics has, for a command of any account.
pub const PASSING: &str = "--clear-groups --inh-caps=-all,+dac_read_search \
                       --ambient-caps=+dac_read_search";

pub fn the_account_of_the_metrics_gets_figures_and_nobody_else_anything(lab: &Lab) {
    let site = lab.site("shop", APP).start();
    let folder = "/run/rgunicorn/shop";
    let mode = || lab.must(&format!("stat --format=%a {folder}/control"));
    let group = lab.must(&format!("stat --format=%g {folder}"));
    // With that account, that group and perhaps the privilege.
    let ask = |user: &str, group: &str, more: &str, command: &str| {
        let words =
            format!("setpriv --reuid={user} --regid={group} {more} rgunicornctl -i shop {command}");
        lab.run(&words.split_whitespace().collect::<Vec<_>>())
    };
    let reader = "rgunicorn-metrics";
    assert_eq!(mode(), "606");

    for command in ["status", "status --json", "listeners", "workers --json"] {
        let asked = ask(reader, reader, PASSING, command);
        assert_eq!(asked.status, Some(0), "{command}: {}", asked.output);
    }
    let master = site.master();
    for command in ["config", "stacks 1", "reload", "scale +1", "stop"] {
        let asked = ask(reader, reader, PASSING, command);
        assert_eq!(asked.status, Some(1), "{command}: {}", asked.output);
        assert!(
            asked.output.contains("status, workers and listeners only"),
            "{command}: {}",
            asked.output
        );
    }
    for (user, group, more, reason) in [
        // Past the directory and the file's mode by a privilege.
        (
            "nobody",
            "nogroup",
            PASSING,
            "may not use this control socket",
        ),
        (
            "www-data",
            "www-data",
            PASSING,
            "may not use this control socket",
        ),
        // Past the directory as a member of the group.
        (
            "nobody",
            &group,
            "--clear-groups",
            "no permission to connect",
        ),
        (reader, &group, "--clear-groups", "no permission to connect"),
        (reader, reader, "--clear-groups", "no permission to connect"),
        (
            "nobody",
            "nogroup",
            "--clear-groups",
            "no permission to connect",
        ),
    ] {
        let asked = ask(user, group, more, "status");
        assert_ne!(asked.status, Some(0), "{user}: {}", asked.output);
        assert!(asked.output.contains(reason), "{user}: {}", asked.output);
    }
    assert_eq!(site.master(), master);
    assert_eq!(
        lab.must("rgunicornctl -i shop status --json")
            .lines()
            .count(),
        1
    );

    // Everybody could connect to it there.
    site.drop_in("[Service]\nRuntimeDirectoryMode=0755\n");
    lab.must(&format!("systemctl restart {}", site.service()));
    assert_eq!(mode(), "600");
}

pub fn a_path_under_way_is_for_root_and_the_site_only(lab: &Lab) {
    lab.must("sed -i /^rgunicorn-metrics:/d /etc/passwd /etc/shadow /etc/group /etc/gshadow");
    let app = APP.replace(
        "time.sleep(2)",
        "os.read(os.open('/run/rgunicorn/shop/go', os.O_RDONLY), 1)",
    );
    let site = lab.site("shop", &app).start();
    lab.must("mkfifo --mode=644 /run/rgunicorn/shop/go");
    // An account that is made later is admitted by a reload.
    let mode = || lab.must("stat --format=%a /run/rgunicorn/shop/control");
    assert_eq!(mode(), "600");
    lab.must("systemd-sysusers");
    site.reload();
    assert_eq!(mode(), "606");
    lab.must("systemd-run --collect --unit=client curl --silent --unix-socket /run/rgunicorn/shop.sock http://shop/slow");
    let workers = "rgunicornctl -i shop workers --json";
    crate::wait::wait_until("the request runs", || {
        lab.must(workers).contains("GET /slow")
    });

    let seen = lab.must(&format!(
        "setpriv --reuid=rgunicorn-metrics --regid=rgunicorn-metrics {PASSING} {workers}"
    ));

    assert!(seen.contains("\"state\":\"busy\""), "{seen}");
    assert!(!seen.contains("slow"), "{seen}");
    lab.run(&["sh", "-c", "echo >/run/rgunicorn/shop/go"]);
}
