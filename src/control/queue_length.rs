//! How many connections wait to be accepted at a listener, asked of the kernel by this
//! program: it costs the server nothing. Known only in the network namespace of the server.

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

/// What the kernel says of all listening sockets at one time.
pub struct Queues {
    /// By the inode of the socket. The tables are read once: that takes the kernel some
    /// milliseconds however few sockets there are, and a site can list any number.
    ports: HashMap<u64, u64>,
}

impl Queues {
    pub fn read() -> Self {
        let mut ports = HashMap::new();
        for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
            if let Ok(file) = File::open(table) {
                ports.extend(listening(BufReader::new(file)));
            }
        }
        Self { ports }
    }

    /// At the listening socket with this inode.
    pub fn length(&self, kind: &str, inode: u64) -> Option<u64> {
        match kind {
            "unix" => unix(u32::try_from(inode).ok()?),
            "tcp" => self.ports.get(&inode).copied(),
            _ => None,
        }
    }
}

/// The inodes and queues. The table has the listening sockets first.
fn listening(table: impl BufRead) -> impl Iterator<Item = (u64, u64)> {
    const LISTENING: &str = "0A";
    let lines = table.lines().skip(1).map_while(Result::ok);
    lines.map_while(|line| {
        // sl, local, remote, state, tx:rx queue, timer, retransmits, uid, timeout, inode
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, _, _, LISTENING, queues, _, _, _, _, inode, ..] = fields[..] else {
            return None;
        };
        let (_, waiting) = queues.split_once(':')?;
        Some((inode.parse().ok()?, u64::from_str_radix(waiting, 16).ok()?))
    })
}

/// See `sock_diag(7)`.
fn unix(inode: u32) -> Option<u64> {
    let flags = SocketFlags::CLOEXEC;
    let kind = SocketType::RAW;
    let family = AddressFamily::NETLINK;
    let kernel = socket_with(family, kind, flags, Some(netlink::SOCK_DIAG)).ok()?;
    send(&kernel, &question(inode), SendFlags::empty()).ok()?;
    let mut answer = vec![0; 4096];
    // It is there when `send` returns.
    let (length, _) = recv(&kernel, &mut answer, RecvFlags::DONTWAIT).ok()?;
    waiting(answer.get(..length)?)
}

/// `SOCK_DIAG_BY_FAMILY`, which the answer is, too.
const BY_FAMILY: u16 = 20;
/// The length of a `nlmsghdr`.
const HEADER: usize = 16;

/// A `nlmsghdr` and a `unix_diag_req`.
fn question(inode: u32) -> Vec<u8> {
    const REQUEST: u16 = 1;
    const AF_UNIX: u8 = 1;
    const SHOW_QUEUE_LENGTH: u32 = 0x10;
    const ANY: u32 = u32::MAX;
    const LENGTH: u32 = 40;
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let halves: Vec<u8> = [BY_FAMILY, REQUEST]
        .into_iter()
        .flat_map(u16::to_ne_bytes)
        .collect();
    let parts: [Vec<u8>; 5] = [
        words(&[LENGTH]),
        halves,
        words(&[1, 0]),
        vec![AF_UNIX, 0, 0, 0],
        words(&[ANY, inode, SHOW_QUEUE_LENGTH, ANY, ANY]),
    ];
    parts.concat()
}

/// Of a `nlmsghdr`, a `unix_diag_msg` and attributes.
fn waiting(answer: &[u8]) -> Option<u64> {
    const MESSAGE: usize = 16;
    const QUEUE_LENGTH: u16 = 4;
    let half = |at: usize| Some(u16::from_ne_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    if half(4)? != BY_FAMILY {
        return None;
    }
    let mut at = HEADER + MESSAGE;
    loop {
        let length = usize::from(half(at)?);
        if half(at + 2)? == QUEUE_LENGTH {
            return word(at + 4).map(u64::from);
        }
        // Each begins at a multiple of four; none is shorter than its head.
        at += length.max(4).next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn of(kind: &str, inode: u64) -> Option<u64> {
        Queues::read().length(kind, inode)
    }

    fn inode(socket: impl AsFd) -> u64 {
        rustix::fs::fstat(socket).unwrap().st_ino
    }

    #[test]
    fn connections_that_wait_at_a_unix_socket_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(of("unix", inode(&listener)), Some(0));

        let _clients = [(); 3].map(|()| UnixStream::connect(&path).unwrap());

        assert_eq!(of("unix", inode(&listener)), Some(3));
        listener.accept().unwrap();
        assert_eq!(of("unix", inode(&listener)), Some(2));
        assert_eq!(of("unix", inode(std::io::stdin())), None);
    }

    #[test]
    fn connections_that_wait_at_a_port_are_counted() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                // There is no IPv6.
                continue;
            };
            assert_eq!(of("tcp", inode(&listener)), Some(0), "{address}");

            let to = listener.local_addr().unwrap();
            let _clients = [(); 2].map(|()| TcpStream::connect(to).unwrap());

            assert_eq!(of("tcp", inode(&listener)), Some(2), "{address}");
        }
    }

    #[test]
    fn an_answer_that_is_cut_short_says_nothing() {
        for length in 0..40 {
            assert_eq!(waiting(&vec![0; length]), None);
        }
        let mut endless = vec![0; 4096];
        endless[4] = 20;
        assert_eq!(waiting(&endless), None);
    }
}
