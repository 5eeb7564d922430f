//! Descriptors that a child forked by the application must not keep: its copy
//! of a listener would hold the address, its copy of a connection would keep
//! the client waiting for the end, its copy of an unlinked file the space on disk.
//!
//! POSIX.1-2024 has a flag for this, `FD_CLOFORK`; Linux has not. So they are
//! listed here, where a `pthread_atfork` handler can read them: it may neither
//! allocate nor take a lock.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// One bit for each number up to the default of `fs.nr_open`. The pages that no
/// bit was ever set in take no memory.
static LISTED: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];
const WORDS: usize = (1 << 20) / BITS;
const BITS: usize = u64::BITS as usize;

/// How many words of [`LISTED`] may have a bit set.
static USED: AtomicUsize = AtomicUsize::new(0);

/// A descriptor that is listed for as long as it is open.
#[derive(Debug)]
pub struct CloseOnFork(OwnedFd);

/// A file that is listed for as long as it is open.
#[derive(Debug)]
pub struct ListedFile {
    // Before the file: once that is closed, its number may be another's.
    _listing: Listing,
    file: File,
}

/// Keeps a descriptor listed that somebody else owns. To be dropped before the
/// descriptor is closed.
#[derive(Debug)]
pub struct Listing(RawFd);

/// Lists `fd` until what is returned is dropped.
pub fn list(fd: impl AsFd) -> Listing {
    let fd = fd.as_fd().as_raw_fd();
    set(fd);
    Listing(fd)
}

fn set(fd: RawFd) {
    // One beyond the table is kept by children: harmless next to a crash.
    if let Some((word, bit)) = place(fd) {
        LISTED[word].fetch_or(bit, Relaxed);
        USED.fetch_max(word + 1, Relaxed);
    }
}

fn unset(fd: RawFd) {
    if let Some((word, bit)) = place(fd) {
        LISTED[word].fetch_and(!bit, Relaxed);
    }
}

/// Empties the list and calls `each` for all that was on it. Safe in a signal
/// handler and after a fork, if `each` is.
pub fn take(mut each: impl FnMut(RawFd)) {
    for (number, word) in LISTED.iter().take(USED.load(Relaxed)).enumerate() {
        let mut bits = word.swap(0, Relaxed);
        while bits != 0 {
            let fd = number * BITS + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            if let Ok(fd) = RawFd::try_from(fd) {
                each(fd);
            }
        }
    }
}

fn place(fd: RawFd) -> Option<(usize, u64)> {
    let fd = usize::try_from(fd).ok()?;
    (fd / BITS < WORDS).then(|| (fd / BITS, 1 << (fd % BITS)))
}

impl Drop for Listing {
    fn drop(&mut self) {
        unset(self.0);
    }
}

impl From<OwnedFd> for CloseOnFork {
    fn from(fd: OwnedFd) -> Self {
        set(fd.as_raw_fd());
        Self(fd)
    }
}

impl AsFd for CloseOnFork {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for CloseOnFork {
    fn drop(&mut self) {
        // Before the descriptor is closed: its number may be another's then.
        unset(self.0.as_raw_fd());
    }
}

impl From<File> for ListedFile {
    fn from(file: File) -> Self {
        Self {
            _listing: list(&file),
            file,
        }
    }
}

impl ListedFile {
    pub fn get(&self) -> &File {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_listed(fd: impl AsFd) -> bool {
        let (word, bit) = place(fd.as_fd().as_raw_fd()).unwrap();
        LISTED[word].load(Relaxed) & bit != 0
    }

    fn a_file() -> OwnedFd {
        File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn a_descriptor_is_listed_while_somebody_asks_for_it() {
        let file = a_file();

        let listing = list(&file);
        assert!(is_listed(&file));
        drop(listing);

        assert!(!is_listed(&file));
    }

    #[test]
    fn a_descriptor_to_be_closed_on_fork_is_listed() {
        assert!(is_listed(CloseOnFork::from(a_file())));
    }

    #[test]
    fn a_number_beyond_the_table_is_not_listed() {
        assert_eq!(place(-1), None);
        assert_eq!(place(1 << 20), None);
        assert_eq!(place((1 << 20) - 1), Some((WORDS - 1, 1 << 63)));
    }
}
