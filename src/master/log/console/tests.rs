use super::*;
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::Read;
use std::os::unix::net::UnixStream;

fn entry(message: &str) -> Entry {
    Entry {
        priority: Priority::Info,
        message: message.to_owned(),
        fields: Vec::new(),
        code: None,
        speaker: Some(1234),
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    (File::from(reader), writer)
}

/// Everything that is in the pipe when all writers are gone.
fn rest_of(mut reader: File) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_line_looks_as_gunicorns_do() {
    assert_eq!(
        lines(&entry("Worker 3 is ready"), Style::Plain, at(1_795_255_200)),
        "[2026-11-21 10:00:00 +0000] [1234] [INFO] Worker 3 is ready\n"
    );
}

#[test]
fn only_the_level_has_a_colour() {
    let line = lines(&entry("Worker 3 is ready"), Style::Coloured, at(0));

    assert_eq!(
        line,
        "[1970-01-01 00:00:00 +0000] [1234] [\x1b[32mINFO\x1b[0m] Worker 3 is ready\n"
    );
}

#[test]
fn for_a_journal_that_reads_stderr_every_line_has_the_priority() {
    assert_eq!(
        lines(&entry("one\n  two\n"), Style::Prefixed, at(0)),
        "<6>one\n<6>  two\n"
    );
}

#[test]
fn nothing_that_moves_the_cursor_reaches_a_terminal() {
    let line = lines(&entry("a\x1b[2Jb\x07\tc\nd"), Style::Plain, at(0));

    assert!(line.ends_with("a\\u{1b}[2Jb\\u{7}\tc\nd\n"), "{line:?}");
}

#[test]
fn the_date_is_right() {
    for (days, expected) in [
        (0, (1970, 1, 1)),
        (59, (1970, 3, 1)),
        (11_016, (2000, 2, 29)),
        (11_017, (2000, 3, 1)),
        (19_782, (2024, 2, 29)),
        (20_088, (2024, 12, 31)),
        (20_089, (2025, 1, 1)),
        (47_540, (2100, 2, 28)),
        (47_541, (2100, 3, 1)),
    ] {
        assert_eq!(date(days), expected);
    }
}

#[test]
fn a_record_arrives_in_a_pipe_in_a_socket_and_in_a_file() {
    let (reader, writer) = pipe();
    let mut console = Console::on(&writer, Style::Plain);
    drop(writer);
    assert!(matches!(console.output, Output::Own(_)));
    console.write(&entry("to a pipe"));
    drop(console);
    assert!(rest_of(reader).ends_with("[INFO] to a pipe\n"));

    let (mut reader, writer) = UnixStream::pair().unwrap();
    let mut console = Console::on(&writer, Style::Plain);
    drop(writer);
    console.write(&entry("to a socket"));
    drop(console);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("[INFO] to a socket\n"));

    let file = tempfile::NamedTempFile::new().unwrap();
    let mut console = Console::on(file.as_file(), Style::Plain);
    console.write(&entry("to a"));
    console.write(&entry("file"));
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.ends_with("[INFO] file\n"));
}

#[test]
fn the_stream_of_others_stays_blocking() {
    let (_reader, writer) = pipe();

    let _console = Console::on(&writer, Style::Plain);

    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    assert!(!flags.contains(OFlags::NONBLOCK));
}

fn a_reader_that_sleeps_stops_nobody_through(console: &mut Console, reader: File) {
    let started = Instant::now();
    for number in 0..10_000 {
        console.write(&entry(&format!("record {number}")));
    }
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(console.dropped > 0);
    let dropped = console.dropped;

    let mut buffer = vec![0; 1 << 20];
    let mut reader = reader;
    let read = reader.read(&mut buffer).unwrap();
    let taken = String::from_utf8(buffer[..read].to_vec()).unwrap();
    console.write(&entry("after"));
    *console = Console::on(tempfile::tempfile().unwrap(), Style::Plain);

    let whole = taken
        .lines()
        .filter(|line| line.contains("record "))
        .count();
    assert_eq!(whole as u64 + dropped, 10_000);
    let after: Vec<String> = rest_of(reader)
        .lines()
        .map(|line| {
            line.split_once("] [1234] ")
                .map_or(line, |(_, line)| line)
                .to_owned()
        })
        .collect();
    assert!(
        after[after.len() - 2].ends_with(&format!(
            "[WARNING] {dropped} log records were dropped because stderr did not take them"
        )),
        "{after:?}"
    );
    assert_eq!(after[after.len() - 1], "[INFO] after");
}

#[test]
fn a_reader_that_sleeps_stops_nobody() {
    let (reader, writer) = pipe();
    let mut console = Console::on(&writer, Style::Plain);
    drop(writer);

    a_reader_that_sleeps_stops_nobody_through(&mut console, reader);
}

#[test]
fn a_reader_that_sleeps_stops_nobody_where_the_stream_is_not_our_own() {
    let (reader, writer) = pipe();
    let mut console = Console {
        output: Output::Shared(writer),
        ..Console::on(tempfile::tempfile().unwrap(), Style::Plain)
    };

    a_reader_that_sleeps_stops_nobody_through(&mut console, reader);
}

#[test]
fn after_a_record_that_was_cut_the_next_begins_on_a_line_of_its_own() {
    let (mut reader, writer) = pipe();
    let mut console = Console::on(&writer, Style::Plain);
    drop(writer);

    console.write(&entry(&"x".repeat(100_000)));
    assert_eq!(console.dropped, 1);
    let mut buffer = vec![0; 1 << 20];
    let read = reader.read(&mut buffer).unwrap();
    assert!(buffer[..read].ends_with(b"x"));
    console.write(&entry("after"));
    drop(console);

    let rest = rest_of(reader);
    assert!(rest.starts_with("\n["), "{rest:?}");
    assert_eq!(rest.lines().count(), 3);
}

#[test]
fn a_reader_that_is_gone_and_a_disk_that_is_full_are_survived() {
    let (reader, writer) = pipe();
    let mut console = Console::on(&writer, Style::Plain);
    drop(reader);
    console.write(&entry("to nobody"));
    assert_eq!(console.dropped, 1);

    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut console = Console::on(&full, Style::Plain);
    console.write(&entry("no space"));
    console.write(&entry("no space"));
    assert_eq!(console.dropped, 2);
}

#[test]
fn a_terminal_that_is_held_stops_nobody() {
    let controller = File::options()
        .read(true)
        .write(true)
        .open("/dev/ptmx")
        .unwrap();
    let terminal = terminal_of(&controller);
    let mut console = Console::on(&terminal, Style::Coloured);

    let started = Instant::now();
    for number in 0..5000 {
        console.write(&entry(&format!("record {number}")));
    }

    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(console.dropped > 0);
}

/// The terminal end of a pseudo-terminal whose other end nobody reads.
fn terminal_of(controller: &File) -> File {
    let unlock = "import fcntl, struct; \
        fcntl.ioctl(0, 0x40045431, struct.pack('i', 0)); \
        print(struct.unpack('i', fcntl.ioctl(0, 0x80045430, b'1234'))[0])";
    let number = std::process::Command::new("python3")
        .args(["-c", unlock])
        .stdin(controller.try_clone().unwrap())
        .output()
        .unwrap()
        .stdout;
    let number = String::from_utf8(number).unwrap();
    File::options()
        .write(true)
        .open(format!("/dev/pts/{}", number.trim()))
        .unwrap()
}
