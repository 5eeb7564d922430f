//! All servers of this machine, asked at the same time: one that hangs costs the others
//! nothing. Servers are asked once a second at most, however many clients want to know.

use crate::asking;
use crate::history::{Columns, History};
use crate::rows::{self, Row};
use rgunicorn_control::instances;
use rgunicorn_control::metrics::{Site, State};
use rgunicorn_control::queue_length::Queues;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
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
pub struct Sites {
    folder: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    last: Option<Look>,
    history: History,
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

impl Sites {
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            seen: Mutex::default(),
        }
    }

    /// Asks all, unless that was done just now. Who calls meanwhile gets the same answers.
    pub async fn look(&self) -> Look {
        self.look_in(&mut *self.seen.lock().await).await
    }

    /// The same, with what was seen before.
    pub async fn look_with_history(&self) -> (Look, Columns) {
        let mut seen = self.seen.lock().await;
        let look = self.look_in(&mut seen).await;
        let columns = seen.history.columns(&look.rows);
        (look, columns)
    }

    async fn look_in(&self, seen: &mut Seen) -> Look {
        if let Some(look) = seen
            .last
            .as_ref()
            .filter(|look| look.since.elapsed() < FRESH)
        {
            return look.clone();
        }
        let sites = all(&self.folder).await;
        let rows: Vec<Row> = sites.iter().map(rows::row).collect();
        let at = now();
        seen.history.add(at, &rows);
        let look = Look {
            sites: sites.into(),
            rows: rows.into(),
            at,
            since: Instant::now(),
        };
        seen.last = Some(look.clone());
        look
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
                Ok(Ok(Err(reason))) => State::Silent(reason),
                Ok(Err(_)) | Err(_) => State::Silent("no answer".to_owned()),
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
