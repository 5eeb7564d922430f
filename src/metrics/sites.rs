//! All servers of this machine, asked at the same time: one that hangs costs the others
//! nothing. Servers are asked once a second at most, however many clients want to know.

use crate::asking;
use crate::history::{Columns, History};
use crate::rows::{self, Row};
use rgunicorn_control::instances;
use rgunicorn_control::queue_length::Queues;
use rgunicorn_control::site::{Silence, Site, State};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, timeout_at};

/// How long a server may take to answer.
const SITE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long all may take together: less than Prometheus waits.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(8);

/// For how long answers are used again.
const FRESH: Duration = Duration::from_secs(1);

/// The most servers that are asked at one time. Each costs a descriptor.
const MOST_AT_ONCE: usize = 400;

/// The servers, and what they have answered.
pub struct Sites(Rc<Inner>);

struct Inner {
    folder: PathBuf,
    seen: RefCell<Seen>,
}

#[derive(Default)]
struct Seen {
    last: Option<Look>,
    history: History,
    /// Ends with the look that is under way.
    under_way: Option<watch::Receiver<()>>,
}

/// One look at all servers, in the order of their names.
#[derive(Clone)]
pub struct Look {
    pub sites: Arc<Vec<Site>>,
    pub rows: Arc<Vec<Row>>,
    /// In seconds since 1970.
    pub at: u64,
    since: Instant,
}

impl Look {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < FRESH
    }
}

impl Sites {
    pub fn new(folder: PathBuf) -> Self {
        Self(Rc::new(Inner {
            folder,
            seen: RefCell::default(),
        }))
    }

    /// Asks all, unless that was done just now. Who calls meanwhile gets the same answers.
    pub async fn look(&self) -> Look {
        if let Some(look) = self.fresh() {
            return look;
        }
        loop {
            let mut under_way = self.under_way();
            // Nothing is ever sent: this is the end of the look.
            let _ = under_way.changed().await;
            if let Some(look) = self.0.seen.borrow().last.clone() {
                return look;
            }
        }
    }

    /// The same, with what was seen before.
    pub async fn look_with_history(&self) -> (Look, Columns) {
        let look = self.look().await;
        let columns = self.0.seen.borrow().history.columns(&look.rows);
        (look, columns)
    }

    fn fresh(&self) -> Option<Look> {
        let seen = self.0.seen.borrow();
        seen.last.as_ref().filter(|look| look.is_fresh()).cloned()
    }

    /// The look that is under way, or else a new one. It belongs to no client: it is ended,
    /// and its result kept, also when the client that was the reason for it has gone.
    fn under_way(&self) -> watch::Receiver<()> {
        let mut seen = self.0.seen.borrow_mut();
        if let Some(under_way) = &seen.under_way {
            if under_way.has_changed().is_ok() {
                return under_way.clone();
            }
        }
        let (end, under_way) = watch::channel(());
        seen.under_way = Some(under_way.clone());
        let inner = Rc::clone(&self.0);
        spawn_local(async move {
            let sites = all(&inner.folder).await;
            inner.seen.borrow_mut().keep(sites);
            drop(end);
        });
        under_way
    }
}

impl Seen {
    fn keep(&mut self, sites: Vec<Site>) {
        let rows: Vec<Row> = sites.iter().map(rows::row).collect();
        let at = now();
        self.history.add(at, &rows);
        self.last = Some(Look {
            sites: sites.into(),
            rows: rows.into(),
            at,
            since: Instant::now(),
        });
    }
}

/// In seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

async fn all(folder: &Path) -> Vec<Site> {
    let end = Instant::now() + TOTAL_TIMEOUT;
    let room = Arc::new(Semaphore::new(MOST_AT_ONCE));
    let queues = Arc::new(Queues::read());
    let mut asked = JoinSet::new();
    for name in instances::running(folder) {
        let control = instances::control_socket(folder, &name);
        let (room, queues) = (Arc::clone(&room), Arc::clone(&queues));
        asked.spawn(async move {
            let state = timeout_at(end, async {
                let _room = room.acquire().await;
                let until = Instant::now() + SITE_TIMEOUT;
                timeout_at(until, asking::scrape(&control, &queues)).await
            });
            let state = match state.await {
                Ok(Ok(Ok(scrape))) => State::Answered(scrape.into()),
                Ok(Ok(Err(silence))) => State::Silent(silence),
                Ok(Err(_)) | Err(_) => State::Silent(Silence::NoAnswer),
            };
            Site {
                name: Some(name),
                state,
            }
        });
    }
    let mut sites = Vec::new();
    while let Some(site) = asked.join_next().await {
        sites.extend(site.ok());
    }
    sites.extend(instances::waiting(folder).into_iter().map(|name| Site {
        name: Some(name),
        state: State::Waiting,
    }));
    sites.sort_by(|one, other| one.name.cmp(&other.name));
    // One that has stopped while it was asked.
    sites.dedup_by(|later, earlier| later.name == earlier.name);
    sites
}
