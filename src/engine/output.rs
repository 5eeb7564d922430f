//! An answer on its way out: what the client has not taken yet.
//!
//! In this order: `buffer`, then the spool (memory, then a file), then a file of
//! the application's. Bytes go to the spool only while something is still
//! waiting before them.

use crate::settings::Settings;
use crate::spool::Spool;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;

/// A piece this large is sent from where it lies; smaller ones are copied
/// behind the head so that one call sends both.
const WORTH_NOT_COPYING: usize = 16 * 1024;

/// The most bytes one `sendfile` is asked for (its own limit is 2 GiB).
const SENDFILE_MOST: u64 = 1 << 30;

/// Whether there is room for more of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Open,
    /// Everything that may wait is waiting: the application has to wait too.
    Full,
}

/// Why nothing more can be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The client is gone, or did not take its answer in time.
    #[error("the client is gone")]
    Gone(#[source] io::Error),
    /// What the client did not take could not be kept.
    #[error("the answer could not be buffered")]
    Spool(#[source] io::Error),
}

/// The waiting part of an answer.
#[derive(Debug, Default)]
pub struct Output {
    /// Bytes to be sent first; `sent` of them are.
    pub(crate) buffer: Vec<u8>,
    sent: usize,
    spool: Spool,
    spool_sent: u64,
    file: Option<FilePart>,
    /// All bytes the client's socket has taken.
    total: u64,
}

/// A part of a file of the application's.
#[derive(Debug)]
struct FilePart {
    file: File,
    position: u64,
    left: u64,
}

impl Output {
    fn is_spooled(&self) -> bool {
        self.spool_sent < self.spool.len()
    }

    /// Bytes the client has taken since the last `clear`.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes that wait for the client.
    pub fn waiting(&self) -> u64 {
        let buffer = (self.buffer.len() - self.sent) as u64;
        let spool = self.spool.len() - self.spool_sent;
        buffer + spool + self.file.as_ref().map_or(0, |part| part.left)
    }

    /// Adds bytes to the end; sends nothing.
    pub fn append(&mut self, bytes: &[u8], settings: &Settings) -> Result<(), SendError> {
        if self.sent > self.buffer.len() / 2 {
            // A client that is always a little behind: what it has is in the way.
            self.buffer.drain(..self.sent);
            self.sent = 0;
        }
        let in_buffer = self.buffer.len() - self.sent;
        if !self.is_spooled() && in_buffer + bytes.len() <= settings.answer_in_memory {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        // `answer_in_memory` is the buffer's; once it is exceeded, it is the file's turn.
        self.spool.push(bytes, 0).map_err(SendError::Spool)
    }

    /// Adds a few bytes that `write` makes to the end; sends nothing.
    pub fn append_with(
        &mut self,
        settings: &Settings,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), SendError> {
        if self.is_spooled() {
            let mut bytes = Vec::new();
            write(&mut bytes);
            return self.append(&bytes, settings);
        }
        write(&mut self.buffer);
        Ok(())
    }

    /// Adds bytes to the end. Many are sent at once from where they lie, as far
    /// as the client takes them; few wait for the next [`Self::flush`].
    pub fn push(
        &mut self,
        socket: impl AsFd,
        bytes: &[u8],
        settings: &Settings,
    ) -> Result<(), SendError> {
        if bytes.len() < WORTH_NOT_COPYING || self.is_spooled() || self.file.is_some() {
            return self.append(bytes, settings);
        }
        let taken = self.send_both(&socket, bytes)?;
        if taken < bytes.len() {
            self.append(&bytes[taken..], settings)?;
        }
        Ok(())
    }

    /// Whether the application may go on. A file that became too large has to be
    /// taken by the client as a whole: what was sent of it still fills the disk.
    pub fn flow(&self, settings: &Settings) -> Flow {
        if self.spool.len() > settings.answer_on_disk {
            Flow::Full
        } else {
            Flow::Open
        }
    }

    /// The buffer and `bytes` in one call: how many of `bytes` were taken.
    fn send_both(&mut self, socket: impl AsFd, bytes: &[u8]) -> Result<usize, SendError> {
        let mut taken = 0;
        while taken < bytes.len() {
            let waiting = &self.buffer[self.sent..];
            let parts = [IoSlice::new(waiting), IoSlice::new(&bytes[taken..])];
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            let nothing = &mut SendAncillaryBuffer::default();
            match rustix::net::sendmsg(&socket, &parts, nothing, flags) {
                Ok(count) => {
                    self.total += count as u64;
                    let from_buffer = count.min(waiting.len());
                    self.sent += from_buffer;
                    taken += count - from_buffer;
                    self.forget_sent();
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(SendError::Gone(error.into())),
            }
        }
        Ok(taken)
    }

    /// Lets the rest of the answer come from `file`.
    pub fn send_file(&mut self, file: File, position: u64, length: u64) {
        if length > 0 {
            self.file = Some(FilePart {
                file,
                position,
                left: length,
            });
        }
    }

    /// Sends as much of what is waiting as the client takes. `Ok(true)`: nothing is left.
    pub fn flush(&mut self, socket: impl AsFd) -> Result<bool, SendError> {
        let gone = |error: Errno| SendError::Gone(error.into());
        while self.sent < self.buffer.len() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::send(&socket, &self.buffer[self.sent..], flags) {
                Ok(count) => {
                    self.total += count as u64;
                    self.sent += count;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(gone(error)),
            }
        }
        self.forget_sent();
        while let Some(file) = self.spool.file() {
            let left = self.spool.len() - self.spool_sent;
            if left == 0 {
                self.spool.clear();
                self.spool_sent = 0;
                break;
            }
            match send_from(&socket, file, &mut self.spool_sent, left) {
                Ok(count) => self.total += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(gone(error)),
            }
        }
        while let Some(part) = &mut self.file {
            match send_from(&socket, &part.file, &mut part.position, part.left) {
                // The file has become shorter since its length was promised.
                Ok(0) => {
                    let short = io::Error::new(io::ErrorKind::UnexpectedEof, "the file was cut");
                    return Err(SendError::Gone(short));
                }
                Ok(count) => {
                    self.total += count;
                    part.left -= count;
                    if part.left == 0 {
                        self.file = None;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(gone(error)),
            }
        }
        Ok(true)
    }

    /// Forgets what the client has, once it has the whole buffer.
    fn forget_sent(&mut self) {
        if self.sent == self.buffer.len() {
            self.buffer.clear();
            self.sent = 0;
        }
    }

    /// Forgets everything; memory is kept for the next answer, if it is little.
    pub fn clear(&mut self, keep: usize) {
        self.buffer.clear();
        self.buffer.shrink_to(keep);
        self.sent = 0;
        self.spool.clear();
        self.spool_sent = 0;
        self.file = None;
        self.total = 0;
    }
}

/// One `sendfile`: how many bytes went, with `position` moved behind them.
fn send_from(socket: impl AsFd, file: &File, position: &mut u64, left: u64) -> Result<u64, Errno> {
    let count = usize::try_from(left.min(SENDFILE_MOST)).unwrap_or(usize::MAX);
    rustix::fs::sendfile(socket, file, Some(position), count).map(|sent| sent as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn settings() -> Settings {
        Settings {
            answer_in_memory: 100_000,
            answer_on_disk: 1_000_000,
            ..Settings::default()
        }
    }

    fn numbered(length: usize) -> Vec<u8> {
        (0..=250).cycle().take(length).collect()
    }

    #[test]
    fn what_the_client_does_not_take_waits_and_arrives_in_order() {
        let (server, mut client) = UnixStream::pair().unwrap();
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
    fn a_file_follows_what_was_waiting() {
        let (server, mut client) = UnixStream::pair().unwrap();
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
        let (server, _client) = UnixStream::pair().unwrap();
        let mut output = Output::default();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();

        output.send_file(file, 0, 20);

        assert!(matches!(output.flush(&server), Err(SendError::Gone(_))));
    }

    #[test]
    fn a_client_that_left_is_an_error_and_no_signal() {
        let (server, client) = UnixStream::pair().unwrap();
        drop(client);

        let mut output = Output::default();
        output.push(&server, b"hello", &settings()).unwrap();

        assert!(matches!(output.flush(&server), Err(SendError::Gone(_))));
    }
}
