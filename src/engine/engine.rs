//! The event loop of a worker: one epoll instance, its connections and their deadlines.

use crate::access::{AccessLog, AccessSettings, ResponseEnd};
use crate::buffers::Pools;
use crate::clock::Clock;
use crate::close_on_fork::CloseOnFork;
use crate::completions::Completions;
use crate::connection::{Connection, Interest, Next, State, WhyUnserved, millis};
use crate::handover::Handover;
use crate::listener::Listener;
use crate::notice::{Notice, Notices, RequestError, Unserved};
use crate::responder::EngineParts;
use crate::settings::Settings;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

mod accept;
mod answering;
mod health;
mod moving;

use accept::AcceptState;
pub use answering::{RequestEvent, TimeOut};
pub use moving::Neighbours;

/// The most events of one turn. Each may need a set of buffers until its request is
/// answered, so this bounds memory, and keeps it in the processor's cache.
const MAX_EVENTS: usize = 16;

/// The most connections that there is a place for from the start. A place that was never used
/// takes no memory, unless the kernel gives it in huge pages; a table that grows would leave
/// its old places behind.
const MAX_PREPARED: usize = 16_384;

/// As long as there are not more connections, those that are idle keep what they share with
/// handles: it takes little then, and to allocate it for each request costs 1 % of a hello.
const MAX_SHARING: usize = 64;

// The data of an epoll event: a kind and a number. For a connection the number is its
// index in the slab and a sequence number, so that a late event of a closed connection
// does not reach the next one in the same place.
const LISTENER: u64 = 1 << 63;
const WATCH: u64 = 1 << 62;
const WAKE: u64 = LISTENER | WATCH;
const COMPLETIONS: u64 = WAKE | 1;
const HANDOVER: u64 = WAKE | 2;
const KIND: u64 = LISTENER | WATCH;
const INDEX: u64 = (1 << 32) - 1;
const SEQUENCE: u64 = (1 << 30) - 1;

/// The worker's number for a descriptor that the engine watches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(pub u32);

/// One worker's sockets.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each looked at in one place"
)]
pub struct Engine {
    epoll: CloseOnFork,
    clock: Clock,
    listeners: Vec<Listener>,
    /// An eventfd that all workers share: it wakes one of them to accept connections.
    wake_fd: Option<CloseOnFork>,
    is_wake_fd_watched: bool,
    neighbours: Option<Box<dyn Neighbours>>,
    /// Where connections move between workers.
    handover: Option<Handover>,
    accept_state: AcceptState,
    /// Other processes may hold copies of the sockets.
    shares_sockets: bool,
    connections: Slab<Connection>,
    /// The sequence number of the last connection.
    sequence: u64,
    /// Tokens of connections whose request is complete.
    ready: VecDeque<u64>,
    /// Tokens of connections that go on in the next turn without an event.
    scheduled: Vec<u64>,
    /// What happened to requests that are being answered.
    request_events: Vec<RequestEvent>,
    /// Watched descriptors that were readable.
    watched: Vec<Token>,
    notices: Notices,
    pools: Pools,
    /// No connection has an earlier deadline.
    next_deadline_ms: u64,
    /// When accepting goes on after a pause.
    resume_accepting_ms: Option<u64>,
    /// It accepts and takes no connections any more.
    has_left_listeners: bool,
    is_intake_suspended: bool,
    /// While retiring: how long idle connections may stay.
    retiring: Option<Duration>,
    /// Tokens of connections whose response is complete and waits to be sent.
    held: Vec<u64>,
    unserved: Unserved,
}

impl Engine {
    pub fn new(settings: Settings) -> io::Result<Self> {
        let completions = Completions::new()?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let data = EventData::new_u64(COMPLETIONS);
        epoll::add(&epoll, &completions, data, EventFlags::IN)?;
        let connections = Slab::with_capacity(settings.connections.min(MAX_PREPARED));
        let parts = Arc::new(EngineParts {
            settings,
            completions,
        });
        Ok(Self {
            epoll: epoll.into(),
            pools: Pools::new(parts),
            clock: Clock::new(),
            listeners: Vec::new(),
            wake_fd: None,
            is_wake_fd_watched: false,
            neighbours: None,
            handover: None,
            accept_state: AcceptState::default(),
            shares_sockets: false,
            connections,
            sequence: 0,
            ready: VecDeque::new(),
            scheduled: Vec::new(),
            request_events: Vec::new(),
            watched: Vec::new(),
            notices: Notices::default(),
            next_deadline_ms: u64::MAX,
            resume_accepting_ms: None,
            has_left_listeners: false,
            is_intake_suspended: false,
            retiring: None,
            held: Vec::new(),
            unserved: Unserved::default(),
        })
    }

    /// Other processes may hold copies of the sockets from now on: closing ours alone does
    /// not close a connection.
    pub fn share_sockets(&mut self) {
        self.shares_sockets = true;
    }

    /// Writes a record of each request from now on. Needs
    /// [`Settings::access_log`](crate::Settings::access_log).
    pub fn set_access_log(&mut self, settings: AccessSettings) {
        self.pools.access = Some(Box::new(AccessLog::new(settings)));
    }

    /// Reports in [`Self::take_watched`] when `fd` is readable.
    pub fn watch(&mut self, fd: impl AsFd, token: Token) -> io::Result<()> {
        let data = EventData::new_u64(WATCH | u64::from(token.0));
        Ok(epoll::add(&self.epoll, fd, data, EventFlags::IN)?)
    }

    pub fn unwatch(&mut self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// The watched descriptors that were readable since the last call.
    pub fn take_watched(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.watched)
    }

    /// The notices since the last call, and how many more were dropped.
    pub fn take_notices(&mut self) -> (Vec<Notice>, u64) {
        self.notices.take()
    }

    /// The time as of the last turn.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Reads the clock again, after the application ran.
    pub fn update_clock(&mut self) {
        self.clock.update();
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// How many bytes of memory the buffers of connections take, without those of requests
    /// and handles that are handed out.
    pub fn buffered(&self) -> usize {
        let connections = self.connections.iter();
        connections.map(|(_, it)| it.buffered()).sum()
    }

    /// How long a turn may wait until a deadline is due, at most `max`.
    pub fn next_timeout(&self, max: Duration) -> Duration {
        if self.ready.is_empty() {
            self.next_timeout_while_busy(max)
        } else {
            Duration::ZERO
        }
    }

    /// The same, while requests that are complete have to wait.
    pub fn next_timeout_while_busy(&self, max: Duration) -> Duration {
        if !self.scheduled.is_empty() {
            return Duration::ZERO;
        }
        let due = self
            .next_deadline_ms
            .min(self.resume_accepting_ms.unwrap_or(u64::MAX));
        // One millisecond more: the coarse clock must have passed the deadline.
        let left = due.saturating_sub(self.clock.now_ms()).saturating_add(1);
        max.min(Duration::from_millis(left))
    }

    /// Waits for events, at most `timeout`, and handles them. Returns how many there were.
    pub fn turn(&mut self, timeout: Duration) -> io::Result<usize> {
        let mut timeout = timeout;
        if !self.held.is_empty() {
            self.send_held();
            // A pipelined request may be complete now, or an earlier deadline set.
            timeout = self.next_timeout(timeout);
        }
        if self.resume_accepting_ms.is_some() {
            // The pause may have begun after the caller asked how long it may wait.
            timeout = self.next_timeout_while_busy(timeout);
        }
        let timeout = Timespec::try_from(timeout).ok();
        let mut space = [const { MaybeUninit::uninit() }; MAX_EVENTS];
        let events = match epoll::wait(&self.epoll, &mut space, timeout.as_ref()) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => &mut [],
            Err(error) => return Err(error.into()),
        };
        self.clock.update();
        let count = events.len();
        // First what the worker watches: after an order to retire, nothing is accepted.
        for event in &*events {
            if event.data.u64() & KIND == WATCH {
                let number = u32::try_from(event.data.u64() & INDEX).unwrap_or(u32::MAX);
                self.watched.push(Token(number));
            }
        }
        for event in &*events {
            if event.data.u64() & KIND == 0 {
                self.handle_event(event.data.u64(), event.flags);
            }
        }
        // New connections last: a worker with requests leaves them to an idle one.
        for event in &*events {
            match event.data.u64() {
                COMPLETIONS => self.handle_completions(),
                WAKE => self.handle_wake()?,
                HANDOVER => self.take_connections()?,
                token if token & KIND == LISTENER => self.handle_listener(index(token))?,
                _ => {}
            }
        }
        for token in std::mem::take(&mut self.scheduled) {
            if let Some(connection) = self.connection(token) {
                connection.is_scheduled = false;
                self.progress(token);
            }
        }
        if self.clock.now_ms() >= self.next_deadline_ms {
            self.expire();
        }
        if self
            .resume_accepting_ms
            .is_some_and(|at| self.clock.now_ms() >= at)
        {
            self.resume_accepting_ms = None;
            self.watch_listeners()?;
        }
        self.take_again_if_there_is_room()?;
        Ok(count)
    }

    fn handle_event(&mut self, token: u64, flags: EventFlags) {
        let ended = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if let Some(connection) = self.connection(token) {
            let readable = flags.intersects(EventFlags::IN | ended);
            connection.set_readiness(readable, flags.intersects(ended));
            if connection.state == State::Answering {
                self.handle_event_while_answering(token, flags);
            } else if !connection.is_scheduled {
                self.progress(token);
            }
        }
    }

    /// The connection with this token, unless it is gone.
    fn connection(&mut self, token: u64) -> Option<&mut Connection> {
        find(&mut self.connections, token)
    }

    /// Reads from a connection without an event, before it is closed for having been
    /// silent: its bytes may have come while the worker was busy.
    fn read_before_expiry(&mut self, token: u64) {
        if let Some(connection) = self.connection(token) {
            connection.set_readiness(true, false);
            self.progress(token);
        }
    }

    /// Lets a connection do what it can without waiting.
    fn progress(&mut self, token: u64) {
        let now_ms = self.clock.now_ms();
        let Some(connection) = find(&mut self.connections, token) else {
            return;
        };
        if connection.state == State::Answering {
            return self.progress_answering(token);
        }
        let was_ready = connection.state == State::Ready;
        match connection.progress(now_ms, &mut self.pools) {
            Ok(Next::Wait) => self.wait_for_events(token),
            Ok(Next::Yield) => self.schedule(token),
            Ok(Next::Request) if was_ready => {}
            Ok(Next::Request) => self.push_ready(token),
            Ok(Next::Close) => self.close(token),
            Err(error) => self.refuse(token, error),
        }
    }

    /// The request of a connection is complete.
    fn push_ready(&mut self, token: u64) {
        if self.asks_for_health(token) {
            return self.answer_health(token);
        }
        self.ready.push_back(token);
        if let Some(connection) = find(&mut self.connections, token) {
            self.next_deadline_ms = self.next_deadline_ms.min(connection.deadline_ms);
        }
    }

    /// Answers a request with an error page, and ends its connection.
    fn refuse(&mut self, token: u64, error: RequestError) {
        let now_ms = self.clock.now_ms();
        if let Some(connection) = find(&mut self.connections, token) {
            connection.refuse(&error, now_ms, self.clock.date(), &mut self.pools);
            self.notices.push(Notice::Refused(connection.peer(), error));
            self.progress(token);
        }
    }

    /// Goes on with a connection in the next turn.
    fn schedule(&mut self, token: u64) {
        let Some(connection) = find(&mut self.connections, token) else {
            return;
        };
        self.next_deadline_ms = self.next_deadline_ms.min(connection.deadline_ms);
        // Twice in the list, it would read twice as much as the others in each turn.
        if !std::mem::replace(&mut connection.is_scheduled, true) {
            self.scheduled.push(token);
        }
    }

    /// Leaves a connection until its next event or its deadline.
    fn wait_for_events(&mut self, token: u64) {
        let Some(connection) = find(&mut self.connections, token) else {
            return;
        };
        if let (Some(idle_timeout), State::Idle) = (self.retiring, connection.state) {
            let latest = self.clock.now_ms() + millis(idle_timeout);
            connection.deadline_ms = connection.deadline_ms.min(latest);
        }
        self.next_deadline_ms = self.next_deadline_ms.min(connection.deadline_ms);
        if connection.interest != Some(connection.wanted_interest()) && !self.register(token) {
            return;
        }
        let are_many = self.connections.len() > MAX_SHARING;
        if let Some(connection) = find(&mut self.connections, token) {
            connection.release_buffers(&mut self.pools);
            if are_many {
                connection.stop_sharing();
            }
        }
    }

    /// Registers a connection for the events it waits for, also if it is registered already.
    /// `false`: that failed, and it is closed.
    fn register(&mut self, token: u64) -> bool {
        let Some(connection) = find(&mut self.connections, token) else {
            return false;
        };
        let wanted = connection.wanted_interest();
        let data = EventData::new_u64(token);
        let registered = match connection.interest {
            Some(_) => epoll::modify(&self.epoll, &*connection, data, flags(wanted)),
            None => epoll::add(&self.epoll, &*connection, data, flags(wanted)),
        };
        match registered {
            Ok(()) => {
                connection.interest = Some(wanted);
                self.next_deadline_ms = self.next_deadline_ms.min(connection.deadline_ms);
                true
            }
            Err(error) => {
                self.notices.push(Notice::CannotWatch(error.into()));
                self.close(token);
                false
            }
        }
    }

    fn close(&mut self, token: u64) {
        if self.connection(token).is_none() {
            return;
        }
        let Some(mut connection) = self.connections.try_remove(index(token)) else {
            return;
        };
        let waiting = connection.waiting();
        connection.finish_record(ResponseEnd::BrokenOff { waiting }, &mut self.pools);
        // The application has a copy of a socket that it took.
        if self.shares_sockets || connection.is_taken() {
            connection.transport().shutdown();
        }
        connection.release_all_buffers(&mut self.pools);
    }

    /// Closes the connections whose deadline has passed, and finds the next deadline.
    fn expire(&mut self) {
        let now_ms = self.clock.now_ms();
        let mut due = Vec::new();
        self.next_deadline_ms = u64::MAX;
        for (_, connection) in &self.connections {
            if connection.deadline_ms <= now_ms {
                due.push(connection.token);
            } else {
                self.next_deadline_ms = self.next_deadline_ms.min(connection.deadline_ms);
            }
        }
        for token in due {
            self.read_before_expiry(token);
            let Some(connection) = find(&mut self.connections, token) else {
                continue;
            };
            if connection.deadline_ms > now_ms {
                continue;
            }
            if connection.state == State::Answering {
                self.expire_answering(token);
                continue;
            }
            if connection.state == State::Ready {
                self.ready.retain(|waiting| *waiting != token);
                self.leave_unserved(token, WhyUnserved::TimedOut);
                continue;
            }
            match connection.timeout_error() {
                Some(error) => self.refuse(token, error),
                None => self.close(token),
            }
        }
    }

    /// Stops accepting. Each connection gets one more response, with `Connection: close`,
    /// or is closed when it has been idle for its keep-alive time or for `idle_timeout`
    /// from now.
    pub fn retire(&mut self, idle_timeout: Duration) -> io::Result<()> {
        let idle_timeout = idle_timeout.min(self.pools.parts.settings.keepalive);
        self.retiring = Some(
            self.retiring
                .map_or(idle_timeout, |before| before.min(idle_timeout)),
        );
        let latest = self.clock.now_ms() + millis(idle_timeout);
        for (_, connection) in &mut self.connections {
            if connection.state == State::Idle {
                connection.deadline_ms = connection.deadline_ms.min(latest);
                self.next_deadline_ms = self.next_deadline_ms.min(connection.deadline_ms);
            }
        }
        self.leave_listeners()
    }

    /// Accepts no connections any more, and takes none from other workers.
    pub fn leave_listeners(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_left_listeners, true) {
            return Ok(());
        }
        self.resume_accepting_ms = None;
        // The kernel may have woken this worker for connections that wait.
        self.wake_another()?;
        // The other workers' copies would keep the registration alive.
        self.unwatch_wake_fd()?;
        self.wake_fd = None;
        self.stop_taking()?;
        self.unwatch_listeners()
    }

    /// Accepts and takes no connections until [`Self::resume_intake`]: the requests that
    /// came by them would only wait.
    pub fn suspend_intake(&mut self) -> io::Result<()> {
        self.is_intake_suspended = true;
        self.resume_accepting_ms = None;
        self.stop_taking()?;
        self.unwatch_wake_fd()?;
        self.unwatch_listeners()
    }

    pub fn resume_intake(&mut self) -> io::Result<()> {
        let was_suspended = std::mem::replace(&mut self.is_intake_suspended, false);
        if self.has_left_listeners || !was_suspended {
            return Ok(());
        }
        // Registered anew, the listeners come after all connections that have events, and
        // would never have their turn if that happens again and again.
        self.accept_state.waits = true;
        self.start_taking()?;
        self.watch_listeners()
    }
}

#[cfg(test)]
impl Engine {
    /// How many connections have something that they share with handles.
    pub(crate) fn sharing(&self) -> usize {
        let connections = self.connections.iter();
        connections.filter(|(_, it)| it.client().is_some()).count()
    }
}

impl AsFd for Engine {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// The connection with this token, unless it is gone.
fn find(connections: &mut Slab<Connection>, token: u64) -> Option<&mut Connection> {
    connections
        .get_mut(index(token))
        .filter(|connection| connection.token == token)
}

fn index(token: u64) -> usize {
    usize::try_from(token & INDEX).unwrap_or(usize::MAX)
}

/// Edge-triggered: registered once, no system call per request.
fn flags(interest: Interest) -> EventFlags {
    let reading = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
    match interest {
        Interest::Reading => reading,
        Interest::ReadingAndWriting => reading | EventFlags::OUT,
    }
}
