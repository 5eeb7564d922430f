//! Settings that the services of all sites have where systemd knows them, from version 254
//! on. An older one warns of settings that it does not know, so the units as they are
//! installed cannot have them.

use super::site::Manager;

/// The version that has the settings.
const FIRST: u32 = 254;

/// A drop-in for the services of all sites.
#[derive(Debug, PartialEq, Eq)]
pub struct CommonDropIn {
    /// The name of its file. Not that of a site's own drop-in, which would take its place.
    pub name: &'static str,
    pub text: &'static str,
}

/// Less than the minute that a proxy waits for an answer: a client that waits is served when
/// the cause has been removed.
const RESTARTS: CommonDropIn = CommonDropIn {
    name: "10-rgunicorn-restarts.conf",
    text: "\
# Made by rgunicorn-generator, for systemd 254 and later: the pause before a restart
# grows from RestartSec= to this, in so many steps.
# Override: RestartSteps=0 and RestartMaxDelaySec=infinity, for pauses of RestartSec= alone.

[Service]
RestartSteps=5
RestartMaxDelaySec=15
",
};

/// systemd cannot start a process in a group that has others below it with controllers, and
/// it stays like that while there is a worker that not even SIGKILL ends. From version 258 on,
/// this setting does not help against that: PID 1 makes the main process in the group of the
/// service itself, and moves it only then.
const SUBGROUP: CommonDropIn = CommonDropIn {
    name: "10-rgunicorn-subgroup.conf",
    text: "\
# Made by rgunicorn-generator, for systemd 254 and later: the master starts in the control
# group that it would move to by itself, beside those of the workers. So with 254 to 257 the
# service starts again also while a process hangs that cannot be killed.

[Service]
DelegateSubgroup=master
",
};

/// The drop-ins, given what `systemctl --version` prints; none if that systemd does
/// not know their settings, or if it is not clear which one it is.
pub fn common_drop_ins(version: &str, manager: Manager) -> &'static [CommonDropIn] {
    if number(version).is_none_or(|number| number < FIRST) {
        return &[];
    }
    match manager {
        Manager::System => &[RESTARTS, SUBGROUP],
        // The unit of users delegates nothing.
        Manager::User => &[RESTARTS],
    }
}

fn number(version: &str) -> Option<u32> {
    let number = version.strip_prefix("systemd ")?;
    let digits = number.find(|c: char| !c.is_ascii_digit());
    number[..digits.unwrap_or(number.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_drop_ins_where_systemd_has_settings_for_them() {
        for (version, has) in [
            ("systemd 257 (257.9-1~deb13u1)\n+PAM +AUDIT", true),
            ("systemd 254 (254.1)", true),
            ("systemd 256~rc1 (256~rc1-1)", true),
            ("systemd 258", true),
            ("systemd 253 (253.5-1)", false),
            ("systemd 252 (252.38-1~deb12u1)\n+PAM", false),
            ("systemd", false),
            ("systemd unknown", false),
            ("GNU bash, version 5.2.15", false),
            ("", false),
        ] {
            for (manager, count) in [(Manager::System, 2), (Manager::User, 1)] {
                let count = if has { count } else { 0 };
                assert_eq!(common_drop_ins(version, manager).len(), count, "{version}");
            }
        }
    }
}
