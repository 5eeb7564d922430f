//! The engine: one epoll instance and all that hangs on it.

use crate::clock::Clock;
use crate::close_on_fork::CloseOnFork;
use crate::connection::{Connection, Interest, Next, Peer, Stage, millis};
use crate::exchange::Exchange;
use crate::listener::Listener;
use crate::refused::Refused;
use crate::settings::Settings;
use crate::work::Pool;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::Shutdown;
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

mod newcomers;

use newcomers::Accepting;

/// The most events one turn handles. Each may take a set of buffers until its
/// request is answered, so this bounds memory, and keeps it warm.
const EVENTS: usize = 16;

/// The most notices kept until they are taken.
const NOTICES: usize = 32;

// A token is a kind and a number; of a connection, the place and how often it
// was used before, so that an event for a closed one finds nothing.
const LISTENER: u64 = 1 << 63;
const WATCH: u64 = 1 << 62;
const NUDGE: u64 = LISTENER | WATCH;
const PLACE: u64 = (1 << 32) - 1;
const USES: u64 = (1 << 30) - 1;

/// A descriptor of the worker's that the engine watches, by the worker's own number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(pub u32);

/// Something a worker may want to log.
#[derive(Debug)]
pub enum Notice {
    /// A request was refused.
    Refused(Peer, Refused),
    /// The process or the machine has no room for another connection.
    CannotAccept(io::Error),
    /// The connection limit was reached and no idle connection could make room.
    Crowded,
}

/// Whether connections may be accepted now.
type Gate = Box<dyn Fn() -> bool + Send>;

/// One worker's sockets.
pub struct Engine {
    epoll: CloseOnFork,
    settings: Arc<Settings>,
    clock: Clock,
    listeners: Vec<Listener>,
    /// Shared by all workers: whoever is woken by it looks for connections.
    nudge: Option<CloseOnFork>,
    /// Asked right before a connection is accepted.
    gate: Option<Gate>,
    accepting: Accepting,
    /// Other processes may hold copies of the connections' sockets.
    shares_sockets: bool,
    /// `None` while the connection is lent.
    connections: Slab<Option<Box<Connection>>>,
    /// How many connections there were before: the upper part of the next token.
    uses: u64,
    /// Places of connections whose request is complete.
    ready: VecDeque<u64>,
    /// Places of connections that had their share of a turn and have more to do.
    again: Vec<u64>,
    watched: Vec<Token>,
    notices: Vec<Notice>,
    notices_dropped: u64,
    pool: Pool,
    /// When the next deadline may be due.
    sweep_ms: u64,
    /// When accepting goes on after a pause.
    accept_ms: Option<u64>,
    /// While retiring: how long idle connections may stay.
    retiring: Option<Duration>,
}

impl Engine {
    /// An engine without listeners.
    pub fn new(settings: Settings) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?.into(),
            settings: Arc::new(settings),
            clock: Clock::new(),
            listeners: Vec::new(),
            nudge: None,
            gate: None,
            accepting: Accepting::default(),
            shares_sockets: false,
            connections: Slab::new(),
            uses: 0,
            ready: VecDeque::new(),
            again: Vec::new(),
            watched: Vec::new(),
            notices: Vec::new(),
            notices_dropped: 0,
            pool: Pool::default(),
            sweep_ms: u64::MAX,
            accept_ms: None,
            retiring: None,
        })
    }

    /// Other processes may hold copies of the sockets from now on: closing ours
    /// would not end a connection.
    pub fn share_sockets(&mut self) {
        self.shares_sockets = true;
    }

    /// Tells by [`Self::take_watched`] when `fd` is readable.
    pub fn watch(&mut self, fd: impl AsFd, token: Token) -> io::Result<()> {
        let data = EventData::new_u64(WATCH | u64::from(token.0));
        Ok(epoll::add(&self.epoll, fd, data, EventFlags::IN)?)
    }

    /// Tells of `fd` no longer.
    pub fn ignore(&mut self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// The watched descriptors that were readable since the last call.
    pub fn take_watched(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.watched)
    }

    /// What happened since the last call, and how much more there was than was kept.
    pub fn take_notices(&mut self) -> (Vec<Notice>, u64) {
        let dropped = std::mem::take(&mut self.notices_dropped);
        (std::mem::take(&mut self.notices), dropped)
    }

    /// The time as of the last turn.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Reads the clock in the middle of a turn: after an application took its time.
    pub fn update_clock(&mut self) {
        self.clock.update();
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// How long a turn may wait before a deadline is due, at most `most`.
    pub fn patience(&self, most: Duration) -> Duration {
        if !self.again.is_empty() || !self.ready.is_empty() {
            return Duration::ZERO;
        }
        let due = self.sweep_ms.min(self.accept_ms.unwrap_or(u64::MAX));
        // One millisecond more: the coarse clock must have passed the deadline.
        let left = due.saturating_sub(self.clock.now_ms()).saturating_add(1);
        most.min(Duration::from_millis(left))
    }

    /// Handles what is ready, after waiting for it at most `wait`. Returns how
    /// many events there were.
    pub fn turn(&mut self, wait: Duration) -> io::Result<usize> {
        let timeout = Timespec::try_from(wait).ok();
        let mut space = [const { MaybeUninit::uninit() }; EVENTS];
        let events = match epoll::wait(&self.epoll, &mut space, timeout.as_ref()) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => &mut [],
            Err(error) => return Err(error.into()),
        };
        self.clock.update();
        let count = events.len();
        // Orders first: who is told to leave in this turn accepts nobody any more.
        for event in &*events {
            if event.data.u64() & NUDGE == WATCH {
                let number = u32::try_from(event.data.u64() & PLACE).unwrap_or(u32::MAX);
                self.watched.push(Token(number));
            }
        }
        for event in &*events {
            if event.data.u64() & NUDGE == 0 {
                self.tell(event.data.u64(), event.flags);
            }
        }
        // Newcomers last: they may be better off with a worker that has nothing to do.
        for event in &*events {
            let token = event.data.u64();
            match token & NUDGE {
                LISTENER => self.accept(place(token))?,
                NUDGE => self.nudged()?,
                _ => {}
            }
        }
        for token in std::mem::take(&mut self.again) {
            self.progress(token);
        }
        if self.clock.now_ms() >= self.sweep_ms {
            self.sweep();
        }
        if self.accept_ms.is_some_and(|at| self.clock.now_ms() >= at) {
            self.accept_ms = None;
            self.watch_listeners()?;
        }
        Ok(count)
    }

    /// Something happened to a connection.
    fn tell(&mut self, token: u64, flags: EventFlags) {
        let ended = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if let Some(connection) = self.connection(token) {
            let readable = flags.intersects(EventFlags::IN | ended);
            connection.note(readable, flags.intersects(ended));
            self.progress(token);
        }
    }

    /// The connection with this token, unless it is gone or lent.
    fn connection(&mut self, token: u64) -> Option<&mut Connection> {
        find(&mut self.connections, token)
    }

    /// Looks at a connection although epoll has not told of it yet: before it is
    /// judged for what it did not do, while it was us who were busy.
    fn look_again(&mut self, token: u64) {
        if let Some(connection) = self.connection(token) {
            connection.note(true, false);
            self.progress(token);
        }
    }

    /// Lets a connection do what it can without waiting.
    fn progress(&mut self, token: u64) {
        let now_ms = self.clock.now_ms();
        let Some(connection) = find(&mut self.connections, token) else {
            return;
        };
        let was_ready = connection.stage == Stage::Ready;
        let next = connection
            .progress(now_ms, &mut self.pool)
            .or_else(|refused| {
                connection.refuse(&refused, now_ms, self.clock.date());
                let peer = connection.peer;
                keep_notice(
                    &mut self.notices,
                    &mut self.notices_dropped,
                    Notice::Refused(peer, refused),
                );
                connection.progress(now_ms, &mut self.pool)
            })
            .unwrap_or(Next::Close);
        match next {
            Next::Wait => self.wait(token),
            Next::Again => self.again.push(token),
            Next::Request if was_ready => {}
            Next::Request => self.ready.push_back(token),
            Next::Close => self.close(token),
        }
    }

    /// Leaves a connection until epoll or its deadline calls.
    fn wait(&mut self, token: u64) {
        let Some(connection) = find(&mut self.connections, token) else {
            return;
        };
        if let (Some(patience), Stage::Idle) = (self.retiring, connection.stage) {
            let latest = self.clock.now_ms() + millis(patience);
            connection.deadline_ms = connection.deadline_ms.min(latest);
        }
        self.sweep_ms = self.sweep_ms.min(connection.deadline_ms);
        let wants = connection.wants();
        let asked = match connection.interest {
            Some(interest) if interest == wants => Ok(()),
            Some(_) => epoll::modify(
                &self.epoll,
                &*connection,
                EventData::new_u64(token),
                flags(wants),
            ),
            None => epoll::add(
                &self.epoll,
                &*connection,
                EventData::new_u64(token),
                flags(wants),
            ),
        };
        match asked {
            Ok(()) => {
                connection.interest = Some(wants);
                if let Some(work) = connection.release_work() {
                    self.pool.keep(work);
                }
            }
            Err(error) => {
                self.notice(Notice::CannotAccept(error.into()));
                self.close(token);
            }
        }
    }

    fn close(&mut self, token: u64) {
        if self.connection(token).is_none() {
            return;
        }
        let Some(connection) = self.connections.try_remove(place(token)).flatten() else {
            return;
        };
        if self.shares_sockets {
            // That the client is gone already is as good.
            let _ = rustix::net::shutdown(&*connection, Shutdown::Both);
        }
        if let Some(work) = connection.into_work() {
            self.pool.keep(work);
        }
    }

    /// Ends what took too long, and finds out when to look next.
    fn sweep(&mut self) {
        let now_ms = self.clock.now_ms();
        let mut due = Vec::new();
        self.sweep_ms = u64::MAX;
        for (_, connection) in &self.connections {
            if let Some(connection) = connection {
                if connection.deadline_ms <= now_ms {
                    due.push(connection.token);
                } else {
                    self.sweep_ms = self.sweep_ms.min(connection.deadline_ms);
                }
            }
        }
        for token in due {
            self.look_again(token);
            let Some(connection) = self.connection(token) else {
                continue;
            };
            if connection.deadline_ms > now_ms {
                continue;
            }
            let Some(refused) = connection.timed_out() else {
                self.close(token);
                continue;
            };
            let peer = connection.peer;
            let date = *self.clock.date();
            if let Some(connection) = self.connection(token) {
                connection.refuse(&refused, now_ms, &date);
            }
            self.notice(Notice::Refused(peer, refused));
            self.progress(token);
        }
    }

    fn notice(&mut self, notice: Notice) {
        keep_notice(&mut self.notices, &mut self.notices_dropped, notice);
    }

    /// The next request that is here as a whole.
    pub fn next_request(&mut self) -> Option<Exchange> {
        while let Some(token) = self.ready.pop_front() {
            let Some(slot) = self.connections.get_mut(place(token)) else {
                continue;
            };
            let Some(mut connection) = slot.take_if(|connection| connection.token == token) else {
                continue;
            };
            match connection.lend() {
                Some(work) => {
                    return Some(Exchange {
                        connection,
                        work,
                        last: self.retiring.is_some(),
                    });
                }
                None => *slot = Some(connection),
            }
        }
        None
    }

    /// Takes an answered exchange back in the thread and the turn that took it
    /// (what epoll tells of a connection that is lent is not kept): sends the rest
    /// of the answer and goes on with the connection.
    pub fn give_back(&mut self, exchange: Exchange) {
        let Exchange {
            mut connection,
            work,
            ..
        } = exchange;
        let token = connection.token;
        connection.answered(work, self.clock.now_ms());
        if let Some(slot) = self.connections.get_mut(place(token)) {
            *slot = Some(connection);
            self.progress(token);
        }
    }

    /// Leaves the listeners. Each connection gets one more answer, with
    /// `Connection: close`, or is closed when it has been idle for its keep-alive
    /// time or for `patience` from now.
    pub fn retire(&mut self, patience: Duration) -> io::Result<()> {
        let patience = patience.min(self.settings.keepalive);
        self.retiring = Some(
            self.retiring
                .map_or(patience, |before| before.min(patience)),
        );
        self.accept_ms = None;
        let latest = self.clock.now_ms() + millis(patience);
        for (_, connection) in &mut self.connections {
            let Some(connection) = connection else {
                continue;
            };
            if connection.stage == Stage::Idle {
                connection.deadline_ms = connection.deadline_ms.min(latest);
                self.sweep_ms = self.sweep_ms.min(connection.deadline_ms);
            }
        }
        // What it was told of last is for the others now.
        self.pass_on()?;
        if let Some(nudge) = self.nudge.take() {
            // The other workers' copies would keep the registration alive.
            epoll::delete(&self.epoll, &nudge)?;
        }
        self.ignore_listeners()
    }
}

impl AsFd for Engine {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// The connection with this token, unless it is gone or lent.
fn find(connections: &mut Slab<Option<Box<Connection>>>, token: u64) -> Option<&mut Connection> {
    connections
        .get_mut(place(token))?
        .as_deref_mut()
        .filter(|connection| connection.token == token)
}

fn place(token: u64) -> usize {
    usize::try_from(token & PLACE).unwrap_or(usize::MAX)
}

/// Edge-triggered: asked once, told of each change, no system call per request.
fn flags(interest: Interest) -> EventFlags {
    let reading = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
    match interest {
        Interest::Reading => reading,
        Interest::ReadingAndWriting => reading | EventFlags::OUT,
    }
}

fn keep_notice(notices: &mut Vec<Notice>, dropped: &mut u64, notice: Notice) {
    if notices.len() < NOTICES {
        notices.push(notice);
    } else {
        *dropped += 1;
    }
}
