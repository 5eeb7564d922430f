//! The commands of `rgunicornctl`: each with its request, its operand and its help.

use crate::cli::Format;
use rgunicorn_control::protocol::Request;

/// A command of the command line.
pub struct ControlCommand {
    pub name: &'static str,
    request: Make,
    pub help: &'static str,
}

/// How a command's request is made.
#[derive(Clone, Copy)]
pub enum Make {
    Alone(Request),
    /// Several, of which this is the first: what they answer is put together.
    Metrics,
    /// Again and again, of which this is the first.
    Top,
    /// Of an operand, which the help calls so; or what is wrong with it.
    Of(&'static str, fn(&str) -> Result<Request, String>),
}

pub const COMMANDS: [ControlCommand; 12] = [
    ControlCommand {
        name: "reload",
        request: Make::Alone(Request::Reload),
        help: "Load code and configuration anew; returns when the new workers serve",
    },
    ControlCommand {
        name: "upgrade",
        request: Make::Alone(Request::Upgrade),
        help: "Have the installed version take over in place; returns when its workers serve",
    },
    ControlCommand {
        name: "status",
        request: Make::Alone(Request::Status),
        help: "Print one line about the state of the server",
    },
    ControlCommand {
        name: "workers",
        request: Make::Alone(Request::Workers { from: 0 }),
        help: "List the workers, with state, load and memory",
    },
    ControlCommand {
        name: "listeners",
        request: Make::Alone(Request::Listeners { from: 0 }),
        help: "List the sockets the server listens on",
    },
    ControlCommand {
        name: "config",
        request: Make::Alone(Request::Config { from: 0 }),
        help: "Print all settings the server runs with, and where each comes from",
    },
    ControlCommand {
        name: "stacks",
        request: Make::Of("ID", stacks),
        help: "Print what the threads of the worker with this number or pid are doing",
    },
    ControlCommand {
        name: "metrics",
        request: Make::Metrics,
        help: "Print counters and the state of the server for Prometheus",
    },
    ControlCommand {
        name: "top",
        request: Make::Top,
        help: "Show a server, or all of the machine, refreshed each second; q quits",
    },
    ControlCommand {
        name: "scale",
        request: Make::Of("N|+N|-N", scale),
        help: "Run N workers, N more or N fewer, until the next reload",
    },
    ControlCommand {
        name: "restart-worker",
        request: Make::Of("ID", restart_worker),
        help: "Replace the worker with this number or pid; returns when another serves",
    },
    ControlCommand {
        name: "stop",
        request: Make::Alone(Request::Stop),
        help: "Let running requests finish, and stop; returns when the server has ended",
    },
];

impl ControlCommand {
    /// What the help calls its operand, if it has one.
    #[cfg(test)]
    pub fn operand(&self) -> Option<&'static str> {
        match self.request {
            Make::Alone(_) | Make::Metrics | Make::Top => None,
            Make::Of(operand, _) => Some(operand),
        }
    }

    /// With its operand.
    pub fn usage(&self) -> String {
        match self.request {
            Make::Alone(_) | Make::Metrics | Make::Top => self.name.to_owned(),
            Make::Of(operand, _) => format!("{} {operand}", self.name),
        }
    }

    pub fn format(&self) -> Format {
        match self.request {
            Make::Metrics => Format::Prometheus,
            Make::Top => Format::Screen,
            Make::Alone(_) | Make::Of(..) => Format::Text,
        }
    }

    pub fn request(&self, operand: Option<&str>) -> Result<Request, String> {
        let name = self.name;
        match (self.request, operand) {
            (Make::Alone(request), None) => Ok(request),
            (Make::Metrics | Make::Top, None) => Ok(Request::Summary),
            (Make::Alone(_) | Make::Metrics | Make::Top, Some(word)) => {
                Err(format!("{name} takes no argument, but {word:?} was given"))
            }
            (Make::Of(..), None) => Err(format!("usage: rgunicornctl {}", self.usage())),
            (Make::Of(_, make), Some(word)) => {
                make(word).map_err(|mistake| format!("{name}: {mistake}"))
            }
        }
    }
}

fn restart_worker(word: &str) -> Result<Request, String> {
    worker(word).map(|id| Request::RestartWorker { id })
}

fn stacks(word: &str) -> Result<Request, String> {
    worker(word).map(|id| Request::Stacks { id })
}

/// The number or the pid of a worker.
fn worker(word: &str) -> Result<u32, String> {
    let number = word.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| {
        format!(
            "{word:?} is neither a number nor a pid of a worker; `rgunicornctl workers` lists them"
        )
    })
}

fn scale(word: &str) -> Result<Request, String> {
    let (sign, digits) = match word.strip_prefix(['+', '-']) {
        Some(digits) => (word.chars().next(), digits),
        None => (None, word),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse::<u16>().ok().filter(|_| is_number);
    match (sign, number) {
        (_, None) => Err(format!(
            "{word:?} is not a number of workers; write 4 for four, +1 for one more, -1 for one fewer"
        )),
        (None, Some(0)) => {
            Err("one worker at least has to run; `rgunicornctl stop` ends the server".to_owned())
        }
        (Some(_), Some(0)) => Err(format!("{word} changes nothing")),
        (None, Some(workers)) => Ok(Request::Scale {
            workers: workers.into(),
        }),
        (Some('-'), Some(workers)) => Ok(Request::ScaleBy {
            workers: -i32::from(workers),
        }),
        (Some(_), Some(workers)) => Ok(Request::ScaleBy {
            workers: workers.into(),
        }),
    }
}

/// `a, b or c`.
pub fn names() -> String {
    let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    match names.split_last() {
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
