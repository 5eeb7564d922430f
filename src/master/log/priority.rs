//! How urgent a record is: syslog's eight priorities, which the journal uses and
//! an application may set with `<N>`. The program's own records have the four
//! levels of the link's protocol.

use rgunicorn_link::protocol;

/// The smaller, the more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

impl Priority {
    /// As in the journal, in syslog and in `<N>`.
    pub fn number(self) -> u8 {
        self as u8
    }

    pub fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Emergency,
            1 => Self::Alert,
            2 => Self::Critical,
            3 => Self::Error,
            4 => Self::Warning,
            5 => Self::Notice,
            6 => Self::Info,
            7 => Self::Debug,
            _ => return None,
        })
    }

    /// On the console, in the words of Python's `logging`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Emergency | Self::Alert | Self::Critical => "CRITICAL",
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Notice | Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }
}

impl From<tracing::Level> for Priority {
    fn from(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warning,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG | tracing::Level::TRACE => Self::Debug,
        }
    }
}

impl From<protocol::Level> for Priority {
    fn from(level: protocol::Level) -> Self {
        match level {
            protocol::Level::Error => Self::Error,
            protocol::Level::Warning => Self::Warning,
            protocol::Level::Info => Self::Info,
            protocol::Level::Debug => Self::Debug,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_names_the_priority_that_has_it() {
        let numbers: Vec<_> = (0..=7)
            .map(|number| Priority::from_number(number).unwrap().number())
            .collect();

        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(Priority::from_number(8), None);
    }
}
