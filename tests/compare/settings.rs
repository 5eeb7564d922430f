//! That the table of Gunicorn's settings has what the installed Gunicorn has.

use super::venv;
use rgunicorn::config::{THEIRS, Takes};
use serde_json::Value;
use std::{collections::BTreeMap, process::Command};

/// Prints the flags, the defaults and the kind of flag of each setting.
const PRINT: &str = "
import json, os
for name in ('PORT', 'WEB_CONCURRENCY', 'FORWARDED_ALLOW_IPS', 'SENDFILE'):
    os.environ.pop(name, None)
from gunicorn.config import KNOWN_SETTINGS
plain = (bool, int, str, list, dict, type(None))
print(json.dumps({
    setting.name: {
        'flags': list(setting.cli or []),
        'default': setting.default if isinstance(setting.default, plain) else None,
        'switch': setting.action in ('store_true', 'store_false', 'store_const'),
    }
    for setting in KNOWN_SETTINGS
}))
";

/// Defaults that are computed, or that say where Gunicorn's own files are.
const COMPUTED: &[&str] = &[
    "bind",
    "chdir",
    "config",
    "control_socket",
    "forwarded_allow_ips",
    "group",
    "secure_scheme_headers",
    "ssl_version",
    "user",
];

#[test]
fn the_table_has_every_setting_of_gunicorn_with_its_flags_and_default() {
    let output = Command::new(venv().join("bin/python"))
        .args(["-c", PRINT])
        .output()
        .unwrap();
    let settings: BTreeMap<String, Value> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));

    let mut names: Vec<&str> = THEIRS.iter().map(|theirs| theirs.key).collect();
    names.sort_unstable();
    assert_eq!(names, settings.keys().collect::<Vec<_>>());
    for theirs in THEIRS {
        let setting = &settings[theirs.key];
        let flags = setting["flags"].as_array().unwrap();
        assert_eq!(flags.len(), theirs.flags.len(), "{}", theirs.key);
        for flag in flags {
            assert!(theirs.flags.contains(&flag.as_str().unwrap()), "{flag}");
        }
        let is_switch = theirs.takes == Takes::Nothing;
        assert_eq!(setting["switch"], is_switch, "{}", theirs.key);
        let default = &setting["default"];
        if !COMPUTED.contains(&theirs.key) && !default.is_null() && *default != "" {
            let line = format!("value = {}", theirs.default);
            let ours: toml::Table = line.parse().unwrap_or_else(|_| panic!("{}", theirs.key));
            let ours = serde_json::to_value(&ours["value"]).unwrap();
            assert_eq!(ours, *default, "{}", theirs.key);
        }
    }
}
