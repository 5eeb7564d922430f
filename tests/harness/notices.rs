//! The service manager's end of the notify protocol.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    os::unix::net::UnixDatagram,
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

/// Everything the server told its service manager, in order.
#[derive(Debug, Clone, Default)]
pub struct Notices(Arc<Mutex<Vec<String>>>);

impl Notices {
    /// Binds the socket and collects for as long as the process lives.
    pub fn at(path: &Path) -> Self {
        let notices = Self::default();
        let socket = UnixDatagram::bind(path).unwrap();
        // As systemd's: a service of any account can reach it.
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        let received = notices.clone();
        thread::spawn(move || {
            let mut buffer = [0; 16384];
            while let Ok(length) = socket.recv(&mut buffer) {
                received
                    .0
                    .lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
        });
        notices
    }

    /// The datagrams so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The lines of the datagrams from the `start`th on.
    pub fn lines_from(&self, start: usize) -> Vec<String> {
        self.0.lock().unwrap()[start..]
            .iter()
            .flat_map(|datagram| datagram.lines().map(str::to_owned))
            .collect()
    }

    /// How many datagrams there are.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The lines so far that start with `prefix`, without it.
    pub fn values(&self, prefix: &str) -> Vec<String> {
        self.lines_from(0)
            .iter()
            .filter_map(|line| line.strip_prefix(prefix).map(str::to_owned))
            .collect()
    }
}

/// Whether a line says that the server's state changed.
pub fn is_state(line: &str) -> bool {
    matches!(line, "READY=1" | "RELOADING=1" | "STOPPING=1")
}
