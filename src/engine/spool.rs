//! A buffer that is in memory up to a limit, then in an unlinked file.

use crate::close_on_fork::ListedFile;
use crate::standard_streams;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// The file is read by position only, so its own position is always its end.
#[derive(Debug, Default)]
pub struct Spool {
    memory: Vec<u8>,
    file: Option<ListedFile>,
    length: u64,
    /// How often the file was written to.
    #[cfg(test)]
    pub(crate) writes: usize,
}

impl Spool {
    /// A spool that another process has filled: `memory`, or a file with `length` bytes.
    pub(crate) fn restore(memory: Vec<u8>, file: Option<File>, length: u64) -> Self {
        Self {
            memory,
            file: file.map(ListedFile::from),
            length,
            #[cfg(test)]
            writes: 0,
        }
    }

    /// Adds `bytes`; moves everything to a file when `in_memory` is exceeded.
    /// The file is in `directory`, or else in `$TMPDIR` or /tmp, and has no name. After an error the spool is as it
    /// was before.
    pub fn push(
        &mut self,
        bytes: &[u8],
        in_memory: usize,
        directory: Option<&Path>,
    ) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + bytes.len() <= in_memory {
            self.memory.extend_from_slice(bytes);
        } else {
            self.write(bytes, directory)?;
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], directory: Option<&Path>) -> io::Result<()> {
        let file = if let Some(file) = &self.file {
            file
        } else {
            let file = directory.map_or_else(tempfile::tempfile, tempfile::tempfile_in)?;
            let fd = standard_streams::avoid(file.into())?;
            let mut file = File::from(fd);
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            &*self.file.insert(file.into())
        };
        #[cfg(test)]
        {
            self.writes += 1;
        }
        let mut file = file.get();
        file.write_all(bytes).or_else(|error| {
            // A part of it may be written: nothing of it is the spool's.
            file.set_len(self.length)?;
            file.seek(SeekFrom::Start(self.length))?;
            Err(error)
        })
    }

    pub fn len(&self) -> u64 {
        self.length
    }

    /// Bytes of memory that it takes.
    pub fn capacity(&self) -> usize {
        self.memory.capacity()
    }

    /// The bytes, as long as they are in memory.
    pub fn memory(&self) -> &[u8] {
        &self.memory
    }

    /// Takes all bytes, as long as they are in memory.
    pub fn take_memory(&mut self) -> Vec<u8> {
        self.length -= self.memory.len() as u64;
        std::mem::take(&mut self.memory)
    }

    /// The file, once there is one. It holds all the bytes.
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref().map(ListedFile::get)
    }

    /// Removes everything, and keeps the memory for the next use.
    pub fn clear(&mut self) {
        self.memory.clear();
        self.file = None;
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn bytes_stay_in_memory_until_there_are_too_many() {
        let mut spool = Spool::default();

        spool.push(b"hello ", 10, None).unwrap();
        assert!(spool.file().is_none());
        spool.push(b"world!", 10, None).unwrap();

        assert!(spool.file().is_some());
        assert_eq!(spool.len(), 12);
        let mut bytes = [0; 12];
        spool.file().unwrap().read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"hello world!");
    }
}
