//! The journal's native protocol: one datagram an entry, `KEY=value` lines.
//!
//! Our own, because the socket must not block: the usual layers for `tracing`
//! send on a blocking socket, and a journald that is stopped would then stop
//! the master with its next record. Here a record that the journal does not
//! take at once is dropped and counted, and the count is told with the next
//! record that gets through. Every datagram names its destination, so a
//! journald that was restarted is found again by itself.

use super::{Entry, Sink};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Where journald listens.
pub const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// The send buffer we ask for, as libsystemd does; the kernel gives what
/// `net.core.wmem_max` allows.
const SEND_BUFFER: usize = 8 * 1024 * 1024;

/// The longest name of a field that journald takes.
const LONGEST_NAME: usize = 64;

/// A way to the journal.
#[derive(Debug)]
pub struct Journal {
    socket: OwnedFd,
    destination: SocketAddrUnix,
    /// Records lost since the last one that got through.
    dropped: u64,
}

impl Journal {
    /// The journal of this machine.
    pub fn open() -> io::Result<Self> {
        Self::at(Path::new(JOURNAL_SOCKET))
    }

    /// The journal that listens at `path`.
    pub fn at(path: &Path) -> io::Result<Self> {
        let socket = socket()?;
        // A smaller buffer only means that fewer records wait for journald.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER);
        Ok(Self {
            socket,
            destination: SocketAddrUnix::new(path)?,
            dropped: 0,
        })
    }

    /// Whether somebody listens there now.
    pub fn is_reachable(&self) -> bool {
        socket().is_ok_and(|probe| rustix::net::connect(&probe, &self.destination).is_ok())
    }

    /// Writes `entry`, or drops and counts it.
    pub(super) fn write(&mut self, entry: &Entry, identifier: &str) {
        if self.dropped > 0 {
            let note = Entry::dropped(self.dropped, "the journal");
            if self.send(&datagram(&note, identifier)).is_err() {
                self.dropped += 1;
                return;
            }
            self.dropped = 0;
        }
        if self.send(&datagram(entry, identifier)).is_err() {
            self.dropped += 1;
        }
    }

    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        loop {
            match rustix::net::sendto(&self.socket, datagram, flags, &self.destination) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::MSGSIZE) => return self.send_file(datagram),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// For what is too large for a datagram: a sealed file in memory, of which
    /// only the descriptor is sent.
    fn send_file(&self, entry: &[u8]) -> io::Result<()> {
        let file = rustix::fs::memfd_create(
            "rgunicorn-journal",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?;
        let mut rest = entry;
        while !rest.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest))?;
            rest = &rest[written..];
        }
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;

        let fds = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg_addr(
                &self.socket,
                &self.destination,
                &[],
                &mut ancillary,
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            )
        })?;
        Ok(())
    }
}

impl From<Journal> for Sink {
    fn from(journal: Journal) -> Self {
        Self::Journal(journal)
    }
}

/// A non-blocking datagram socket without a name.
fn socket() -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
}

/// Whether `stderr` leads to the journal: `$JOURNAL_STREAM` holds device and
/// inode of the stream that systemd gave to the service, and something later
/// may have redirected it.
pub fn connected_to_journal(stderr: impl AsFd) -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(stderr).is_ok_and(|stat| is_stream(&stream, stat.st_dev, stat.st_ino))
}

fn is_stream(stream: &str, device: u64, inode: u64) -> bool {
    stream == format!("{device}:{inode}")
}

fn datagram(entry: &Entry, identifier: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256 + entry.message.len());
    put(&mut bytes, "MESSAGE", &entry.message);
    put(&mut bytes, "PRIORITY", &entry.priority.number().to_string());
    put(&mut bytes, "SYSLOG_IDENTIFIER", identifier);
    if let Some((file, line)) = entry.code {
        put(&mut bytes, "CODE_FILE", file);
        put(&mut bytes, "CODE_LINE", &line.to_string());
    }
    for (name, value) in &entry.fields {
        put(&mut bytes, &field_name(name), value);
    }
    bytes
}

/// A field in the short form, or with its length where the value has lines.
fn put(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

/// `worker_pid` becomes `WORKER_PID`: the journal takes capitals, digits and
/// underscores, and keeps names with a leading underscore to itself.
fn field_name(name: &str) -> String {
    name.trim_start_matches(|c: char| !c.is_ascii_alphabetic())
        .chars()
        .take(LONGEST_NAME)
        .map(|c| match c {
            'a'..='z' => c.to_ascii_uppercase(),
            'A'..='Z' | '0'..='9' => c,
            _ => '_',
        })
        .collect()
}

#[cfg(test)]
mod tests;
