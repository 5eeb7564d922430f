//! nginx in front of two servers, configured by the example that we ship.

use super::{
    client::{Address, Connection},
    debian, example,
    files::Folder,
    sockets::free_port,
    wait::wait_until,
};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Stdio},
};

pub struct Nginx {
    child: Child,
    folder: Folder,
    address: Address,
}

impl Nginx {
    /// Starts it, with the servers in the places of those in the example.
    #[track_caller]
    pub fn start(servers: [&Address; 2]) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let [one, two] = servers.map(example::port_of);
        let sites = example::with(
            "nginx-upstream.conf",
            &[
                ("listen 80;", &format!("listen {address};")),
                ("192.0.2.11:8000", &one),
                ("192.0.2.12:8000", &two),
            ],
        );
        Self::serve(address, &sites)
    }

    /// Starts it for a server with websockets on a unix socket.
    #[track_caller]
    pub fn with_websockets(server: &Address) -> Self {
        let Address::Unix(path) = server else {
            panic!("the example has a unix socket");
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let sites = example::with(
            "nginx-websockets.conf",
            &[
                ("listen 80;", &format!("listen {address};")),
                ("/run/rgunicorn/shop.sock", path.to_str().unwrap()),
            ],
        );
        Self::serve(address, &sites)
    }

    #[track_caller]
    fn serve(address: SocketAddr, sites: &str) -> Self {
        let folder = Folder::new();
        // Root's nginx would take the account www-data, which may be missing.
        let is_root = rustix::process::geteuid().is_root();
        let user = if is_root { "user root root;" } else { "" };
        let at = |name| folder.join(name).display().to_string();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};", at(kind)))
            .join("\n");
        let configuration = format!(
            "daemon off;\n{user}\nworker_processes 1;\npid {};\nevents {{ }}\nhttp {{\n\
             access_log {};\n{temporary}\n{sites}\n}}\n",
            at("pid"),
            at("access"),
        );
        folder.write("nginx.conf", &configuration);
        let log = fs::File::create(folder.join("log")).unwrap();
        let child = debian::program("nginx")
            .args(["-e", "stderr", "-p"])
            .arg(folder.path())
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut nginx = Self {
            child,
            folder,
            address: Address::Tcp(address),
        };
        wait_until("nginx answers", || {
            let ended = nginx.child.try_wait().unwrap();
            assert_eq!(ended, None, "{}", nginx.log());
            Connection::open(&nginx.address).is_ok()
        });
        nginx
    }

    /// Where it is a server itself.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What it says of errors.
    pub fn log(&self) -> String {
        self.folder.read("log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker notices that it is gone only if it ends by itself.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGTERM,
            );
        }
        let _ = self.child.wait();
    }
}
