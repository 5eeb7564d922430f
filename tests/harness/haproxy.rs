//! HAProxy in front of two servers, configured by the example that we ship.

use super::{
    client::{Address, Connection},
    debian, example,
    files::Folder,
    sockets::free_port,
    wait::wait_until,
};
use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Stdio},
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
        Self::with(servers, "")
    }

    /// The same, with more words behind `default-server`.
    #[track_caller]
    pub fn with(servers: [&Address; 2], words: &str) -> Self {
        let folder = Folder::new();
        let [port, stats_port] = [free_port(), free_port()];
        let [one, two] = servers.map(example::port_of);
        let configuration = example::with(
            "haproxy.cfg",
            &[
                ("bind :80", &format!("bind 127.0.0.1:{port}")),
                ("192.0.2.11:8000", &one),
                ("192.0.2.12:8000", &two),
                // Only so that the test does not take so long.
                ("inter 1s", &format!("{words} inter 200ms")),
                // Else a check may take no longer than from one to the next.
                (
                    "timeout connect 5s",
                    "timeout connect 5s\n    timeout check 10s",
                ),
            ],
        );
        let stats = format!("bind 127.0.0.1:{stats_port}\n    stats enable\n    stats uri /");
        let configuration = format!("{configuration}\nfrontend stats\n    {stats}\n");
        folder.write("haproxy.cfg", &configuration);
        let log = fs::File::create(folder.join("log")).unwrap();
        let child = debian::program("haproxy")
            .args(["-db", "-f"])
            .arg(folder.join("haproxy.cfg"))
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
