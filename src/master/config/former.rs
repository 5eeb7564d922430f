//! Settings that Gunicorn had once, and what old configurations mean by them.

/// A setting that only old versions of Gunicorn have.
#[derive(Debug)]
pub struct Former {
    pub key: &'static str,
    /// Empty for those that stood in files alone.
    pub flags: &'static [&'static str],
    /// What to do instead, to be read after a semicolon.
    pub instead: &'static str,
}

impl Former {
    pub(super) fn by_key(key: &str) -> Option<&'static Self> {
        FORMER.iter().find(|former| former.key == key)
    }

    pub(super) fn by_flag(flag: &str) -> Option<&'static Self> {
        (FORMER.iter()).find(|former| former.flags.contains(&flag))
    }

    /// What follows its name in a message.
    pub fn advice(&self) -> String {
        format!("is no setting of Gunicorn any more; {}", self.instead)
    }
}

const fn row(key: &'static str, flags: &'static [&'static str], instead: &'static str) -> Former {
    Former {
        key,
        flags,
        instead,
    }
}

pub static FORMER: &[Former] = &[
    row("after_fork", &[], "call the hook post_fork"),
    row("before_exec", &[], "call the hook pre_exec"),
    row("before_fork", &[], "call the hook pre_fork"),
    row("debug", &["--debug"], "for development, use `reload`"),
    row(
        "django_settings",
        &["--settings"],
        "name the settings in the variable DJANGO_SETTINGS_MODULE of `env`",
    ),
    row("logfile", &["--logfile"], "write `errorlog`"),
    row(
        "tolerate_dangerous_framing",
        &["--tolerate-dangerous-framing"],
        "requests with both Transfer-Encoding and Content-Length are refused always",
    ),
    row(
        "x_forwarded_for_header",
        &[],
        "REMOTE_ADDR is the proxy's address, and the application reads the header",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::gunicorn_settings::Theirs;
    use crate::config::setting::Setting;

    #[test]
    fn none_of_them_is_a_setting_today() {
        for former in FORMER {
            let known = Theirs::by_key(former.key).is_some() || Setting::find(former.key).is_some();
            assert!(!known, "{}", former.key);
            for flag in former.flags {
                assert!(Theirs::by_flag(flag).is_none(), "{flag}");
            }
        }
    }
}
