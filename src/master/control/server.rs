//! The master's end of the control socket. Nothing here waits: a client that
//! is slow, or lies about what it wants to say, costs nobody else anything.

use super::protocol::{self, Answer, LONGEST_LINE, Request};
use crate::pool::ReloadId;
use crate::wakeups::{Source, Wakeups};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The most clients at one time; more are turned away at once.
const MOST_CLIENTS: usize = 32;

/// The control socket and its clients.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    /// The socket's file, if it is ours: removed with the server.
    path: Option<PathBuf>,
    clients: BTreeMap<u32, Client>,
    last_client: u32,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    received: Vec<u8>,
    /// The reload whose end it waits for.
    waits_for: Option<ReloadId>,
}

/// A complete request, and who asked.
#[derive(Debug)]
pub struct Asked {
    /// What for.
    pub request: Request,
    /// The client's process.
    pub pid: u32,
    /// The client's user.
    pub uid: u32,
}

impl Server {
    /// Opens the socket at `path`, for its owner only.
    pub fn bind(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let mut server = Self::on(listener)?;
        server.path = Some(path.to_owned());
        Ok(server)
    }

    /// Uses a socket that systemd opened.
    pub fn inherited(fd: OwnedFd) -> io::Result<Self> {
        Self::on(UnixListener::from(fd))
    }

    fn on(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            path: None,
            clients: BTreeMap::new(),
            last_client: 0,
        })
    }

    /// Lets the loop be woken by clients.
    pub fn register(&self, wakeups: &Wakeups) -> io::Result<()> {
        wakeups.add(&self.listener, Source::Control)
    }

    /// Takes one client that wants to connect.
    pub fn accept(&mut self, wakeups: &Wakeups) -> io::Result<()> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.clients.len() >= MOST_CLIENTS {
            return Ok(());
        }
        stream.set_nonblocking(true)?;
        self.last_client = self.last_client.wrapping_add(1);
        wakeups.add(&stream, Source::ControlClient(self.last_client))?;
        let client = Client {
            stream,
            received: Vec::new(),
            waits_for: None,
        };
        self.clients.insert(self.last_client, client);
        Ok(())
    }

    /// Reads what a client said. `None`: it has not said all, or is gone, or
    /// what it said was refused.
    pub fn read(&mut self, number: u32) -> Option<Asked> {
        let client = self.clients.get_mut(&number)?;
        let mut bytes = [0; 4096];
        match client.stream.read(&mut bytes) {
            // Whoever closes does not wait any longer.
            Ok(0) => {
                self.clients.remove(&number);
                return None;
            }
            Ok(count) => client.received.extend_from_slice(&bytes[..count]),
            Err(error) if is_passing(&error) => return None,
            Err(_) => {
                self.clients.remove(&number);
                return None;
            }
        }
        if client.waits_for.is_some() {
            // It has asked already; what else it says is not listened to.
            client.received.clear();
            return None;
        }
        let Some(end) = client.received.iter().position(|byte| *byte == b'\n') else {
            if client.received.len() > LONGEST_LINE {
                self.answer(number, &Answer::Failed("the request is too long".into()));
            }
            return None;
        };
        let line = String::from_utf8_lossy(&client.received[..end]).into_owned();
        client.received.clear();
        let credentials = rustix::net::sockopt::socket_peercred(&client.stream).ok();
        let Ok(request) = protocol::parse(&line) else {
            let reason = format!("{line:?} is not a request that this rgunicorn understands");
            self.answer(number, &Answer::Failed(reason));
            return None;
        };
        Some(Asked {
            request,
            pid: credentials.map_or(0, |peer| peer.pid.as_raw_nonzero().get().unsigned_abs()),
            uid: credentials.map_or(u32::MAX, |peer| peer.uid.as_raw()),
        })
    }

    /// Answers a client for good.
    pub fn answer(&mut self, number: u32, answer: &Answer) {
        if let Some(client) = self.clients.remove(&number) {
            client.say(answer);
        }
    }

    /// Lets a client wait for the end of a reload.
    pub fn wait_for(&mut self, number: u32, reload: ReloadId) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.waits_for = Some(reload);
        }
    }

    /// Answers all that wait for this reload.
    pub fn reload_finished(&mut self, reload: ReloadId, answer: &Answer) {
        let waiting = |client: &Client| client.waits_for == Some(reload);
        self.clients.retain(|_, client| {
            let is_done = waiting(client);
            if is_done {
                client.say(answer);
            }
            !is_done
        });
    }
}

impl Client {
    /// The answer is short: the socket's buffer takes it whole, or the client is gone.
    fn say(&self, answer: &Answer) {
        let line = protocol::line(answer);
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        while rustix::net::send(&self.stream, line.as_bytes(), flags) == Err(Errno::INTR) {}
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Nobody is left to be told; the next start replaces it.
            let _ = fs::remove_file(path);
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}

/// Removes the socket of a master that is gone. One that lives keeps its own.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = match path.symlink_metadata() {
        Ok(metadata) => metadata.file_type().is_socket(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let is_stale = UnixStream::connect(path)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if is_socket && is_stale {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::Duration;

    struct Scene {
        server: Server,
        wakeups: Wakeups,
        folder: tempfile::TempDir,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let server = Server::bind(&folder.path().join("control")).unwrap();
            let wakeups = Wakeups::new().unwrap();
            server.register(&wakeups).unwrap();
            Self {
                server,
                wakeups,
                folder,
            }
        }

        fn client(&self) -> UnixStream {
            UnixStream::connect(self.folder.path().join("control")).unwrap()
        }

        /// Serves until a request is complete.
        fn next(&mut self) -> Option<(u32, Asked)> {
            for _ in 0..20 {
                for source in self.wakeups.wait(Some(Duration::from_millis(200))).unwrap() {
                    match source {
                        Source::Control => self.server.accept(&self.wakeups).unwrap(),
                        Source::ControlClient(number) => {
                            if let Some(asked) = self.server.read(number) {
                                return Some((number, asked));
                            }
                        }
                        other => panic!("{other:?}"),
                    }
                }
                if self.server.clients.is_empty() {
                    return None;
                }
            }
            None
        }
    }

    fn said(mut client: UnixStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn whoever_waits_for_a_reload_hears_of_its_own() {
        let mut scene = Scene::new();
        let mut first = scene.client();
        first.write_all(b"{\"command\":\"reload\"}\n").unwrap();
        let (number, asked) = scene.next().unwrap();
        assert_eq!(asked.request, Request::Reload);
        assert_eq!(asked.pid, std::process::id());

        scene.server.wait_for(number, ReloadId(2));
        let done = |text: &str| Answer::Done(text.into());
        scene.server.reload_finished(ReloadId(1), &done("other"));
        scene.server.reload_finished(ReloadId(2), &done("own"));

        assert_eq!(said(first), "{\"done\":\"own\"}\n");
    }

    #[test]
    fn nonsense_is_refused_and_the_next_client_served() {
        let mut scene = Scene::new();
        let mut first = scene.client();
        first.write_all(b"GET / HTTP/1.1\n").unwrap();
        assert!(scene.next().is_none());
        assert!(said(first).starts_with("{\"failed\":"));

        let mut endless = scene.client();
        endless.set_nonblocking(true).unwrap();
        while scene.server.clients.len() < 2 && endless.write(&[b'x'; 4096]).is_ok() {}
        let mut second = scene.client();
        second.write_all(b"{\"command\":\"status\"}\n").unwrap();

        let (_, asked) = scene.next().unwrap();
        assert_eq!(asked.request, Request::Status);
    }

    #[test]
    fn the_file_is_for_its_owner_and_goes_with_the_server() {
        let scene = Scene::new();
        let path = scene.folder.path().join("control");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );

        drop(scene.server);

        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        drop(UnixListener::bind(&path).unwrap());

        let server = Server::bind(&path).unwrap();
        let refused = Server::bind(&path).unwrap_err();

        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        drop(server);
    }
}
