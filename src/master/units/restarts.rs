//! The pauses between the restarts of a site that cannot start. They grow where
//! systemd has settings for that, from version 254 on. An older one warns of settings
//! that it does not know, so the units as they are installed cannot have them.

/// The version that has the settings.
const FIRST: u32 = 254;

/// A drop-in for the services of all sites. Less than the minute that a proxy waits
/// for an answer: a client that waits is served when the cause has been removed.
const DROP_IN: &str = "\
# Made by rgunicorn-generator, for systemd 254 and later: the pause before a restart
# grows from RestartSec= to this, in so many steps.
# Override: RestartSteps=0 and RestartMaxDelaySec=infinity, for pauses of RestartSec= alone.

[Service]
RestartSteps=5
RestartMaxDelaySec=15
";

/// The drop-in, given what `systemctl --version` prints; `None` if that systemd does
/// not know its settings, or if it is not clear which one it is.
pub fn growing_pauses(version: &str) -> Option<&'static str> {
    let number = version.strip_prefix("systemd ")?;
    let digits = number.find(|c: char| !c.is_ascii_digit());
    let number: u32 = number[..digits.unwrap_or(number.len())].parse().ok()?;
    (number >= FIRST).then_some(DROP_IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_where_systemd_has_settings_for_that() {
        for (version, grow) in [
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
            assert_eq!(growing_pauses(version).is_some(), grow, "{version}");
        }
    }
}
