//! A server that records of a log, or metrics, are sent to: as datagrams or on a stream.

use super::wait::wait_until;
use std::{
    cell::RefCell,
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::net::{UnixDatagram, UnixListener, UnixStream},
    path::Path,
};

/// Keeps what it was sent.
pub struct LogServer {
    socket: Socket,
    received: RefCell<Vec<String>>,
}

enum Socket {
    Udp(UdpSocket),
    UnixDatagrams(UnixDatagram),
    UnixStream(UnixListener, RefCell<Vec<(UnixStream, Vec<u8>)>>),
    Tcp(TcpListener, RefCell<Vec<(TcpStream, Vec<u8>)>>),
}

impl LogServer {
    pub fn udp() -> Self {
        Self::udp_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub fn udp_at(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self::on(Socket::Udp(socket))
    }

    pub fn tcp() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self::on(Socket::Tcp(listener, RefCell::default()))
    }

    pub fn unix_datagrams(path: impl AsRef<Path>) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self::on(Socket::UnixDatagrams(socket))
    }

    pub fn unix_stream(path: impl AsRef<Path>) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self::on(Socket::UnixStream(listener, RefCell::default()))
    }

    fn on(socket: Socket) -> Self {
        Self {
            socket,
            received: RefCell::default(),
        }
    }

    /// `HOST:PORT`
    pub fn address(&self) -> String {
        let address = match &self.socket {
            Socket::Udp(socket) => socket.local_addr(),
            Socket::Tcp(listener, _) => listener.local_addr(),
            Socket::UnixDatagrams(_) | Socket::UnixStream(..) => {
                panic!("a unix socket has no port")
            }
        };
        address.unwrap().to_string()
    }

    /// All records and metrics so far. On a stream, each ends with a zero byte.
    pub fn received(&self) -> Vec<String> {
        let mut received = self.received.borrow_mut();
        match &self.socket {
            Socket::Udp(socket) => datagrams(|bytes| socket.recv(bytes), &mut received),
            Socket::UnixDatagrams(socket) => datagrams(|bytes| socket.recv(bytes), &mut received),
            Socket::UnixStream(listener, streams) => {
                let mut streams = streams.borrow_mut();
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).unwrap();
                    streams.push((stream, Vec::new()));
                }
                records(&mut streams, &mut received);
            }
            Socket::Tcp(listener, streams) => {
                let mut streams = streams.borrow_mut();
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).unwrap();
                    streams.push((stream, Vec::new()));
                }
                records(&mut streams, &mut received);
            }
        }
        received.clone()
    }

    /// Those that contain this.
    pub fn with(&self, text: &str) -> Vec<String> {
        let mut received = self.received();
        received.retain(|record| record.contains(text));
        received
    }

    /// The first that contains this.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        wait_until(&format!("{text:?} was sent"), || {
            !self.with(text).is_empty()
        });
        self.with(text).remove(0)
    }

    /// So many that contain this.
    #[track_caller]
    pub fn wait_for_count(&self, text: &str, count: usize) {
        wait_until(&format!("{text:?} was sent {count} times"), || {
            self.with(text).len() >= count
        });
        let found = self.with(text);
        assert_eq!(found.len(), count, "{found:#?}");
    }
}

fn datagrams(receive: impl Fn(&mut [u8]) -> std::io::Result<usize>, received: &mut Vec<String>) {
    let mut bytes = vec![0; 65536];
    while let Ok(length) = receive(&mut bytes) {
        received.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
    }
}

fn records(streams: &mut [(impl Read, Vec<u8>)], received: &mut Vec<String>) {
    for (stream, rest) in streams {
        let mut bytes = [0; 4096];
        loop {
            match stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(length) => rest.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            let record: Vec<u8> = rest.drain(..=end).collect();
            received.push(String::from_utf8_lossy(&record).into_owned());
        }
    }
}
