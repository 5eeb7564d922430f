//! What a worker writes of each request: its record in the access log, which may have more than
//! one destination, and metrics for StatsD.

use crate::access_writer::{AccessWriter, finish_all};
use crate::reporter::Reporter;
use crate::settings::{access_format, journal_fields};
use crate::syslog_records::SyslogRecords;
use rgunicorn_engine::{AccessForm, AccessOutput, AccessSettings, RequestMetrics};
use rgunicorn_link::protocol::{AccessDestination, Site};
use rgunicorn_link::scoreboard::Row;
use rgunicorn_link::syslog::{SyslogSource, push_record};
use rgunicorn_link::{AccessFilter, Statsd};
use std::time::Duration;

/// The severity of access records in syslog: informational.
const SEVERITY: u8 = 6;

/// What the message of an entry in the journal begins with.
const MESSAGE: &[u8] = b"MESSAGE=";

/// The outputs of one worker.
#[derive(Clone)]
pub struct AccessOutputs {
    records: Vec<Output>,
    metrics: Option<(Statsd, AccessWriter)>,
}

#[derive(Clone)]
struct Output {
    writer: AccessWriter,
    /// What stands before a record in syslog; `None`: records are written as they come.
    syslog_head: Option<String>,
}

impl AccessOutputs {
    /// Opens what the site names. `None`: nothing is written of requests.
    pub fn open(site: &Site, reporter: &Reporter) -> Option<Self> {
        let destinations = (site.access_log.iter()).flat_map(|log| &log.destinations);
        let records: Vec<_> = destinations
            .map(|destination| Output {
                writer: AccessWriter::open(destination, reporter),
                syslog_head: match destination {
                    AccessDestination::Syslog(syslog) => {
                        let pid = std::process::id();
                        Some(syslog.head(SyslogSource::Access, SEVERITY, pid))
                    }
                    AccessDestination::File(_)
                    | AccessDestination::Journal
                    | AccessDestination::Stdout
                    | AccessDestination::Stderr => None,
                },
            })
            .collect();
        let metrics = site.statsd.as_ref().map(|statsd| {
            let writer = AccessWriter::open_statsd(&statsd.address, reporter);
            (statsd.clone(), writer)
        });
        (!records.is_empty() || metrics.is_some()).then_some(Self { records, metrics })
    }

    /// What the engine is told. `worker` is this worker's number; `local_offset` gives the
    /// difference of local time to UTC at a time, both in seconds.
    pub(crate) fn settings(
        &self,
        site: &Site,
        worker: u32,
        local_offset: fn(i64) -> i32,
    ) -> AccessSettings {
        let log = site.access_log.as_ref();
        let journal = log.filter(|log| log.destinations.contains(&AccessDestination::Journal));
        let form = journal.map_or(AccessForm::Line, |log| AccessForm::Journal {
            fields: journal_fields(log, worker),
        });
        let metrics = self.metrics.clone();
        AccessSettings {
            format: access_format(site),
            filter: log.map_or(AccessFilter::NOTHING, |log| log.filter.clone()),
            local_offset,
            output: Box::new(Records {
                outputs: self.records.clone(),
                are_entries: matches!(form, AccessForm::Journal { .. }),
                record: Vec::new(),
            }),
            form,
            metrics: metrics.map(|(statsd, writer)| -> Box<dyn RequestMetrics> {
                Box::new(Metrics { statsd, writer })
            }),
        }
    }

    /// Opens files anew, behind what is in the queues.
    pub(crate) fn reopen(&self) {
        for output in &self.records {
            output.writer.reopen();
        }
    }

    /// Logs what is lost, unless that was done a short time ago, and counts it.
    pub(crate) fn report_if_due(&self, row: Option<&Row>) {
        for writer in self.writers() {
            writer.report_if_due();
        }
        self.count(row);
    }

    /// Puts on the scoreboard how many are lost.
    pub fn count(&self, row: Option<&Row>) {
        if let Some(row) = row {
            row.set_access_lost(self.records.iter().map(|output| output.writer.lost()).sum());
            row.set_metrics_lost(self.metrics.as_ref().map_or(0, |(_, writer)| writer.lost()));
        }
    }

    fn writers(&self) -> impl Iterator<Item = &AccessWriter> + Clone {
        let records = self.records.iter().map(|output| &output.writer);
        records.chain(self.metrics.iter().map(|(_, writer)| writer))
    }
}

/// Has all outputs of a worker write what is left, before it leaves, in the time that one may
/// take.
pub fn finish_outputs(access: Option<&AccessOutputs>, records: Option<&SyslogRecords>) {
    let writers = access.into_iter().flat_map(AccessOutputs::writers);
    finish_all(writers.chain(records.map(SyslogRecords::writer)));
}

/// Gives each record to all destinations.
struct Records {
    outputs: Vec<Output>,
    /// Records come as entries for the journal.
    are_entries: bool,
    /// For syslog.
    record: Vec<u8>,
}

impl AccessOutput for Records {
    fn write(&mut self, record: &[u8]) {
        for output in &self.outputs {
            match &output.syslog_head {
                None => output.writer.push(record),
                Some(head) => {
                    self.record.clear();
                    push_record(&mut self.record, head, line(record, self.are_entries));
                    output.writer.push(&self.record);
                }
            }
        }
    }
}

/// The line that a record is, or that is the message of an entry.
fn line(record: &[u8], is_entry: bool) -> &[u8] {
    let message = record.strip_prefix(MESSAGE).filter(|_| is_entry);
    let mut lines = message.unwrap_or(record).split(|byte| *byte == b'\n');
    lines.next().unwrap_or_default()
}

/// Sends metrics of each request.
struct Metrics {
    statsd: Statsd,
    writer: AccessWriter,
}

impl RequestMetrics for Metrics {
    fn count(&mut self, status: u16, duration: Duration) {
        for metric in self.statsd.of_request(status, duration) {
            self.writer.push(metric.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sender;
    use crate::access_writer::MAX_FINISH;
    use rgunicorn_link::protocol::Level;
    use rgunicorn_link::remote::{RemoteAddress, UnixKind};
    use rgunicorn_link::{Link, Syslog};
    use std::os::unix::net::UnixListener;
    use std::sync::Arc;
    use std::time::Instant;

    #[test]
    fn syslog_gets_the_line_of_a_record() {
        assert_eq!(line(b"GET / 200\n", false), b"GET / 200");
        assert_eq!(line(b"MESSAGE=x\n", false), b"MESSAGE=x");
        assert_eq!(line(b"MESSAGE=GET / 200\nPRIORITY=6\n", true), b"GET / 200");
    }

    #[test]
    fn all_outputs_end_together_when_nobody_takes_anything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let _server = UnixListener::bind(&path).unwrap();
        let syslog = Syslog {
            address: RemoteAddress::Unix {
                path,
                kind: UnixKind::Any,
            },
            facility: 1,
            prefix: "shop".to_owned(),
        };
        let (link, _master) = Link::pair().unwrap();
        let reporter = Reporter::new(Arc::new(link), Level::Info, Sender::Worker);
        let time_of_the_end = || {
            let access = AccessOutputs {
                records: Vec::new(),
                metrics: Some((
                    Statsd::new(syslog.address.clone(), "", ""),
                    AccessWriter::open_statsd(&syslog.address, &reporter),
                )),
            };
            let records = SyslogRecords::new(&syslog, &reporter);
            let text = "x".repeat(10_000);
            for _ in 0..80 {
                records.send(4, &text);
                access
                    .writers()
                    .for_each(|writer| writer.push(text.as_bytes()));
            }

            let start = Instant::now();
            finish_outputs(Some(&access), Some(&records));

            assert!(records.lost() > 0 && access.writers().all(|writer| writer.lost() > 0));
            start.elapsed()
        };

        // A machine may stand still, but not each time.
        assert!((0..5).any(|_| time_of_the_end() < 2 * MAX_FINISH));
    }
}
