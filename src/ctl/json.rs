//! What is printed with `--json`: one line, an object. The names are those of the
//! protocol, and do not change.

use crate::top::{Site, State};
use rgunicorn_control::memory::Memory;
use rgunicorn_control::protocol::{self, Listener, Outcome, Setting, Stacks, Summary, Worker};
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
    cgroup_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Listeners<'a> {
    listeners: &'a [Listener],
}

#[derive(Debug, Serialize)]
struct Settings<'a> {
    settings: &'a [Setting],
}

/// What a command has come to that changes something, or that has failed.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
enum Ended<'a> {
    Done(&'a Outcome),
    Failed { error: &'a str },
}

#[derive(Debug, Serialize)]
struct Servers<'a> {
    servers: Vec<Server<'a>>,
}

#[derive(Debug, Serialize)]
struct Server<'a> {
    #[serde(rename = "server")]
    name: &'a str,
    error: Option<&'a str>,
    status: Option<&'a Summary>,
    workers: Vec<WorkerRow<'a>>,
}

pub fn outcome(outcome: &Outcome) -> String {
    one_line(&Ended::Done(outcome))
}

pub fn failure(error: &str) -> String {
    one_line(&Ended::Failed { error })
}

/// What `top` shows.
pub fn servers(sites: &[Site]) -> String {
    let servers = (sites.iter()).map(|site| match &site.state {
        Ok(State { summary, workers }) => Server {
            name: &site.name,
            error: None,
            status: Some(summary),
            workers: rows(workers),
        },
        Err(error) => Server {
            name: &site.name,
            error: Some(error),
            status: None,
            workers: Vec::new(),
        },
    });
    one_line(&Servers {
        servers: servers.collect(),
    })
}

pub fn status(summary: &Summary) -> String {
    one_line(summary)
}

pub fn workers(workers: &[(Worker, Memory)]) -> String {
    one_line(&Workers {
        workers: rows(workers),
    })
}

fn rows(workers: &[(Worker, Memory)]) -> Vec<WorkerRow<'_>> {
    (workers.iter())
        .map(|(worker, memory)| WorkerRow {
            worker,
            pss_bytes: memory.pss,
            rss_bytes: memory.rss,
            cgroup_bytes: memory.group,
        })
        .collect()
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
            group: Some(8),
        };
        assert_eq!(
            workers(&[(worker, memory)]),
            "{\"workers\":[{\"worker\":1,\"pid\":70,\"generation\":2,\"state\":\"busy\",\
             \"age_ms\":5000,\"busy_ms\":12,\"request\":\"GET /\",\"connections\":3,\"requests\":4,\"errors\":5,\
             \"sent_bytes\":6,\"pss_bytes\":7,\"rss_bytes\":null,\"cgroup_bytes\":8}]}"
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
             \"log_records_dropped\":0,\"access_records_dropped\":0,\
             \"error_log_records_missing\":0,\"syslog_records_dropped\":0,\
             \"statsd_metrics_dropped\":0,\"last_reload_failure\":null}"
        );

        assert_eq!(
            outcome(&whole_outcome()),
            "{\"outcome\":\"done\",\"message\":\"x\",\"generation\":1,\"workers_wanted\":2,\
             \"workers_wanted_before\":3,\"workers_ready\":4,\"worker\":5}"
        );
        assert_eq!(
            failure("no\nserver"),
            "{\"outcome\":\"failed\",\"error\":\"no\\nserver\"}"
        );
    }

    fn whole_outcome() -> Outcome {
        Outcome {
            generation: Some(1),
            workers_wanted: Some(2),
            workers_wanted_before: Some(3),
            workers_ready: Some(4),
            worker: Some(5),
            ..Outcome::of("x".into())
        }
    }

    #[test]
    fn top_has_each_server_with_its_state_or_why_that_is_not_known() {
        let state = State {
            summary: Summary::default(),
            workers: vec![(Worker::default(), Memory::default())],
        };
        let sites = [("blog", Ok(state)), ("shop", Err("no answer".to_owned()))];
        let sites = sites.map(|(name, state)| Site {
            name: name.to_owned(),
            state,
        });

        let line = servers(&sites);

        let found: serde_json::Value = serde_json::from_str(&line).unwrap();
        let [blog, shop] = [0, 1].map(|number| &found["servers"][number]);
        assert_eq!(
            (&blog["server"], &blog["error"]),
            (&"blog".into(), &().into())
        );
        assert_eq!(blog["status"]["workers_ready"], 0);
        assert_eq!(blog["workers"][0]["state"], "");
        assert_eq!(
            shop.to_string(),
            "{\"error\":\"no answer\",\"server\":\"shop\",\"status\":null,\"workers\":[]}"
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
            outcome(&whole_outcome()),
            failure(""),
            servers(&[Site {
                name: String::new(),
                state: Err(String::new()),
            }]),
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
