//! Who may ask for what over the control socket, decided by the account of the client's
//! process as the kernel knows it.

use super::protocol::Request;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

/// The account of rgunicorn-metrics(8).
pub const READER: &str = "rgunicorn-metrics";

/// The account that stands for those that a user namespace does not have.
const NOBODY: u32 = 65_534;

/// The longest list of accounts that is read, in bytes.
const LONGEST_LIST: u64 = 4 << 20;

/// What a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Root and the account of the server.
    Full,
    /// [`READER`]: what the server does, without what clients and settings say, which may
    /// be secret.
    Figures,
}

impl Access {
    /// What a client of the account `client` may ask for; `None`: nothing.
    pub fn of(client: u32, own: u32, reader: Option<u32>) -> Option<Self> {
        if client == 0 || client == own {
            Some(Self::Full)
        } else if Some(client) == reader {
            Some(Self::Figures)
        } else {
            None
        }
    }

    pub fn allows(self, request: &Request) -> bool {
        match self {
            Self::Full => true,
            Self::Figures => match request {
                Request::Status
                | Request::Summary
                | Request::Workers { .. }
                | Request::Listeners { .. } => true,
                // Settings may have passwords in them, and a stack costs the worker time.
                Request::Config { .. }
                | Request::Stacks { .. }
                | Request::Reload
                | Request::Upgrade
                | Request::Scale { .. }
                | Request::ScaleBy { .. }
                | Request::RestartWorker { .. }
                | Request::Stop => false,
            },
        }
    }
}

/// The number of [`READER`], if there is such an account and it can be told from others.
///
/// Not from the name service: it may have to ask another machine, and the master waits
/// for nobody. An account of the packages is always in this file.
pub fn reader(own: u32) -> Option<u32> {
    let file = File::open("/etc/passwd").ok()?;
    let reader = reader_in(BufReader::new(file.take(LONGEST_LIST)))?;
    // As a client of an account that this namespace does not have would be.
    (own != NOBODY && reader != NOBODY).then_some(reader)
}

fn reader_in(accounts: impl BufRead) -> Option<u32> {
    for line in accounts.split(b'\n') {
        let line = line.ok()?;
        let line = String::from_utf8_lossy(&line);
        let mut fields = line.split(':');
        if fields.next() == Some(READER) {
            return fields.nth(1)?.parse().ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_account_of_the_server_may_do_everything_and_others_nothing() {
        let access = |client| Access::of(client, 1000, Some(900));

        assert_eq!(access(0), Some(Access::Full));
        assert_eq!(access(1000), Some(Access::Full));
        assert_eq!(access(900), Some(Access::Figures));
        assert_eq!(access(33), None);
        assert_eq!(access(NOBODY), None);
        assert_eq!(Access::of(900, 1000, None), None);
        // A server that runs as root serves nobody else either.
        assert_eq!(Access::of(1000, 0, None), None);
    }

    #[test]
    fn the_reader_gets_figures_and_changes_nothing() {
        let all = [
            (Request::Status, true),
            (Request::Summary, true),
            (Request::Workers { from: 0 }, true),
            (Request::Listeners { from: 0 }, true),
            (Request::Config { from: 0 }, false),
            (Request::Stacks { id: 1 }, false),
            (Request::Reload, false),
            (Request::Scale { workers: 2 }, false),
            (Request::ScaleBy { workers: 1 }, false),
            (Request::RestartWorker { id: 1 }, false),
            (Request::Stop, false),
        ];
        for (request, is_allowed) in all {
            assert_eq!(Access::Figures.allows(&request), is_allowed, "{request:?}");
            assert!(Access::Full.allows(&request));
        }
    }

    #[test]
    fn the_account_is_found_by_its_whole_name() {
        let found = |text: &str| reader_in(text.as_bytes());
        let root = "root:x:0:0:root:/root:/bin/bash\n";

        let line = "rgunicorn-metrics:x:998:997:rgunicorn:/:/usr/sbin/nologin\n";
        assert_eq!(found(&format!("{root}\n{line}")), Some(998));
        for other in [
            "rgunicorn-metrics2:x:998:997::/:\n",
            "x:rgunicorn-metrics:998:997::/:\n",
            "rgunicorn-metrics:x:none:997::/:\n",
            "rgunicorn-metrics\n",
            "\u{fffd}",
            "",
        ] {
            assert_eq!(found(&format!("{root}{other}")), None, "{other}");
        }
        assert_eq!(
            reader_in(&b"\xff:x:1\nrgunicorn-metrics:x:7:7"[..]),
            Some(7)
        );
    }
}
