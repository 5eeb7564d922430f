//! Draining: after an order to stop the pool serves on for `drain_time`.

use super::fixture::*;

const DRAINING: Wanted = Wanted {
    drain_time: Duration::from_secs(15),
    ..WITHOUT_TIMEOUT
};

/// A pool of two workers that was ordered to stop.
fn draining() -> Pool {
    let mut pool = Pool::serving(DRAINING);
    pool.order(Order::Stop);
    pool
}

#[test]
fn a_stop_is_announced_at_once_and_workers_are_asked_to_leave_after_the_drain() {
    let mut pool = Pool::serving(DRAINING);

    pool.order(Order::Stop);
    assert_eq!(
        pool.actions,
        [
            Action::Report(Report::Draining(BY, DRAINING.drain_time)),
            Action::Announce(Announcement::Stopping),
        ]
    );
    assert_eq!(pool.arbiter.summary().phase, Phase::Draining);
    assert_eq!(pool.until_deadline(), DRAINING.drain_time);

    assert_eq!(
        pool.actions,
        [
            Action::Report(Report::Stopping(BY, Some(WANTED.graceful_timeout))),
            retire(1),
            retire(2),
        ]
    );
    assert_eq!(pool.arbiter.summary().phase, Phase::Stopping);
    // The time to finish requests counts from here.
    assert_eq!(pool.until_deadline(), WANTED.graceful_timeout);
    assert_eq!(
        pool.commands(),
        [Action::Kill(worker(1)), Action::Kill(worker(2))]
    );
}

#[test]
fn a_pool_that_is_idle_stops_without_a_drain() {
    let mut pool = Pool::serving(DRAINING);

    let idle = Requester::Idle(SECOND);
    pool.on(Event::Ordered(Order::Stop, idle));

    assert_eq!(pool.commands()[1..], [retire(1), retire(2)]);
    assert_eq!(pool.arbiter.summary().phase, Phase::Stopping);
}

#[test]
fn a_second_stop_ends_the_drain_at_once() {
    let mut pool = draining();
    pool.after(SECOND);

    pool.order(Order::Stop);

    assert_eq!(pool.commands(), [retire(1), retire(2)]);
}

#[test]
fn a_quick_stop_skips_the_drain_and_ends_one() {
    let quit = [Action::Quit(worker(1)), Action::Quit(worker(2))];
    let mut pool = Pool::serving(DRAINING);
    pool.order(Order::StopNow);
    assert_eq!(pool.commands()[1..], quit);

    let mut pool = draining();
    pool.order(Order::StopNow);
    assert_eq!(pool.reports(), [Report::Stopping(BY, None)]);
    assert_eq!(pool.commands(), quit);
}

#[test]
fn a_worker_that_dies_in_the_drain_is_replaced() {
    let mut pool = draining();

    pool.crashes(1);
    assert_eq!(pool.commands(), [spawn(1, 3)]);
    pool.serves(3);
    pool.until_deadline();

    assert_eq!(pool.commands(), [retire(2), retire(3)]);
}

#[test]
fn a_fork_server_that_dies_in_the_drain_is_not_replaced() {
    let mut pool = draining();

    pool.on(server_gone(1));

    assert_eq!(pool.commands(), []);
    assert_eq!(pool.until_deadline(), DRAINING.drain_time);
    assert_eq!(pool.commands(), [retire(1), retire(2)]);
}

#[test]
fn a_reload_that_was_under_way_has_failed_and_none_begins() {
    let mut pool = Pool::testing(DRAINING);
    pool.on(Event::WorkerStarted(worker(3)));

    pool.order(Order::Stop);

    assert_eq!(
        pool.commands(),
        [
            Action::Announce(Announcement::Stopping),
            Action::DropConfig,
            finished(1, Err(Reason::Stopping)),
            Action::StopForkServer(generation(2)),
            Action::Quit(worker(3)),
        ]
    );
    assert_eq!(
        pool.order(Order::Reload),
        [accepted(2), finished(2, Err(Reason::Stopping))]
    );
    assert_eq!(pool.order(Order::OneWorkerMore), []);
}

#[test]
fn nothing_is_drained_before_anything_serves() {
    let mut pool = Pool::starting(DRAINING);
    pool.on(Event::ForkServerReady(generation(1)));
    pool.on(Event::WorkerStarted(worker(1)));

    pool.order(Order::Stop);

    assert_eq!(pool.commands()[1..], [Action::Quit(worker(1))]);
}

#[test]
fn a_drain_that_is_longer_than_the_clock_can_count_is_no_panic() {
    let mut pool = Pool::serving(Wanted {
        drain_time: Duration::MAX,
        ..WITHOUT_TIMEOUT
    });

    pool.order(Order::Stop);

    assert_eq!(pool.arbiter.summary().phase, Phase::Draining);
}
