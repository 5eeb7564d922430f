//! A connection on its way to another worker: its socket and what was received on it.
//!
//! All workers share one pair of sockets: who gives a connection away writes to the one
//! end, who has room reads from the other. A message is kept by the kernel until some
//! worker takes it, also when its sender has exited.
//!
//! A message is a length, a header in JSON, then bytes: the input that was received, then
//! the part of a decoded body that is in memory. With it come the descriptors of the
//! connection, of the body's file if there is one, and of a file with the bytes if they
//! are too many for a message.

use crate::close_on_fork::CloseOnFork;
use crate::connection::Proxied;
use crate::standard_streams;
use crate::transport::Peer;
use rgunicorn_http::BodyDecoder;
use rgunicorn_link::{HandoverSockets, seqpacket};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, IoSlice, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// More bytes than this are sent as a file, so that many messages fit into the socket.
const MAX_INLINE: usize = 16 * 1024;

/// The longest message: the header is far below the difference.
const MAX_MESSAGE: usize = MAX_INLINE + 4096;

/// The most descriptors of a message.
const MAX_FDS: usize = 3;

/// The layout of the messages: a worker of another release must not misread them.
const VERSION: u32 = 2;

/// How far a connection's next request has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Nothing of it has come.
    Idle,
    /// The input holds all that has come.
    Received,
    /// The body is decoded into memory or a file as it comes.
    Spooling {
        decoder: BodyDecoder,
        /// The decoder has found the end.
        is_complete: bool,
        /// Decoded bytes.
        length: u64,
        /// They are in a file, not in the message.
        in_file: bool,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Header {
    version: u32,
    /// The listener's number, the same in all workers.
    pub(crate) listener: u32,
    pub(crate) peer: Peer,
    /// By the monotonic clock, which all processes share.
    pub(crate) deadline_ms: u64,
    pub(crate) is_served: bool,
    pub(crate) proxied: Proxied,
    /// `100 Continue` was sent for the request.
    pub(crate) is_continued: bool,
    pub(crate) stage: Stage,
    /// Since when the request waits for an application; 0 if it is not complete.
    #[serde(default)]
    pub(crate) ready_since_ms: u64,
    /// Bytes of input.
    input: usize,
    /// The bytes are in a file.
    bytes_in_file: bool,
}

impl Header {
    pub(crate) fn new(listener: u32, peer: Peer, deadline_ms: u64, stage: Stage) -> Self {
        Self {
            version: VERSION,
            listener,
            peer,
            deadline_ms,
            is_served: false,
            proxied: Proxied::No,
            is_continued: false,
            stage,
            ready_since_ms: 0,
            input: 0,
            bytes_in_file: false,
        }
    }
}

/// What is sent.
pub(crate) struct Departure<'a> {
    pub(crate) header: Header,
    pub(crate) socket: BorrowedFd<'a>,
    pub(crate) input: &'a [u8],
    /// The decoded part of a body that is in memory.
    pub(crate) body: &'a [u8],
    /// The decoded part of a body that is in a file.
    pub(crate) body_file: Option<&'a File>,
}

/// What has arrived with a socket.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) header: Header,
    pub(crate) input: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) body_file: Option<File>,
}

/// A worker's copies of the [`HandoverSockets`].
#[derive(Debug)]
pub(crate) struct Handover {
    give: CloseOnFork,
    take: CloseOnFork,
    message: Vec<u8>,
    /// The end to take from is registered with epoll.
    pub(crate) is_watched: bool,
}

impl Handover {
    pub(crate) fn new(sockets: HandoverSockets) -> Self {
        Self {
            give: sockets.give.into(),
            take: sockets.take.into(),
            message: Vec::new(),
            is_watched: false,
        }
    }

    pub(crate) fn poll(&self) -> PollFd<'_> {
        PollFd::new(&self.take, PollFlags::IN)
    }

    /// Sends a connection. `Ok(false)`: the socket is full, or the kernel has too many
    /// descriptors on their way; the connection stays.
    pub(crate) fn give(&mut self, departure: Departure<'_>) -> io::Result<bool> {
        let Departure {
            mut header,
            socket,
            input,
            body,
            body_file,
        } = departure;
        header.input = input.len();
        header.bytes_in_file = input.len() + body.len() > MAX_INLINE;
        let mut bytes_file = None;
        if header.bytes_in_file {
            let memory = rustix::fs::memfd_create("rgunicorn-handover", MemfdFlags::CLOEXEC)?;
            let mut file = File::from(memory);
            file.write_all(input)?;
            file.write_all(body)?;
            bytes_file = Some(file);
        }
        let json = serde_json::to_vec(&header)?;
        let length = u32::try_from(json.len()).unwrap_or(u32::MAX).to_ne_bytes();
        let mut parts = vec![IoSlice::new(&length), IoSlice::new(&json)];
        if bytes_file.is_none() {
            parts.extend([IoSlice::new(input), IoSlice::new(body)]);
        }
        let files = body_file.into_iter().chain(&bytes_file).map(AsFd::as_fd);
        let fds: Vec<BorrowedFd<'_>> = [socket].into_iter().chain(files).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        match seqpacket::send(&self.give, &parts, &fds, &mut space) {
            Ok(()) => Ok(true),
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM | Errno::TOOMANYREFS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a connection that another worker gave away, if there is one.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidData`] for a message that cannot be understood; its
    /// descriptors are closed, and the next call takes the next message.
    pub(crate) fn take(&mut self) -> io::Result<Option<(OwnedFd, Arrival)>> {
        self.message.resize(MAX_MESSAGE, 0);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let Some(received) = seqpacket::receive(&self.take, &mut self.message, &mut space)? else {
            return Ok(None);
        };
        // An error concerns this message only.
        unpack(&self.message[..received.length], received.fds)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl AsFd for Handover {
    /// The end that is readable when a connection can be taken.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.take.as_fd()
    }
}

fn unpack(message: &[u8], fds: Vec<OwnedFd>) -> io::Result<(OwnedFd, Arrival)> {
    let (length, rest) = message
        .split_first_chunk()
        .ok_or_else(|| invalid("the message is too short"))?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).unwrap_or(usize::MAX);
    let (json, bytes) = rest
        .split_at_checked(length)
        .ok_or_else(|| invalid("the message is too short"))?;
    let header: Header = serde_json::from_slice(json)?;
    if header.version != VERSION {
        return Err(invalid("the message is of another release"));
    }
    let mut fds = fds
        .into_iter()
        .map(standard_streams::avoid)
        .collect::<io::Result<Vec<_>>>()?
        .into_iter();
    let mut next = || fds.next().ok_or_else(|| invalid("a descriptor is missing"));
    let socket = next()?;
    let in_file = matches!(header.stage, Stage::Spooling { in_file: true, .. });
    let body_file = if in_file {
        Some(File::from(next()?))
    } else {
        None
    };
    let mut bytes = bytes.to_vec();
    if header.bytes_in_file {
        let mut file = File::from(next()?);
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
    }
    if header.input > bytes.len() {
        return Err(invalid("the message has not all of the input"));
    }
    let body = bytes.split_off(header.input);
    let arrival = Arrival {
        header,
        input: bytes,
        body,
        body_file,
    };
    Ok((socket, arrival))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
