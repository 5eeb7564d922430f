//! What a site's code may do on its machine, and where it finds what it needs.

use crate::{lab::Lab, site::Site};

/// An application that answers each request with what `code`, the body of a
/// function, returns then.
fn answering(code: &str) -> String {
    let code = code.trim().replace('\n', "\n    ");
    format!(
        "import os, pathlib\n\
         def answer():\n\
         \x20   {code}\n\
         def app(environ, start_response):\n\
         \x20   start_response('200 OK', [('Content-Type', 'text/plain')])\n\
         \x20   return [str(answer()).encode()]\n"
    )
}

/// Makes the account that `user.conf` names.
#[track_caller]
fn make_account(lab: &Lab) {
    lab.write(
        "/etc/sysusers.d/shop.conf",
        "u shop - - /srv/shop\nm shop www-data\n",
    );
    lab.must("systemd-sysusers");
}

/// Whether the bytecode of its application is below that folder.
fn has_bytecode_in(site: Site<'_>, folder: &str) -> bool {
    let find = format!("find -L {folder} -path */srv/shop/app.*.pyc");
    !site.lab.must(&find).is_empty()
}

pub fn a_site_has_a_home_and_caches(lab: &Lab) {
    let app = answering(
        r#"
home = pathlib.Path.home()
(home / ".config").mkdir(exist_ok=True)
cache = pathlib.Path(os.environ["XDG_CACHE_HOME"])
(cache / "library").mkdir(exist_ok=True)
return home, cache
"#,
    );
    let site = lab.site("shop", &app).start();

    assert_eq!(
        site.text("/"),
        "(PosixPath('/var/lib/rgunicorn/shop'), PosixPath('/var/cache/rgunicorn/shop'))"
    );

    assert!(lab.has("/var/lib/rgunicorn/shop/.config"));
    assert!(lab.has("/var/cache/rgunicorn/shop/library"));
    assert!(has_bytecode_in(site, "/var/cache/rgunicorn/shop"));
}

pub fn a_site_has_the_directories_that_systemd_names(lab: &Lab) {
    let app = answering(
        r#"
found = []
for name in ["STATE", "CACHE", "LOGS", "RUNTIME"]:
    folder = pathlib.Path(os.environ[f"{name}_DIRECTORY"])
    (folder / "file").touch()
    found.append((str(folder), folder.owner(), oct(folder.stat().st_mode & 0o777)))
return found
"#,
    );
    let site = lab.site("shop", &app).start();

    let expected = ["/var/lib", "/var/cache", "/var/log", "/run"]
        .map(|parent| format!("('{parent}/rgunicorn/shop', 'rg-shop', '0o750')"));
    assert_eq!(site.text("/"), format!("[{}]", expected.join(", ")));
}

pub fn user_namespaces_are_a_drop_in(lab: &Lab) {
    let app = answering(
        r#"
import subprocess
sandbox = ["unshare", "--user", "--map-root-user", "--pid", "--net", "--fork", "chroot", "/", "id", "-u"]
return subprocess.run(sandbox, capture_output=True, text=True).stdout
"#,
    );
    let site = lab.site("shop", &app).start();
    assert_eq!(site.text("/"), "");

    site.example(&site.service(), "browsers.conf");
    lab.must(&format!("systemctl restart {}", site.service()));

    assert_eq!(site.text("/"), "0\n");
}

pub fn a_file_of_variables_reaches_settings_and_the_application(lab: &Lab) {
    let site = lab.site("shop", &answering("return os.environ['COLOUR']"));
    site.configure("env_file = \"/etc/rgunicorn/shop.env\"\n");
    let variables = "COLOUR=blue\nFORWARDED_ALLOW_IPS=192.0.2.7\n";
    lab.write("/etc/rgunicorn/shop.env", variables);
    lab.must("chmod 600 /etc/rgunicorn/shop.env");
    lab.must("systemctl daemon-reload");

    let site = site.start();

    assert_eq!(site.text("/"), "blue");
    let config = lab.must("rgunicornctl --instance shop config --json");
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let text = config.to_string();
    assert!(
        text.contains("192.0.2.7") && text.contains("$FORWARDED_ALLOW_IPS"),
        "{text}"
    );
}

pub fn a_drop_in_moves_the_bytecode(lab: &Lab) {
    let site = lab.site("shop", &answering("return 1"));
    site.drop_in("[Service]\nEnvironment=PYTHONPYCACHEPREFIX=/var/lib/rgunicorn/shop/bytecode\n");
    site.start();

    assert_eq!(site.text("/"), "1");
    assert!(has_bytecode_in(site, "/var/lib/rgunicorn/shop/bytecode"));
    assert!(!has_bytecode_in(site, "/var/cache/rgunicorn/shop"));
}

pub fn a_file_is_given_to_the_accounts_own_groups_only(lab: &Lab) {
    let app = answering(
        r#"
path = pathlib.Path(os.environ["STATE_DIRECTORY"]) / "file"
path.touch()
os.chown(path, -1, os.getgid())
os.chown(path, os.getuid(), os.getgid())
for user, group in [(0, -1), (-1, 0)]:
    try:
        os.chown(path, user, group)
    except PermissionError:
        continue
    return "it was given away"
return path.group() == path.owner()
"#,
    );
    let site = lab.site("shop", &app).start();

    assert_eq!(site.text("/"), "True");
}

pub fn an_account_that_exists_makes_setgid_directories(lab: &Lab) {
    make_account(lab);
    lab.must("install --directory --owner=shop --group=www-data --mode=2775 /srv/shop/media");
    // As Django does, with FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o2775.
    let app = answering(
        r#"
path = pathlib.Path("/srv/shop/media/uploads")
path.mkdir(exist_ok=True)
path.chmod(0o2775)
(path / "file").touch()
return oct(path.stat().st_mode), (path / "file").group()
"#,
    );
    let site = lab.site("shop", &app);
    site.example(&site.service(), "user.conf");
    site.example(&site.service(), "uploads.conf");
    site.start();

    assert_eq!(site.text("/"), "('0o42775', 'www-data')");
}

pub fn secrets_of_root_reach_the_application(lab: &Lab) {
    let app = answering(
        r#"
key = pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"]) / "secret_key"
return os.environ["PASSWORD"], key.read_text()
"#,
    );
    let site = lab.site("shop", &app);
    site.example(&site.service(), "secrets.conf");
    for number in [1, 2] {
        lab.write(
            "/etc/rgunicorn/shop.env",
            &format!("PASSWORD=word{number}\n"),
        );
        lab.write("/etc/rgunicorn/shop.secret_key", &format!("key{number}"));
        lab.must("chmod 600 /etc/rgunicorn/shop.env /etc/rgunicorn/shop.secret_key");

        lab.must(&format!("systemctl restart {}", site.service()));

        let expected = format!("('word{number}', 'key{number}')");
        assert_eq!(site.text("/"), expected);
        // A reload keeps them.
        site.reload();
        assert_eq!(site.text("/"), expected);
    }
}

pub fn a_configuration_for_one_group_is_read_at_every_reload(lab: &Lab) {
    lab.write("/etc/sysusers.d/shop.conf", "g shop-config - -\n");
    lab.must("systemd-sysusers");
    let site = lab.site("shop", &answering("return os.environ['NUMBER']"));
    site.drop_in("[Service]\nSupplementaryGroups=shop-config\n");
    for (number, command) in [(1, "start"), (2, "reload"), (3, "restart")] {
        site.configure(&format!("env = {{ NUMBER = \"{number}\" }}\n"));
        lab.must("chgrp shop-config /etc/rgunicorn/shop.toml");
        lab.must("chmod 640 /etc/rgunicorn/shop.toml");

        lab.must(&format!("systemctl {command} {}", site.service()));

        assert_eq!(site.text("/"), number.to_string());
    }

    lab.must("chmod 600 /etc/rgunicorn/shop.toml");
    let reload = lab.systemctl(&format!("reload {}", site.service()));

    assert_ne!(reload.status, Some(0), "{}", reload.output);
    site.wait_for_entry("the file and what is wrong with it", |entry| {
        let message = entry.message();
        message.contains("/etc/rgunicorn/shop.toml") && message.contains("Permission denied")
    });
    assert_eq!(site.text("/"), "3");
}
