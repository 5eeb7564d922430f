//! The commands: what the master is asked for each, and what is printed.

use crate::cli::{CommandLine, Format, Target, parse_from};
use crate::client::{ControlError, ask, ask_until, listeners, settings, summary, workers};
use crate::{json, listing, tables, terminal, top};
use rgunicorn::config::Start;
use rgunicorn::units::why_withheld;
use rgunicorn_control::memory::Memory;
use rgunicorn_control::metrics;
use rgunicorn_control::protocol::{Answer, Line, Outcome, Request};
use rgunicorn_control::queue_length::Queues;
use rgunicorn_control::site::{Scrape, Site, State};
use rgunicorn_control::{terminals, text};
use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const PROGRAM: &str = "rgunicornctl";

/// How long the answers for `metrics` may take together.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);

/// The whole program.
pub fn run() -> ExitCode {
    let mut stderr = io::stderr();
    // This is the reload of a unit that has lost its site.
    if let Some(problems) = why_withheld() {
        for problem in problems.lines() {
            let _ = writeln!(stderr, "{PROGRAM}: {}", text::printable(&problem));
        }
        return ExitCode::from(problems.exit_code());
    }
    let start = Start::here();
    let terminals = || {
        let folder = terminals::folder(env::var_os("XDG_RUNTIME_DIR"));
        folder.map_or_else(Vec::new, |folder| terminals::running(&folder))
    };
    let line = match parse_from(env::args_os(), &start, terminals) {
        Ok(line) => line,
        Err(stop) => return stop.finish(PROGRAM),
    };
    if line.format == Format::Screen {
        return match top::run(&line.target) {
            Ok(None) => ExitCode::SUCCESS,
            Ok(Some(signal)) => ExitCode::from(128 + u8::try_from(signal as i32).unwrap_or(0)),
            Err(error) => {
                let _ = writeln!(stderr, "{PROGRAM}: {}", text::printable(&error.to_string()));
                error.exit_code()
            }
        };
    }
    match carry_out(&line) {
        Ok(result) => {
            // A unit's log has the outcome of a reload from rgunicorn itself.
            let is_logged = (line.request, line.format) == (Request::Reload, Format::Text);
            if !is_logged || stderr.is_terminal() {
                let _ = writeln!(io::stdout(), "{}", text::printable(&result));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            if matches!(line.format, Format::Json | Format::JsonOnce) {
                let failure = json::failure(&error.to_string());
                let _ = writeln!(io::stdout(), "{}", text::printable(&failure));
            }
            for text in text::printable(&error.to_string()).lines() {
                let _ = writeln!(stderr, "{PROGRAM}: {text}");
            }
            error.exit_code()
        }
    }
}

/// What a command prints.
fn carry_out(line: &CommandLine) -> Result<String, ControlError> {
    let target = &line.target;
    match line.request {
        Request::Reload
        | Request::Upgrade
        | Request::Status
        | Request::Scale { .. }
        | Request::ScaleBy { .. }
        | Request::RestartWorker { .. }
        | Request::Stop => order(line),
        Request::Summary if line.format == Format::JsonOnce => {
            top::once(target).map(|sites| json::servers(&sites))
        }
        Request::Summary if line.format == Format::Prometheus => {
            Ok(metrics::text(&[site(target)?]).trim_end().to_owned())
        }
        Request::Summary => Ok(json::status(&summary(target, None)?)),
        Request::Workers { .. } => {
            let workers = workers(target, None)?;
            Ok(match line.format {
                Format::Json => json::workers(&workers),
                _ => tables::workers(&workers, terminal::size().map(|(columns, _)| columns)),
            })
        }
        Request::Listeners { .. } => {
            let listeners = listeners(target, None)?;
            Ok(match line.format {
                Format::Json => json::listeners(&listeners),
                _ => tables::listeners(&listeners),
            })
        }
        Request::Config { .. } => {
            let settings = settings(target)?;
            Ok(match line.format {
                Format::Json => json::settings(&settings),
                _ => listing::settings(&settings),
            })
        }
        Request::Stacks { .. } => match ask(target, line.request)? {
            Answer::Stacks(stacks) => Ok(match line.format {
                Format::Json => json::stacks(&stacks),
                _ => listing::stacks(&stacks),
            }),
            other => Err(ControlError::not_understood(&other)),
        },
    }
}

/// Has the master do something, and tells what has come of it.
fn order(line: &CommandLine) -> Result<String, ControlError> {
    let fields = line.format == Format::Json;
    let asked = Line {
        request: line.request,
        fields,
    };
    match ask_until(&line.target, asked, None)? {
        Answer::Done(result) if fields => Ok(json::outcome(&Outcome::of(result))),
        Answer::Done(result) => Ok(result),
        Answer::Outcome(outcome) => Ok(json::outcome(&outcome)),
        other => Err(ControlError::not_understood(&other)),
    }
}

/// All that a server says of itself for its metrics.
fn site(target: &Target) -> Result<Site, ControlError> {
    let waiting = Queues::read();
    // It may be a timer's.
    let until = Some(Instant::now() + SCRAPE_TIMEOUT);
    let summary = summary(target, until)?;
    let master = Memory::of_master(summary.pid);
    let workers = workers(target, until)?;
    let listeners = listeners(target, until)?;
    let scrape = Scrape::new(summary, master, workers, listeners, &waiting);
    Ok(Site {
        name: target.name().map(str::to_owned),
        state: State::Answered(scrape.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rgunicorn_control::protocol;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// What a command prints when the master gives these answers, and what it was asked.
    fn told(
        request: Request,
        format: Format,
        answers: &'static [&'static str],
    ) -> (Result<String, String>, Vec<Request>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let master = thread::spawn(move || {
            let answered = answers.iter().map(|answer| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = String::new();
                BufReader::new(&stream).read_line(&mut asked).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                protocol::parse::<Request>(&asked).unwrap()
            });
            answered.collect::<Vec<_>>()
        });

        let line = CommandLine {
            target: Target::Socket(path),
            request,
            format,
        };
        let outcome = carry_out(&line).map_err(|error| error.to_string());

        (outcome, master.join().unwrap())
    }

    #[test]
    fn a_master_is_asked_and_answers() {
        let (outcome, asked) = told(
            Request::Status,
            Format::Text,
            &["{\"done\":\"2 workers ready\"}\n"],
        );

        assert_eq!(outcome, Ok("2 workers ready".into()));
        assert_eq!(asked, [Request::Status]);
    }

    #[test]
    fn a_long_list_is_asked_for_in_parts() {
        let (outcome, asked) = told(
            Request::Listeners { from: 0 },
            Format::Json,
            &[
                "{\"listeners\":{\"listeners\":[{\"address\":\":80\"}],\"next\":1}}\n",
                "{\"listeners\":{\"listeners\":[{\"address\":\":81\"}],\"next\":1}}\n",
            ],
        );

        let text = outcome.unwrap();
        assert!(text.contains(":80") && text.contains(":81"), "{text}");
        let parts = [0, 1].map(|from| Request::Listeners { from });
        assert_eq!(asked, parts);
    }

    #[test]
    fn an_order_has_its_outcome_as_json_also_from_a_master_that_answers_with_text() {
        for (answer, outcome) in [
            (
                "{\"outcome\":{\"message\":\"generation 2 serves\",\"generation\":2}}\n",
                "{\"outcome\":\"done\",\"message\":\"generation 2 serves\",\"generation\":2}",
            ),
            (
                "{\"done\":\"generation 2 serves\"}\n",
                "{\"outcome\":\"done\",\"message\":\"generation 2 serves\"}",
            ),
        ] {
            let answers = Box::leak(Box::new([answer]));
            let (result, asked) = told(Request::Reload, Format::Json, answers);
            assert_eq!(result, Ok(outcome.into()));
            assert_eq!(asked, [Request::Reload]);
        }
    }

    #[test]
    fn an_answer_to_another_question_is_a_failure() {
        let (outcome, _) = told(
            Request::Workers { from: 0 },
            Format::Text,
            &["{\"done\":\"2 workers ready\"}\n"],
        );

        let reason = outcome.unwrap_err();
        assert!(reason.contains("of different versions"), "{reason}");
    }
}
