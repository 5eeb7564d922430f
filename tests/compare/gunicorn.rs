//! Gunicorn, for its answers.

use super::venv;
use crate::harness::{
    Connection,
    client::Address,
    files::{Folder, source},
    processes,
    program::isolate,
    sockets::free_port,
    wait_until,
};
use nix::sys::signal::Signal;
use std::{
    env,
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    thread,
};

/// A Gunicorn in a folder of its own.
pub struct Gunicorn {
    address: SocketAddr,
    child: Child,
    folder: Folder,
}

impl Gunicorn {
    /// Starts it for an application of `tests/apps/sites`.
    pub fn serving(app: &str, folder: Folder) -> Self {
        Self::with_arguments(app, folder, &[])
    }

    /// Starts it for an application of `tests/apps` or `tests/apps/sites`.
    pub fn with_arguments(app: &str, folder: Folder, arguments: &[&str]) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = Command::new(venv().join("bin/gunicorn"));
        isolate(&mut command, folder.path());
        let python_path =
            env::join_paths([source("tests/apps/sites"), source("tests/apps")]).unwrap();
        let log = File::create(folder.join("stderr")).unwrap();
        let child = command
            .args([
                "--no-control-socket",
                "--worker-class",
                "gthread",
                "--bind",
                &address.to_string(),
            ])
            .args(arguments)
            .arg(app)
            .env("PYTHONPATH", python_path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let gunicorn = Self {
            address,
            child,
            folder,
        };
        wait_until("Gunicorn listens", || {
            Connection::open(&gunicorn.address()).is_ok()
        });
        gunicorn
    }

    pub fn address(&self) -> Address {
        Address::Tcp(self.address)
    }
}

impl Drop for Gunicorn {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("==== Gunicorn's log\n{}\n====", self.folder.read("stderr"));
        }
        processes::signal(processes::pid_of(&self.child), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
