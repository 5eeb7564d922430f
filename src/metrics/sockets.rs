//! The sockets that systemd opened for us: `sd_listen_fds(3)`.

use listenfd::ListenFd;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

#[derive(Debug)]
pub enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// All of them; or why there are none. Once in a process, before its first thread: the
/// variables are removed.
pub fn from_systemd() -> Result<Vec<Socket>, String> {
    let mut fds = ListenFd::from_env();
    let sockets = (0..fds.len()).map(|index| take(&mut fds, index));
    let sockets: Vec<Socket> = sockets.collect::<Result<_, _>>()?;
    if sockets.is_empty() {
        return Err("systemd has passed no socket; start rgunicorn-metrics.socket".to_owned());
    }
    Ok(sockets)
}

fn take(fds: &mut ListenFd, index: usize) -> Result<Socket, String> {
    if let Ok(Some(tcp)) = fds.take_tcp_listener(index) {
        return Ok(Socket::Tcp(tcp));
    }
    match fds.take_unix_listener(index) {
        Ok(Some(unix)) => Ok(Socket::Unix(unix)),
        Ok(None) | Err(_) => Err(format!(
            "socket {} from systemd is none that connections can be accepted on; use \
             ListenStream= and Accept=no in the socket unit",
            index + 1
        )),
    }
}
