//! Where the records of the access log end up: a file, a stream that was inherited, the
//! journal, syslog. Metrics for StatsD, too. Used by the thread that writes, alone.

use rgunicorn_engine::close_on_fork::CloseOnFork;
use rgunicorn_link::log_file;
use rgunicorn_link::protocol::AccessDestination;
use rgunicorn_link::remote::{Remote, RemoteAddress, wait_writable};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

/// Where journald listens.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// What a pipe takes in one piece (pipe(7)): the lines of several workers come out whole.
const PIPE_BUF: usize = 4096;

/// What becomes of a batch of records.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// How many bytes of the batch are done with. The others are to be tried again.
    pub(crate) bytes: usize,
    /// How many records were lost, and why.
    pub(crate) lost: u64,
    pub(crate) error: Option<io::Error>,
}

/// An open destination.
pub(crate) struct Destination {
    kind: Kind,
    /// The last write ended within a line.
    is_in_line: bool,
}

enum Kind {
    File {
        path: PathBuf,
        /// `None`: it could not be opened.
        file: Option<CloseOnFork>,
        is_regular: bool,
    },
    /// A stream that other processes have as well, so it is not made non-blocking.
    Stream(CloseOnFork),
    /// Not connected: a journald that was restarted is found again.
    Journal(CloseOnFork),
    Remote {
        remote: Box<Remote<CloseOnFork>>,
        protocol: &'static str,
    },
}

impl Destination {
    pub(crate) fn syslog(address: &RemoteAddress) -> Self {
        Self {
            kind: Kind::remote(address, "syslog"),
            is_in_line: false,
        }
    }

    pub(crate) fn statsd(address: &RemoteAddress) -> Self {
        Self {
            kind: Kind::remote(address, "StatsD"),
            is_in_line: false,
        }
    }

    /// Also if it cannot be opened now: it is tried again.
    pub(crate) fn open(destination: &AccessDestination) -> (Self, Option<io::Error>) {
        let opened = match destination {
            AccessDestination::File(path) => {
                let mut kind = Kind::File {
                    path: path.clone(),
                    file: None,
                    is_regular: true,
                };
                let error = kind.reopen().err();
                Ok((kind, error))
            }
            AccessDestination::Stdout => stream(rustix::stdio::stdout()),
            AccessDestination::Stderr => stream(rustix::stdio::stderr()),
            AccessDestination::Journal => journal(),
            AccessDestination::Syslog(syslog) => {
                Ok((Kind::remote(&syslog.address, "syslog"), None))
            }
        };
        let (kind, error) = opened.unwrap_or_else(|error| {
            let kind = Kind::File {
                path: PathBuf::from("/dev/null"),
                file: None,
                is_regular: true,
            };
            (kind, Some(error))
        });
        let is_in_line = false;
        (Self { kind, is_in_line }, error)
    }

    /// Opens a file anew, by its name. If that fails, the old one is kept.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        self.kind.reopen()?;
        self.is_in_line = false;
        Ok(())
    }

    /// Whether its file has no name any more.
    pub(crate) fn is_deleted(&self) -> bool {
        let Kind::File {
            file: Some(file), ..
        } = &self.kind
        else {
            return false;
        };
        log_file::is_deleted(file)
    }

    pub(crate) fn name(&self) -> String {
        match &self.kind {
            Kind::File { path, .. } => path.display().to_string(),
            Kind::Stream(_) => "standard output".to_owned(),
            Kind::Journal(_) => "the journal".to_owned(),
            Kind::Remote { remote, protocol } => format!("{protocol} at {}", remote.address()),
        }
    }

    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.kind, Kind::Remote { .. })
    }

    /// What takes the records, where a sentence is about the access log, or about a server.
    pub(crate) fn taker(&self) -> String {
        match self.kind {
            Kind::File { .. } | Kind::Stream(_) | Kind::Journal(_) => "it".to_owned(),
            Kind::Remote { .. } => self.name(),
        }
    }

    /// Whether the records of a batch are datagrams, each behind its length, and not lines.
    pub(crate) fn takes_datagrams(&self) -> bool {
        match self.kind {
            Kind::File { .. } | Kind::Stream(_) => false,
            Kind::Journal(_) | Kind::Remote { .. } => true,
        }
    }

    /// Writes records, each of them a line or a datagram behind its length.
    /// Where somebody takes nothing, it waits as long as `may_wait` says so.
    pub(crate) fn write(&mut self, batch: &[u8], may_wait: impl Fn() -> bool) -> Written {
        match &mut self.kind {
            Kind::Journal(socket) => send_all(socket.as_fd(), batch, may_wait),
            Kind::Remote { remote, .. } => send_to_remote(remote, batch, may_wait),
            Kind::Stream(stream) => write_lines(
                stream.as_fd(),
                batch,
                PIPE_BUF,
                &mut self.is_in_line,
                may_wait,
            ),
            Kind::File {
                file, is_regular, ..
            } => {
                let most = if *is_regular { usize::MAX } else { PIPE_BUF };
                if let Some(file) = file {
                    write_lines(file.as_fd(), batch, most, &mut self.is_in_line, may_wait)
                } else {
                    lost(batch, Written::default(), io::ErrorKind::NotFound.into())
                }
            }
        }
    }

    /// Whether it has to be opened before it can be written to.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(&self.kind, Kind::File { file: None, .. })
    }
}

/// How many records there are in a batch.
pub(crate) fn count(batch: &[u8], has_datagrams: bool) -> u64 {
    if has_datagrams {
        datagrams(batch).count() as u64
    } else {
        lines(batch)
    }
}

impl Kind {
    fn remote(address: &RemoteAddress, protocol: &'static str) -> Self {
        Self::Remote {
            remote: Box::new(Remote::new(address.clone())),
            protocol,
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        let Self::File {
            path,
            file,
            is_regular,
        } = self
        else {
            return Ok(());
        };
        let opened = log_file::open(path)?;
        *is_regular = opened.is_regular;
        *file = Some(opened.file.into());
        Ok(())
    }
}

fn stream(inherited: BorrowedFd<'_>) -> io::Result<(Kind, Option<io::Error>)> {
    // The application may replace its own.
    let copy = rustix::io::fcntl_dupfd_cloexec(inherited, 3)?;
    Ok((Kind::Stream(copy.into()), None))
}

fn journal() -> io::Result<(Kind, Option<io::Error>)> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    Ok((Kind::Journal(socket.into()), None))
}

/// How many lines there are.
fn lines(bytes: &[u8]) -> u64 {
    (bytes.split(|byte| *byte == b'\n').count() - 1) as u64
}

/// The rest of the batch is given up.
fn lost(batch: &[u8], mut written: Written, error: io::Error) -> Written {
    written.lost += lines(batch.get(written.bytes..).unwrap_or_default());
    written.bytes = batch.len();
    written.error = Some(error);
    written
}

/// `most`: the most bytes of one write, which ends with a line if that is possible.
fn write_lines(
    fd: BorrowedFd<'_>,
    batch: &[u8],
    most: usize,
    is_in_line: &mut bool,
    may_wait: impl Fn() -> bool,
) -> Written {
    let mut written = Written::default();
    while written.bytes < batch.len() {
        let rest = &batch[written.bytes..];
        let piece = piece(rest, most);
        match write_piece(fd, piece, *is_in_line && written.bytes == 0, most) {
            Ok(0) => return lost(batch, written, io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                written.bytes += count;
                *is_in_line = batch[written.bytes - 1] != b'\n';
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if may_wait() => wait_writable(fd),
            Err(Errno::AGAIN) => return written,
            Err(error) => return lost(batch, written, error.into()),
        }
    }
    written
}

/// `after_torn_line`: what was written last lacks its end, and a line of its own follows.
fn write_piece(
    fd: BorrowedFd<'_>,
    piece: &[u8],
    after_torn_line: bool,
    most: usize,
) -> Result<usize, Errno> {
    if after_torn_line {
        rustix::io::write(fd, b"\n")?;
    }
    if most == usize::MAX {
        return rustix::io::write(fd, piece);
    }
    // One that blocks is asked first: the thread has to notice that it shall stop.
    let mut poll = [PollFd::new(&fd, PollFlags::OUT)];
    if rustix::event::poll(&mut poll, Some(&Timespec::default()))? == 0 {
        return Err(Errno::AGAIN);
    }
    rustix::io::write(fd, piece)
}

/// As many whole lines as fit into one write, or a part of one that is longer.
fn piece(rest: &[u8], most: usize) -> &[u8] {
    let Some(start) = rest.get(..most) else {
        return rest;
    };
    let end = start.iter().rposition(|byte| *byte == b'\n');
    end.map_or(start, |end| &rest[..=end])
}

/// Adds a record to a batch of datagrams.
pub(crate) fn push_datagram(batch: &mut Vec<u8>, record: &[u8]) {
    let length = u32::try_from(record.len()).unwrap_or(0);
    batch.extend_from_slice(&length.to_ne_bytes());
    batch.extend_from_slice(&record[..length as usize]);
}

/// The datagrams of a batch.
fn datagrams(mut batch: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = batch.split_first_chunk::<4>()?;
        let (record, rest) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
        batch = rest;
        Some(record)
    })
}

fn send_to_remote(
    remote: &mut Remote<CloseOnFork>,
    batch: &[u8],
    may_wait: impl Fn() -> bool,
) -> Written {
    let mut written = Written::default();
    for record in datagrams(batch) {
        match remote.send(record, &may_wait) {
            Ok(()) => {}
            Err(unsent) if unsent.error.kind() == io::ErrorKind::WouldBlock => return written,
            Err(unsent) => {
                written.lost += unsent.count;
                written.error = Some(unsent.error);
            }
        }
        written.bytes += record.len() + size_of::<u32>();
    }
    written
}

fn send_all(socket: BorrowedFd<'_>, batch: &[u8], may_wait: impl Fn() -> bool) -> Written {
    let mut written = Written::default();
    let address = match SocketAddrUnix::new(JOURNAL) {
        Ok(address) => address,
        Err(error) => return lost(batch, written, error.into()),
    };
    for record in datagrams(batch) {
        loop {
            match rustix::net::sendto(socket, record, SendFlags::NOSIGNAL, &address) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                // The queue of journald's socket is full. Its room cannot be waited for on a
                // socket that is not connected.
                Err(Errno::AGAIN) if may_wait() => {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                Err(Errno::AGAIN) => return written,
                Err(error) => {
                    written.lost += 1;
                    written.error = Some(error.into());
                    break;
                }
            }
        }
        written.bytes += record.len() + size_of::<u32>();
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{FileType, Mode, OFlags};
    use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
    use std::fs;

    fn file(path: PathBuf) -> Destination {
        let (destination, error) = Destination::open(&AccessDestination::File(path));
        assert!(error.is_none(), "{error:?}");
        destination
    }

    #[test]
    fn pieces_for_a_pipe_end_with_a_line() {
        assert_eq!(piece(b"one\ntwo\nthree\n", 10), b"one\ntwo\n");
        assert_eq!(piece(b"one\n", 10), b"one\n");
        assert_eq!(piece(b"one\ntwo\n", usize::MAX), b"one\ntwo\n");
        assert_eq!(piece(b"longer than that\n", 10), b"longer tha");
    }

    #[test]
    fn what_a_pipe_does_not_take_is_tried_again_and_nothing_is_lost() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        fcntl_setpipe_size(&writer, 4096).unwrap();
        let mut in_line = false;
        let batch = "0123456789abcde\n".repeat(1000).into_bytes();

        let first = write_lines(writer.as_fd(), &batch, PIPE_BUF, &mut in_line, || false);
        let mut bytes = [0; 4096];
        rustix::io::read(&reader, &mut bytes).unwrap();
        let rest = &batch[first.bytes..];
        let second = write_lines(writer.as_fd(), rest, PIPE_BUF, &mut in_line, || false);

        assert_eq!((first.bytes, second.bytes), (4096, 4096));
        assert_eq!((first.lost, second.lost, in_line), (0, 0, false));
    }

    #[test]
    fn a_pipe_that_nobody_reads_any_more_loses_records_and_says_why() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        drop(reader);

        let written = write_lines(writer.as_fd(), b"a\nb\n", PIPE_BUF, &mut false, || true);

        assert_eq!((written.bytes, written.lost), (4, 2));
        let error = written.error.unwrap();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_full_disk_loses_records_and_says_why() {
        let mut full = file("/dev/full".into());

        let written = full.write(b"a\nb\n", || true);

        assert_eq!(written.lost, 2);
        let error = written.error.unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = file(path.clone());

        log.write(b"torn", || true);
        log.write(b"whole\n", || true);

        assert_eq!(fs::read_to_string(path).unwrap(), "torn\nwhole\n");
    }

    #[test]
    fn a_renamed_file_is_opened_anew_and_a_failure_keeps_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join("logs").join(name);
        fs::create_dir(folder.path().join("logs")).unwrap();
        let mut log = file(path("log"));
        log.write(b"one\n", || true);
        fs::rename(path("log"), path("log.1")).unwrap();

        log.write(b"two\n", || true);
        log.reopen().unwrap();
        log.write(b"three\n", || true);

        assert_eq!(fs::read_to_string(path("log.1")).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(path("log")).unwrap(), "three\n");
        assert!(!log.is_deleted());
        fs::remove_dir_all(folder.path().join("logs")).unwrap();
        assert!(log.is_deleted());
        assert!(log.reopen().is_err());
        assert_eq!(log.write(b"four\n", || true).lost, 0);
    }

    #[test]
    fn a_fifo_without_a_reader_is_opened_and_waits_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
        let mut log = file(path.clone());

        assert_eq!(log.write(b"one\n", || false).bytes, 4);

        let reader = rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK, mode).unwrap();
        let mut bytes = [0; 10];
        assert_eq!(rustix::io::read(&reader, &mut bytes).unwrap(), 4);
    }

    #[test]
    fn a_batch_for_the_journal_keeps_its_records_apart() {
        let mut batch = Vec::new();
        push_datagram(&mut batch, b"A=1\nB=2\n");
        push_datagram(&mut batch, b"C=3\n");

        assert_eq!(
            datagrams(&batch).collect::<Vec<_>>(),
            [&b"A=1\nB=2\n"[..], b"C=3\n"]
        );
    }
}
