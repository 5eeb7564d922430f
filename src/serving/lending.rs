//! The engine of a `gthread` worker in the hands of one of its threads. As long as requests
//! are quick, that thread turns the engine and answers them in line, as the application's
//! code runs in one thread at a time anyway. The main thread only watches, and takes the
//! engine back when a request is not quick.
//!
//! ```text
//!  main thread                        one of the threads
//!  lend ────────────────────────────▶ turns the engine, answers in line ...
//!    (sleeps)                         a call takes long
//!  takes it back: turns it, gives     the call ends: as in any of the threads
//!  requests to all threads
//!  lend ────────────────────────────▶ turns the engine, answers in line ...
//!    (sleeps)                         there is something for the main thread
//!  has it again ◀──────────────────── gives it back
//! ```

use crate::call_watch::{CallWatch, Seen, Watcher};
use crate::thread_pool::ThreadPool;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

/// Requests are quick if they take less than this: several threads would only wait for each
/// other, and each hand-over of the GIL costs as much as a request.
const QUICK: Duration = Duration::from_micros(200);

/// The longest mean.
const MAX: Duration = Duration::from_secs(1);

/// How long requests take, averaged over the last ones.
#[derive(Debug)]
pub struct Pace {
    mean_ns: AtomicU64,
}

impl Default for Pace {
    /// Nothing is known yet: not quick.
    fn default() -> Self {
        Self {
            mean_ns: AtomicU64::new(nanoseconds(QUICK * 5)),
        }
    }
}

impl Pace {
    /// A request, or the mean of several. Only who has the engine calls this.
    pub fn add(&self, time: Duration) {
        let mean = self.mean_ns.load(Relaxed);
        // The last ones have the weight of a quarter.
        let mean = (mean * 3).saturating_add(nanoseconds(time)) / 4;
        // However long a request took, it is forgotten as soon as one of a second.
        self.mean_ns.store(mean.min(nanoseconds(MAX)), Relaxed);
    }

    pub fn is_quick(&self) -> bool {
        self.mean_ns.load(Relaxed) < nanoseconds(QUICK)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How long the engine is not lent after it had to be taken back, as the others wait until
/// that is noticed. Longer and longer, if that happens again and again.
#[derive(Debug)]
pub struct Pause(Duration);

impl Pause {
    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(10);

    /// The pause that begins now. The engine was lent for `lent`.
    pub fn next(&mut self, lent: Duration) -> Duration {
        self.0 = if lent < Self::MAX {
            (self.0 * 2).min(Self::MAX)
        } else {
            Self::MIN
        };
        self.0
    }
}

impl Default for Pause {
    fn default() -> Self {
        Self(Self::MIN)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// The thread gave the engine back.
    Given,
    /// It was taken back, because the thread is in a long call.
    Taken,
}

/// What the main thread shares with the one that has the engine.
pub struct Lending {
    pub watch: Arc<CallWatch>,
    pub pace: Pace,
    is_given_back: AtomicBool,
    /// A thread has the engine, or has not noticed yet that it was taken back.
    is_borrowed: AtomicBool,
}

impl Lending {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            watch: Arc::new(CallWatch::new()?),
            pace: Pace::default(),
            is_given_back: AtomicBool::new(false),
            is_borrowed: AtomicBool::new(false),
        })
    }

    pub fn is_borrowed(&self) -> bool {
        self.is_borrowed.load(SeqCst)
    }

    /// Lends the engine to a thread of `pool`, and waits until it is back. All threads are
    /// idle, and none has it. `during_call` is called now and then while one is in a call.
    pub fn lend(&self, pool: &ThreadPool, mut during_call: impl FnMut()) -> io::Result<Back> {
        self.is_given_back.store(false, SeqCst);
        self.is_borrowed.store(true, SeqCst);
        self.watch.reset();
        // The thread needs the GIL before it can do anything: until then, that is the call.
        self.watch.call_begins();
        self.watch.arm()?;
        pool.lend_engine();
        let mut watcher = Watcher::new();
        loop {
            let seen = watcher.look(&self.watch)?;
            if self.is_given_back.load(SeqCst) {
                return Ok(Back::Given);
            }
            match seen {
                Seen::Nothing => {}
                Seen::Call => during_call(),
                Seen::LongCall(call) => {
                    if self.watch.take_over(call) {
                        self.watch.disarm();
                        if pool.withdraw_engine() {
                            // No thread came.
                            self.is_borrowed.store(false, SeqCst);
                        }
                        return Ok(Back::Taken);
                    }
                }
            }
        }
    }

    /// For the thread that the engine was lent to. It gives it back by dropping this.
    /// `None`: the main thread has taken it back already.
    pub fn borrow(&self) -> Option<Borrowed<'_>> {
        let borrowed = Borrowed(self);
        self.watch.call_ends().then_some(borrowed)
    }
}

pub struct Borrowed<'a>(&'a Lending);

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let Lending {
            watch,
            is_given_back,
            is_borrowed,
            ..
        } = self.0;
        let is_taken = watch.is_taken();
        // Once this is said and the engine was taken back, it may be lent anew.
        is_borrowed.store(false, SeqCst);
        if !is_taken {
            watch.disarm();
            is_given_back.store(true, SeqCst);
            watch.interrupt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread_pool::Task;
    use std::thread;

    #[test]
    fn requests_are_quick_once_several_were() {
        let pace = Pace::default();
        assert!(!pace.is_quick());

        let before = (0..).take_while(|_| {
            pace.add(QUICK / 4);
            !pace.is_quick()
        });

        assert!((3..20).contains(&before.count()));
    }

    #[test]
    fn one_request_that_takes_as_long_as_many_ends_that() {
        let pace = Pace::default();
        for _ in 0..100 {
            pace.add(QUICK / 4);
        }

        pace.add(QUICK * 4);

        assert!(!pace.is_quick());
    }

    #[test]
    fn requests_that_take_long_again_and_again_make_the_pause_longer() {
        let (soon, late) = (Duration::from_secs(1), Duration::from_secs(60));
        let mut pause = Pause::default();

        assert_eq!(pause.next(soon), Pause::MIN * 2);
        assert_eq!(pause.next(soon), Pause::MIN * 4);
        for _ in 0..20 {
            pause.next(soon);
        }
        assert_eq!(pause.next(soon), Pause::MAX);
        assert_eq!(pause.next(late), Pause::MIN);
    }

    #[test]
    fn a_request_of_an_hour_is_forgotten_like_one_of_a_second() {
        let quick_after = |first| {
            let pace = Pace::default();
            pace.add(first);
            let before = (0..).take_while(|_| {
                pace.add(QUICK / 4);
                !pace.is_quick()
            });
            before.count()
        };

        assert!(quick_after(Duration::from_secs(3600)) < quick_after(MAX) + 10);
    }

    /// Lends the engine to threads of which one does this with it; again, if it was taken back
    /// before one had come, as it may be on a busy machine.
    fn lend(work: impl Fn(&Lending) + Sync) -> (Back, Lending) {
        loop {
            let has_come = AtomicBool::new(false);
            let (pool, lending) = (ThreadPool::new(2, Duration::ZERO), Lending::new().unwrap());
            let back = thread::scope(|scope| {
                for index in 0..2 {
                    let (pool, lending, work, has_come) = (&pool, &lending, &work, &has_come);
                    scope.spawn(move || {
                        pool.start(index, 0);
                        while pool.wait() == Task::Engine {
                            if let Some(_borrowed) = lending.borrow() {
                                has_come.store(true, SeqCst);
                                work(lending);
                            }
                        }
                        pool.exit(None);
                    });
                }
                let back = lending.lend(&pool, || ()).unwrap();
                pool.stop(Duration::from_secs(60));
                back
            });
            if has_come.into_inner() {
                return (back, lending);
            }
        }
    }

    #[test]
    fn a_thread_gives_the_engine_back() {
        let (back, lending) = lend(|_| ());

        assert_eq!(back, Back::Given);
        assert!(!lending.is_borrowed());
    }

    #[test]
    fn the_engine_is_taken_from_a_thread_in_a_long_call() {
        let was_taken = AtomicBool::new(false);
        let (back, lending) = lend(|lending| {
            lending.watch.arm().unwrap();
            lending.watch.call_begins();
            while !lending.watch.is_taken() {
                thread::yield_now();
            }
            assert!(lending.is_borrowed());
            was_taken.store(!lending.watch.call_ends(), SeqCst);
        });

        assert_eq!(back, Back::Taken);
        assert!(was_taken.into_inner());
        assert!(!lending.is_borrowed());
    }

    #[test]
    fn the_engine_is_taken_back_if_no_thread_comes() {
        let (pool, lending) = (ThreadPool::new(1, Duration::ZERO), Lending::new().unwrap());

        assert_eq!(lending.lend(&pool, || ()).unwrap(), Back::Taken);

        assert!(!lending.is_borrowed());
        pool.stop(Duration::ZERO);
        assert_eq!(pool.wait(), Task::End);
    }

    #[test]
    fn a_thread_that_comes_too_late_has_no_engine() {
        let lending = Lending::new().unwrap();
        lending.watch.call_begins();
        assert!(lending.watch.take_over(1));

        assert!(lending.borrow().is_none());
    }

    #[test]
    fn the_engine_comes_back_from_a_thread_that_panics() {
        let (back, _) = lend(|lending| {
            let caught = std::panic::catch_unwind(|| {
                let _borrowed = Borrowed(lending);
                panic!("as the test demands");
            });
            assert!(caught.is_err());
        });

        assert_eq!(back, Back::Given);
    }

    #[test]
    fn who_lends_hears_of_calls_before_they_take_long() {
        let calls = std::cell::Cell::new(0);
        let pool = ThreadPool::new(1, Duration::ZERO);
        let lending = Lending::new().unwrap();

        lending.lend(&pool, || calls.set(calls.get() + 1)).unwrap();

        assert!(calls.get() > 0);
    }
}
