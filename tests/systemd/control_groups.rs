//! Control groups, one for each worker. The labs have the hierarchy and no controllers:
//! what those do is tested by the script `vm`.

use crate::{
    lab::Lab,
    site::{APP, Site},
    wait::wait_until,
};
use std::collections::BTreeMap;

/// Answers with the control group that it was loaded in, or starts a process and answers
/// with the pids of both.
const CHILDREN: &str = r#"
import os, subprocess

with open("/proc/self/cgroup") as file:
    GROUP = next(line.strip() for line in file if line.startswith("0::"))

def app(environ, start_response):
    body = GROUP
    if environ["PATH_INFO"] == "/child":
        child = subprocess.Popen(["sleep", "1000"])
        body = f"{os.getpid()} {child.pid}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
"#;

fn folder(site: Site<'_>) -> String {
    format!("/sys/fs/cgroup{}", site.show("ControlGroup"))
}

/// Those below the service's, by name, with their processes.
fn groups(site: Site<'_>) -> BTreeMap<String, Vec<u32>> {
    let list = r#"cd "$0" && for group in */; do
        [ -d "$group" ] && echo ${group%/} $(cat "$group/cgroup.procs" 2>/dev/null); done; true"#;
    let listed = site.lab.run(&["sh", "-c", list, &folder(site)]).output;
    let lines = listed.lines().map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap().to_owned();
        // The kernel lists them in no particular order.
        let mut pids: Vec<u32> = words.map(|pid| pid.parse().unwrap()).collect();
        pids.sort_unstable();
        (name, pids)
    });
    lines.collect()
}

#[track_caller]
fn wait_for_groups(site: Site<'_>, names: &[&str]) {
    wait_until(&format!("there are {names:?}"), || {
        groups(site).keys().eq(names)
    });
}

pub fn each_worker_has_a_control_group_of_its_own(lab: &Lab) {
    let site = lab.site("shop", CHILDREN).start();

    let first = groups(site);
    assert!(
        first.keys().eq(["master", "worker-1", "worker-2"]),
        "{first:?}"
    );
    assert_eq!(first["master"], [site.master(), site.children()[0]]);
    assert_eq!((first["worker-1"].len(), first["worker-2"].len()), (1, 1));
    let loaded_in = site.text("/");
    assert!(loaded_in.contains("/worker-"), "{loaded_in}");

    // With the processes that it starts.
    let answer = site.text("/child");
    let pids: Vec<u32> = answer.split(' ').map(|pid| pid.parse().unwrap()).collect();
    let (worker, child) = (pids[0], pids[1]);
    let of_worker = groups(site);
    let (name, _) = of_worker.iter().find(|(_, each)| **each == pids).unwrap();

    // What it leaves behind stays there, and its group as long as that.
    lab.must(&format!("kill -KILL {worker}"));
    wait_until("another worker has taken its place", || {
        let groups = groups(site);
        groups.contains_key("worker-3") && groups.get(name) == Some(&vec![child])
    });
    site.reload();
    wait_until("both workers are replaced", || {
        let groups = groups(site);
        groups.len() == 4 && groups.contains_key(name) && groups.contains_key("worker-5")
    });
    lab.must(&format!("kill -KILL {child}"));
    wait_until("it is gone", || groups(site).get(name) == Some(&vec![]));
    site.reload();
    wait_for_groups(site, &["master", "worker-6", "worker-7"]);

    lab.must("systemctl daemon-reload");
    assert_eq!(groups(site).len(), 3);
    lab.must(&format!("systemctl restart {}", site.service()));
    wait_for_groups(site, &["master", "worker-1", "worker-2"]);
    lab.must(&format!("kill -KILL {}", site.master()));
    wait_until("systemd has restarted it", || site.show("NRestarts") == "1");
    site.wait_for_state("active");
    wait_for_groups(site, &["master", "worker-1", "worker-2"]);

    let folder = folder(site);
    lab.must(&format!(
        "systemctl stop {} {}",
        site.socket(),
        site.service()
    ));
    wait_until("the group is removed", || !lab.has(&folder));
}

/// Whoever owns the group of the service, and wherever systemd puts the master.
pub fn control_groups_are_made_in_any_account(lab: &Lab) {
    let site = lab.site("shop", APP);
    site.configure("user = \"www-data\"\n");
    let subgroup = if lab.version() >= 254 {
        "DelegateSubgroup=master\n"
    } else {
        ""
    };
    let service = "/sys/fs/cgroup/system.slice/system-rgunicorn.slice/rgunicorn@shop.service";
    // As if an earlier master had left it.
    let left = format!("ExecStartPre=+mkdir {service}/worker-99\n");
    site.drop_in(&format!("[Service]\n{subgroup}{left}"));
    let site = site.start();

    assert_eq!(
        lab.must(&format!("stat --format=%U {service}/worker-1")),
        "www-data"
    );
    wait_for_groups(site, &["master", "worker-1", "worker-2"]);
    assert_eq!(site.text("/"), "1");
    site.deploy("2");
    wait_for_groups(site, &["master", "worker-3", "worker-4"]);
}

/// Its memory is then accounted with that of the master.
pub fn a_worker_that_cannot_move_into_its_control_group_says_so(lab: &Lab) {
    let site = lab.site("shop", CHILDREN).start();
    // The kernel asks for the right to this file of the group that both are in.
    lab.must(&format!("chown root:root {}/cgroup.procs", folder(site)));

    // `systemctl reload` would give it back.
    lab.must(&format!("kill -HUP {}", site.master()));

    for number in [3, 4] {
        site.wait_for_entry("why it has not moved", |entry| {
            let says = format!(
                "Worker {number} is accounted with the master: \
                 it cannot move into its control group: "
            );
            entry.message().starts_with(&says)
        });
    }
    wait_until("they serve", || site.text("/").ends_with("/master"));
}

pub fn without_control_groups_a_site_serves_all_the_same(lab: &Lab) {
    let site = lab.site("shop", APP);
    let says = |text: &str| {
        let journal = site.journal();
        journal
            .iter()
            // systemd has something to say of the groups, too, where there are no controllers.
            .filter(|entry| entry.field("SYSLOG_IDENTIFIER") == "rgunicorn")
            .filter(|entry| entry.message().contains(text))
            .count()
    };

    site.drop_in("[Service]\nDelegate=no\n");
    site.start();
    assert_eq!(site.text("/"), "1");
    assert_eq!(groups(site).len(), 0);
    assert_eq!(says("control group"), 0);
    site.deploy("2");

    // The sandbox has them read-only.
    site.drop_in("[Service]\nReadWritePaths=\n");
    lab.must(&format!("systemctl restart {}", site.service()));
    assert_eq!(site.text("/"), "2");
    let (made, failed) = if lab.version() >= 254 {
        // By systemd, which starts the master there.
        (vec!["master"], "move to")
    } else {
        (vec![], "make")
    };
    assert!(groups(site).keys().eq(&made));
    site.wait_for_entry("why there are none", |entry| {
        let says =
            format!("Workers have no control groups of their own: cannot {failed} /sys/fs/cgroup/");
        let message = entry.message();
        message.starts_with(&says) && message.ends_with("(os error 30)")
    });
    assert_eq!(says("control group"), 1);
    site.deploy("3");
}
