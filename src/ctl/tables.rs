//! Lists as tables: a line for each row, in 80 columns but for a request, which may be long.
//! No cell but those of the last column has a space in it, so that other programs can take a
//! line apart.

use rgunicorn_control::memory::Memory;
use rgunicorn_control::protocol::{Listener, Summary, Worker};
use rgunicorn_control::text::visible;

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// A terminal that is too narrow shows this much of a request all the same.
const SHORTEST_REQUEST: usize = 12;

/// A terminal of this width has room for the memory of control groups, too.
const ROOM_FOR_GROUPS: usize = 100;

/// What is known of workers, of each with its memory. No line is longer than `width`, if the
/// rest of the table leaves some room for requests.
pub fn workers(workers: &[(Worker, Memory)], width: Option<usize>) -> String {
    use Align::{Left, Right};
    let (size, bytes): (_, fn(&Memory) -> Option<u64>) =
        if workers.iter().any(|(_, memory)| memory.pss.is_some()) {
            ("PSS", |memory| memory.pss)
        } else {
            ("RSS", |memory| memory.rss)
        };
    let shows_groups = width.is_none_or(|width| width >= ROOM_FOR_GROUPS)
        && workers.iter().any(|(_, memory)| memory.group.is_some());
    let groups = shows_groups.then_some(("CGROUP", Right));
    let columns: Vec<_> = [
        ("WORKER", Right),
        ("PID", Right),
        ("GEN", Right),
        ("STATE", Left),
        ("BUSY", Right),
        ("CONNS", Right),
        ("REQUESTS", Right),
        ("ERRORS", Right),
        (size, Right),
    ]
    .into_iter()
    .chain(groups)
    .chain([("REQUEST", Left)])
    .collect();
    let row = |(worker, memory): &(Worker, Memory)| {
        let group = shows_groups.then(|| or_dash(memory.group.map(mebibytes)));
        let cells = [
            worker.worker.to_string(),
            or_dash(worker.pid.map(|pid| pid.to_string())),
            worker.generation.to_string(),
            worker.state.clone(),
            or_dash(worker.busy_ms.map(span)),
            worker.connections.to_string(),
            worker.requests.to_string(),
            worker.errors.to_string(),
            or_dash(bytes(memory).map(mebibytes)),
        ];
        let request = or_dash(worker.request.clone());
        cells.into_iter().chain(group).chain([request]).collect()
    };
    let table = table(&columns, workers.iter().map(row));
    let Some(width) = width else { return table };
    let request_at = table.lines().next().and_then(|head| head.rfind("REQUEST"));
    let width = width.max(request_at.unwrap_or_default() + SHORTEST_REQUEST);
    cut(&table, width)
}

/// As much of each line as fits, with a mark if that is not all.
fn cut(table: &str, width: usize) -> String {
    const MARK: &str = "...";
    let cut_line = |line: &str| {
        if line.chars().count() <= width {
            return line.to_owned();
        }
        let kept = width.saturating_sub(MARK.len());
        line.chars().take(kept).chain(MARK.chars()).collect()
    };
    let lines: Vec<String> = table.lines().map(cut_line).collect();
    lines.join("\n")
}

/// A server in the table of all.
pub struct SiteRow<'a> {
    pub name: &'a str,
    /// With the memory of its workers together; `None` if it is not known.
    pub state: Option<(&'a Summary, Option<u64>)>,
}

/// Servers, a line each. None is longer than `width`.
pub fn sites<'a>(rows: impl Iterator<Item = SiteRow<'a>>, width: usize) -> String {
    use Align::{Left, Right};
    let columns = [
        ("SITE", Left),
        ("STATE", Left),
        ("GEN", Right),
        ("WORKERS", Right),
        ("BUSY", Right),
        ("REQ/S", Right),
        ("REQUESTS", Right),
        ("ERRORS", Right),
        ("PSS", Right),
    ];
    let row = |SiteRow { name, state }: SiteRow<'_>| {
        let summary = state.map(|(summary, _)| summary);
        let cell = |text: fn(&Summary) -> String| or_dash(summary.map(text));
        vec![
            name.to_owned(),
            cell(|summary| summary.state.clone()),
            cell(|summary| summary.generation.to_string()),
            cell(|summary| format!("{}/{}", summary.workers_ready, summary.workers_wanted)),
            cell(|summary| summary.workers_busy.to_string()),
            cell(|summary| summary.requests_per_second.to_string()),
            cell(|summary| summary.requests.to_string()),
            cell(|summary| summary.errors.to_string()),
            or_dash(state.and_then(|(_, bytes)| bytes).map(mebibytes)),
        ]
    };
    let table = table(&columns, rows.map(row));
    cut(&table, width)
}

pub fn listeners(listeners: &[Listener]) -> String {
    use Align::Left;
    let columns = [
        ("ADDRESS", Left),
        ("KIND", Left),
        ("NAME", Left),
        ("OPENED BY", Left),
    ];
    let row = |listener: &Listener| {
        vec![
            listener.address.clone(),
            listener.kind.clone(),
            listener.name.clone(),
            listener.opened_by.clone(),
        ]
    };
    table(&columns, listeners.iter().map(row))
}

/// No cell but the last is longer, or all lines would be as long as that makes them.
const LONGEST_CELL: usize = 128;

/// Each row has a cell for each column. Without a line break at its end.
fn table(columns: &[(&str, Align)], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head = columns
        .iter()
        .map(|(title, _)| (*title).to_owned())
        .collect();
    let last = columns.len().saturating_sub(1);
    let plain = |(at, cell): (usize, String)| -> String {
        let longest = if at < last { LONGEST_CELL } else { usize::MAX };
        cell.chars().take(longest).map(visible).collect()
    };
    let rows = rows.map(|cells| cells.into_iter().enumerate().map(plain).collect());
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let length = |cell: &String| cell.chars().count();
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            let cells = lines.iter().filter_map(|line| line.get(at));
            cells.map(length).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &Vec<String>| {
        let padded: Vec<String> = (cells.iter().zip(columns).zip(&widths))
            .map(|((cell, (_, align)), &width)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn or_dash(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "-".to_owned())
}

/// A time in the unit that fits it.
pub fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..60 => format!("{seconds}.{}s", millis % 1000 / 100),
        60..3600 => format!("{}min", seconds / 60),
        3600.. => format!("{}h", seconds / 3600),
    }
}

fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1024 * 1024);
    format!("{}.{}MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn idle() -> Worker {
        Worker {
            worker: 1,
            pid: Some(4711),
            generation: 1,
            state: "idle".into(),
            connections: 3,
            requests: 1200,
            ..Worker::default()
        }
    }

    #[test]
    fn workers_are_a_line_each() {
        let busy = Worker {
            worker: 12,
            state: "busy".into(),
            busy_ms: Some(3250),
            request: Some("GET /reports?".into()),
            errors: 2,
            ..idle()
        };
        let ordered = Worker {
            worker: 13,
            pid: None,
            state: "starting".into(),
            ..Worker::default()
        };
        let memory = |pss| Memory {
            pss,
            rss: Some(30 * MIB),
            group: None,
        };

        let table = workers(
            &[
                (idle(), memory(Some(9 * MIB))),
                (busy, memory(None)),
                (ordered, Memory::default()),
            ],
            None,
        );

        assert_eq!(
            table,
            "\
WORKER   PID  GEN  STATE     BUSY  CONNS  REQUESTS  ERRORS     PSS  REQUEST
     1  4711    1  idle         -      3      1200       0  9.0MiB  -
    12  4711    1  busy      3.2s      3      1200       2       -  GET /reports?
    13     -    0  starting     -      0         0       0       -  -"
        );
    }

    #[test]
    fn where_the_proportional_size_is_not_known_the_resident_one_is_shown() {
        let memory = Memory {
            pss: None,
            rss: Some(30 * MIB),
            group: None,
        };

        let table = workers(&[(idle(), memory)], None);

        assert!(table.lines().next().unwrap().contains("  RSS  "), "{table}");
        assert!(table.ends_with("30.0MiB  -"), "{table}");
    }

    #[test]
    fn a_state_of_any_length_and_with_any_letters_is_one_short_cell() {
        let long = Worker {
            state: format!("idle\n2{}", "x".repeat(60_000)),
            ..idle()
        };

        let memory = Memory::default();
        let table = workers(&[(long, memory), (idle(), memory)], None);

        assert_eq!(table.lines().count(), 3);
        assert!(table.len() < 1000, "{}", table.len());
    }

    #[test]
    fn the_memory_of_control_groups_is_shown_where_there_is_room() {
        let memory = Memory {
            pss: Some(9 * MIB),
            group: Some(50 * MIB),
            ..Memory::default()
        };
        let table = |width| workers(&[(idle(), memory), (idle(), Memory::default())], width);

        let wide = table(Some(100));
        let lines: Vec<_> = wide.lines().collect();
        assert!(lines[0].contains("  PSS   CGROUP  REQUEST"), "{wide}");
        assert!(lines[1].ends_with("9.0MiB  50.0MiB  -"), "{wide}");
        assert!(lines[2].ends_with("     -        -  -"), "{wide}");
        assert_eq!(table(None), wide);
        assert!(!table(Some(80)).contains("CGROUP"));
    }

    #[test]
    fn workers_with_large_numbers_fit_into_80_columns() {
        let worker = Worker {
            worker: 123_456,
            pid: Some(4_194_304),
            generation: 12_345,
            state: "retiring".into(),
            busy_ms: Some(59 * 60 * 1000),
            connections: 10_000,
            requests: 9_999_999_999,
            errors: 1_000_000,
            ..Worker::default()
        };
        let memory = Memory {
            pss: Some(9999 * MIB),
            rss: None,
            group: None,
        };

        let table = workers(&[(worker, memory)], None);

        for line in table.lines() {
            let line = line.strip_suffix("  REQUEST").unwrap_or(line);
            let line = line.strip_suffix("  -").unwrap_or(line);
            assert!(line.len() <= 80, "{} columns: {line}", line.len());
        }
    }

    #[test]
    fn a_request_is_cut_where_the_terminal_ends() {
        let worker = Worker {
            request: Some(format!("GET /{}", "x".repeat(180))),
            ..idle()
        };

        let last = |width| {
            let table = workers(&[(worker.clone(), Memory::default())], Some(width));
            table.lines().last().unwrap().to_owned()
        };

        assert_eq!(last(100).len(), 100);
        assert!(last(100).ends_with("x..."));
        // The other columns are not cut.
        assert!(last(10).ends_with("GET /xxxx..."), "{}", last(10));
        assert!(last(1000).ends_with('x'));
    }

    #[test]
    fn listeners_are_a_line_each() {
        let listener = |address: &str, kind: &str, opened_by: &str| Listener {
            name: "http".into(),
            address: address.into(),
            kind: kind.into(),
            opened_by: opened_by.into(),
            inode: 1,
        };

        let table = listeners(&[
            listener("unix:/run/rgunicorn/shop.sock", "unix", "systemd"),
            listener("[::1]:8000", "tcp", "rgunicorn"),
        ]);

        assert_eq!(
            table,
            "\
ADDRESS                        KIND  NAME  OPENED BY
unix:/run/rgunicorn/shop.sock  unix  http  systemd
[::1]:8000                     tcp   http  rgunicorn"
        );
    }

    #[test]
    fn a_time_is_written_in_the_unit_that_fits() {
        for (millis, text) in [
            (0, "0.0s"),
            (990, "0.9s"),
            (59_999, "59.9s"),
            (60_000, "1min"),
            (3_599_999, "59min"),
            (90_000_000, "25h"),
        ] {
            assert_eq!(span(millis), text);
        }
    }
}
