//! The workers: ordered, lent the listeners, told to leave.

use super::Processes;
use super::scoreboard::add;
use crate::pool::{GenerationId, WorkerId};
use crate::process::{OutputTo, WorkerProcess};
use crate::wakeups::{Source, Wakeups};
use rgunicorn_link::HandoverSockets;
use rgunicorn_link::protocol::{Idle, ListenerInfo, ToWorker, millis};
use rgunicorn_link::scoreboard::ROWS;
use rustix::io::Errno;
use rustix::process::Signal;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use tracing::{debug, error};

/// Why a worker was not ordered.
pub(in crate::master) enum SpawnError {
    /// The link to the fork server is full or closed: nobody has failed yet.
    Deferred,
    Failed(io::Error),
}

impl Processes {
    pub(in crate::master) fn spawn(
        &mut self,
        generation: GenerationId,
        id: WorkerId,
        worker_memory_max: Option<u64>,
        wakeups: &Wakeups,
        now: Instant,
    ) -> Result<(), SpawnError> {
        let server = self.fork_servers.get(&generation);
        let server = server.ok_or(SpawnError::Deferred)?;
        let link = server.link.as_ref().ok_or(SpawnError::Deferred)?;
        let row = (0..ROWS)
            .find(|row| self.workers.values().all(|worker| worker.row != *row))
            .ok_or_else(|| SpawnError::Failed(io::Error::other("the scoreboard is full")))?;
        let groups = self.groups.as_mut();
        let group = groups.and_then(|groups| groups.create(id, worker_memory_max));
        let group = group.as_ref().map(AsFd::as_fd);
        let reads_output = server.worker_output != OutputTo::Inherited;
        let spawned = WorkerProcess::order(id, generation, row, link, reads_output, group, now)
            .and_then(|worker| self.watch_worker(worker, wakeups));
        if let (Err(_), Some(groups)) = (&spawned, &mut self.groups) {
            groups.remove(id);
        }
        Ok(spawned?)
    }

    pub(super) fn watch_worker(
        &mut self,
        worker: WorkerProcess,
        wakeups: &Wakeups,
    ) -> io::Result<()> {
        let id = worker.id;
        if let Some(link) = &worker.link {
            wakeups.add(link, Source::Worker(id))?;
        }
        for (stream, output) in worker.pipes.iter().flatten() {
            wakeups.add(output, Source::WorkerOutput(id, *stream))?;
        }
        self.workers.insert(id, worker);
        Ok(())
    }

    /// Lends a worker the listeners: it accepts connections from here on.
    pub(in crate::master) fn lend(&self, id: WorkerId) {
        let infos = self
            .listeners
            .iter()
            .map(|listener| ListenerInfo {
                address: listener.address.clone(),
                closes_at_stop: listener.closes_at_stop(),
            })
            .collect();
        let listeners = self.listeners.iter().map(|listener| listener.fd.as_fd());
        let HandoverSockets { give, take } = &self.handover;
        let shared = [self.nudge.as_fd(), give.as_fd(), take.as_fd()];
        let fds: Vec<_> = listeners.chain(shared).collect();
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        let link = worker.link.as_ref();
        match link.map(|link| link.send(&ToWorker::Listen(infos), &fds)) {
            Some(Ok(())) => self.scoreboard.serves(worker.row),
            Some(Err(error)) => {
                // Its heartbeat goes on, but it would never serve: kill it, so that it is
                // replaced.
                error!("Cannot lend worker {id} the listeners: {error}");
                self.signal_worker(id, Signal::KILL);
            }
            None => {}
        }
    }

    /// All workers know from here on that the service stops.
    pub(in crate::master) fn note_stop(&self) {
        self.scoreboard.stop();
    }

    pub(in crate::master) fn retire(&self, id: WorkerId, within: Duration, idle: Idle) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        self.scoreboard.retire(worker.row, idle);
        let order = retire_order(within, idle);
        match worker.link.as_ref().map(|link| link.send(&order, &[])) {
            // It does not read its link: the signal has the same meaning.
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.signal_worker(id, Signal::TERM);
            }
            // A worker that has closed its link is about to exit.
            Some(Ok(()) | Err(_)) | None => {}
        }
    }

    /// Asks a worker to collect its garbage. One that does not read its link is asked again
    /// when memory is short the next time.
    pub(in crate::master) fn collect(&self, id: WorkerId) {
        let link = self
            .workers
            .get(&id)
            .and_then(|worker| worker.link.as_ref());
        if let Some(Err(error)) = link.map(|link| link.send(&ToWorker::Collect, &[])) {
            debug!(
                worker_id = id.0,
                "Cannot ask worker {id} to collect garbage: {error}"
            );
        }
    }

    /// Lets the workers open their log files anew.
    pub(in crate::master) fn reopen_logs(&self) {
        for (id, worker) in &self.workers {
            let link = worker.link.as_ref();
            if let Some(Err(_)) = link.map(|link| link.send(&ToWorker::ReopenLogs, &[])) {
                // It does not read its link: the signal has the same meaning.
                self.signal_worker(*id, Signal::USR1);
            }
        }
    }

    /// Lets a worker that is retiring close idle connections soon.
    pub(in crate::master) fn hurry(&self, id: WorkerId, within: Duration) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        self.scoreboard.retire(worker.row, Idle::CloseSoon);
        if let Some(link) = &worker.link {
            // If its link is full, it still has its first order, and is killed when
            // it has not left in time.
            let _ = link.send(&retire_order(within, Idle::CloseSoon), &[]);
        }
    }

    /// Whether there is a process with a known pid.
    pub(in crate::master) fn has_started(&self, id: WorkerId) -> bool {
        let worker = self.workers.get(&id);
        worker.is_some_and(|worker| worker.handle.is_some())
    }

    pub(in crate::master) fn signal_worker(&self, id: WorkerId, signal: Signal) {
        let handle = self
            .workers
            .get(&id)
            .and_then(|worker| worker.handle.as_ref());
        if let Some(Err(error)) = handle.map(|handle| handle.signal(signal)) {
            error!("Cannot signal worker {id}: {error}");
        }
    }

    /// The worker is gone: its requests stay counted, its row is free again.
    pub(in crate::master) fn remove_worker(&mut self, id: WorkerId) -> Option<WorkerProcess> {
        let worker = self.workers.remove(&id)?;
        if let Some(row) = self.scoreboard.row(worker.row) {
            add(&mut self.past, row.read());
        }
        self.scoreboard.clear(worker.row);
        if let Some(groups) = &mut self.groups {
            groups.remove(id);
        }
        Some(worker)
    }

    pub(in crate::master) fn worker_with_pid(&self, pid: u32) -> Option<WorkerId> {
        let has_pid = |worker: &&WorkerProcess| {
            let handle = worker.handle.as_ref();
            handle.is_some_and(|handle| handle.pid == pid)
        };
        self.workers.values().find(has_pid).map(|worker| worker.id)
    }
}

fn retire_order(within: Duration, idle: Idle) -> ToWorker {
    ToWorker::Retire {
        within_ms: millis(within),
        idle,
    }
}

impl From<io::Error> for SpawnError {
    /// A link that is full takes the order later. One that is closed belongs to a
    /// fork server that is about to end, which will be reported by itself.
    /// `ETOOMANYREFS`: too many descriptors are on their way at once (unix(7)).
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::AGAIN | Errno::PIPE | Errno::CONNRESET | Errno::TOOMANYREFS) => {
                Self::Deferred
            }
            Some(_) | None => Self::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rgunicorn_link::Link;

    /// How ordering workers on this link ends.
    fn first_error(link: &Link) -> Option<SpawnError> {
        (0..10_000)
            .map(|number| {
                let (id, generation) = (WorkerId(number), GenerationId(1));
                WorkerProcess::order(id, generation, 0, link, false, None, Instant::now())
            })
            .find_map(Result::err)
            .map(SpawnError::from)
    }

    #[test]
    fn an_order_that_a_full_link_does_not_take_is_deferred() {
        let (link, _fork_server) = Link::pair().unwrap();

        assert!(matches!(first_error(&link), Some(SpawnError::Deferred)));
    }

    #[test]
    fn an_order_for_a_fork_server_that_is_gone_is_deferred() {
        let (link, fork_server) = Link::pair().unwrap();
        drop(fork_server);

        assert!(matches!(first_error(&link), Some(SpawnError::Deferred)));
    }
}
