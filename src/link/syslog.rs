//! Records for syslog, in the form that Gunicorn gives them: `<14>gunicorn.shop.error: [123] text`.

use crate::remote::{LONGEST, RemoteAddress};
use serde::{Deserialize, Serialize};

/// The syslog server that records go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syslog {
    pub address: RemoteAddress,
    /// The number of the facility.
    pub facility: u8,
    /// Behind `gunicorn.` in the name of the program.
    pub prefix: String,
}

/// Which of the server's logs a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogSource {
    Error,
    Access,
}

impl Syslog {
    /// What stands before the text of a record. `severity` is syslog's number, from 0 to 7.
    pub fn head(&self, source: SyslogSource, severity: u8, pid: u32) -> String {
        let priority = u32::from(self.facility) * 8 + u32::from(severity);
        let name = match source {
            SyslogSource::Error => "error",
            SyslogSource::Access => "access",
        };
        format!("<{priority}>gunicorn.{}.{name}: [{pid}] ", self.prefix)
    }
}

/// A record, with the zero byte that ends it. A text that is too long loses its end.
pub fn push_record(to: &mut Vec<u8>, head: &str, text: &[u8]) {
    let most = LONGEST.saturating_sub(head.len());
    to.extend_from_slice(head.as_bytes());
    to.extend_from_slice(&text[..text.len().min(most)]);
    to.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::UnixKind;

    #[test]
    fn a_record_has_priority_name_and_pid() {
        let syslog = Syslog {
            address: RemoteAddress::Unix {
                path: "/dev/log".into(),
                kind: UnixKind::Any,
            },
            facility: 16,
            prefix: "shop".to_owned(),
        };
        let mut record = Vec::new();

        let head = syslog.head(SyslogSource::Access, 6, 12);
        push_record(&mut record, &head, b"GET /");

        assert_eq!(record, b"<134>gunicorn.shop.access: [12] GET /\0");
        let head = syslog.head(SyslogSource::Error, 3, 1);
        assert_eq!(head, "<131>gunicorn.shop.error: [1] ");
        record.clear();
        push_record(&mut record, &head, &vec![b'x'; 2 * LONGEST]);
        assert_eq!(record.len(), LONGEST + 1);
    }
}
