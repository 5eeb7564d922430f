//! HAProxy in front of two servers, configured by the example that we ship.

use super::{
    client::{Address, Connection},
    files::{Folder, source},
    sockets::free_port,
    wait::wait_until,
};
use std::{
    collections::BTreeMap,
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

pub struct Haproxy {
    child: Child,
    folder: Folder,
    address: Address,
    stats: Address,
}

/// One line of its statistics, by the names of the columns.
type Row = BTreeMap<String, String>;

impl Haproxy {
    /// Starts it, with the servers in the places of those in the example.
    #[track_caller]
    pub fn start(servers: [&Address; 2]) -> Self {
        let folder = Folder::new();
        let [port, stats_port] = [free_port(), free_port()];
        let example = fs::read_to_string(source("packaging/examples/haproxy.cfg")).unwrap();
        let [one, two] = servers.map(|address| match address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(_) => panic!("the example has TCP ports"),
        });
        let bind = format!("bind 127.0.0.1:{port}");
        let mut configuration = example;
        for (from, to) in [
            ("bind :80", bind.as_str()),
            ("192.0.2.11:8000", &one),
            ("192.0.2.12:8000", &two),
            // Only so that the test does not take so long.
            ("inter 1s", "inter 200ms"),
        ] {
            assert_eq!(configuration.matches(from).count(), 1, "{from}");
            configuration = configuration.replace(from, to);
        }
        let stats = format!("bind 127.0.0.1:{stats_port}\n    stats enable\n    stats uri /");
        let configuration = format!("{configuration}\nfrontend stats\n    {stats}\n");
        folder.write("haproxy.cfg", &configuration);
        let log = fs::File::create(folder.join("log")).unwrap();
        let (program, libraries) = program();
        let child = Command::new(program)
            .args(["-db", "-f"])
            .arg(folder.join("haproxy.cfg"))
            .env("LD_LIBRARY_PATH", libraries)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let local = |port| Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let mut haproxy = Self {
            child,
            folder,
            address: local(port),
            stats: local(stats_port),
        };
        wait_until("HAProxy answers", || {
            let ended = haproxy.child.try_wait().unwrap();
            assert_eq!(ended, None, "{}", haproxy.folder.read("log"));
            Connection::open(&haproxy.stats).is_ok()
        });
        haproxy
    }

    /// Where it is a server itself.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its statistics of this server, or of the `BACKEND`.
    #[track_caller]
    pub fn row(&self, name: &str) -> Row {
        let mut connection = Connection::open(&self.stats).unwrap();
        let request = "GET /;csv HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let table = connection.send(request).receive().text();
        let mut lines = table.trim_start_matches("# ").lines();
        let names: Vec<_> = lines
            .next()
            .unwrap()
            .split(',')
            .map(str::to_owned)
            .collect();
        lines
            .map(|line| {
                let values = line.split(',').map(str::to_owned);
                names.iter().cloned().zip(values).collect::<Row>()
            })
            .find(|row| row["pxname"] == "shop" && row["svname"] == name)
            .unwrap_or_else(|| panic!("no {name} in {table}"))
    }

    #[track_caller]
    pub fn wait_until_up(&self, name: &str) {
        wait_until(&format!("{name} is up"), || {
            self.row(name)["status"].starts_with("UP")
        });
    }

    /// Waits until it gives this server no requests, and all that it gave are answered.
    #[track_caller]
    pub fn wait_until_drained(&self, name: &str) {
        wait_until(&format!("{name} is down"), || {
            let row = self.row(name);
            row["status"].starts_with("DOWN") && row["scur"] == "0"
        });
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, and the folder with libraries of it that are not installed.
fn program() -> (PathBuf, PathBuf) {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("haproxy"))
        .find(|program| program.exists());
    if let Some(program) = installed {
        return (program, PathBuf::new());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("haproxy");
    let status = Command::new(source("tests/setup-haproxy"))
        .arg(&folder)
        .status()
        .unwrap();
    assert!(status.success(), "tests/setup-haproxy: {status}");
    let libraries = libraries(&folder);
    (folder.join("usr/sbin/haproxy"), libraries)
}

/// `usr/lib/TRIPLET`.
fn libraries(folder: &Path) -> PathBuf {
    let entries = fs::read_dir(folder.join("usr/lib")).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("-linux-"))
        .unwrap_or_default()
}
