//! What the pool says of its threads, and what it gives them, with real requests.

use super::*;
use rgunicorn_engine::{Engine, Settings};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// An engine with clients, each of which asks for something.
struct Source {
    engine: Engine,
    address: std::net::SocketAddr,
    clients: Vec<TcpStream>,
}

impl Source {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut engine = Engine::new(Settings::default()).unwrap();
        engine.listen(listener.into(), 0).unwrap();
        Self {
            engine,
            address,
            clients: Vec::new(),
        }
    }

    /// A new client's request.
    fn job(&mut self) -> Job {
        let mut client = TcpStream::connect(self.address).unwrap();
        client
            .write_all(b"GET /path HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        self.clients.push(client);
        loop {
            if let Some((request, responder)) = self.engine.next_request() {
                return Job {
                    request,
                    responder,
                    clock: self.engine.clock().clone(),
                };
            }
            self.engine.turn(Duration::from_secs(1)).unwrap();
        }
    }

    fn submit(&mut self, pool: &ThreadPool, count: usize) {
        for _ in 0..count {
            pool.submit(self.job());
        }
    }
}

/// With threads that have started, of which none sleeps; a response is held as long as the
/// queue is not empty.
fn pool(threads: usize) -> ThreadPool {
    pool_that_holds_for(threads, Duration::MAX)
}

fn pool_that_holds_for(threads: usize, max_hold: Duration) -> ThreadPool {
    let pool = ThreadPool::new(threads, max_hold);
    for index in 0..threads {
        pool.start(index, 100 + index as u64);
    }
    pool
}

fn end(pool: &ThreadPool, thread: usize, job: Job) -> Ended {
    let Job {
        request, responder, ..
    } = job;
    pool.end(thread, request, Some(responder), Outcome::Fine)
}

#[test]
fn a_request_counts_where_it_is() {
    let (mut source, pool) = (Source::new(), pool(3));
    assert_eq!(pool.collect().1.free, 3);

    source.submit(&pool, 2);
    let (_, waiting) = pool.collect();
    assert_eq!((waiting.free, waiting.queued, waiting.busy), (1, 2, 0));
    assert_eq!(waiting.oldest_ms, None);

    let job = pool.take(0).unwrap();
    let (_, running) = pool.collect();
    assert_eq!((running.free, running.queued, running.busy), (1, 1, 1));
    assert_eq!(running.oldest_ms, Some(job.clock.now_ms()));

    end(&pool, 0, job);
    let (finished, after) = pool.collect();
    assert_eq!((after.free, after.queued, after.busy), (2, 1, 0));
    assert_eq!(finished.counts.requests, 1);
    assert_eq!(finished.requests.len(), 1);
    assert_eq!(pool.collect().0.counts.requests, 0);
}

#[test]
fn responses_leave_with_the_last_request_of_the_queue() {
    let (mut source, pool) = (Source::new(), pool(1));
    source.submit(&pool, 2);

    let first = pool.take(0).unwrap();
    assert!(end(&pool, 0, first).responders.is_empty());
    let second = pool.take(0).unwrap();
    assert_eq!(pool.collect().1.held, 1);
    assert_eq!(end(&pool, 0, second).responders.len(), 2);
}

#[test]
fn responses_that_were_held_for_long_leave_before_the_last_request() {
    let mut source = Source::new();
    let pool = pool_that_holds_for(1, Duration::ZERO);
    source.submit(&pool, 2);
    let first = pool.take(0).unwrap();

    assert_eq!(end(&pool, 0, first).responders.len(), 1);
}

#[test]
fn a_request_that_takes_long_is_reported_once_and_when_it_ends() {
    let (mut source, pool) = (Source::new(), pool(2));
    source.submit(&pool, 2);
    let (slow, quick) = (pool.take(1).unwrap(), pool.take(0).unwrap());
    let now_ms = slow.clock.now_ms();
    let limit = Duration::from_secs(5);
    assert!(end(&pool, 0, quick).late.is_none());

    assert!(pool.take_overdue(now_ms + 4_999, limit).is_empty());
    let overdue = pool.take_overdue(now_ms + 5_000, limit);
    assert!(pool.take_overdue(now_ms + 5_000, limit).is_empty());

    let [overdue] = overdue.as_slice() else {
        panic!("{} requests are overdue", overdue.len());
    };
    assert_eq!((overdue.ident, overdue.thread), (101, 2));
    assert_eq!(overdue.request.line(), "GET /path");
    assert_eq!(overdue.age, limit);
    assert_eq!(pool.collect().1.oldest_unreported_ms, None);
    assert_eq!(
        end(&pool, 1, slow).late.unwrap().request.line(),
        "GET /path"
    );
}

#[test]
fn a_request_that_is_timed_out_is_reported_again_and_counts_as_an_error() {
    let (mut source, pool) = (Source::new(), pool(1));
    source.submit(&pool, 1);
    let job = pool.take(0).unwrap();
    let now_ms = job.clock.now_ms() + 2_000;
    assert_eq!(pool.take_overdue(now_ms, Duration::from_secs(1)).len(), 1);

    let mut timed_out = 0;
    for _ in 0..2 {
        pool.time_out(now_ms, Duration::from_secs(2), |_| {
            timed_out += 1;
            TimeOut::Answered
        });
    }

    assert_eq!(timed_out, 1);
    assert_eq!(pool.collect().1.oldest_untimed_ms, None);
    let overdue = pool.take_overdue(now_ms, Duration::from_secs(2));
    assert_eq!(overdue[0].timed_out, Some(TimeOut::Answered));
    end(&pool, 0, job);
    assert_eq!(pool.collect().0.counts.errors, 1);
}

#[test]
fn a_thread_that_has_the_engine_is_busy_during_a_request() {
    let (mut source, pool) = (Source::new(), pool(2));
    let job = source.job();

    pool.begin_in_line(1, &job.request, 7);
    let (_, activity) = pool.collect();
    assert_eq!((activity.free, activity.busy), (1, 1));
    assert_eq!(activity.oldest_ms, Some(7));

    pool.end_in_line(1);
    let (finished, activity) = pool.collect();
    assert_eq!((activity.free, activity.busy), (2, 0));
    // It counts the request itself.
    assert_eq!(finished.counts.requests, 0);
}

#[test]
fn a_request_whose_engine_was_taken_away_ends_like_any_other() {
    let (mut source, pool) = (Source::new(), pool(2));
    let job = source.job();
    pool.begin_in_line(1, &job.request, job.clock.now_ms());

    assert_eq!(end(&pool, 1, job).responders.len(), 1);

    assert_eq!(pool.collect().0.counts.requests, 1);
}

#[test]
fn one_thread_gets_the_engine() {
    let pool = Arc::new(pool(3));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let pool = Arc::clone(&pool);
            std::thread::spawn(move || {
                let mut tasks = Vec::new();
                loop {
                    tasks.push(pool.wait());
                    if tasks.last() == Some(&Task::End) {
                        pool.exit(None);
                        return tasks;
                    }
                }
            })
        })
        .collect();

    pool.lend_engine();
    while lock(&pool.state).is_engine_lent {
        std::thread::yield_now();
    }
    assert_eq!(pool.stop(Duration::from_secs(60)), 0);

    let tasks: Vec<_> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    let count = |task| tasks.iter().filter(|&&other| other == task).count();
    assert_eq!((count(Task::Engine), count(Task::End)), (1, 3));
}

#[test]
fn after_a_recall_a_thread_looks_all_the_same() {
    let (mut source, pool) = (Source::new(), pool(1));
    source.submit(&pool, 2);

    assert_eq!(pool.recall().len(), 2);

    assert_eq!(pool.collect().0.looks, 0);
    assert_eq!(pool.wait(), Task::Requests);
    assert!(pool.take(0).is_none());
    assert_eq!(pool.collect().0.looks, 1);
}

#[test]
fn a_thread_that_sleeps_is_woken_by_a_recall() {
    let pool = Arc::new(pool(1));
    let thread = std::thread::spawn({
        let pool = Arc::clone(&pool);
        move || pool.wait()
    });
    while lock(&pool.state).asleep == 0 {
        std::thread::yield_now();
    }

    assert!(pool.recall().is_empty());

    assert_eq!(thread.join().unwrap(), Task::Requests);
}

#[test]
fn a_stop_does_not_wait_for_threads_in_a_request() {
    let (mut source, pool) = (Source::new(), pool(2));
    source.submit(&pool, 1);
    let job = pool.take(0).unwrap();
    pool.exit(None);

    assert_eq!(pool.stop(Duration::from_secs(60)), 1);

    end(&pool, 0, job);
    assert_eq!(pool.wait(), Task::End);
}

#[test]
fn a_thread_that_fails_says_why() {
    let pool = pool(1);
    assert!(!pool.has_failed());

    pool.exit(Some("out of memory".to_owned()));

    assert!(pool.has_failed());
    assert_eq!(pool.failure().as_deref(), Some("out of memory"));
}

#[test]
fn a_response_that_is_given_back_reaches_its_client() {
    let (mut source, pool) = (Source::new(), pool(1));
    source.submit(&pool, 1);
    let mut job = pool.take(0).unwrap();
    let date = *job.clock.date();
    job.responder
        .head(b"204 No Content")
        .unwrap()
        .finish(None, &date);
    job.responder.end();

    for responder in end(&pool, 0, job).responders {
        responder.finish();
    }

    source.engine.turn(Duration::ZERO).unwrap();
    let mut start = [0; 12];
    source.clients[0].read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 204");
}

#[test]
fn a_request_that_has_taken_its_connection_has_no_time_limit() {
    let pool = ThreadPool::new(1, Duration::ZERO);
    let taken = Arc::new(AtomicBool::new(false));
    pool.set_taken(0, Arc::clone(&taken));
    let Job { request, .. } = Source::new().job();
    pool.begin_in_line(0, &request, 1000);
    assert_eq!(pool.collect().1.oldest_unreported_ms, Some(1000));

    taken.store(true, Relaxed);

    let activity = pool.collect().1;
    assert_eq!((activity.busy, activity.taken), (1, 1));
    assert_eq!(activity.oldest_ms, Some(1000));
    assert_eq!(activity.oldest_unreported_ms, None);
    assert_eq!(activity.oldest_untimed_ms, None);
    assert!(pool.take_overdue(99_000, Duration::from_secs(1)).is_empty());
    pool.end_in_line(0);
    pool.begin_in_line(0, &request, 2000);
    assert_eq!(pool.collect().1.taken, 0, "the next request has not");
}

#[test]
fn a_thread_with_a_connection_of_its_own_is_neither_stuck_nor_of_use_to_the_others() {
    let activity = |free, busy, taken| Activity {
        free,
        busy,
        taken,
        ..Activity::default()
    };
    for (threads, has_waited, expected) in [
        (activity(1, 2, 0), true, true),
        (activity(0, 3, 0), false, false),
        (activity(1, 2, 1), true, true),
        (activity(0, 3, 1), false, true),
        (activity(0, 3, 1), true, false),
        (activity(0, 3, 3), true, true),
    ] {
        assert_eq!(threads.is_of_use(has_waited), expected, "{threads:?}");
    }
    let queued = Activity {
        queued: 1,
        ..activity(0, 0, 0)
    };
    assert!(!queued.is_of_use(false));
}
