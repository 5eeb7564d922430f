//! What a container needs: the duties of PID 1, `PORT`, and the files that describe it.

use crate::harness::{
    Connection, Program, Server,
    client::Address,
    files::{Folder, source},
    processes::{self, Pid, pid_of},
    program::{RGUNICORN, isolate},
    sockets::free_port,
    wait_until,
};
use nix::sys::signal::Signal;
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};
use yaml_rust2::{Yaml, YamlLoader};

/// Says as which user it runs. `/orphan` leaves a process behind whose parents are gone, and which ends at once.
const APP: &str = "\
import os, time

def app(environ, start_response):
    if environ['PATH_INFO'] == '/orphan':
        if os.fork() == 0:
            if os.fork() == 0:
                while os.getppid() != 1:
                    time.sleep(0.01)
                open('orphan', 'w').write('gone')
            os._exit(0)
        os.wait()
    body = str(os.getuid())
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body.encode()]
";

/// Makes a root from the image's files ($1) over those of this machine, which stand for the
/// base image, and starts what `packaging/Containerfile` starts, as it does: not as root,
/// and as PID 1. Only /tmp and the application's folder ($2) can be written to.
const START: &str = r#"
image=$1 application=$2 root=$3 port=$4
mount -t tmpfs tmpfs "$root"
cd "$root"
mkdir usr proc dev tmp srv srv/app before
ln -s usr/bin usr/sbin usr/lib usr/lib64 .
mount -t overlay overlay -o "lowerdir=$image/usr:/usr" usr
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs tmp
mount --bind "$application" srv/app
# Not chroot: a process in one can have no namespace of its own for users.
pivot_root . before
cd /
umount -l before
rmdir before
mount -o remount,ro /
exec unshare --user --map-user=65532 --map-group=65532 --wd=/srv/app \
    env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PORT="$port" \
    rgunicorn --workers 2 shop:app
"#;

/// A server in a container, as far as one can be had without an engine for these.
struct Container {
    unshare: Child,
    folder: Folder,
    address: Address,
}

impl Container {
    fn start() -> Self {
        let folder = Folder::new();
        folder.write("application/shop.py", APP);
        folder.write("root/empty", "");
        let image = folder.join("image");
        let build = Path::new(RGUNICORN).parent().unwrap();
        let files = Command::new(source("packaging/container-files"))
            .env("DESTDIR", &image)
            .env("PROFILE", build.file_name().unwrap())
            .env("CARGO_TARGET_DIR", build.parent().unwrap())
            .status()
            .unwrap();
        assert!(files.success());
        let port = free_port();
        let log = File::create(folder.join("log")).unwrap();
        let mut command = Command::new("unshare");
        isolate(&mut command, folder.path());
        let unshare = command
            .args(["--user", "--map-root-user", "--mount", "--pid", "--fork"])
            .args(["--kill-child", "--", "sh", "-euc", START, "sh"])
            .args([image, folder.join("application"), folder.join("root")])
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut container = Self {
            unshare,
            folder,
            address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        };
        wait_until("the container answers", || {
            let ended = container.unshare.try_wait().unwrap();
            assert_eq!(ended, None, "{}", container.folder.read("log"));
            Connection::open(&container.address).is_ok()
        });
        container
    }

    /// Its PID 1, as this namespace sees it.
    fn master(&self) -> Pid {
        let children = processes::children(pid_of(&self.unshare));
        *children.first().expect("unshare has a child")
    }

    fn get(&self, path: &str) -> u16 {
        Connection::open(&self.address).unwrap().get(path).status
    }

    fn text(&self, path: &str) -> String {
        Connection::open(&self.address).unwrap().get(path).text()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("==== the log\n{}\n====", self.folder.read("log"));
        }
        // With it ends all of the namespace. It may have ended by itself.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

#[test]
fn as_pid_1_the_master_reaps_what_others_left_and_stops_when_told() {
    let mut container = Container::start();
    let master = container.master();
    assert_eq!(container.text("/"), "65532");
    wait_until("both workers serve", || {
        processes::children(master).len() == 3
    });
    let before = processes::children(master);

    assert_eq!(container.get("/orphan"), 200);

    wait_until("the orphan ends", || {
        container.folder.read("application/orphan") == "gone"
    });
    wait_until("it is reaped", || {
        processes::children(master) == before && processes::zombies(master).is_empty()
    });
    processes::signal(master, Signal::SIGTERM);
    let status = container.unshare.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{}", container.folder.read("log"));
}

#[test]
fn the_image_has_the_licences_of_rgunicorn_and_of_the_crates_in_it() {
    let container = Container::start();
    let folder = "image/usr/share/doc/rgunicorn";

    let crates = (container.folder).read(&format!("{folder}/LICENSES-OF-CRATES"));
    assert!(crates.contains("Files: vendor/httparse/"), "{crates}");
    assert!(crates.contains("The text is in LICENSE-APACHE, beside this file."));
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        assert!(container.folder.join(folder).join(name).exists(), "{name}");
    }
}

#[test]
fn the_variable_port_is_bound_on_all_addresses_if_nothing_else_is_given() {
    let port = free_port();
    let server = Server::typed("hello:app")
        .env("PORT", &port.to_string())
        .bound_to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .start();

    assert_eq!(server.get("/").status, 200);
    server.wait_for_log(&format!("Listening on 0.0.0.0:{port} "));
}

#[test]
fn bind_and_sockets_of_systemd_are_stronger_than_the_variable_port() {
    // Nobody else can bind it.
    let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();

    let bound = Server::running("hello:app").binding_a_port();
    assert_eq!(bound.env("PORT", &port).start().get("/").status, 200);

    let passed = Server::running("hello:app").env("PORT", &port).start();
    assert_eq!(passed.get("/").status, 200);
    assert_eq!(passed.log_count("bind is ignored"), 0);
}

#[test]
fn a_variable_port_that_is_no_port_is_refused_by_name() {
    let mut program = Program::rgunicorn(&["--print-config", "hello:app"]);
    program = program.env("PORT", "http");

    let outcome = program.run();

    assert_eq!(outcome.status, 78, "{outcome:?}");
    let text = "bind (from $PORT): must be a port between 1 and 65535, not \"http\"";
    assert!(outcome.stderr.contains(text), "{outcome:?}");
}

/// Of a document in YAML; `path` has keys, and numbers for places in lists.
fn at<'a>(document: &'a Yaml, path: &str) -> &'a Yaml {
    path.split('/')
        .fold(document, |yaml, word| match word.parse::<usize>() {
            Ok(place) => &yaml[place],
            Err(_) => &yaml[word],
        })
}

#[track_caller]
fn number(document: &Yaml, path: &str) -> i64 {
    let value = at(document, path);
    value
        .as_i64()
        .unwrap_or_else(|| panic!("{path}: {value:?}"))
}

#[test]
fn the_numbers_of_the_example_for_kubernetes_fit_together() {
    let text = fs::read_to_string(source("packaging/examples/kubernetes.yaml")).unwrap();
    let documents = YamlLoader::load_from_str(&text).unwrap();
    let [deployment, service] = documents.as_slice() else {
        panic!("{documents:?}")
    };
    let pod = at(deployment, "spec/template/spec");
    let container = at(pod, "containers/0");
    let arguments: Vec<_> = (at(container, "args").as_vec().unwrap().iter())
        .map(|argument| argument.as_str().unwrap())
        .collect();
    let flag = |name: &str| {
        let value = arguments.iter().find_map(|it| it.strip_prefix(name));
        value.unwrap_or_else(|| panic!("no {name}"))
    };
    let seconds = |name: &str| flag(name).parse::<i64>().unwrap();
    let (drain, graceful) = (seconds("--drain-time="), seconds("--graceful-timeout="));

    let grace = number(pod, "terminationGracePeriodSeconds");
    assert!(grace > drain + graceful);
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let path = at(container, probe).clone();
        assert_eq!(
            at(&path, "httpGet/path").as_str(),
            Some(flag("--health-path="))
        );
        assert_eq!(at(&path, "httpGet/port"), at(container, "ports/0/name"));
    }
    let ready = at(container, "readinessProbe");
    assert!(number(ready, "periodSeconds") * number(ready, "failureThreshold") < drain);
    let start = at(container, "startupProbe");
    let boot = number(start, "periodSeconds") * number(start, "failureThreshold");
    let printed = Program::rgunicorn(&[&["--print-config"], arguments.as_slice()].concat()).run();
    assert_eq!(printed.status, 0, "{printed:?}");
    let default = format!("boot_timeout = {boot}");
    assert!(
        printed.stdout.lines().any(|line| line == default),
        "{printed:?}"
    );
    // The image's PORT.
    let port = number(container, "ports/0/containerPort");
    let image = fs::read_to_string(source("packaging/Containerfile")).unwrap();
    assert!(image.contains(&format!(" PORT={port}\n")));
    assert_eq!(
        at(service, "spec/selector"),
        at(deployment, "spec/selector/matchLabels")
    );
}

#[test]
fn the_quadlet_gives_requests_the_time_that_rgunicorn_gives_them() {
    let quadlet = fs::read_to_string(source("packaging/examples/shop.container")).unwrap();
    let after = |name: &str| {
        let rest = quadlet
            .split(name)
            .nth(1)
            .unwrap_or_else(|| panic!("no {name}"));
        let digits = rest
            .trim_start()
            .split(|it: char| !it.is_ascii_digit())
            .next();
        digits.unwrap().parse::<u32>().unwrap()
    };

    let stop = after("\nPodmanArgs=--stop-timeout=");
    assert!(after(" --graceful-timeout ") < stop);
    assert!(stop < after("\nTimeoutStopSec="));
    // boot_timeout.
    assert!(after("\nTimeoutStartSec=") > 300);
}
