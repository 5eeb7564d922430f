//! Notices when a call of the application takes long, from another thread.
//!
//! ```text
//!  the thread that calls                       the thread that watches
//!  arm: the timer begins anew                  (sleeps)
//!  call ─────────── (takes long) ────────────▶ timer expires, then ticks
//!                                              still the same call: it takes long
//!  disarm, sleep                               (sleeps)
//! ```
//!
//! As long as the application answers quickly, the timer is put off again and again and the
//! other thread never wakes.

use rgunicorn_engine::close_on_fork::CloseOnFork;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How long after requests went to the application one looks first. Longer than the time
/// between two readings of the engine's clock, by which the timer is put off.
const FIRST: Duration = Duration::from_millis(5);

/// How often one looks then.
const TICK: Duration = Duration::from_millis(1);

/// A call that is seen this often takes long. Fewer would be shorter than what the kernel
/// lets a thread wait for a busy processor.
const LONG: u32 = 3;

/// Set in the number of calls: the call was taken over.
const TAKEN: u64 = 1 << 63;

/// What the two threads share.
#[derive(Debug)]
pub struct CallWatch {
    timer: CloseOnFork,
    /// Ends a wait of the thread that watches.
    interrupt: CloseOnFork,
    /// Counts up when a call begins and when it ends: odd during a call.
    calls: AtomicU64,
    /// There will be no call for some time: nothing has to be looked at.
    is_asleep: AtomicBool,
}

/// What the thread that watches has seen.
#[derive(Debug)]
pub struct Watcher {
    last: u64,
    seen: u32,
    looked: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// No call, or an interrupt.
    Nothing,
    /// A call that may be short.
    Call,
    /// The call of this number takes long.
    LongCall(u64),
}

impl CallWatch {
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let interrupt = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            timer: timer.into(),
            interrupt: interrupt.into(),
            calls: AtomicU64::new(0),
            is_asleep: AtomicBool::new(true),
        })
    }

    // The thread that calls.

    /// Calls are about to begin.
    pub fn arm(&self) -> io::Result<()> {
        self.is_asleep.store(false, SeqCst);
        self.set_timer(FIRST)
    }

    /// There will be no call before the next [`Self::arm`].
    pub fn disarm(&self) {
        self.is_asleep.store(true, SeqCst);
        // If it fails, the other thread wakes up once, for nothing.
        let _ = self.set_timer(Duration::ZERO);
    }

    pub fn call_begins(&self) {
        self.calls.fetch_add(1, SeqCst);
    }

    /// `false`: the call was taken over.
    pub fn call_ends(&self) -> bool {
        self.calls.fetch_add(1, SeqCst) & TAKEN == 0
    }

    /// Whether the last call was taken over.
    pub fn is_taken(&self) -> bool {
        self.calls.load(SeqCst) & TAKEN != 0
    }

    // The thread that watches.

    /// Forgets that a call was taken over, when that has ended.
    pub fn reset(&self) {
        self.calls.store(0, SeqCst);
    }

    /// Takes over what the calling thread was about to do after this call. `false`: the
    /// call has ended.
    pub fn take_over(&self, call: u64) -> bool {
        let taken = call | TAKEN;
        let exchanged = self.calls.compare_exchange(call, taken, SeqCst, SeqCst);
        exchanged.is_ok()
    }

    pub fn is_in_call(&self, call: u64) -> bool {
        self.calls.load(SeqCst) == call
    }

    /// Waits until `fd` is readable or somebody interrupts, at most `timeout`.
    pub fn wait(&self, fd: impl AsFd, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut poll = [
            PollFd::new(&fd, PollFlags::IN),
            PollFd::new(&self.interrupt, PollFlags::IN),
        ];
        match rustix::event::poll(&mut poll, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    // Any thread.

    /// Ends the wait of the thread that watches.
    pub fn interrupt(&self) {
        // A counter that cannot take one more is readable as well.
        let _ = rustix::io::write(&self.interrupt, &1_u64.to_ne_bytes());
    }

    /// Lets the timer expire once, after `delay`; never, if that is zero.
    fn set_timer(&self, delay: Duration) -> io::Result<()> {
        let spec = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(delay).map_err(io::Error::other)?,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }
}

impl Watcher {
    pub fn new() -> Self {
        Self {
            last: 0,
            seen: 0,
            looked: Instant::now(),
        }
    }

    /// Waits until it is time to look, or until somebody interrupts.
    pub fn look(&mut self, watch: &CallWatch) -> io::Result<Seen> {
        watch.wait(&watch.timer, None)?;
        let mut counter = [0; 8];
        // One of the two was readable; an interrupt has done what it is for.
        let _ = rustix::io::read(&watch.interrupt, &mut counter);
        if rustix::io::read(&watch.timer, &mut counter).is_err() {
            return Ok(Seen::Nothing);
        }
        let (seen, delay) = self.judge(watch.calls.load(SeqCst), Instant::now());
        if !watch.is_asleep.load(SeqCst) {
            watch.set_timer(delay)?;
        }
        Ok(seen)
    }

    /// What it means that there are `calls` now, and when to look again.
    fn judge(&mut self, calls: u64, now: Instant) -> (Seen, Duration) {
        if now - self.looked > FIRST.saturating_sub(TICK) {
            // The timer was put off meanwhile.
            self.seen = 0;
        }
        self.looked = now;
        if calls % 2 == 0 {
            self.seen = 0;
            return (Seen::Nothing, FIRST);
        }
        if self.seen > 0 && calls != self.last {
            // The application gets on: the timer will be put off.
            self.seen = 0;
            return (Seen::Call, FIRST);
        }
        self.seen += 1;
        self.last = calls;
        if self.seen < LONG {
            return (Seen::Call, TICK);
        }
        self.seen = 0;
        (Seen::LongCall(calls), FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen when one looks after each of these delays, at these numbers of calls.
    fn judge(looks: &[(Duration, u64)]) -> Vec<Seen> {
        let mut watcher = Watcher::new();
        let mut now = watcher.looked;
        looks
            .iter()
            .map(|&(delay, calls)| {
                now += delay;
                watcher.judge(calls, now).0
            })
            .collect()
    }

    #[test]
    fn a_call_that_is_seen_several_times_in_a_row_takes_long() {
        let seen = judge(&[(FIRST, 5), (TICK, 5), (TICK, 5)]);

        assert_eq!(seen, [Seen::Call, Seen::Call, Seen::LongCall(5)]);
    }

    #[test]
    fn calls_that_follow_each_other_are_no_long_call() {
        let seen = judge(&[(FIRST, 5), (TICK, 7), (TICK, 9), (TICK, 9), (TICK, 9)]);

        assert_eq!(seen[..4], [Seen::Call; 4]);
        assert_eq!(judge(&[(FIRST, 5), (TICK, 6), (TICK, 7)])[2], Seen::Call);
    }

    #[test]
    fn a_call_that_was_seen_before_the_timer_was_put_off_is_looked_at_anew() {
        let seen = judge(&[(FIRST, 5), (TICK, 5), (FIRST, 5), (TICK, 5), (TICK, 5)]);

        assert_eq!(seen[..4], [Seen::Call; 4]);
        assert_eq!(seen[4], Seen::LongCall(5));
    }

    #[test]
    fn nothing_is_seen_between_calls() {
        assert_eq!(judge(&[(FIRST, 0), (FIRST, 4)]), [Seen::Nothing; 2]);
    }

    #[test]
    fn one_of_both_ends_a_call_that_takes_long() {
        let watch = CallWatch::new().unwrap();
        watch.call_begins();
        assert!(!watch.take_over(3));
        assert!(watch.take_over(1));
        assert!(watch.is_taken());
        assert!(!watch.call_ends());

        watch.reset();
        watch.call_begins();
        assert!(watch.call_ends());
        assert!(!watch.take_over(1));
        assert!(!watch.is_taken());
    }

    #[test]
    fn a_long_call_is_noticed_by_the_timer() {
        let watch = CallWatch::new().unwrap();
        let mut watcher = Watcher::new();
        watch.arm().unwrap();
        watch.call_begins();

        while watcher.look(&watch).unwrap() != Seen::LongCall(1) {}
    }

    #[test]
    fn an_interrupt_ends_the_wait() {
        let watch = CallWatch::new().unwrap();
        watch.arm().unwrap();
        watch.disarm();

        watch.interrupt();

        assert_eq!(Watcher::new().look(&watch).unwrap(), Seen::Nothing);
    }
}
