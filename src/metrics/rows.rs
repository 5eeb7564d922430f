//! What the page shows of each site.

use rgunicorn_control::site::{Scrape, Silence, Site, State};
use rgunicorn_control::text::printable;
use rgunicorn_link::shorten;
use serde::Serialize;

/// The longest reason that is shown, in bytes, and the longest other text. They may come
/// from an application.
const LONGEST_REASON: usize = 4 * 1024;
const LONGEST_WORD: usize = 64;

/// A site. Figures that are not known are null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub name: String,
    pub state: String,
    pub level: Level,
    /// Why it does not answer.
    pub problem: Option<String>,
    pub workers_ready: Option<u64>,
    pub workers_wanted: Option<u64>,
    pub workers_busy: Option<u64>,
    /// Connections that wait to be accepted.
    pub waiting: Option<u64>,
    pub requests_per_second: Option<u64>,
    pub requests: Option<u64>,
    pub errors: Option<u64>,
    /// When it ended, in seconds since 1970.
    pub last_reload: Option<u64>,
    pub last_reload_failure: Option<String>,
}

/// Whether somebody has to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Good,
    /// It does not run, as nobody needs it.
    Idle,
    Warn,
    Bad,
}

impl Level {
    /// The class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Idle => "idle",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

impl Row {
    /// The same for those who may not read the journal of the site.
    pub fn without_traceback(&self) -> Self {
        let reason = (self.last_reload_failure.as_ref()).map(|_| {
            // A name may have backslashes, which mean something to a shell.
            let quote = if self.name.contains('\\') { "'" } else { "" };
            format!(
                "The reason is in the journal: journalctl -u {quote}rgunicorn@{}{quote} -p warning",
                self.name
            )
        });
        Self {
            last_reload_failure: reason,
            ..self.clone()
        }
    }
}

pub fn row(site: &Site) -> Row {
    let name = site.name.clone().unwrap_or_default();
    match &site.state {
        State::Answered(scrape) => answered(name, scrape),
        State::Silent(silence) => Row {
            state: "no answer".to_owned(),
            level: Level::Bad,
            problem: match silence {
                Silence::NoAnswer => None,
                Silence::Reason(reason) => Some(cut(reason, LONGEST_REASON)),
            },
            ..unknown(name)
        },
        State::Waiting => Row {
            state: "not running; its socket waits".to_owned(),
            level: Level::Idle,
            ..unknown(name)
        },
    }
}

fn answered(name: String, scrape: &Scrape) -> Row {
    let summary = &scrape.summary;
    let level = match summary.state.as_str() {
        "serving" if summary.workers_ready >= summary.workers_wanted => Level::Good,
        _ => Level::Warn,
    };
    Row {
        state: cut(&summary.state, LONGEST_WORD),
        level,
        workers_ready: Some(summary.workers_ready),
        workers_wanted: Some(summary.workers_wanted),
        workers_busy: Some(summary.workers_busy),
        waiting: waiting(scrape),
        requests_per_second: Some(summary.requests_per_second),
        requests: Some(summary.requests),
        errors: Some(summary.errors),
        last_reload: summary.reloads.last_at,
        last_reload_failure: (summary.last_reload_failure.as_ref())
            .map(|reason| cut(reason, LONGEST_REASON)),
        ..unknown(name)
    }
}

/// At all listeners of which that is known.
fn waiting(scrape: &Scrape) -> Option<u64> {
    let known = scrape.queues.iter().filter_map(|(_, length)| *length);
    known.reduce(u64::saturating_add)
}

fn unknown(name: String) -> Row {
    Row {
        name,
        state: String::new(),
        level: Level::Idle,
        problem: None,
        workers_ready: None,
        workers_wanted: None,
        workers_busy: None,
        waiting: None,
        requests_per_second: None,
        requests: None,
        errors: None,
        last_reload: None,
        last_reload_failure: None,
    }
}

/// As one that can be read: control characters have no place on a page.
fn cut(text: &str, longest: usize) -> String {
    shorten(printable(text), longest)
}

/// All sites in one sentence.
pub fn summary(rows: &[Row]) -> String {
    let count = |what: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| what(row)).count();
    let mut parts = vec![match rows.len() {
        0 => "No site runs.".to_owned(),
        1 => "1 site".to_owned(),
        many => format!("{many} sites"),
    }];
    let silent = count(&|row| row.level == Level::Bad);
    if silent > 0 {
        parts.push(format!("{silent} without an answer"));
    }
    let failed = count(&|row| row.last_reload_failure.is_some());
    if failed > 0 {
        parts.push(format!("the last reload of {failed} failed"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rgunicorn_control::memory::Memory;
    use rgunicorn_control::protocol::{ReloadCounts, Summary};

    fn site(name: &str, state: State) -> Site {
        Site {
            name: Some(name.to_owned()),
            state,
        }
    }

    fn serving(failure: Option<&str>) -> State {
        let summary = Summary {
            state: "serving".into(),
            workers_wanted: 2,
            workers_ready: 2,
            workers_busy: 1,
            requests: 70,
            reloads: ReloadCounts {
                last_at: Some(1000),
                ..ReloadCounts::default()
            },
            last_reload_failure: failure.map(str::to_owned),
            ..Summary::default()
        };
        State::Answered(Box::new(Scrape {
            summary,
            master: Memory::default(),
            workers: Vec::new(),
            queues: vec![
                (":80".into(), Some(2)),
                (":81".into(), None),
                (":82".into(), Some(1)),
            ],
        }))
    }

    #[test]
    fn a_row_has_what_is_known_of_the_site() {
        let shop = row(&site("shop", serving(Some("a\u{1b}[2Jb\nc"))));
        assert_eq!((shop.state.as_str(), shop.level), ("serving", Level::Good));
        assert_eq!((shop.workers_busy, shop.waiting), (Some(1), Some(3)));
        assert_eq!(shop.last_reload, Some(1000));
        assert_eq!(
            shop.last_reload_failure.as_deref(),
            Some("a\u{fffd}[2Jb\nc")
        );

        let gone = row(&site("gone", State::Silent("Connection refused".into())));
        assert_eq!((gone.state.as_str(), gone.level), ("no answer", Level::Bad));
        assert_eq!(gone.problem.as_deref(), Some("Connection refused"));
        assert_eq!(gone.workers_busy, None);

        let late = row(&site("late", State::Silent(Silence::NoAnswer)));
        assert_eq!((late.state.as_str(), late.level), ("no answer", Level::Bad));
        assert_eq!(late.problem, None);

        let asleep = row(&site("asleep", State::Waiting));
        assert_eq!(asleep.level, Level::Idle);
        assert!(asleep.state.contains("socket waits"));
    }

    #[test]
    fn a_site_with_too_few_workers_and_one_that_makes_up_its_state_stand_out() {
        for (state, ready) in [("serving", 1), ("stopping", 2), ("good", 2)] {
            let mut serving = serving(None);
            if let State::Answered(scrape) = &mut serving {
                scrape.summary.state = state.into();
                scrape.summary.workers_ready = ready;
            }
            assert_eq!(row(&site("shop", serving)).level, Level::Warn, "{state}");
        }
    }

    #[test]
    fn instead_of_a_traceback_there_is_the_command_that_shows_it() {
        let without = |name, failure| {
            let row = row(&site(name, serving(failure))).without_traceback();
            row.last_reload_failure
        };
        let shop = without("shop", Some("Traceback ..."));
        let command = "journalctl -u rgunicorn@shop -p warning";
        assert_eq!(
            shop,
            Some(format!("The reason is in the journal: {command}"))
        );
        let quoted = without(r"a\x2db", Some("Traceback ...")).unwrap();
        assert!(quoted.contains(r"-u 'rgunicorn@a\x2db' -p"), "{quoted}");
        assert_eq!(without("shop", None), None);
    }

    #[test]
    fn long_texts_are_cut() {
        let reason = "x".repeat(1 << 20);
        let shop = row(&site("shop", serving(Some(&reason))));
        assert!(shop.last_reload_failure.unwrap().len() <= LONGEST_REASON + 32);
        let gone = row(&site("gone", State::Silent(reason.into())));
        assert!(gone.problem.unwrap().len() <= LONGEST_REASON + 32);
    }

    #[test]
    fn the_summary_counts_what_is_wrong() {
        let rows = |states: Vec<State>| {
            let sites = states.into_iter().map(|state| site("x", state));
            summary(&sites.map(|site| row(&site)).collect::<Vec<_>>())
        };
        assert_eq!(rows(vec![]), "No site runs.");
        assert_eq!(rows(vec![serving(None)]), "1 site");
        assert_eq!(
            rows(vec![
                serving(Some("no")),
                State::Silent("no".into()),
                State::Waiting
            ]),
            "3 sites, 1 without an answer, the last reload of 1 failed"
        );
    }
}
