//! Syslog and StatsD: they are sent the same, but for what the servers say of themselves.

use super::gunicorn::Gunicorn;
use crate::harness::{Connection, LogServer, Server, client::Address, files::Folder};
use std::path::Path;

const APP: &str = r"
def app(environ, start_response):
    if environ['PATH_INFO'] == '/error':
        start_response('503 Not Now', [])
        return [b'later']
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'hello']
";

const REQUESTS: &[&str] = &[
    "GET /a?b=c HTTP/1.1\r\nHost: h\r\nUser-Agent: \"q\"\r\n\r\n",
    "GET /error HTTP/1.1\r\nHost: h\r\n\r\n",
];

/// What each server was sent.
struct Sent {
    syslog: LogServer,
    statsd: LogServer,
}

impl Sent {
    fn to(folder: &Path, makes: fn(&Path) -> LogServer) -> Self {
        Self {
            syslog: makes(&folder.join("syslog")),
            statsd: LogServer::unix_datagrams(folder.join("statsd")),
        }
    }

    fn settings(folder: &Path, facility: &str) -> [(&'static str, String); 7] {
        let unix = |name: &str| format!("unix://{}", folder.join(name).display());
        [
            ("syslog_addr", unix("syslog")),
            ("syslog_facility", facility.to_owned()),
            ("syslog_prefix", "shop".to_owned()),
            ("statsd_host", unix("statsd")),
            ("statsd_prefix", "px..".to_owned()),
            ("dogstatsd_tags", "env:test,a:b".to_owned()),
            ("access_log_format", "%(h)s %(r)s %(s)s".to_owned()),
        ]
    }

    /// The access records, without the pid, and the metrics, without times and numbers of
    /// workers.
    fn shapes(&self) -> (Vec<String>, Vec<String>) {
        let access = self.syslog.with(".access: ").into_iter().map(|record| {
            let (head, rest) = record.split_once('[').unwrap();
            format!("{head}{}", rest.split_once(']').unwrap().1)
        });
        let is_of_request = |metric: &String| metric.contains(".request");
        let metrics = self.statsd.received().into_iter().filter(is_of_request);
        let metrics = metrics.map(|metric| {
            if !metric.contains(".duration:") {
                return metric;
            }
            let (name, rest) = metric.split_once(':').unwrap();
            format!("{name}:T|{}", rest.split_once('|').unwrap().1)
        });
        (access.collect(), metrics.collect())
    }

    fn wait(&self) {
        self.syslog.wait_for_count(".access: ", REQUESTS.len());
        self.statsd.wait_for_count(".requests:", REQUESTS.len());
        self.statsd.wait_for_count(".status.", REQUESTS.len());
        self.statsd
            .wait_for("px.gunicorn.workers:1|g|#env:test,a:b");
    }
}

fn send(address: &Address, request: &str) {
    let mut connection = Connection::open(address).unwrap();
    connection.send(request);
    connection.receive();
}

#[test]
fn records_and_metrics_are_those_of_gunicorn() {
    for (makes, facility) in [
        (
            (|path| LogServer::unix_datagrams(path)) as fn(&Path) -> LogServer,
            "daemon",
        ),
        (|path| LogServer::unix_stream(path), "local7"),
    ] {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let to_ours = Sent::to(ours.path(), makes);
        let to_theirs = Sent::to(theirs.path(), makes);
        let mut server = Server::running("shop:app")
            .file("shop.py", APP)
            .setting("syslog", true);
        for (key, value) in Sent::settings(ours.path(), facility) {
            server = server.setting(key, value);
        }
        let folder = Folder::new();
        folder.write("shop.py", APP);
        let lines = Sent::settings(theirs.path(), facility);
        let lines = lines.map(|(key, value)| format!("{key} = {value:?}\n"));
        folder.write(
            "gunicorn.conf.py",
            &format!("syslog = True\n{}", lines.concat()),
        );
        let server = server.start();
        let gunicorn = Gunicorn::serving("shop:app", folder);

        for request in REQUESTS {
            send(&server.address(), request);
            send(&gunicorn.address(), request);
        }

        to_ours.wait();
        to_theirs.wait();
        assert_eq!(to_ours.shapes(), to_theirs.shapes());
        let head = |sent: &Sent| {
            let record = sent.syslog.wait_for(".error: ");
            record.split_once('[').unwrap().0.to_owned()
        };
        assert_eq!(head(&to_ours), head(&to_theirs));
        server.stop();
    }
}
