use super::*;
use crate::log::record::Content;
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

/// The one record that needs no event.
fn record(dropped: u64) -> Record {
    Record::now(Content::Dropped(dropped))
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn line(message: &str, style: Style, time: SystemTime) -> String {
    let text = lines(Priority::Info, message, style, time, 1234);
    text.replace("[1234]", "[pid]")
}

fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    (File::from(reader), writer)
}

/// Everything that is read until all writers are gone.
fn rest_of(mut reader: impl Read) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_line_has_the_form_of_gunicorns() {
    assert_eq!(
        line("Worker 3 is ready", Style::Plain, at(1_795_255_200)),
        "[2026-11-21 10:00:00 +0000] [pid] [INFO] Worker 3 is ready\n"
    );
}

#[test]
fn only_the_level_has_a_colour() {
    assert_eq!(
        line("Worker 3 is ready", Style::Coloured, at(0)),
        "[1970-01-01 00:00:00 +0000] [pid] [\x1b[32mINFO\x1b[0m] Worker 3 is ready\n"
    );
}

#[test]
fn for_a_journal_that_reads_stderr_every_line_has_the_priority() {
    assert_eq!(
        line("one\n  two\n", Style::Prefixed, at(0)),
        "<6>one\n<6>  two\n"
    );
}

#[test]
fn nothing_that_moves_the_cursor_reaches_a_terminal() {
    let line = line("a\x1b[2Jb\x07\tc\nd", Style::Plain, at(0));

    assert!(line.ends_with("a\\u{1b}[2Jb\\u{7}\tc\nd\n"), "{line:?}");
}

#[test]
fn the_date_is_right_in_leap_years_and_in_winter() {
    for (seconds, expected) in [
        (0, "1970-01-01 00:00:00 +0000"),
        (951_868_799, "2000-02-29 23:59:59 +0000"),
        (951_868_800, "2000-03-01 00:00:00 +0000"),
        (1_735_689_599, "2024-12-31 23:59:59 +0000"),
        (4_107_542_400, "2100-03-01 00:00:00 +0000"),
    ] {
        assert_eq!(timestamp(at(seconds)), expected);
    }
}

#[test]
fn a_record_arrives_in_a_pipe_in_a_socket_and_in_a_file() {
    let (reader, writer) = pipe();
    let mut console = Console::on(&writer, Style::Plain, "stderr");
    drop(writer);
    console.write(&record(1)).unwrap();
    drop(console);
    assert!(
        rest_of(reader)
            .ends_with("[WARNING] 1 log record was dropped because stderr did not take it\n")
    );

    let (reader, writer) = UnixStream::pair().unwrap();
    let mut console = Console::on(&writer, Style::Plain, "stderr");
    drop(writer);
    console.write(&record(2)).unwrap();
    drop(console);
    assert!(
        rest_of(reader).ends_with("2 log records were dropped because stderr did not take them\n")
    );

    let file = tempfile::NamedTempFile::new().unwrap();
    let mut console = Console::on(file.as_file(), Style::Plain, "stderr");
    console.write(&record(3)).unwrap();
    console.write(&record(4)).unwrap();
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn a_stream_that_others_made_non_blocking_is_waited_for() {
    const RECORDS: u64 = 5000;
    let (reader, writer) = pipe();
    rustix::fs::fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    let mut console = Console::on(&writer, Style::Plain, "stderr");
    drop(writer);

    let read = thread::spawn(move || rest_of(reader));
    for number in 1..=RECORDS {
        console.write(&record(number)).unwrap();
    }
    drop(console);

    let text = read.join().unwrap();
    assert_eq!(text.lines().count() as u64, RECORDS);
    assert!(text.lines().all(|line| line.starts_with('[')));
}

#[test]
fn a_closed_pipe_and_a_full_disk_are_not_waited_for() {
    let (reader, writer) = pipe();
    let mut console = Console::on(&writer, Style::Plain, "stderr");
    drop(reader);
    assert_eq!(console.write(&record(1)), Err(Failure::Refused));

    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut console = Console::on(&full, Style::Plain, "stderr");
    assert_eq!(console.write(&record(1)), Err(Failure::Refused));
    assert!(!console.mid_line, "nothing was written");
}

#[test]
fn after_a_record_that_was_cut_the_next_begins_on_a_line_of_its_own() {
    let (reader, writer) = pipe();
    let mut console = Console::on(&writer, Style::Plain, "stderr");
    drop(writer);
    console.mid_line = true;

    console.write(&record(1)).unwrap();

    drop(console);
    let text = rest_of(reader);
    assert!(text.starts_with("\n["), "{text:?}");
    assert_eq!(text.lines().count(), 2);
}
