use super::*;
use crate::config::{Group, SETTINGS};
use crate::units::{Site, WITHHELD};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Nobody else can write to the file and its folder, whatever the umask is.
fn write_owned(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, PermissionsExt::from_mode(0o644)).unwrap();
    fs::set_permissions(file.parent().unwrap(), PermissionsExt::from_mode(0o755)).unwrap();
}

/// The site of that name with that file.
fn site(name: &str, text: &str) -> Site {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("{name}.toml"));
    write_owned(&file, text);
    let owner = rustix::process::geteuid().as_raw();
    Site::read(&file, Manager::System, owner).unwrap().unwrap()
}

/// What is right in such a file, without the comment and the mark.
fn lines(name: &str, text: &str) -> (Vec<String>, Vec<String>) {
    let site = site(name, text);
    assert_eq!(site.problems, [] as [&str; 0], "{text}");
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::to_owned);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with('#') && !line.contains(MARK))
            .collect()
    };
    (lines(&site.drop_ins.service), lines(&site.drop_ins.socket))
}

#[test]
fn each_setting_is_a_line_of_its_unit() {
    let (service, socket) = lines(
        "shop",
        r#"
app = "shop:app"
chdir = "/srv/shop"
python = "/srv/my shop/venv/bin/python"
bind = ["127.0.0.1:8000", "unix:/run/shop.sock"]
backlog = 64
user = "shop"
group = "www-data"
env_file = ["/etc/rgunicorn/shop.env", "-/etc/100%.env"]
read_write_paths = ["/srv/shop/media", "-/srv/my files/100%"]
memory_high = "40%"
memory_max = "1G"
cpu_quota = "150%"
tasks_max = 512

[credentials]
secret_key = "/etc/rgunicorn/shop.%i.key"
"#,
    );

    assert_eq!(
        service,
        [
            "[Unit]",
            "RequiresMountsFor=\"/srv/shop\"",
            "RequiresMountsFor=\"/srv/my shop/venv/bin/python\"",
            "[Service]",
            "User=shop",
            "Group=www-data",
            "EnvironmentFile=/etc/rgunicorn/shop.env",
            "EnvironmentFile=-/etc/100%%.env",
            "LoadCredential=secret_key:/etc/rgunicorn/shop.%%i.key",
            "ReadWritePaths=\"/srv/shop/media\"",
            "ReadWritePaths=\"-/srv/my files/100%%\"",
            "MemoryHigh=40%",
            "MemoryMax=1G",
            "CPUQuota=150%",
            "TasksMax=512",
        ]
    );
    assert_eq!(
        socket,
        [
            "[Socket]",
            "ListenStream=127.0.0.1:8000",
            "ListenStream=/run/shop.sock",
            "Backlog=64",
        ]
    );
}

#[test]
fn units_that_need_nothing_get_nothing() {
    assert_eq!(
        site("shop", "app = \"shop:app\"").drop_ins,
        DropIns::default()
    );
}

#[test]
fn a_name_that_makes_no_account_gets_one_unless_the_file_names_another() {
    let (service, socket) = lines("shop.example", "");
    assert!(
        service[1].starts_with("User=rg_shop-example-"),
        "{service:?}"
    );
    assert_eq!((service.len(), socket.len()), (2, 0));

    // systemd would not make it, and with DynamicUser= refuse it.
    let (service, _) = lines("shop.example", "user = \"shop.example\"");
    assert_eq!(service[1..], ["User=shop.example", "DynamicUser=no"]);
    let (service, _) = lines("shop", "user = 1000");
    assert_eq!(service[1..], ["User=1000", "DynamicUser=no"]);
}

#[test]
fn what_is_right_in_a_file_with_mistakes_is_used() {
    let site = site("shop", "workers = 0\nmemory_max = \"1G\"\ntasks_max = 0\n");

    assert_eq!(site.problems.len(), 2, "{:?}", site.problems);
    assert!(site.drop_ins.service.contains("\nMemoryMax=1G\n"));
    assert!(!site.drop_ins.service.contains("TasksMax"));
}

#[test]
fn a_file_that_cannot_be_read_still_has_the_account_of_its_name() {
    let site = site("shop.example", "user = [");

    assert_eq!(site.problems.len(), 1, "{:?}", site.problems);
    assert!(site.drop_ins.service.contains("\nUser=rg_"));
}

#[test]
fn a_file_that_others_can_write_decides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.toml");
    let own = rustix::process::geteuid().as_raw();
    for (mode, owner, trusted) in [
        (0o644, own, true),
        (0o664, own, false),
        (0o646, own, false),
        (0o640, own, true),
    ] {
        for (text, is_told) in [("user = \"root\"", true), ("workers = 2", false)] {
            write_owned(&file, text);
            fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();

            let site = Site::read(&file, Manager::System, owner).unwrap().unwrap();

            let service = &site.drop_ins.service;
            let is_used = service.contains("User=root");
            assert_eq!(is_used, trusted && is_told, "{mode:o} {text}");
            // Nor is it started in another account than the one that it names.
            let is_withheld = service.contains(WITHHELD);
            assert_eq!(is_withheld, !trusted && is_told, "{mode:o} {text}");
            assert_eq!(service.is_empty(), !is_told);
            assert_eq!(site.drop_ins.socket, "");
            let told = site
                .problems
                .iter()
                .any(|line| line.contains("can write to it"));
            assert_eq!(told, !trusted && is_told, "{:?}", site.problems);
        }
    }
}

#[test]
fn a_user_cannot_change_the_account_of_a_user_s_unit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.toml");
    write_owned(&file, "user = \"root\"\nmemory_max = \"1G\"");
    let owner = rustix::process::geteuid().as_raw();

    let site = Site::read(&file, Manager::User, owner).unwrap().unwrap();

    assert!(!site.drop_ins.service.contains("User="), "{site:?}");
    assert!(site.drop_ins.service.contains("MemoryMax=1G"), "{site:?}");
    assert!(site.problems[0].contains("user: a unit of a user's manager"));
}

/// Reads a value of these directives as systemd does: `%%` is `%`, any other
/// specifier something else. Words in double quotes are separated by white space.
fn read_back(value: &str, is_list: bool) -> Option<String> {
    let value = if is_list {
        value.strip_prefix('"')?.strip_suffix('"')?
    } else {
        value.trim()
    };
    if value.contains(['"', '\'', '\\']) {
        return None;
    }
    let mut text = String::new();
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        if letter == '%' && letters.next() != Some('%') {
            return None;
        }
        text.push(letter);
    }
    Some(text)
}

/// Text that could mean something to systemd, and any other.
fn nasty() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\\\n".to_owned()),
        Just("\\".to_owned()),
        Just("\nUser=root\n".to_owned()),
        Just("\n[Service]\nExecStartPre=/bin/x\n".to_owned()),
        Just("%i".to_owned()),
        Just("%".to_owned()),
        Just("%%".to_owned()),
        Just("$HOME".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just(" ".to_owned()),
        Just(";".to_owned()),
        Just("#".to_owned()),
        Just(":".to_owned()),
        Just("/..".to_owned()),
        Just("\u{2028}".to_owned()),
        "[a-z/]{1,4}",
        "\\PC{0,3}",
    ];
    let start = prop_oneof![Just(""), Just("/"), Just("-/"), Just("/srv/")];
    (start, prop::collection::vec(parts, 0..5))
        .prop_map(|(start, parts)| start.to_owned() + &parts.concat())
}

proptest! {
    #[test]
    fn no_value_adds_a_line_or_means_anything_else(
        texts in prop::collection::vec(nasty(), 12),
        name in "[a-z.@_\\\\-]{1,40}",
        has_account in any::<bool>(),
    ) {
        // A comma would make several addresses of one.
        let texts: Vec<String> = texts.iter().map(|text| text.replace(',', "")).collect();
        let value = |at: usize| toml::Value::from(texts[at].clone());
        let list = |at: usize| toml::Value::from(vec![texts[at].clone()]);
        let mut table = toml::Table::new();
        for (key, value) in [
            ("user", value(0)),
            ("group", value(1)),
            ("env_file", list(2)),
            ("read_write_paths", list(3)),
            ("memory_high", value(4)),
            ("memory_max", value(5)),
            ("cpu_quota", value(6)),
            ("tasks_max", value(7)),
            ("chdir", value(8)),
            ("python", value(9)),
            ("bind", toml::Value::from(format!("unix:{}", texts[10]))),
            ("credentials", toml::Table::from_iter([("key".to_owned(), value(11))]).into()),
        ] {
            table.insert(key.to_owned(), value);
        }
        prop_assert!(SETTINGS.iter().filter(|row| row.group == Group::Units).all(|row| table.contains_key(row.key)));
        if !has_account {
            // With a wrong one, nothing else of the file is used.
            table.remove("user");
            table.remove("group");
        }
        let site = site(&format!("a{name}"), &table.to_string());

        for text in [&site.drop_ins.service, &site.drop_ins.socket] {
            for line in text.lines() {
                prop_assert!(!line.ends_with('\\') && !line.contains(char::is_control), "{line:?}");
                if line.is_empty() || line.starts_with("# ") || ["[Unit]", "[Service]", "[Socket]"].contains(&line) {
                    continue;
                }
                let (directive, value) = line.split_once('=').unwrap();
                // What is not the value that was given, read as systemd reads it, is one
                // that cannot be anything else.
                let (is_list, at) = match directive {
                    "User" if value.starts_with("rg_") => continue,
                    "StateDirectory" | "CacheDirectory" | "LogsDirectory" | "RuntimeDirectory" => {
                        prop_assert_eq!(value, "");
                        continue;
                    }
                    "Environment" if value.starts_with(&format!("\"{WITHHELD}=/")) => {
                        let path = value.replace(r"\\", "/");
                        prop_assert!(read_back(&path, true).is_some(), "{line}");
                        continue;
                    }
                    "User" => (false, 0),
                    "Group" => (false, 1),
                    "EnvironmentFile" => (false, 2),
                    "ReadWritePaths" => (true, 3),
                    "MemoryHigh" | "MemoryMax" | "CPUQuota" | "TasksMax" | "DynamicUser" | "Environment" => {
                        prop_assert!(value.chars().all(|c| c.is_ascii_alphanumeric() || "%=_".contains(c)), "{line}");
                        continue;
                    }
                    "RequiresMountsFor" => {
                        let path = read_back(value, true).unwrap();
                        prop_assert!(texts[8] == path || texts[9] == path, "{line}");
                        continue;
                    }
                    "ListenStream" => (false, 10),
                    "LoadCredential" => {
                        let path = value.strip_prefix("key:").unwrap();
                        prop_assert_eq!(read_back(path, false), Some(texts[11].clone()));
                        continue;
                    }
                    other => return Err(TestCaseError::fail(format!("an unknown directive {other}"))),
                };
                let given = match directive {
                    "ListenStream" => {
                        let address = texts[at].trim();
                        address.strip_prefix("//").unwrap_or(address).to_owned()
                    }
                    _ => texts[at].clone(),
                };
                prop_assert_eq!(read_back(value, is_list), Some(given), "{}", line);
            }
        }
    }
}

#[test]
fn a_site_whose_account_is_not_known_makes_nothing_and_does_not_start() {
    let mistakes: Vec<_> = (0..1001).map(|n| format!("x{n} = 1")).collect();
    let mistakes = mistakes.join("\n");
    for text in [
        "user = [\n",
        "user = true\nmemory_max = \"1G\"\n",
        "usr = \"shop\"\n",
        "group = \"\"\n",
        "\u{0}",
        // Below the name of a table, and so a part of that.
        "[env]\nA = \"1\"\nuser = \"shop\"\n",
        "[credentials]\nuser = \"shop\"\n",
        "[gunicorn]\nuser = \"shop\"\n",
        "[[tool.gunicorn]]\ngroup = \"shop\"\n",
        // Ignored where it is no table.
        "[raw_paste_global_conf]\nuser = \"shop\"\n",
        &format!("{mistakes}\nuser = \"shop\"\n"),
    ] {
        let site = site(r"a\x2db", text);

        let service = &site.drop_ins.service;
        for line in [
            "StateDirectory=",
            "CacheDirectory=",
            "LogsDirectory=",
            "RuntimeDirectory=",
        ] {
            assert!(service.lines().any(|each| each == line), "{service}");
        }
        let variable = service
            .lines()
            .find(|line| line.starts_with("Environment="));
        let variable = variable.unwrap();
        assert!(variable.starts_with("Environment=\"RGUNICORN_UNIT_WITHHELD=/"));
        assert!(variable.ends_with("/a\\\\x2db.toml\""), "{variable}");
        // As without a file, so that it gets as far as saying why it does not start.
        assert!(service.contains("\nUser=rg_a-x2db-"), "{service}");
        assert_eq!(site.drop_ins.socket, "");
        assert!(
            site.problems[0].contains("the site does not start until"),
            "{:?}",
            site.problems
        );
    }
    // Mistakes that are not about the account.
    for text in [
        "user = \"shop\"\nmemory_max = 0\n",
        "user = \"shop\"\n[env]\nA = 1\n",
        "user = \"shop\"\nx = 1\n[credentials]\nuser = \"/etc/shop.user\"\n",
    ] {
        let site = site("shop", text);
        assert_eq!(site.problems.len(), 1, "{:?}", site.problems);
        assert!(site.drop_ins.service.contains("\nUser=shop\n"), "{text}");
        assert!(!site.drop_ins.service.contains("StateDirectory="), "{text}");
    }
}

#[test]
fn the_socket_of_a_site_that_may_not_start_is_as_far_as_it_can_be_read() {
    const REMEDY: &str = "`systemctl restart rgunicorn@shop.socket`";
    let socket = "bind = [\"127.0.0.1:8000\", \"fd://3\"]\nbacklog = 64\n";
    let withheld = site("shop", &format!("user = true\n{socket}"));

    let started = site("shop", socket);
    assert!(started.drop_ins.socket.contains("\nBacklog=64\n"));
    assert_eq!(withheld.drop_ins.socket, started.drop_ins.socket);
    assert!(withheld.drop_ins.service.contains(WITHHELD));
    // The account, and the address that no unit can have.
    assert_eq!(withheld.problems.len(), 2, "{:?}", withheld.problems);
    assert!(
        !withheld.problems[0].contains(REMEDY),
        "{:?}",
        withheld.problems
    );

    // Nothing can be read, so the administrator has to know.
    let withheld = site("shop", "user = [\n");
    assert_eq!(withheld.drop_ins.socket, "");
    assert!(
        withheld.problems[0].contains(REMEDY),
        "{:?}",
        withheld.problems
    );
}
