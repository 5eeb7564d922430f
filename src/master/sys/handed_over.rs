//! Descriptors that stay open when another program is executed in this process, which knows
//! them by their numbers.

use super::inherited;
use rustix::io::FdFlags;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// The number of a descriptor in the program that is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number(RawFd);

impl fmt::Display for Number {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(to)
    }
}

impl Number {
    /// As a word of a command line has it.
    pub fn parse(word: &str) -> Option<Self> {
        word.parse().ok().map(Self)
    }

    /// Takes over the descriptor, once, as close-on-exec. Only before any other process is
    /// started.
    pub fn take(self) -> io::Result<OwnedFd> {
        inherited::take(self.0).map_err(|error| {
            let Self(number) = self;
            io::Error::new(error.kind(), format!("descriptor {number}: {error}"))
        })
    }
}

/// The descriptors that are to stay open.
#[derive(Debug, Default)]
pub struct HandedOver<'a>(Vec<BorrowedFd<'a>>);

impl<'a> HandedOver<'a> {
    pub fn add(&mut self, fd: BorrowedFd<'a>) -> Number {
        self.0.push(fd);
        Number(fd.as_raw_fd())
    }

    /// Has them stay open in the next program that is executed in this process.
    pub fn keep(&self) -> io::Result<()> {
        self.set(FdFlags::empty())
    }

    /// No other program gets them.
    pub fn close_on_exec(&self) -> io::Result<()> {
        self.set(FdFlags::CLOEXEC)
    }

    fn set(&self, flags: FdFlags) -> io::Result<()> {
        for fd in &self.0 {
            rustix::io::fcntl_setfd(fd, flags)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, IntoRawFd};

    #[test]
    fn a_descriptor_is_taken_once_by_its_number() {
        let (kept, _other) = rustix::pipe::pipe().unwrap();
        let mut handed_over = HandedOver::default();
        let number = handed_over.add(kept.as_fd());
        handed_over.close_on_exec().unwrap();
        assert!(number.take().is_err(), "it is this program's own");
        handed_over.keep().unwrap();
        // As if this were the next program.
        let _ = kept.into_raw_fd();

        let taken = number.take().unwrap();

        let flags = rustix::io::fcntl_getfd(&taken).unwrap();
        assert_eq!(flags, FdFlags::CLOEXEC);
        assert!(number.take().is_err());
    }
}
