use super::*;
use proptest::prelude::*;
use std::io::Read;
use std::process::{Command, Stdio};

/// What Python really prints, each of it one thing to a reader.
const PRINTED: [(&str, Priority); 12] = [
    (include_str!("../fixtures/plain.txt"), Priority::Error),
    (include_str!("../fixtures/plain_3_13.txt"), Priority::Error),
    (include_str!("../fixtures/chained.txt"), Priority::Error),
    (
        include_str!("../fixtures/syntax_error.txt"),
        Priority::Error,
    ),
    (
        include_str!("../fixtures/syntax_error_imported.txt"),
        Priority::Error,
    ),
    (
        include_str!("../fixtures/exception_group.txt"),
        Priority::Error,
    ),
    (
        include_str!("../fixtures/chained_to_group.txt"),
        Priority::Error,
    ),
    (include_str!("../fixtures/recursion.txt"), Priority::Error),
    (
        include_str!("../fixtures/file_in_message.txt"),
        Priority::Error,
    ),
    (include_str!("../fixtures/thread.txt"), Priority::Error),
    (include_str!("../fixtures/dump.txt"), Priority::Error),
    (include_str!("../fixtures/aborted.txt"), Priority::Critical),
];

fn record(priority: Priority, text: &str) -> AppRecord {
    AppRecord {
        priority,
        text: text.to_owned(),
        request: None,
    }
}

fn info(text: &str) -> AppRecord {
    record(Priority::Info, text)
}

/// All records of `reads`, up to the end of the stream.
fn records<T: AsRef<[u8]>>(reads: &[T]) -> Vec<AppRecord> {
    let now = Instant::now();
    let mut assembler = Assembler::default();
    let mut records: Vec<_> = reads
        .iter()
        .flat_map(|read| assembler.receive(read.as_ref(), now))
        .collect();
    records.extend(assembler.finish());
    records
}

#[test]
fn a_line_is_a_record() {
    assert_eq!(
        records(&["one\ntwo\r\n\nthree"]),
        [info("one"), info("two"), info("three")]
    );
}

#[test]
fn a_line_is_out_as_soon_as_it_is_read() {
    let now = Instant::now();
    let mut assembler = Assembler::default();

    assert_eq!(assembler.receive(b"hello\n", now), [info("hello")]);
    assert_eq!(assembler.deadline(), None);
}

/// What a worker writes while it serves a request.
fn marked(request: &str, text: &str) -> Vec<u8> {
    let mut bytes = output_mark::of(request);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn about(request: &str, text: &str) -> AppRecord {
    AppRecord {
        request: Some(request.to_owned()),
        ..info(text)
    }
}

/// All records of what was written to a stream of a worker.
fn written<T: AsRef<[u8]>>(stream: Stream, writes: &[T]) -> Vec<AppRecord> {
    let now = Instant::now();
    let mut assembler = Assembler::of_writes(stream);
    let mut records: Vec<_> = (writes.iter())
        .flat_map(|write| assembler.receive(write.as_ref(), now))
        .collect();
    records.extend(assembler.finish());
    records
}

#[test]
fn what_is_written_for_a_request_has_its_name() {
    let writes = [
        marked("a-1", "one\n"),
        marked("a-1", "two\n"),
        b"of no request\n".to_vec(),
        marked("a-2", "three\n"),
    ];

    for stream in [Stream::Stdout, Stream::Stderr] {
        assert_eq!(
            written(stream, &writes),
            [
                about("a-1", "one"),
                about("a-1", "two"),
                info("of no request"),
                about("a-2", "three"),
            ]
        );
    }
}

#[test]
fn a_line_that_is_written_in_pieces_is_about_the_request_of_its_beginning() {
    let writes = [
        marked("a-1", "one "),
        marked("a-1", "line"),
        marked("a-1", "\n"),
        marked("a-1", "half "),
        marked("a-2", "of it\nnext\n"),
    ];

    assert_eq!(
        written(Stream::Stdout, &writes),
        [
            about("a-1", "one line"),
            about("a-1", "half of it"),
            about("a-2", "next"),
        ]
    );
}

/// The lines of a traceback, each of them a write.
fn traceback(request: &str) -> [Vec<u8>; 3] {
    [
        marked(request, "Traceback (most recent call last):\n"),
        marked(request, "  File \"shop.py\", line 3, in app\n"),
        marked(request, "KeyError: 'key'\n"),
    ]
}

#[test]
fn tracebacks_that_threads_write_at_the_same_time_come_out_whole() {
    let (one, two) = (traceback("a-1"), traceback("a-2"));
    let mut writes: Vec<Vec<u8>> = one.into_iter().zip(two).flat_map(|(a, b)| [a, b]).collect();
    writes.insert(3, b"of no request\n".to_vec());

    let mut records = written(Stream::Stderr, &writes);

    records.sort_by(|a, b| a.request.cmp(&b.request));
    let text = "Traceback (most recent call last):\n  File \"shop.py\", line 3, in app\n\
                KeyError: 'key'";
    let about = |name| AppRecord {
        priority: Priority::Error,
        ..about(name, text)
    };
    assert_eq!(records, [info("of no request"), about("a-1"), about("a-2")]);
}

#[test]
fn a_traceback_that_another_request_has_interrupted_waits_no_longer_than_any_other() {
    let now = Instant::now();
    let mut assembler = Assembler::of_writes(Stream::Stderr);
    for line in &traceback("a-1")[..2] {
        assert_eq!(assembler.receive(line, now), []);
    }

    let later = now + QUIET / 2;
    let line = marked("a-2", "a line\n");
    assert_eq!(assembler.receive(&line, later), [about("a-2", "a line")]);

    assert_eq!(assembler.deadline(), Some(now + QUIET));
    assert_eq!(assembler.flush(later), []);
    assert_eq!(assembler.flush(now + QUIET).len(), 1);
    assert_eq!(assembler.deadline(), None);
}

#[test]
fn only_so_many_tracebacks_wait() {
    let now = Instant::now();
    let mut assembler = Assembler::of_writes(Stream::Stderr);
    let mut out = Vec::new();
    for number in 0..3 * MOST_SUSPENDED {
        out.extend(assembler.receive(&traceback(&format!("a-{number}"))[0], now));
        assert!(assembler.suspended.len() <= MOST_SUSPENDED);
    }
    out.extend(assembler.finish());

    assert_eq!(out.len(), 3 * MOST_SUSPENDED);
}

#[test]
fn a_long_write_is_about_its_request_to_the_end() {
    let mut long = marked("a-1", &"x".repeat(PACKET + 100));
    long.push(b'\n');
    let (first, rest) = long.split_at(PACKET);

    let records = written(Stream::Stdout, &[first, rest, b"of no request\n"]);

    assert_eq!(
        records,
        [
            about("a-1", &"x".repeat(PACKET + 100)),
            info("of no request"),
        ]
    );
}

#[test]
fn a_mark_of_the_applications_own_is_text_where_it_is_not_a_writes_first() {
    let text = String::from_utf8(marked("b-9", "x")).unwrap();
    let write = marked("a-1", &format!("{text}\n"));

    assert_eq!(written(Stream::Stdout, &[write]), [about("a-1", &text)]);
    // In a stream there is none.
    assert_eq!(records(&[format!("{text}\n")]), [info(&text)]);
}

#[test]
fn a_line_may_come_in_pieces() {
    assert_eq!(
        records(&["hel", "lo wor", "ld\nbye\n"]),
        [info("hello world"), info("bye")]
    );
}

#[test]
fn a_line_says_its_priority() {
    assert_eq!(
        records(&["<3>disk full\n<7>detail\n<8>no priority\n<x>none\n"]),
        [
            record(Priority::Error, "disk full"),
            record(Priority::Debug, "detail"),
            info("<8>no priority"),
            info("<x>none"),
        ]
    );
}

#[test]
fn an_explicit_priority_wins() {
    let said = format!("<4>{}", PRINTED[0].0);

    assert_eq!(records(&[said])[0].priority, Priority::Warning);
}

#[test]
fn indented_lines_of_one_read_belong_to_the_line_before() {
    assert_eq!(
        records(&["old.py:7: DeprecationWarning: old\n  old()\n", "  late\n"]),
        [
            info("old.py:7: DeprecationWarning: old\n  old()"),
            info("  late")
        ]
    );
}

#[test]
fn what_python_prints_as_one_thing_is_one_record() {
    for (printed, priority) in PRINTED {
        assert_eq!(
            records(&[printed]),
            [record(priority, printed.trim_end())],
            "{printed}"
        );
    }
}

#[test]
fn two_tracebacks_in_a_row_are_two_records() {
    let (one, other) = (PRINTED[0].0, PRINTED[2].0);

    assert_eq!(
        records(&[format!("{one}{other}")]),
        [
            record(Priority::Error, one.trim_end()),
            record(Priority::Error, other.trim_end())
        ]
    );
}

#[test]
fn what_is_printed_before_and_after_stays_apart() {
    for (printed, priority) in PRINTED {
        assert_eq!(
            records(&["before\n", printed, "\nafter\n"]),
            [
                info("before"),
                record(priority, printed.trim_end()),
                info("after")
            ],
            "{printed}"
        );
    }
}

#[test]
fn a_traceback_has_the_message_it_was_logged_with() {
    for header in [
        "ERROR:root:Exception on / [GET]",
        "[2026-11-21 10:00:00,123] ERROR in app: Exception on / [GET]",
        "Internal Server Error: /",
    ] {
        let logged = format!("{header}\n{}", PRINTED[0].0);

        assert_eq!(
            records(&[format!("before\n{logged}after\n")]),
            [
                info("before"),
                record(Priority::Error, logged.trim_end()),
                info("after")
            ]
        );
    }
}

#[test]
fn a_stack_that_was_asked_for_belongs_to_its_message() {
    let logged =
        "WARNING:a:slow\nStack (most recent call last):\n  File \"a.py\", line 5, in f\n    g()";

    assert_eq!(records(&[logged]), [info(logged)]);
}

#[test]
fn a_progress_bar_is_one_record() {
    assert_eq!(
        records(&["\r 10%\r 50%\r100%\r\n", "done\r\n"]),
        [info(" 10%\n 50%\n100%"), info("done")]
    );
}

#[test]
fn a_carriage_return_hides_nothing() {
    assert_eq!(
        records(&["<4>login of admin failed\rall is well\n"]),
        [record(
            Priority::Warning,
            "login of admin failed\nall is well"
        )]
    );
}

#[test]
fn an_unfinished_line_waits_for_its_rest_but_not_for_long() {
    let start = Instant::now();
    let mut assembler = Assembler::default();

    assert_eq!(assembler.receive(b"wait", start), []);
    assert_eq!(assembler.receive(b"ing", start + QUIET / 2), []);
    let deadline = assembler.deadline().unwrap();

    assert_eq!(deadline, start + QUIET);
    assert_eq!(assembler.flush(start + QUIET / 4 * 3), []);
    assert_eq!(assembler.flush(deadline), [info("waiting")]);
    assert_eq!(assembler.deadline(), None);
}

#[test]
fn an_unfinished_traceback_waits_as_long_as_more_of_it_comes() {
    let start = Instant::now();
    let mut assembler = Assembler::default();

    let mut now = start;
    for line in PRINTED[2].0.split_inclusive('\n') {
        now += QUIET / 2;
        assert_eq!(assembler.receive(line.as_bytes(), now), []);
    }

    assert_eq!(assembler.deadline(), Some(now + QUIET));
    assert_eq!(
        assembler.flush(now + QUIET),
        [record(Priority::Error, PRINTED[2].0.trim_end())]
    );
}

#[test]
fn a_long_line_becomes_several_records_and_loses_nothing() {
    let line = "ä€𝄞x".repeat(20_000);

    let records = records(&[format!("before\n{line}\nafter\n")]);

    let (first, rest) = records.split_first().unwrap();
    let (last, pieces) = rest.split_last().unwrap();
    assert_eq!((first, last), (&info("before"), &info("after")));
    assert_eq!(pieces.len(), line.len() / LONGEST + 1);
    let whole: String = pieces
        .iter()
        .map(|piece| piece.text.trim_start_matches(REST).trim_end_matches(CUT))
        .collect();
    assert_eq!(whole, line);
    for piece in pieces {
        assert!(piece.text.len() <= LONGEST + CUT.len());
    }
}

#[test]
fn a_line_without_end_does_not_fill_the_memory() {
    let now = Instant::now();
    let mut assembler = Assembler::default();
    let mut written = 0;

    for _ in 0..100 {
        written += assembler.receive(&[b'x'; 10_000], now).len();
        assert!(assembler.partial.len() <= LONGEST);
    }

    assert!(written >= 19, "{written}");
}

#[test]
fn a_long_traceback_becomes_several_records_of_one_priority() {
    let frame = "  File \"shop.py\", line 1, in f\n    f()\n";
    let printed = format!(
        "Traceback (most recent call last):\n{}RecursionError: deep\n",
        frame.repeat(3000)
    );

    let records = records(&[printed.as_str(), "after\n"]);

    let (last, parts) = records.split_last().unwrap();
    assert_eq!(last, &info("after"));
    assert_eq!(parts.len(), 3);
    assert!(parts.iter().all(|part| part.priority == Priority::Error));
    assert!(parts[2].text.ends_with("RecursionError: deep"));
    assert!(parts[0].text.ends_with(CUT));
    assert!(parts[1].text.starts_with(REST));
}

#[test]
fn invalid_utf8_is_replaced() {
    assert_eq!(records(&[b"caf\xe9\n"]), [info("caf\u{fffd}")]);
}

#[test]
fn a_running_python_is_understood_as_it_writes() {
    let mut python = Command::new("python3")
        .args(["-c", "print('hello'); {}['key']"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = python.stderr.take().unwrap();
    let mut assembler = Assembler::default();
    let mut records = Vec::new();
    let mut buffer = [0; 4096];

    loop {
        let read = stderr.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        records.extend(assembler.receive(&buffer[..read], Instant::now()));
    }
    records.extend(assembler.finish());
    python.wait().unwrap();

    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].priority, Priority::Error);
    assert!(records[0].text.ends_with("KeyError: 'key'"));
}

proptest! {
    #[test]
    fn a_traceback_is_one_record_however_it_is_cut_into_reads(
        which in 0..PRINTED.len(),
        mut cuts in proptest::collection::vec(0_usize..2000, 0..20),
    ) {
        let (printed, priority) = PRINTED[which];
        cuts.retain(|cut| *cut < printed.len());
        cuts.sort_unstable();
        cuts.push(printed.len());
        let mut reads = Vec::new();
        let mut from = 0;
        for cut in cuts {
            reads.push(&printed.as_bytes()[from..cut]);
            from = cut;
        }

        prop_assert_eq!(records(&reads), [record(priority, printed.trim_end())]);
    }

    #[test]
    fn whatever_is_written_comes_out_in_bounded_records(
        reads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20),
    ) {
        for record in records(&reads) {
            prop_assert!(record.text.len() <= LONGEST + CUT.len());
        }
    }

    #[test]
    fn no_line_of_text_is_lost(
        lines in proptest::collection::vec(
            ("[ a-zA-Z:|+\"]{0,3}(Traceback|File|Thread|x)[ a-z():]{0,20}", "\n|\r\n|\r"),
            0..30,
        ),
    ) {
        let written: String = lines.iter().flat_map(|(line, end)| [line.as_str(), end]).collect();

        let read: Vec<_> = records(&[&written]).into_iter().map(|record| record.text).collect();

        let lines: Vec<_> = lines.into_iter().map(|(line, _)| line).collect();
        prop_assert_eq!(read.join("\n"), lines.join("\n"));
    }
}
