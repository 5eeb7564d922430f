//! The wheel: what `pip install` makes of it in a virtual environment.

use super::interpreters::interpreters;
use crate::{
    compare,
    harness::{
        Server,
        files::{Folder, source},
        program::{RGUNICORN, isolate},
    },
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// What a command prints; it must succeed.
#[track_caller]
fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The programs that all stories use, as a wheel in `folder`.
fn make_wheel(folder: &Path) -> PathBuf {
    let built = Path::new(RGUNICORN).parent().unwrap();
    let wheel = output_of(
        Command::new(source("packaging/wheel"))
            .env("CARGO_TARGET_DIR", folder)
            .env("PROFILE", built.file_name().unwrap())
            .arg("--built")
            .arg(built.parent().unwrap()),
    );
    PathBuf::from(wheel.trim())
}

fn wheel() -> &'static Path {
    static WHEEL: OnceLock<PathBuf> = OnceLock::new();
    WHEEL.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheel");
        make_wheel(&folder)
    })
}

/// A virtual environment in a folder of its own.
struct Venv(Folder);

impl Venv {
    fn of(python: &Path) -> Self {
        let venv = Self(Folder::new());
        output_of(
            Command::new(python)
                .args(["-m", "venv", "--without-pip"])
                .arg(venv.path("")),
        );
        venv
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join("venv").join(name)
    }

    /// With the pip of another environment: to install one takes long.
    #[track_caller]
    fn pip(&self, words: &[&str]) {
        let mut pip = Command::new(compare::venv().join("bin/pip"));
        isolate(&mut pip, self.0.path());
        pip.arg("--disable-pip-version-check")
            .arg("--python")
            .arg(self.path("bin/python"));
        output_of(pip.args(words));
    }

    fn install(&self) {
        self.pip(&["install", "--no-index", wheel().to_str().unwrap()]);
    }

    /// The modules of another environment, in this one, too.
    fn lend(&self, other: &Path) {
        let modules = |venv: &Path| {
            let library = fs::read_dir(venv.join("lib")).unwrap().next().unwrap();
            library.unwrap().path().join("site-packages")
        };
        let line = modules(other);
        let file = modules(&self.path("")).join("lent.pth");
        fs::write(file, line.to_str().unwrap()).unwrap();
    }

    /// The paths of all that is in it.
    fn contents(&self) -> Vec<String> {
        let all = output_of(Command::new("find").arg(self.path("")));
        let mut all: Vec<String> = all.lines().map(str::to_owned).collect();
        all.sort();
        all
    }
}

#[test]
fn a_wheel_in_any_python_serves_its_environment_and_leaves_nothing_behind() {
    for python in interpreters() {
        let venv = Venv::of(&python);
        let before = venv.contents();
        venv.install();
        venv.pip(&["check"]);

        let server = Server::running("state:app")
            .program(venv.path("bin/rgunicorn"))
            .start();
        let state = server.get("/").json();
        assert_eq!(
            state["prefix"],
            venv.path("").to_str().unwrap().trim_end_matches('/')
        );
        server.reload();
        assert_eq!(server.get("/").json()["prefix"], state["prefix"]);
        assert_eq!(server.stop(), 0);

        drop(server);
        venv.pip(&["uninstall", "--yes", "rgunicorn"]);
        assert_eq!(venv.contents(), before);
    }
}

#[test]
fn a_flask_application_of_the_environment_is_served_and_controlled() {
    let venv = Venv::of(Path::new("python3"));
    venv.install();
    venv.lend(compare::venv());
    let shop = fs::read_to_string(source("tests/apps/sites/flask_shop.py")).unwrap();

    let server = Server::running("flask_shop:app")
        .file("flask_shop.py", &shop)
        .program(venv.path("bin/rgunicorn"))
        .start();

    assert_eq!(server.get("/?name=you").text(), "<h1>Hello, you!</h1>");
    let mut ctl = Command::new(venv.path("bin/rgunicornctl"));
    isolate(&mut ctl, server.folder());
    ctl.env("RUNTIME_DIRECTORY", server.folder().join("run"));
    output_of(ctl.arg("reload"));
    server.wait_for_log("generation 2 serves");
    assert_eq!(server.get("/?name=you").text(), "<h1>Hello, you!</h1>");
}

/// It becomes the server's master: nothing of it stays in between.
#[test]
fn a_script_of_the_environment_serves_its_own_application_and_so_does_its_python() {
    const SCRIPT: &str = "
import sys
from rgunicorn.app.base import BaseApplication
class Shop(BaseApplication):
    def load_config(self):
        self.cfg.set('workers', 1)
    def load(self):
        def app(environ, start_response):
            start_response('200 OK', [])
            return [' '.join([sys.prefix, *sys.argv[1:]]).encode()]
        return app
Shop().run()
";
    let venv = Venv::of(Path::new("python3"));
    venv.install();
    let prefix = venv.path("").display().to_string();
    let prefix = prefix.trim_end_matches('/');

    let server = Server::typed("serve.py")
        .argument("--site=a")
        .file("serve.py", SCRIPT)
        .program(venv.path("bin/python"))
        .start();
    assert_eq!(server.get("/").text(), format!("{prefix} --site=a"));
    server.reload();
    assert_eq!(server.get("/").text(), format!("{prefix} --site=a"));

    let server = Server::typed("-m")
        .argument("rgunicorn")
        .argument("state:app")
        .program(venv.path("bin/python"))
        .start();
    assert_eq!(server.get("/").json()["prefix"], prefix);
}

/// As `pserve` does it.
#[test]
fn a_server_section_of_paste_deploy_starts_it_with_its_settings() {
    const INI: &str = "
[app:main]
paste.app_factory = serve:make
[server:main]
use = egg:rgunicorn#main
workers = 2
threads = 3
";
    const SCRIPT: &str = "
import os, sys
def make(global_conf, **local):
    def app(environ, start_response):
        start_response('200 OK', [])
        return [str(environ['wsgi.multithread']).encode()]
    return app
if __name__ == '__main__':
    from paste.deploy import loadapp, loadserver
    uri = 'config:' + os.path.abspath(sys.argv[1])
    loadserver(uri)(loadapp(uri))
";
    let venv = Venv::of(Path::new("python3"));
    venv.install();
    venv.lend(compare::venv());

    let server = Server::typed("serve.py")
        .argument("shop.ini")
        .file("serve.py", SCRIPT)
        .file("shop.ini", INI)
        .program(venv.path("bin/python"))
        .start();

    server.wait_for_workers(2);
    assert_eq!(server.get("/").text(), "True");
}

/// As in `/srv/shop/current/venv`, where `current` is a link to a release.
#[test]
fn a_link_in_the_path_of_the_environment_is_followed_anew_by_a_reload() {
    let (one, other) = (
        Venv::of(Path::new("python3")),
        Venv::of(Path::new("python3")),
    );
    one.install();
    let server = Server::running("state:app");
    let link = PathBuf::from(server.path("current"));
    std::os::unix::fs::symlink(one.path(""), &link).unwrap();
    let server = server.program(link.join("bin/rgunicorn")).start();
    let prefix = link.to_str().unwrap();
    assert_eq!(server.get("/").json()["prefix"], prefix);
    one.lend(other.path("").as_path());

    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(other.path(""), &link).unwrap();
    fs::write(other.path("mark"), "").unwrap();
    server.write(
        "state.py",
        "import os, sys\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    \
         return [str(os.path.exists(sys.prefix + '/mark')).encode()]\n",
    );
    server.reload();

    assert_eq!(server.get("/").text(), "True");
}

#[test]
fn the_package_can_be_imported_outside_a_worker() {
    let venv = Venv::of(Path::new("python3"));
    venv.install();

    let code =
        "import rgunicorn._worker; print(rgunicorn.__version__, rgunicorn._worker.__version__)";
    let mut python = Command::new(venv.path("bin/python"));
    isolate(&mut python, venv.0.path());
    let printed = output_of(python.args(["-c", code]));

    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(printed, format!("{version} {version}\n"));
}

#[test]
fn the_tag_of_the_wheel_is_what_auditwheel_finds() {
    let name = wheel().file_name().unwrap().to_str().unwrap();
    let tag = name.trim_end_matches(".whl").rsplit('-').next().unwrap();

    let told = output_of(
        Command::new(compare::venv().join("bin/auditwheel"))
            .arg("show")
            .arg(wheel()),
    );

    let told: Vec<_> = told.split_whitespace().collect();
    let told = told.join(" ");
    let finds = format!("consistent with the following platform tag: \"{tag}\".");
    assert!(told.contains(&finds), "{tag}: {told}");
}

#[test]
fn a_wheel_lists_what_it_contains_with_the_right_sums() {
    let code = "
import base64, csv, hashlib, io, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
name = next(name for name in wheel.namelist() if name.endswith('.dist-info/RECORD'))
rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(wheel.read(name).decode()))}
assert sorted(rows) == sorted(wheel.namelist()), rows
for file, (sum, size) in rows.items():
    if file != name:
        data = wheel.read(file)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()
        assert (sum, size) == ('sha256=' + digest, str(len(data))), file
print(len(rows))
";
    let count = output_of(Command::new("python3").args(["-c", code]).arg(wheel()));

    assert!(count.trim().parse::<u32>().unwrap() > 10, "{count}");
}

#[test]
fn the_same_programs_give_the_same_wheel() {
    let folder = Folder::new();

    let again = make_wheel(folder.path());

    assert_eq!(again.file_name(), wheel().file_name());
    assert!(fs::read(again).unwrap() == fs::read(wheel()).unwrap());
}
