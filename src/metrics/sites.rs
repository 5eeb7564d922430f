//! All servers of this machine, asked at the same time: one that hangs costs the others
//! nothing. Servers are asked once a second at most, however many clients want to know.

use crate::asking;
use rgunicorn_control::instances;
use rgunicorn_control::metrics::{Site, State};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
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

/// The servers, and what they have answered last.
pub struct Sites {
    folder: PathBuf,
    last: Mutex<Option<Look>>,
}

/// One look at all servers, in the order of their names.
#[derive(Clone)]
pub struct Look {
    pub sites: Arc<Vec<Site>>,
    at: Instant,
}

impl Sites {
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            last: Mutex::new(None),
        }
    }

    /// Asks all, unless that was done just now. Who calls meanwhile gets the same answers.
    pub async fn look(&self) -> Look {
        let mut last = self.last.lock().await;
        if let Some(look) = last.as_ref().filter(|look| look.at.elapsed() < FRESH) {
            return look.clone();
        }
        let look = Look {
            sites: Arc::new(all(&self.folder).await),
            at: Instant::now(),
        };
        *last = Some(look.clone());
        look
    }
}

async fn all(folder: &Path) -> Vec<Site> {
    let end = Instant::now() + TOTAL_TIMEOUT;
    let room = Arc::new(Semaphore::new(MOST_AT_ONCE));
    let mut asked = JoinSet::new();
    for name in instances::running(folder) {
        let control = instances::control_socket(folder, &name);
        let room = Arc::clone(&room);
        asked.spawn(async move {
            let state = timeout_at(end, async {
                let _room = room.acquire().await;
                let until = Instant::now() + SITE_TIMEOUT;
                timeout_at(until, asking::scrape(&control)).await
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
