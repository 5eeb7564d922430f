//! What is printed with `--json`: one line, an object. The names are those of the
//! protocol, and do not change.

use rgunicorn_control::memory::Memory;
use rgunicorn_control::protocol::{self, Listener, Setting, Stacks, Summary, Worker};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct Workers<'a> {
    workers: Vec<WorkerRow<'a>>,
}

#[derive(Debug, Serialize)]
struct WorkerRow<'a> {
    #[serde(flatten)]
    worker: &'a Worker,
    pss_bytes: Option<u64>,
    rss_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Listeners<'a> {
    listeners: &'a [Listener],
}

#[derive(Debug, Serialize)]
struct Settings<'a> {
    settings: &'a [Setting],
}

pub fn status(summary: &Summary) -> String {
    one_line(summary)
}

pub fn workers(workers: &[(Worker, Memory)]) -> String {
    let workers = (workers.iter())
        .map(|(worker, memory)| WorkerRow {
            worker,
            pss_bytes: memory.pss,
            rss_bytes: memory.rss,
        })
        .collect();
    one_line(&Workers { workers })
}

pub fn listeners(listeners: &[Listener]) -> String {
    one_line(&Listeners { listeners })
}

pub fn settings(settings: &[Setting]) -> String {
    one_line(&Settings { settings })
}

pub fn stacks(stacks: &Stacks) -> String {
    one_line(stacks)
}

/// Without its line break.
fn one_line(value: &impl Serialize) -> String {
    let mut line = protocol::line(value);
    line.pop();
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_are_as_documented() {
        let worker = Worker {
            worker: 1,
            pid: Some(70),
            generation: 2,
            state: "busy".into(),
            age_ms: 5000,
            busy_ms: Some(12),
            request: Some("GET /".into()),
            connections: 3,
            requests: 4,
            errors: 5,
            sent_bytes: 6,
        };
        let memory = Memory {
            pss: Some(7),
            rss: None,
        };
        assert_eq!(
            workers(&[(worker, memory)]),
            "{\"workers\":[{\"worker\":1,\"pid\":70,\"generation\":2,\"state\":\"busy\",\
             \"age_ms\":5000,\"busy_ms\":12,\"request\":\"GET /\",\"connections\":3,\"requests\":4,\"errors\":5,\
             \"sent_bytes\":6,\"pss_bytes\":7,\"rss_bytes\":null}]}"
        );

        assert_eq!(
            listeners(&[Listener::default()]),
            "{\"listeners\":[{\"name\":\"\",\"address\":\"\",\"kind\":\"\",\"opened_by\":\"\",\"inode\":0}]}"
        );

        assert_eq!(
            settings(&[Setting::default()]),
            "{\"settings\":[{\"name\":\"\",\"value\":null,\"origin\":\"\",\"otherwise\":\"\",\
             \"at_restart\":null,\"is_cut\":false}]}"
        );

        assert_eq!(
            stacks(&Stacks::default()),
            "{\"worker\":0,\"pid\":0,\"busy_ms\":null,\"request\":null,\"stacks\":\"\"}"
        );

        assert_eq!(
            status(&Summary::default()),
            "{\"version\":\"\",\"pid\":0,\"uptime_ms\":0,\"state\":\"\",\"generation\":0,\
             \"workers_wanted\":0,\"workers_ready\":0,\"workers_starting\":0,\
             \"workers_retiring\":0,\"workers_busy\":0,\"requests\":0,\
             \"requests_per_second\":0,\"errors\":0,\"sent_bytes\":0,\"started_at\":0,\
             \"worker_exits\":{},\"reloads\":{\"succeeded\":0,\"failed\":0,\"last_at\":null},\
             \"log_records_dropped\":0,\"last_reload_failure\":null}"
        );
    }

    /// Every field that is printed is explained in the manual page.
    #[test]
    fn the_manual_page_has_every_name() {
        let page = include_str!("../../man/rgunicornctl.1");
        let text = [
            workers(&[(Worker::default(), Memory::default())]),
            listeners(&[Listener::default()]),
            status(&Summary::default()),
            settings(&[Setting::default()]),
            stacks(&Stacks::default()),
        ]
        .concat();
        for name in text.split('"').filter(|name| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|letter| letter == '_' || letter.is_lowercase())
        }) {
            assert!(page.contains(name), "{name} is not in the page");
        }
    }
}
