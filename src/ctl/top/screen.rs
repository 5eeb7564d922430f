//! What `top` shows, as lines that fit into the terminal.

use crate::tables;
use rgunicorn_control::memory::Memory;
use rgunicorn_control::protocol::{Summary, Worker};
use rgunicorn_control::text::visible;

/// The most servers of which it is shown what is wrong.
const MOST_PROBLEMS: usize = 5;

/// A server, by its name.
pub struct Site {
    pub name: String,
    /// Or why it is not known.
    pub state: Result<State, String>,
}

pub struct State {
    pub summary: Summary,
    pub workers: Vec<(Worker, Memory)>,
}

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    Yes,
    No,
}

/// What is on the screen.
pub enum View {
    /// One server and its workers.
    One(Box<Site>),
    /// All servers of the machine.
    All(Vec<Site>),
}

impl View {
    /// At most `height` lines of at most `width` columns.
    pub fn lines(&self, width: usize, height: usize, colours: Colours) -> Vec<String> {
        let (problems, table) = match self {
            Self::One(site) => (problem(site).into_iter().collect(), one(site, width)),
            Self::All(sites) => {
                let named = |site: &Site| Some(format!("{}: {}", site.name, problem(site)?));
                let problems: Vec<String> = sites.iter().filter_map(named).collect();
                (problems, all(sites, width))
            }
        };
        let mut lines = Vec::new();
        match self {
            Self::One(site) => lines.push(cut(&title(site), width)),
            Self::All(sites) => lines.push(cut(&format!("{} servers", sites.len()), width)),
        }
        // Most of the screen is for what works.
        for problem in problems.iter().take(MOST_PROBLEMS) {
            lines.push(colours.red(cut(problem, width)));
        }
        lines.push(String::new());
        for (number, line) in table.lines().enumerate() {
            let line = cut(line, width);
            lines.push(if number == 0 {
                colours.head(&line)
            } else {
                line
            });
        }
        let footer = "q quits";
        let room = height.saturating_sub(1);
        if lines.len() > room {
            let hidden = lines.len() - room;
            lines.truncate(room);
            lines.push(cut(&format!("{hidden} more lines; {footer}"), width));
        } else {
            lines.resize(room, String::new());
            lines.push(cut(footer, width));
        }
        lines.truncate(height);
        lines
    }
}

impl Colours {
    /// By the convention of <https://no-color.org>.
    pub fn wanted(no_color: Option<&str>) -> Self {
        match no_color {
            None | Some("") => Self::Yes,
            Some(_) => Self::No,
        }
    }

    fn red(self, text: String) -> String {
        match self {
            Self::Yes => format!("\x1b[31m{text}\x1b[0m"),
            Self::No => text,
        }
    }

    /// Colour or not, the head of the table stands out.
    fn head(self, text: &str) -> String {
        match self {
            Self::Yes => format!("\x1b[1;36m{text}\x1b[0m"),
            Self::No => format!("\x1b[1m{text}\x1b[0m"),
        }
    }
}

fn title(site: &Site) -> String {
    let name = &site.name;
    match &site.state {
        Err(_) => name.clone(),
        Ok(State { summary, .. }) => format!(
            "{name}: {}, generation {}, {}/{} workers, {} busy, {} req/s, {} requests, {} errors",
            summary.state,
            summary.generation,
            summary.workers_ready,
            summary.workers_wanted,
            summary.workers_busy,
            summary.requests_per_second,
            summary.requests,
            summary.errors,
        ),
    }
}

/// What is wrong with a server.
fn problem(site: &Site) -> Option<String> {
    match &site.state {
        Err(reason) => Some(first_line(reason).to_owned()),
        Ok(state) => {
            let reason = state.summary.last_reload_failure.as_ref()?;
            Some(format!("last reload failed: {}", first_line(reason)))
        }
    }
}

/// Its workers.
fn one(site: &Site, width: usize) -> String {
    let state = site.state.as_ref();
    state.map_or(String::new(), |state| {
        tables::workers(&state.workers, Some(width))
    })
}

fn all(sites: &[Site], width: usize) -> String {
    let rows = sites.iter().map(|site| tables::SiteRow {
        name: &site.name,
        state: site.state.as_ref().ok().map(|state| {
            let bytes = state.workers.iter().filter_map(|(_, memory)| memory.pss);
            (&state.summary, bytes.reduce(|sum, more| sum + more))
        }),
    });
    tables::sites(rows, width)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// As much as fits, without control characters: whoever answers may have been replaced by
/// an application.
fn cut(line: &str, width: usize) -> String {
    line.chars().take(width).map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str) -> Site {
        let worker = |number, state: &str| Worker {
            worker: number,
            pid: Some(4711),
            state: state.into(),
            request: (state == "busy").then(|| "GET /reports".into()),
            ..Worker::default()
        };
        Site {
            name: name.into(),
            state: Ok(State {
                summary: Summary {
                    state: "serving".into(),
                    generation: 3,
                    workers_ready: 2,
                    workers_wanted: 2,
                    workers_busy: 1,
                    requests_per_second: 120,
                    ..Summary::default()
                },
                workers: vec![
                    (worker(1, "idle"), Memory::default()),
                    (worker(2, "busy"), Memory::default()),
                ],
            }),
        }
    }

    fn failing(name: &str) -> Site {
        Site {
            name: name.into(),
            state: Err("cannot connect\x1b[2J\nmore".into()),
        }
    }

    #[test]
    fn one_site_is_shown_with_its_workers() {
        let lines = View::One(site("shop").into()).lines(80, 24, Colours::No);

        assert_eq!(lines.len(), 24);
        assert!(
            lines[0].starts_with("shop: serving, generation 3, 2/2 workers, 1 busy, 120 req/s")
        );
        assert!(lines[2].contains("WORKER   PID"), "{lines:?}");
        assert!(lines[4].contains("busy"), "{lines:?}");
        assert_eq!(lines[23], "q quits");
    }

    #[test]
    fn all_sites_are_a_line_each_also_one_that_does_not_answer() {
        let view = View::All(vec![site("shop"), failing("blog")]);

        let lines = view.lines(80, 10, Colours::No);

        assert_eq!(lines[0], "2 servers");
        assert_eq!(lines[1], "blog: cannot connect\u{fffd}[2J");
        assert!(lines[4].starts_with("shop  serving"), "{lines:?}");
        assert!(lines[5].starts_with("blog  -"), "{lines:?}");
    }

    #[test]
    fn nothing_that_a_server_says_controls_the_terminal() {
        let mut hostile = site("shop");
        let state = hostile.state.as_mut().unwrap();
        state.summary.state = "\x1b]52;c;eA==\x07".into();
        state.workers[1].0.state = "\x1b[2J".into();
        state.workers[1].0.request = Some("GET /\x1b[2J".into());

        for view in [View::All(vec![site("blog")]), View::One(hostile.into())] {
            for line in view.lines(200, 24, Colours::No) {
                let text = line.replace("\x1b[1m", "").replace("\x1b[0m", "");
                assert!(!text.contains(char::is_control), "{text:?}");
            }
        }
    }

    #[test]
    fn nothing_is_wider_or_higher_than_the_terminal() {
        let views = || {
            [
                View::One(site("shop").into()),
                View::One(failing("shop").into()),
                View::All((0..30).map(|number| site(&format!("s{number}"))).collect()),
            ]
        };
        for (width, height) in [(1, 1), (20, 3), (40, 10), (80, 24), (200, 2)] {
            for view in views() {
                let lines = view.lines(width, height, Colours::No);

                assert!(lines.len() <= height, "{width}x{height}");
                for line in lines {
                    let visible = line.replace("\x1b[1m", "").replace("\x1b[0m", "");
                    assert!(
                        visible.chars().count() <= width,
                        "{width}x{height}: {line:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn colours_are_used_unless_they_are_not_wanted() {
        assert_eq!(Colours::wanted(Some("1")), Colours::No);
        assert_eq!(Colours::wanted(Some("")), Colours::Yes);
        assert_eq!(Colours::wanted(None), Colours::Yes);
        for (colours, expected) in [(Colours::Yes, true), (Colours::No, false)] {
            let text = View::One(failing("shop").into())
                .lines(80, 24, colours)
                .concat();

            assert_eq!(text.contains("\x1b[3"), expected, "{text:?}");
        }
    }
}
