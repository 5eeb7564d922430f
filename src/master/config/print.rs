//! `--print-config`: the effective configuration as a TOML file.

use super::origin::Origin;
use super::settings::{Config, Setting};

/// Each setting has the place of its value in a comment.
pub fn print(config: &Config) -> String {
    let line = |(setting, value): (&Setting, Option<toml::Value>)| {
        let line = match value {
            Some(value) => format!("{} = {value}", setting.key),
            None => format!("# {} is not set: {}", setting.key, setting.otherwise),
        };
        match config.origin(setting.key) {
            Origin::Default => format!("{line}\n"),
            origin => format!("{line}  # {origin}\n"),
        }
    };
    config.values().into_iter().map(line).collect()
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
