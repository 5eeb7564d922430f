//! What was seen of the last minutes: how many workers were busy and how many connections
//! waited, at each look. It ends with the program.

use crate::rows::Row;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// For how long a look is kept, in seconds.
pub const SPAN: u64 = 600;

/// The shortest time from one look that is kept to the next.
const STEP: u64 = 2;

/// The most sites with a plot of their own.
const MOST_SITES: usize = 50;

/// Looks, the oldest first.
#[derive(Debug, Default)]
pub struct History(VecDeque<Look>);

#[derive(Debug)]
struct Look {
    /// In seconds since 1970.
    at: u64,
    total: Load,
    sites: BTreeMap<String, Load>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Load {
    busy: u64,
    waiting: u64,
}

/// One number for each look, null where there is none: columns are shorter than rows.
#[derive(Debug, PartialEq, Serialize)]
pub struct Series {
    busy: Vec<Option<u64>>,
    waiting: Vec<Option<u64>>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Columns {
    at: Vec<u64>,
    #[serde(flatten)]
    total: Series,
    sites: BTreeMap<String, Series>,
}

impl History {
    /// Adds what is seen now.
    pub fn add(&mut self, at: u64, rows: &[Row]) {
        // Somebody has set the clock back.
        self.0.retain(|look| look.at <= at && look.at + SPAN >= at);
        if self.0.back().is_some_and(|last| last.at + STEP > at) {
            return;
        }
        let mut look = Look {
            at,
            total: Load::default(),
            sites: BTreeMap::new(),
        };
        for row in rows {
            let Some(busy) = row.workers_busy else {
                continue;
            };
            let waiting = row.waiting.unwrap_or(0);
            look.total.busy = look.total.busy.saturating_add(busy);
            look.total.waiting = look.total.waiting.saturating_add(waiting);
            if look.sites.len() < MOST_SITES {
                let load = Load { busy, waiting };
                look.sites.insert(row.name.clone(), load);
            }
        }
        self.0.push_back(look);
    }

    /// Of all, and of these sites.
    pub fn columns(&self, rows: &[Row]) -> Columns {
        let series = |load: &dyn Fn(&Look) -> Option<Load>| Series {
            busy: (self.0.iter().map(|look| load(look).map(|load| load.busy))).collect(),
            waiting: (self
                .0
                .iter()
                .map(|look| load(look).map(|load| load.waiting)))
            .collect(),
        };
        let names = rows.iter().map(|row| &row.name);
        let known = names.filter(|name| self.0.iter().any(|look| look.sites.contains_key(*name)));
        Columns {
            at: self.0.iter().map(|look| look.at).collect(),
            total: series(&|look| Some(look.total)),
            sites: (known.take(MOST_SITES))
                .map(|name| (name.clone(), series(&|look| look.sites.get(name).copied())))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rgunicorn_control::site::{Site, State};

    fn seen(name: &str, busy: Option<u64>, waiting: Option<u64>) -> Row {
        let site = Site {
            name: Some(name.to_owned()),
            state: State::Waiting,
        };
        Row {
            workers_busy: busy,
            waiting,
            ..crate::rows::row(&site)
        }
    }

    #[test]
    fn looks_add_up_over_the_sites_and_have_gaps() {
        let mut history = History::default();
        let first = [seen("a", Some(1), Some(2)), seen("b", Some(3), None)];
        let second = [seen("a", None, None), seen("b", Some(4), Some(5))];
        history.add(1000, &first);
        history.add(1001, &first);
        history.add(1002, &second);

        let columns = serde_json::to_value(history.columns(&second)).unwrap();

        assert_eq!(
            columns,
            serde_json::json!({
                "at": [1000, 1002],
                "busy": [4, 4],
                "waiting": [2, 5],
                "sites": {
                    "a": {"busy": [1, null], "waiting": [2, null]},
                    "b": {"busy": [3, 4], "waiting": [0, 5]},
                },
            })
        );
    }

    #[test]
    fn it_is_bounded_in_time_and_sites() {
        let mut history = History::default();
        let many: Vec<Row> = (0..200)
            .map(|number| seen(&format!("site{number:03}"), Some(1), Some(1)))
            .collect();
        for at in 0..3000 {
            history.add(at, &many);
        }

        let columns = history.columns(&many);
        assert_eq!(columns.at.len() as u64, SPAN / STEP);
        assert_eq!(columns.sites.len(), MOST_SITES);
        assert_eq!(columns.total.busy.first(), Some(&Some(200)));

        // The clock was set back.
        history.add(100, &many);
        assert_eq!(history.columns(&many).at, [100]);
    }
}
