//! Where a generator says what is wrong. No service answers at boot, so this is the
//! log of the kernel, which journald reads. Containers have none: there it is a
//! datagram for journald, if that runs, which does not wait for anything.

use rgunicorn::units::Instance;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process;

const KERNEL_LOG: &str = "/dev/kmsg";
const JOURNAL: &str = "/run/systemd/journal/socket";
const NAME: &str = "rgunicorn-generator";

/// A record of the kernel's log has 1024 bytes at most, some for what it adds.
const LONGEST: usize = 900;

enum Target {
    Kernel(File),
    Journal(UnixDatagram),
    Stderr,
}

pub(crate) struct Report(Target);

impl Report {
    pub(crate) fn to_log() -> Self {
        Self::to_first(Path::new(KERNEL_LOG), Path::new(JOURNAL))
    }

    fn to_first(kernel_log: &Path, journal_socket: &Path) -> Self {
        // Not created where it is missing.
        if let Ok(kernel) = File::options().write(true).open(kernel_log) {
            return Self(Target::Kernel(kernel));
        }
        match journal(journal_socket) {
            Ok(journal) => Self(Target::Journal(journal)),
            Err(_) => Self(Target::Stderr),
        }
    }

    pub(crate) fn to_stderr() -> Self {
        Self(Target::Stderr)
    }

    /// `instance`: whose units it concerns, if there are such units.
    pub(crate) fn error(&mut self, instance: Option<&Instance>, problem: &str) {
        let problem = shortened(problem);
        // If there is no way to say it, the boot goes on all the same.
        let _ = match &mut self.0 {
            // One write is one record. 3 is the priority "error".
            Target::Kernel(file) => {
                file.write_all(format!("<3>{NAME}[{}]: {problem}\n", process::id()).as_bytes())
            }
            Target::Journal(socket) => socket.send(&record(instance, &problem)).map(|_| ()),
            Target::Stderr => writeln!(io::stderr(), "{NAME}: {problem}"),
        };
    }
}

fn journal(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

/// In the journal's protocol. The unit makes it a part of `journalctl --unit`.
fn record(instance: Option<&Instance>, problem: &str) -> Vec<u8> {
    let unit = instance.map(|instance| format!("OBJECT_SYSTEMD_UNIT={}\n", instance.service()));
    let unit = unit.unwrap_or_default();
    format!("PRIORITY=3\nSYSLOG_IDENTIFIER={NAME}\n{unit}MESSAGE={problem}\n").into_bytes()
}

/// One line without control characters, of at most [`LONGEST`] bytes.
fn shortened(problem: &str) -> String {
    let mut line = String::new();
    for c in problem.chars() {
        if line.len() + c.len_utf8() > LONGEST {
            line.push_str(" ...");
            break;
        }
        line.push(if c.is_control() { ' ' } else { c });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_log_is_the_place_and_the_journal_where_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (kernel, journal) = (folder.path().join("kmsg"), folder.path().join("socket"));
        let received = UnixDatagram::bind(&journal).unwrap();
        let shop = Instance::new("shop").unwrap();

        Report::to_first(&kernel, &journal).error(Some(&shop), "bad\nline");

        let mut record = [0; 500];
        let length = received.recv(&mut record).unwrap();
        let record = String::from_utf8_lossy(&record[..length]);
        assert!(record.contains("\nOBJECT_SYSTEMD_UNIT=rgunicorn@shop.service\n"));
        assert!(record.contains("\nMESSAGE=bad line\n"), "{record}");

        std::fs::write(&kernel, "").unwrap();
        Report::to_first(&kernel, &journal).error(Some(&shop), "bad\nline");

        let pid = process::id();
        assert_eq!(
            std::fs::read_to_string(&kernel).unwrap(),
            format!("<3>rgunicorn-generator[{pid}]: bad line\n")
        );
    }

    #[test]
    fn a_journal_that_does_not_read_delays_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("socket");
        let _silent = UnixDatagram::bind(&journal).unwrap();
        let mut report = Report::to_first(Path::new("/nowhere"), &journal);

        // More than its queue holds.
        for _ in 0..5000 {
            report.error(None, "bad");
        }
    }

    #[test]
    fn a_record_is_one_short_line_whatever_is_in_it() {
        let text = shortened(&format!("a\nMESSAGE=b\0{}", "ä".repeat(1000)));

        assert!(text.starts_with("a MESSAGE=b ä") && text.ends_with("ä ..."));
        assert!(text.len() <= LONGEST + 4);
        let record = String::from_utf8(record(None, &text)).unwrap();
        assert_eq!(record.lines().count(), 3, "{record}");
    }
}
