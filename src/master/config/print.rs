//! `--print-config` and `rgunicornctl config`: a configuration as a TOML file.

use super::hooks::kind;
use super::origin::Origin;
use super::setting::Setting;
use super::settings::Config;

/// Each setting has the place of its value in a comment.
pub fn print(config: &Config) -> String {
    let line = |(setting, value): (&Setting, Option<toml::Value>)| {
        let place = match config.origin(setting.key) {
            Origin::Default => None,
            origin => Some(origin.to_string()),
        };
        let mut line = print_setting(
            setting.key,
            value.as_ref(),
            setting.otherwise,
            place.as_deref(),
        );
        line.push('\n');
        line
    };
    let hooks = config.hooks();
    let hooks = hooks.map(|(name, origin)| format!("# {name} is {}  # {origin}\n", kind(name)));
    let ignored = config.ignored();
    let ignored = ignored
        .map(|(ignored, origin)| format!("# {} {}  # {origin}\n", ignored.key, ignored.advice()));
    config
        .values()
        .into_iter()
        .map(line)
        .chain(hooks)
        .chain(ignored)
        .collect()
}

/// The line of a setting. `otherwise` is what holds without a value, `place` where the value
/// comes from; without one it is the default.
pub fn print_setting(
    key: &str,
    value: Option<&toml::Value>,
    otherwise: &str,
    place: Option<&str>,
) -> String {
    let line = match value {
        Some(value) => format!("{key} = {value}"),
        None if otherwise.is_empty() => format!("# {key} is not set"),
        None => format!("# {key} is not set: {otherwise}"),
    };
    match place {
        None => line,
        Some(place) => format!("{line}  # {place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;
    use crate::config::{Start, load};
    use std::fs;

    #[test]
    fn what_is_printed_can_be_read_as_a_file_with_the_same_values() {
        let folder = tempfile::tempdir().unwrap();
        let start = Start {
            directory: folder.path().to_owned(),
            search_path: std::env::var_os("PATH").unwrap(),
            runtime_directory: Some("/run/rgunicorn/site".into()),
            ..Start::default()
        };
        let loaded = |words: &[&str]| {
            let line = cli::parse_from(["rgunicorn"].iter().chain(words), start.clone()).unwrap();
            load(&line.sources).unwrap()
        };
        let words = [
            "-b",
            ":80",
            "-b",
            "unix:@x",
            "-w",
            "auto",
            "-e",
            "A=\"1\"\n",
            "-e",
            "B C='",
            "--preload",
            "--pythonpath",
            "lib,/opt",
            "-t",
            "0",
            "--limit-request-body",
            "10M",
            "-n",
            "shop",
            "--forwarded-allow-ips",
            "*",
            "site:make(\"x\")",
        ];
        let config = loaded(&words);

        let text = print(&config);
        fs::write(folder.path().join("printed.toml"), &text).unwrap();
        let again = loaded(&["-c", "printed.toml"]);

        assert_eq!(again.values().len(), config.values().len());
        for ((setting, one), (_, other)) in config.values().into_iter().zip(again.values()) {
            assert_eq!(one, other, "{}", setting.key);
        }
        assert!(
            text.contains("workers = \"auto\"  # --workers on the command line\n"),
            "{text}"
        );
        assert!(text.contains("\nbacklog = 2048\n"), "{text}");
        assert!(
            text.contains("\n# worker_dir is not set: next to"),
            "{text}"
        );
    }
}
