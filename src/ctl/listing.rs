//! What is printed line by line for people: settings, and the stacks of a worker.

use crate::tables::span;
use rgunicorn::config::print_setting;
use rgunicorn_control::protocol::{Setting, Stacks};
use serde_json::Value;

/// As a configuration file, like `rgunicorn --print-config`.
pub fn settings(settings: &[Setting]) -> String {
    let lines: Vec<String> = settings.iter().map(setting).collect();
    lines.join("\n")
}

fn setting(setting: &Setting) -> String {
    let name = &setting.name;
    let place = Some(setting.origin.as_str()).filter(|origin| *origin != "default");
    let now = if let (true, Some(Value::String(text))) = (setting.is_cut, &setting.value) {
        format!("# {name} is too long to print: {text}")
    } else {
        let value = setting.value.as_ref().and_then(in_toml);
        print_setting(name, value.as_ref(), &setting.otherwise, place)
    };
    match setting.at_restart.as_ref().and_then(in_toml) {
        Some(value) => format!("{now}\n# from the next restart on: {name} = {value}"),
        None => now,
    }
}

/// `None`: null, which TOML has not.
fn in_toml(value: &Value) -> Option<toml::Value> {
    toml::Value::try_from(value).ok()
}

pub fn stacks(stacks: &Stacks) -> String {
    let Stacks {
        worker,
        pid,
        busy_ms,
        request,
        stacks,
    } = stacks;
    let state = match (busy_ms, request) {
        (Some(busy_ms), Some(request)) => format!("for {} in {request}", span(*busy_ms)),
        (Some(busy_ms), None) => format!("for {} in a request", span(*busy_ms)),
        (None, _) => "in no request".to_owned(),
    };
    format!("Worker {worker}, pid {pid}, {state}\n\n{stacks}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog() -> Setting {
        Setting {
            name: "backlog".into(),
            value: Some(2048.into()),
            origin: "default".into(),
            ..Setting::default()
        }
    }

    #[test]
    fn settings_are_printed_as_a_configuration_file() {
        let bind = Setting {
            name: "bind".into(),
            value: Some(vec![":80"].into()),
            origin: "shop.toml:2:1".into(),
            at_restart: Some(vec![":81"].into()),
            ..Setting::default()
        };
        let worker_dir = Setting {
            name: "worker_dir".into(),
            value: None,
            otherwise: "next to the program".into(),
            ..backlog()
        };
        let env = Setting {
            name: "env".into(),
            value: Some("{ A = … (cut) … }".into()),
            is_cut: true,
            ..backlog()
        };

        let text = settings(&[backlog(), bind, worker_dir, env]);

        assert_eq!(
            text,
            "\
backlog = 2048
bind = [\":80\"]  # shop.toml:2:1
# from the next restart on: bind = [\":81\"]
# worker_dir is not set: next to the program
# env is too long to print: { A = … (cut) … }"
        );
        assert!(text.parse::<toml::Table>().is_ok());
    }

    #[test]
    fn stacks_begin_with_what_the_worker_is_in() {
        let busy = Stacks {
            worker: 3,
            pid: 70,
            busy_ms: Some(61_000),
            request: Some("GET /slow".into()),
            stacks: "Current thread".into(),
        };
        let idle = Stacks {
            busy_ms: None,
            request: None,
            ..busy.clone()
        };

        assert_eq!(
            stacks(&busy),
            "Worker 3, pid 70, for 1min in GET /slow\n\nCurrent thread"
        );
        assert!(stacks(&idle).starts_with("Worker 3, pid 70, in no request\n"));
    }
}
