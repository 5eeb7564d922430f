//! Memory pressure, as systemd 254 and later have it announced: the kernel tells when
//! processes of the service's control group wait for memory.
//!
//! `MEMORY_PRESSURE_WATCH` names what to watch: the file `memory.pressure` of the control
//! group, or a FIFO or a socket in its place. `MEMORY_PRESSURE_WRITE` is what to write there
//! first, in Base64: how long processes have to wait within which time. A file is ready with
//! an exceptional condition (`EPOLLPRI`), the others with input that means nothing by itself.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// By this path the service manager says that nothing is to be watched.
const OFF: &str = "/dev/null";

/// Why memory pressure cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum PressureError {
    #[error("MEMORY_PRESSURE_WATCH has to be an absolute path, not {0:?}")]
    NotAbsolute(PathBuf),
    #[error("MEMORY_PRESSURE_WRITE is not Base64")]
    NotBase64,
    #[error("{} is neither a file nor a FIFO nor a socket", .0.display())]
    OtherKind(PathBuf),
    #[error("cannot watch {}", path.display())]
    Watch { path: PathBuf, source: io::Error },
}

/// What tells of memory pressure.
#[derive(Debug)]
pub struct PressureWatch {
    fd: OwnedFd,
    kind: Kind,
}

/// How it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By an exceptional condition.
    File,
    /// By input.
    Stream,
}

/// What a wake-up meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// There is pressure.
    Some,
    /// A wake-up for nothing.
    None,
    /// Nothing will come any more.
    Ended,
}

impl PressureWatch {
    /// `None`: there is nothing to watch, or the service manager wants nothing watched.
    pub fn from_env() -> Result<Option<Self>, PressureError> {
        let watch = std::env::var_os("MEMORY_PRESSURE_WATCH");
        let write = std::env::var_os("MEMORY_PRESSURE_WRITE");
        Self::new(watch, write)
    }

    fn new(
        watch: Option<OsString>,
        write: Option<OsString>,
    ) -> Result<Option<Self>, PressureError> {
        let Some(path) = watch
            .map(PathBuf::from)
            .filter(|path| path != Path::new(OFF))
        else {
            return Ok(None);
        };
        if !path.is_absolute() {
            return Err(PressureError::NotAbsolute(path));
        }
        let write = BASE64_STANDARD
            .decode(write.unwrap_or_default().as_encoded_bytes())
            .map_err(|_| PressureError::NotBase64)?;
        match Self::open(&path, &write) {
            Ok(Some(watch)) => Ok(Some(watch)),
            Ok(None) => Err(PressureError::OtherKind(path)),
            Err(source) => Err(PressureError::Watch { path, source }),
        }
    }

    fn open(path: &Path, write: &[u8]) -> io::Result<Option<Self>> {
        let (fd, kind) = match FileType::from_raw_mode(rustix::fs::stat(path)?.st_mode) {
            FileType::RegularFile => (open_to_write(path)?, Kind::File),
            // To write as well: so it does not end when its last writer closes it.
            FileType::Fifo => (open_to_write(path)?, Kind::Stream),
            FileType::Socket => {
                let socket = UnixStream::connect(path)?;
                socket.set_nonblocking(true)?;
                (socket.into(), Kind::Stream)
            }
            _ => return Ok(None),
        };
        // In one piece: the kernel takes no part of it.
        if !write.is_empty() && rustix::io::write(&fd, write)? < write.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(Some(Self { fd, kind }))
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Finds out what a wake-up means, and makes ready for the next.
    pub fn read(&self) -> Pressure {
        match self.kind {
            Kind::File => self.read_file(),
            Kind::Stream => self.read_stream(),
        }
    }

    /// Its condition ended when it was reported. An error, of a control group that is gone
    /// or where nothing was written, lasts.
    fn read_file(&self) -> Pressure {
        let mut sources = [PollFd::new(&self.fd, PollFlags::PRI)];
        let polled = rustix::event::poll(&mut sources, Some(&rustix::event::Timespec::default()));
        let is_broken = sources[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
        match polled {
            Ok(_) if !is_broken => Pressure::Some,
            Ok(_) | Err(_) => Pressure::Ended,
        }
    }

    /// Whoever writes faster than this reads tells of pressure all the same: the rest is
    /// found at the next wake-up.
    fn read_stream(&self) -> Pressure {
        let mut discarded = [0; 4096];
        match rustix::io::read(&self.fd, &mut discarded) {
            Ok(0) => Pressure::Ended,
            Ok(_) => Pressure::Some,
            Err(Errno::AGAIN | Errno::INTR) => Pressure::None,
            Err(_) => Pressure::Ended,
        }
    }
}

impl AsFd for PressureWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn open_to_write(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    /// "some 200000 2000000" and a zero byte.
    const WRITE: &str = "c29tZSAyMDAwMDAgMjAwMDAwMAA=";

    fn watch(path: &Path, write: &str) -> Result<Option<PressureWatch>, PressureError> {
        PressureWatch::new(Some(path.into()), Some(write.into()))
    }

    #[test]
    fn nothing_is_watched_unless_it_is_wanted() {
        assert!(
            PressureWatch::new(None, Some(WRITE.into()))
                .unwrap()
                .is_none()
        );
        assert!(watch(Path::new("/dev/null"), WRITE).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_watched_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path, write| watch(path, write).unwrap_err();

        assert!(matches!(
            error(Path::new("here"), ""),
            PressureError::NotAbsolute(_)
        ));
        assert!(matches!(
            error(folder.path(), ""),
            PressureError::OtherKind(_)
        ));
        assert!(matches!(
            error(folder.path(), "?"),
            PressureError::NotBase64
        ));
        let missing = folder.path().join("missing");
        assert!(matches!(error(&missing, ""), PressureError::Watch { .. }));
    }

    #[test]
    fn what_systemd_wants_is_written_into_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();

        let watch = watch(file.path(), WRITE).unwrap().unwrap();

        assert_eq!(watch.kind(), Kind::File);
        assert_eq!(fs::read(file.path()).unwrap(), b"some 200000 2000000\0");
    }

    #[test]
    fn a_fifo_tells_of_pressure_and_goes_on_when_its_writer_has_closed_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pressure");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let watch = watch(&path, "").unwrap().unwrap();
        assert_eq!((watch.kind(), watch.read()), (Kind::Stream, Pressure::None));

        fs::write(&path, "x").unwrap();

        assert_eq!(watch.read(), Pressure::Some);
        assert_eq!(watch.read(), Pressure::None);
    }

    #[test]
    fn a_socket_tells_of_pressure_until_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pressure");
        let listener = UnixListener::bind(&path).unwrap();
        let watch = watch(&path, WRITE).unwrap().unwrap();
        let (mut manager, _) = listener.accept().unwrap();
        let mut written = [0; 20];
        manager.read_exact(&mut written).unwrap();
        assert_eq!(&written, b"some 200000 2000000\0");

        manager.write_all(b"x").unwrap();

        assert_eq!(watch.read(), Pressure::Some);
        drop(manager);
        assert_eq!(watch.read(), Pressure::Ended);
    }

    #[test]
    fn the_kernel_accepts_what_systemd_writes() {
        let path = Path::new("/proc/pressure/memory");
        match watch(path, WRITE) {
            Ok(watch) => assert_eq!(watch.unwrap().kind(), Kind::File),
            // A kernel without it, or one that is older than 6.5 for an ordinary user.
            Err(PressureError::Watch { source, .. }) => {
                println!("skipped: {}: {source}", path.display());
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_file_that_nothing_was_written_into_has_ended() {
        if let Ok(Some(watch)) = watch(Path::new("/proc/pressure/memory"), "") {
            assert_eq!(watch.read(), Pressure::Ended);
        } else {
            println!("skipped: this kernel does not tell of memory pressure");
        }
    }
}
