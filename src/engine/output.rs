//! The part of a response that is not sent yet.
//!
//! It is sent in this order: `buffer`, the spool, `overflow`, a file of the application's.
//! Bytes go to the spool only when the buffer is full, and to `overflow` only when the disk
//! is.

use crate::close_on_fork::ListedFile;
use crate::settings::Settings;
use crate::spool::Spool;
use crate::transport::{Moved, Transport};
use std::fs::File;
use std::io;

/// Pieces of this size are sent without copying; smaller ones are copied behind the head,
/// so that one system call sends both.
pub(crate) const MIN_DIRECT_SEND: usize = 16 * 1024;

/// Whether the application may produce more of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Open,
    /// The limits are reached: the application has to wait for the client.
    Full,
}

/// Why nothing more can be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The client closed the connection, or took nothing for `client_timeout`.
    #[error("the client is gone")]
    Gone(#[source] io::Error),
    #[error("the response could not be buffered")]
    Spool(#[source] io::Error),
}

#[derive(Debug, Default)]
pub struct Output {
    /// Sent first; `sent` bytes of it are sent.
    pub(crate) buffer: Vec<u8>,
    sent: usize,
    spool: Spool,
    spool_sent: u64,
    /// What the disk had no space for: a piece or two of the application's, as it waits then.
    overflow: Vec<u8>,
    /// The disk had no space, and not all is sent since.
    is_disk_full: bool,
    file: Option<FilePart>,
    /// All bytes that were sent.
    total: u64,
}

/// A part of a file of the application's.
#[derive(Debug)]
struct FilePart {
    file: ListedFile,
    position: u64,
    left: u64,
}

impl Output {
    /// Whether there is something to send after the buffer.
    fn is_spooled(&self) -> bool {
        self.spool_sent < self.spool.len() || !self.overflow.is_empty()
    }

    /// Bytes that were sent since the last `clear`.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes that are not sent yet.
    pub fn waiting(&self) -> u64 {
        let buffer = (self.buffer.len() - self.sent) as u64;
        let spool = self.spool.len() - self.spool_sent;
        buffer + spool + self.overflow.len() as u64 + self.file.as_ref().map_or(0, |part| part.left)
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.buffer.capacity() + self.spool.capacity() + self.overflow.capacity()
    }

    /// Adds bytes to the end; sends nothing.
    pub fn append(&mut self, bytes: &[u8], settings: &Settings) -> Result<(), SendError> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.sent > self.buffer.len() / 2 {
            // With a client that is always a little behind, the buffer never empties.
            self.buffer.drain(..self.sent);
            self.sent = 0;
        }
        let in_buffer = self.buffer.len() - self.sent;
        if !self.is_spooled() && in_buffer + bytes.len() <= settings.response_in_memory {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        if !self.is_disk_full {
            // The buffer is the memory part: the spool is a file from its first byte.
            match self.spool.push(bytes, 0, None) {
                Ok(()) => return Ok(()),
                Err(error) if is_no_space(&error) => self.is_disk_full = true,
                Err(error) => return Err(SendError::Spool(error)),
            }
        }
        self.overflow.extend_from_slice(bytes);
        Ok(())
    }

    /// Adds bytes to the end. Many are sent at once, as far as the socket takes them; few
    /// wait for the next [`Self::flush`].
    pub fn push(
        &mut self,
        transport: &Transport,
        bytes: &[u8],
        settings: &Settings,
    ) -> Result<(), SendError> {
        if bytes.len() < MIN_DIRECT_SEND || self.is_spooled() || self.file.is_some() {
            return self.append(bytes, settings);
        }
        let taken = self.send_both(transport, bytes)?;
        if taken < bytes.len() {
            self.append(&bytes[taken..], settings)?;
        }
        Ok(())
    }

    /// Sends bytes that come before the response and are no part of it, unless the socket
    /// takes none. If it takes a part of them, the rest is sent with the response, which
    /// cannot be replaced any more then. To be called while nothing waits.
    pub fn send_before(&mut self, transport: &Transport, bytes: &[u8]) -> Result<(), SendError> {
        match transport.send(bytes) {
            Ok(Moved::Bytes(count)) if count < bytes.len() => {
                self.total += count as u64;
                self.buffer.extend_from_slice(&bytes[count..]);
                Ok(())
            }
            Ok(Moved::Bytes(_) | Moved::WouldBlock) => Ok(()),
            Err(error) => Err(SendError::Gone(error)),
        }
    }

    /// Whether the application may go on. Once the file or the disk is full, all has to be
    /// sent first: what was sent of the file still takes space on disk.
    pub fn flow(&self, settings: &Settings) -> Flow {
        if self.is_disk_full || self.spool.len() > settings.response_on_disk {
            Flow::Full
        } else {
            Flow::Open
        }
    }

    /// Sends the buffer and `bytes` in one call. Returns how many of `bytes` were sent.
    fn send_both(&mut self, transport: &Transport, bytes: &[u8]) -> Result<usize, SendError> {
        let mut taken = 0;
        while taken < bytes.len() {
            let waiting = &self.buffer[self.sent..];
            match transport.send_both(waiting, &bytes[taken..]) {
                Ok(Moved::Bytes(count)) => {
                    self.total += count as u64;
                    let from_buffer = count.min(waiting.len());
                    self.sent += from_buffer;
                    taken += count - from_buffer;
                    self.clear_sent();
                }
                Ok(Moved::WouldBlock) => break,
                Err(error) => return Err(SendError::Gone(error)),
            }
        }
        Ok(taken)
    }

    /// Sends a part of `file` after everything else.
    pub fn send_file(&mut self, file: File, position: u64, length: u64) {
        if length > 0 {
            self.file = Some(FilePart {
                file: file.into(),
                position,
                left: length,
            });
        }
    }

    /// Sends as much as the socket takes. `Ok(true)`: nothing is left.
    pub fn flush(&mut self, transport: &Transport) -> Result<bool, SendError> {
        if !self.flush_buffered(transport)? {
            return Ok(false);
        }
        if !self.overflow.is_empty() {
            // All before it is sent.
            self.buffer = std::mem::take(&mut self.overflow);
            if !self.flush_buffered(transport)? {
                return Ok(false);
            }
        }
        self.is_disk_full = false;
        self.flush_file(transport)
    }

    /// The buffer and the spool.
    fn flush_buffered(&mut self, transport: &Transport) -> Result<bool, SendError> {
        while self.sent < self.buffer.len() {
            match transport.send(&self.buffer[self.sent..]) {
                Ok(Moved::Bytes(count)) => {
                    self.total += count as u64;
                    self.sent += count;
                }
                Ok(Moved::WouldBlock) => return Ok(false),
                Err(error) => return Err(SendError::Gone(error)),
            }
        }
        self.clear_sent();
        while let Some(file) = self.spool.file() {
            let left = self.spool.len() - self.spool_sent;
            if left == 0 {
                self.spool.clear();
                self.spool_sent = 0;
                break;
            }
            match transport.send_file(file, &mut self.spool_sent, left) {
                Ok(Moved::Bytes(count)) => self.total += count,
                Ok(Moved::WouldBlock) => return Ok(false),
                Err(error) => return Err(SendError::Gone(error)),
            }
        }
        Ok(true)
    }

    fn flush_file(&mut self, transport: &Transport) -> Result<bool, SendError> {
        while let Some(part) = &mut self.file {
            match transport.send_file(part.file.get(), &mut part.position, part.left) {
                // The file has become shorter since its length was sent in the head.
                Ok(Moved::Bytes(0)) => {
                    let short = io::Error::new(io::ErrorKind::UnexpectedEof, "the file was cut");
                    return Err(SendError::Gone(short));
                }
                Ok(Moved::Bytes(count)) => {
                    self.total += count;
                    part.left -= count;
                    if part.left == 0 {
                        self.file = None;
                    }
                }
                Ok(Moved::WouldBlock) => return Ok(false),
                Err(error) => return Err(SendError::Gone(error)),
            }
        }
        Ok(true)
    }

    /// Empties the buffer when all of it is sent.
    fn clear_sent(&mut self) {
        if self.sent == self.buffer.len() {
            self.buffer.clear();
            self.sent = 0;
        }
    }

    /// Removes everything, and keeps `keep` bytes of memory for the next response.
    pub fn clear(&mut self, keep: usize) {
        self.buffer.clear();
        self.buffer.shrink_to(keep);
        self.sent = 0;
        self.spool.clear();
        self.spool_sent = 0;
        self.overflow = Vec::new();
        self.is_disk_full = false;
        self.file = None;
        self.total = 0;
    }
}

/// Whether there may be space again once other files are gone, or for a shorter file.
fn is_no_space(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn settings() -> Settings {
        Settings {
            response_in_memory: 100_000,
            response_on_disk: 1_000_000,
            ..Settings::default()
        }
    }

    /// A transport and its client.
    fn connected() -> (Transport, UnixStream) {
        let (server, client) = UnixStream::pair().unwrap();
        (Transport::plain(server.into()), client)
    }

    fn numbered(length: usize) -> Vec<u8> {
        (0..=250).cycle().take(length).collect()
    }

    #[test]
    fn what_the_client_does_not_read_is_kept_and_arrives_in_order() {
        let (server, mut client) = connected();
        let mut output = Output::default();
        let bytes = numbered(2_000_000);

        let mut flow = Flow::Open;
        for piece in bytes.chunks(30_000) {
            output.push(&server, piece, &settings()).unwrap();
            flow = output.flow(&settings());
        }

        assert_eq!(flow, Flow::Full);
        assert!(output.buffer.len() <= 100_000);
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            all
        });
        while !output.flush(&server).unwrap() {
            std::thread::yield_now();
        }
        assert_eq!(output.waiting(), 0);
        assert_eq!(output.total(), 2_000_000);
        drop(server);
        assert!(reader.join().unwrap() == bytes);
    }

    #[test]
    fn a_file_follows_the_buffer() {
        let (server, mut client) = connected();
        let mut output = Output::default();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();

        output.append(b"head ", &settings()).unwrap();
        output.send_file(file, 2, 5);
        assert!(output.flush(&server).unwrap());
        drop(server);

        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "head 23456");
    }

    #[test]
    fn a_file_that_became_shorter_ends_the_connection() {
        let (server, _client) = connected();
        let mut output = Output::default();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();

        output.send_file(file, 0, 20);

        assert!(matches!(output.flush(&server), Err(SendError::Gone(_))));
    }

    #[test]
    fn a_closed_connection_is_an_error_and_no_sigpipe() {
        let (server, client) = connected();
        drop(client);

        let mut output = Output::default();
        output.push(&server, b"hello", &settings()).unwrap();

        assert!(matches!(output.flush(&server), Err(SendError::Gone(_))));
    }
}
