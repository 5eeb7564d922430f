//! The control socket with clients that ask, wait, or do neither.

use super::*;
use crate::pool::{ReloadId, WorkerId};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

struct Fixture {
    server: Server,
    wakeups: Wakeups,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::bind(&folder.path().join("control"), None).unwrap();
        let wakeups = Wakeups::new().unwrap();
        server.register(&wakeups).unwrap();
        Self {
            server,
            wakeups,
            folder,
        }
    }

    fn client(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("control")).unwrap()
    }

    /// A client that waits for this.
    fn waiting(&mut self, awaited: Awaited) -> UnixStream {
        let mut client = self.client();
        client.write_all(b"{\"command\":\"reload\"}\n").unwrap();
        let (number, _) = self.next().unwrap();
        self.server.wait_for(number, awaited);
        client
    }

    /// Serves until a request is complete.
    fn next(&mut self) -> Option<(u32, Asked)> {
        for _ in 0..10 * MOST_SILENT {
            for source in self.wakeups.wait(Some(Duration::from_millis(200))).unwrap() {
                match source {
                    Source::Control => self.server.accept(&self.wakeups).unwrap(),
                    Source::ControlClient(number) => {
                        if let Some(asked) = self.server.read(number) {
                            return Some((number, asked));
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
            if self.server.clients.is_empty() {
                return None;
            }
        }
        None
    }
}

fn answer(mut client: UnixStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_client_gets_the_outcome_of_its_own_reload() {
    let mut fixture = Fixture::new();
    let mut first = fixture.client();
    first.write_all(b"{\"command\":\"reload\"}\n").unwrap();
    let (number, asked) = fixture.next().unwrap();
    assert_eq!(asked.request, Request::Reload);
    assert_eq!(asked.pid, std::process::id());

    fixture
        .server
        .wait_for(number, Awaited::Reload(ReloadId(2)));
    let done = |text: &str| Answer::Done(text.into());
    fixture
        .server
        .happened(Awaited::Reload(ReloadId(1)), &done("other"));
    fixture
        .server
        .happened(Awaited::Reload(ReloadId(2)), &done("own"));

    assert_eq!(answer(first), "{\"done\":\"own\"}\n");
}

#[test]
fn an_answer_of_any_length_is_read_as_one() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    client.write_all(b"{\"command\":\"reload\"}\n").unwrap();
    let (number, _) = fixture.next().unwrap();

    let reason = format!("workers: must be a number, not {}", "\n".repeat(500_000));
    fixture.server.answer(number, &Answer::Failed(reason));

    let line = answer(client);
    assert!(line.len() <= LONGEST_LINE, "{} bytes", line.len());
    let Ok(Answer::Failed(reason)) = protocol::parse(&line) else {
        panic!("{line}");
    };
    assert!(reason.starts_with("workers: must be a number"));
}

#[test]
fn an_unknown_request_is_refused_and_the_next_client_served() {
    let mut fixture = Fixture::new();
    let mut first = fixture.client();
    first.write_all(b"GET / HTTP/1.1\n").unwrap();
    assert!(fixture.next().is_none());
    assert!(answer(first).starts_with("{\"failed\":"));

    let mut endless = fixture.client();
    endless.set_nonblocking(true).unwrap();
    while fixture.server.clients.len() < 2 && endless.write(&[b'x'; 4096]).is_ok() {}
    let mut second = fixture.client();
    second.write_all(b"{\"command\":\"status\"}\n").unwrap();

    let (_, asked) = fixture.next().unwrap();
    assert_eq!(asked.request, Request::Status);
}

#[test]
fn a_command_of_another_version_is_refused_by_its_name() {
    let mut fixture = Fixture::new();
    let mut client = fixture.client();
    client
        .write_all(b"{\"command\":\"dance\",\"times\":3}\n")
        .unwrap();

    assert!(fixture.next().is_none());

    let line = answer(client);
    let Ok(Answer::Failed(reason)) = protocol::parse(&line) else {
        panic!("{line}");
    };
    for word in [
        "\"dance\"",
        env!("CARGO_PKG_VERSION"),
        "restart the service",
    ] {
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn a_client_that_may_read_figures_only_is_refused_the_rest() {
    let mut fixture = Fixture::new();
    let mut ask = |request: &str| {
        let mut client = fixture.client();
        client.write_all(request.as_bytes()).unwrap();
        fixture.server.accept(&fixture.wakeups).unwrap();
        let accepted = fixture.server.clients.values_mut().last().unwrap();
        accepted.access = Access::Figures;
        let asked = fixture.next();
        (client, asked)
    };

    let (client, asked) = ask("{\"command\":\"config\"}\n");
    assert!(asked.is_none());
    assert_eq!(
        answer(client),
        "{\"failed\":\"rgunicorn-metrics may ask for status, workers and listeners only\"}\n"
    );

    let (_client, asked) = ask("{\"command\":\"workers\"}\n");
    let (_, asked) = asked.unwrap();
    assert_eq!(asked.request, Request::Workers { from: 0 });
    assert_eq!(asked.access, Access::Figures);
}

#[test]
fn the_socket_is_open_to_the_reader_only_in_a_directory_that_keeps_others_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let protect = |mode| fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
    let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
    let reader = Some(4321);

    let mut server = Server::bind_in_runtime_directory(&path, None).unwrap();
    assert_eq!(mode(), 0o600);
    protect(0o750);
    server.admit(reader).unwrap();
    assert_eq!((mode(), server.reader), (0o606, reader));
    server.admit(None).unwrap();
    assert_eq!((mode(), server.reader), (0o600, None));
    server.admit(reader).unwrap();
    protect(0o751);
    server.admit(reader).unwrap();
    assert_eq!((mode(), server.reader), (0o600, None));

    protect(0o750);
    drop(server);
    let mut elsewhere = Server::bind(&path, None).unwrap();
    elsewhere.admit(reader).unwrap();
    assert_eq!((mode(), elsewhere.reader), (0o600, None));
}

#[test]
fn the_oldest_silent_client_makes_room_for_a_new_one() {
    let mut fixture = Fixture::new();
    let waiting = fixture.waiting(Awaited::Reload(ReloadId(1)));
    let oldest = fixture.client();
    let others: Vec<_> = (0..MOST_SILENT).map(|_| fixture.client()).collect();
    let mut last = fixture.client();
    last.write_all(b"{\"command\":\"status\"}\n").unwrap();

    let (_, asked) = fixture.next().unwrap();

    assert_eq!(asked.request, Request::Status);
    assert!(answer(oldest).contains("too many clients"));
    assert!(fixture.server.clients.len() <= MOST_SILENT + 2);
    fixture
        .server
        .happened(Awaited::Reload(ReloadId(1)), &Answer::Done("own".into()));
    assert_eq!(answer(waiting), "{\"done\":\"own\"}\n");
    drop(others);
}

#[test]
fn a_client_that_does_not_ask_in_time_is_dropped_and_one_that_waits_is_not() {
    let mut fixture = Fixture::new();
    let _waiting = fixture.waiting(Awaited::Reload(ReloadId(1)));
    assert_eq!(fixture.server.deadline(), None);
    let slow = fixture.client();
    fixture.server.accept(&fixture.wakeups).unwrap();

    let due = fixture.server.deadline().unwrap();
    fixture.server.run_due(
        due.checked_sub(Duration::from_millis(1)).unwrap(),
        &fixture.wakeups,
    );
    assert_eq!(fixture.server.clients.len(), 2);
    fixture.server.run_due(due, &fixture.wakeups);

    assert!(answer(slow).contains("in time"));
    assert_eq!(fixture.server.clients.len(), 1);
    assert_eq!(fixture.server.deadline(), None);
}

#[test]
fn each_client_is_answered_when_that_happens_which_it_waits_for() {
    let mut fixture = Fixture::new();
    let one = fixture.waiting(Awaited::Replaced(WorkerId(1)));
    let other = fixture.waiting(Awaited::Replaced(WorkerId(2)));
    let mut stop = fixture.waiting(Awaited::Stop);

    assert!(fixture.server.waits(Awaited::Replaced(WorkerId(2))));
    let done = |text: &str| Answer::Done(text.into());
    fixture
        .server
        .happened(Awaited::Replaced(WorkerId(2)), &done("replaced"));
    assert_eq!(answer(other), "{\"done\":\"replaced\"}\n");
    assert!(!fixture.server.waits(Awaited::Replaced(WorkerId(2))));
    fixture.server.not_replaced(&Answer::Failed("no".into()));
    assert_eq!(answer(one), "{\"failed\":\"no\"}\n");

    fixture.server.stopped(&done("stopped"));
    let mut bytes = [0; 64];
    let count = stop.read(&mut bytes).unwrap();
    assert_eq!(&bytes[..count], b"{\"done\":\"stopped\"}\n");
    // It ends with this process.
    stop.set_nonblocking(true).unwrap();
    let more = stop.read(&mut bytes).map_err(|error| error.kind());
    assert_eq!(more, Err(io::ErrorKind::WouldBlock));
}
