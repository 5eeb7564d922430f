//! Generates the manual pages and the example configuration from the table of
//! settings and the command line. The prose is in the `.in` files beside.
//!
//! As a test it fails when a committed file is stale. To generate them again:
//! `UPDATE=1 cargo test --test man_pages`
#![allow(
    clippy::unwrap_used,
    reason = "in a test a surprise is a failure, and a panic says where"
)]

use clap::{Arg, ArgAction};
use rgunicorn::config::{
    Applies, FORMER, Former, Group, IGNORED, RENAMED, SETTINGS, Setting, Support, THEIRS, Theirs,
    UNSUPPORTED, Unsupported, support,
};
use rgunicorn::{cli, config};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Plain text, escaped for roff.
fn roff(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('"', "\\(dq")
        .replace('\'', "\\(aq");
    match text.strip_prefix('.') {
        Some(rest) => format!("\\&.{rest}"),
        None => text,
    }
}

/// The same, with what is in backticks in bold.
fn prose(text: &str) -> String {
    let part = |(number, part): (usize, &str)| match number % 2 {
        0 => roff(part),
        _ => format!("\\fB{}\\fR", roff(part)),
    };
    text.split('`').enumerate().map(part).collect()
}

/// `-w, --workers NUMBER`, in bold and italics.
fn flags(argument: &Arg) -> String {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let flags: Vec<String> = short
        .into_iter()
        .chain(long)
        .map(|flag| format!("\\fB{}\\fR", roff(&flag)))
        .collect();
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    match argument.get_value_names() {
        Some([name, ..]) if takes_value => format!("{} \\fI{}\\fR", flags.join(", "), roff(name)),
        Some(_) | None => flags.join(", "),
    }
}

/// The options of a command, under their headings.
fn options(command: &clap::Command) -> String {
    let mut heading = None;
    let mut pieces = Vec::new();
    for argument in command
        .get_arguments()
        .filter(|argument| !argument.is_positional())
    {
        if argument.get_help_heading() != heading {
            heading = argument.get_help_heading();
            pieces.push(format!(".SS {}\n", heading.unwrap_or("Options")));
        }
        let help = argument
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        pieces.push(format!(
            ".TP\n{}\n{}.\n",
            flags(argument),
            prose(&help.replace('\n', " "))
        ));
    }
    pieces.concat().trim_end().to_owned()
}

/// What holds when a setting is not set, as a sentence.
fn default(setting: &Setting) -> String {
    match (setting.default)() {
        Some(value) => format!("Default: `{value}`."),
        None if setting.otherwise.is_empty() => "There is no default.".into(),
        None => format!("Default: {}.", setting.otherwise),
    }
}

/// What holds for all settings of units.
const UNITS: &str = "These are for a site in /etc/rgunicorn that systemd runs. When systemd reads its \
    units, at boot and at `systemctl daemon-reload`, rgunicorn-generator makes drop-ins of them for \
    rgunicorn@NAME.service; of `bind` and `backlog`, for rgunicorn@NAME.socket. The file has to belong \
    to root, and no other account may be able to write to it. Elsewhere, they cause a warning.";

/// All settings, in full.
fn settings() -> String {
    let mut group: Option<Group> = None;
    let mut pieces = Vec::new();
    for setting in SETTINGS {
        if group != Some(setting.group) {
            group = Some(setting.group);
            pieces.push(format!(".SH {}\n", setting.group.heading().to_uppercase()));
            if setting.group == Group::Units {
                pieces.push(format!("{}\n", prose(UNITS)));
            }
        }
        pieces.push(format!(".TP\n.B {}\n", setting.key));
        pieces.push(format!(
            "{}\n",
            setting
                .paragraphs()
                .iter()
                .map(|text| prose(text))
                .collect::<Vec<_>>()
                .join("\n.IP\n")
        ));
        let flag = match setting.flags {
            [] if !setting.is_argument() => "Not on the command line.".to_owned(),
            [] => format!("On the command line: {}.", setting.value_name),
            flags => format!(
                "On the command line: {}.",
                flags
                    .iter()
                    .map(|flag| format!("`{flag}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        let variable = setting
            .variable
            .map(|name| format!(" In the environment: `{name}`."));
        let elsewhere = flag + variable.as_deref().unwrap_or_default();
        let applies = match setting.applies {
            Applies::Reload => "",
            Applies::Restart => " A change needs a restart.",
            Applies::DaemonReload => {
                " A change needs \\fBsystemctl daemon\\-reload\\fR and a restart."
            }
        };
        let must = format!("It must be {}.", (setting.expects)());
        pieces.push(format!(
            ".IP\n{}\n{}\n{}{applies}\n",
            roff(&must),
            prose(&default(setting)),
            prose(&elsewhere)
        ));
    }
    pieces.concat().trim_end().to_owned()
}

/// The settings that become directives of the service.
fn unit_settings() -> String {
    let is_of_units = |setting: &&Setting| {
        setting.group == Group::Units || ["user", "group"].contains(&setting.key)
    };
    let of_units = SETTINGS.iter().filter(is_of_units);
    let names: Vec<_> = of_units
        .map(|setting| format!(".BR {}", setting.key))
        .collect();
    format!("{} .", names.join(" ,\n"))
}

/// Gunicorn's settings that have another name here.
fn renamed() -> String {
    let row = |(theirs, ours): &(&str, &str)| format!(".TP\n.B {theirs}\n.B {ours}\n");
    let rows: String = RENAMED.iter().map(row).collect();
    rows.trim_end().to_owned()
}

/// Gunicorn's settings that are not here although something else does the same.
fn instead() -> String {
    let row = |setting: &Unsupported| {
        let names = [&[setting.key], setting.flags].concat();
        let names = names.iter().filter(|name| !name.is_empty());
        let names: Vec<_> = names.map(|name| roff(name)).collect();
        let names = names.join("\\fR, \\fB");
        format!(".TP\n\\fB{names}\\fR\n{}.\n", prose(setting.instead))
    };
    let rows = UNSUPPORTED.iter();
    rows.map(row).collect::<String>().trim_end().to_owned()
}

/// Settings that only old versions of Gunicorn have.
fn former() -> String {
    let row = |former: &Former| {
        let names = [&[former.key], former.flags].concat();
        let names: Vec<_> = names.iter().map(|name| roff(name)).collect();
        let names = names.join("\\fR, \\fB");
        format!(".TP\n\\fB{names}\\fR\n{}.\n", prose(former.instead))
    };
    let rows: String = FORMER.iter().map(row).collect();
    rows.trim_end().to_owned()
}

/// Gunicorn's settings that are accepted and have no effect.
fn ignored() -> String {
    let names: Vec<_> = IGNORED.iter().map(|setting| setting.key).collect();
    format!("{}.", names.join(",\n"))
}

/// What becomes of each setting of Gunicorn, as a table.
fn gunicorn_settings() -> String {
    let row = |theirs: &Theirs| {
        let what = match support(theirs.key) {
            Some(Support::Setting(setting)) if setting.key == theirs.key => "is here".into(),
            Some(Support::Setting(setting)) => format!("is `{}`", setting.key),
            Some(Support::Option) => "is an option on the command line".into(),
            Some(Support::Hook) => "is called, see rgunicorn-from-gunicorn(7)".into(),
            Some(Support::Object) => "is read in a `gunicorn.conf.py`".into(),
            Some(Support::Ignored(ignored)) => format!("has no effect: {}", ignored.reason),
            Some(Support::Refused(refused)) => refused.advice(),
            None => panic!("{}", theirs.key),
        };
        format!(".TP 38\n.B {}\n{}\n", theirs.key, prose(&what))
    };
    let rows: String = THEIRS.iter().map(row).collect();
    format!(".PD 0\n{rows}.PD")
}

/// The entries of the catalog of messages, as `journalctl -x` shows them.
fn messages(catalog: &str) -> String {
    // A field of the entry, between the marks that journalctl replaces.
    let fields = |text: &str| -> String {
        let parts = text.split('@').enumerate();
        let part = |(number, part): (usize, &str)| match number % 2 {
            0 => roff(part),
            _ => format!("\\fI{}\\fR", roff(part)),
        };
        parts.map(part).collect()
    };
    let message = |entry: &str| {
        let (head, text) = entry.split_once("\n\n").unwrap();
        let id = head.lines().next().unwrap();
        let subject = head.lines().find_map(|line| line.strip_prefix("Subject: "));
        let subject = fields(subject.unwrap()).replace("\\fR", "\\fB");
        // The comment is the name of the next entry.
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let text = lines.collect::<Vec<_>>().join("\n");
        let paragraphs = text.trim().split("\n\n").map(|paragraph| {
            let indent = if paragraph.starts_with(' ') {
                ".IP\n"
            } else {
                ".PP\n"
            };
            let lines = paragraph.lines().map(|line| fields(line.trim()));
            indent.to_owned() + &lines.collect::<Vec<_>>().join("\n")
        });
        let paragraphs = paragraphs.collect::<Vec<_>>().join("\n");
        format!(".SS {subject}\nMESSAGE_ID={id}\n{paragraphs}\n")
    };
    let entries = catalog.split("\n-- ").skip(1);
    entries
        .map(message)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// Of the release, in the changelog of the Debian package.
fn date() -> String {
    let changelog = fs::read_to_string(root("packaging/debian/changelog")).unwrap();
    let trailer = changelog.lines().find(|line| line.starts_with(" -- "));
    let (_, date) = trailer.unwrap().rsplit_once(">  ").unwrap();
    let date = jiff::fmt::rfc2822::parse(date).unwrap();
    date.strftime("%Y-%m-%d").to_string()
}

/// Text in lines of comment.
fn comment(text: &str) -> String {
    const WIDTH: usize = 78;
    let mut lines = vec![String::from("#")];
    for word in text.replace('`', "").split_whitespace() {
        let last = lines.len() - 1;
        if lines[last].len() + 1 + word.len() > WIDTH {
            lines.push(format!("# {word}"));
        } else {
            lines[last] = format!("{} {word}", lines[last]);
        }
    }
    lines.join("\n") + "\n"
}

/// The line of the example that sets a setting.
fn assignment(setting: &Setting) -> String {
    match (setting.default)() {
        Some(value) if setting.example.is_empty() => format!("{} = {value}\n", setting.key),
        Some(_) | None => format!("{} = {}\n", setting.key, setting.example),
    }
}

/// The example configuration: all settings, of which only the first is set.
fn example() -> String {
    let mut pieces = vec![comment(
        "The settings of rgunicorn, with their defaults; see rgunicorn.toml(5). For the instance NAME of rgunicorn@.service this is /etc/rgunicorn/NAME.toml.",
    )];
    let mut group: Option<Group> = None;
    for setting in SETTINGS {
        if group != Some(setting.group) {
            group = Some(setting.group);
            pieces.push(format!("\n\n## {}\n", setting.group.heading()));
            if setting.group == Group::Units {
                pieces.push(format!("\n{}", comment(UNITS)));
            }
        }
        let has_example = !setting.example.is_empty();
        let default = if has_example {
            default(setting)
        } else {
            String::new()
        };
        pieces.push(format!(
            "\n{}",
            comment(&format!("{} {default}", setting.paragraphs().join(" ")))
        ));
        let mark = if setting.key == "app" { "" } else { "#" };
        pieces.push(format!("{mark}{}", assignment(setting)));
    }
    pieces.concat()
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Each file, as it is generated now.
fn generated() -> [(PathBuf, String); 9] {
    let catalog = fs::read_to_string(root("systemd/rgunicorn.catalog")).unwrap();
    let page = |name: &str, inserts: &[(&str, String)]| {
        let path = root("man").join(name);
        let prose = fs::read_to_string(root("man").join(format!("{name}.in"))).unwrap();
        let mut text = format!(
            ".\\\" Generated from {name}.in by pages.rs: change it there.\n{}",
            prose
                .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
                .replace("@DATE@", &date())
        );
        for (mark, insert) in inserts {
            assert!(text.contains(mark), "{mark} in {name}.in");
            text = text.replace(mark, insert);
        }
        (path, text)
    };
    [
        page("rgunicorn.1", &[("@OPTIONS@", options(&cli::command()))]),
        page("rgunicornctl.1", &[]),
        page("rgunicorn@.service.8", &[]),
        page("rgunicorn-metrics.8", &[]),
        page(
            "rgunicorn-generator.8",
            &[("@UNIT_SETTINGS@", unit_settings())],
        ),
        page(
            "rgunicorn-from-gunicorn.7",
            &[
                ("@RENAMED@", renamed()),
                ("@INSTEAD@", instead()),
                ("@IGNORED@", ignored()),
                ("@FORMER@", former()),
            ],
        ),
        page(
            "rgunicorn-messages.7",
            &[("@MESSAGES@", messages(&catalog))],
        ),
        page(
            "rgunicorn.toml.5",
            &[
                ("@SETTINGS@", settings()),
                ("@GUNICORN_SETTINGS@", gunicorn_settings()),
            ],
        ),
        (root("packaging/examples/rgunicorn.toml"), example()),
    ]
}

#[test]
fn the_committed_files_are_up_to_date() {
    for (path, text) in generated() {
        if env::var_os("UPDATE").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "{} is stale: run UPDATE=1 cargo test --test man_pages",
            path.display()
        );
    }
}

#[test]
fn the_example_is_a_valid_configuration_also_with_every_setting_set() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("example.toml");
    let all_set: String = SETTINGS.iter().map(assignment).collect();
    for text in [&example(), &all_set] {
        for setting in SETTINGS {
            assert!(text.contains(&assignment(setting)), "{}", setting.key);
        }
        // What it names need not be here.
        let missing = ["python =", "chdir =", "paste ="];
        let here = |line: &&str| !missing.iter().any(|key| line.starts_with(key));
        let text = text.lines().filter(here).collect::<Vec<_>>().join("\n");
        let text = text.replace("/srv/shop/gunicorn.conf.py", "gunicorn.conf.py");
        fs::write(folder.path().join("gunicorn.conf.py"), "").unwrap();
        fs::write(&file, text).unwrap();

        let words = ["rgunicorn", "-c", "example.toml"];
        let start = config::Start {
            directory: folder.path().to_owned(),
            ..config::Start::here()
        };
        let loaded = config::read(&cli::parse_from(words, start).unwrap().sources);
        let config = loaded.map(|loaded| loaded.provisional().clone());

        assert_eq!(
            config
                .map(|config| config.app.to_string())
                .map_err(|error| error.to_string()),
            Ok("shop:app".into())
        );
    }
}

#[test]
fn text_is_escaped_for_roff() {
    assert_eq!(roff(".5 - 'x\\y\""), "\\&.5 \\- \\(aqx\\ey\\(dq");
    assert_eq!(prose("as `a-b` says"), "as \\fBa\\-b\\fR says");
}

/// `man --warnings` and mandoc are two readers, of which each finds other mistakes.
#[test]
fn man_and_mandoc_find_no_mistake_in_a_page() {
    let pages = fs::read_dir(root("man")).unwrap();
    let pages = pages.map(|entry| entry.unwrap().path());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|it| it.len() == 1);
    let mut pages: Vec<_> = pages.filter(is_page).collect();
    pages.sort();
    assert!(pages.len() > 5, "{pages:?}");
    for page in pages {
        let mut man = Command::new("man");
        man.args(["--warnings", "--local-file"])
            .env("MAN_KEEP_STDERR", "1");
        let mut mandoc = Command::new("mandoc");
        mandoc.args(["-T", "lint", "-W", "warning"]);
        for reader in [&mut man, &mut mandoc] {
            let output = reader.env("LC_ALL", "C.UTF-8").arg(&page).output();
            let output = output.expect("tests/needs tests installs it");
            // man prints the page, mandoc what it finds.
            let found = if reader.get_program() == "man" {
                output.stderr
            } else {
                [output.stdout, output.stderr].concat()
            };
            assert_eq!(String::from_utf8_lossy(&found), "", "{}", page.display());
            assert!(output.status.success(), "{}", page.display());
        }
    }
}
