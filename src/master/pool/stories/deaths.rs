//! Workers that die, and those that never get ready.

use super::fixture::*;
use std::time::Duration;

#[test]
fn a_worker_that_dies_is_replaced_at_once() {
    let mut pool = Pool::serving(WANTED);

    pool.dies(1);

    assert_eq!(
        pool.actions,
        [
            Action::Report(Report::WorkerDied(worker(1), SEGFAULT)),
            spawn(1, 3)
        ]
    );
}

/// Workers end one after the other, as `end` says, and each is replaced at once.
#[track_caller]
fn assert_replaced_at_once(count: u32, interval: Duration, end: fn(&mut Pool, u32) -> &[Action]) {
    let mut pool = Pool::serving(WANTED);
    for id in 1..count {
        end(&mut pool, id);
        assert_eq!(pool.commands(), [spawn(1, id + 2)], "worker {id}");
        pool.serves(id + 2);
        pool.after(interval);
    }
}

#[test]
fn workers_that_crash_in_requests_are_replaced_at_once_however_often() {
    assert_replaced_at_once(500, MS, Pool::crashes);
}

#[test]
fn a_crash_in_a_request_is_not_delayed_by_workers_that_cannot_load() {
    let mut pool = Pool::serving(WITHOUT_TIMEOUT);
    pool.dies(1);
    pool.refuses(3);
    assert_eq!(pool.reports()[1], Report::RespawnDelayed(SECOND));
    assert_eq!(pool.commands(), []);

    pool.crashes(2);

    assert_eq!(pool.commands(), [spawn(1, 4)]);
    pool.serves(4);
    assert_eq!(pool.commands(), [Action::Lend(worker(4)), spawn(1, 5)]);
}

#[test]
fn an_order_after_a_crash_that_did_not_get_through_is_not_delayed_by_them_either() {
    let mut pool = Pool::serving(WITHOUT_TIMEOUT);
    pool.dies(1);
    pool.refuses(3);
    assert_eq!(pool.reports()[1], Report::RespawnDelayed(SECOND));
    pool.crashes(2);
    assert_eq!(pool.commands(), [spawn(1, 4)]);

    assert_eq!(pool.on(Event::SpawnDeferred(worker(4))), []);

    assert_eq!(pool.until_deadline(), 50 * MS);
    assert_eq!(pool.commands(), [spawn(1, 5)]);
}

#[test]
fn workers_that_die_at_once_without_a_request_are_replaced_four_times_a_second() {
    let mut pool = Pool::serving(Wanted {
        workers: 1,
        ..WITHOUT_TIMEOUT
    });

    let mut pauses = Vec::new();
    for id in 1..15 {
        pool.dies(id);
        if pool.commands().is_empty() {
            pauses.push(pool.until_deadline().as_millis());
        }
        assert_eq!(pool.commands(), [spawn(1, id + 1)], "worker {id}");
        pool.serves(id + 1);
    }

    assert_eq!(pauses, [250; 4]);
}

#[test]
fn a_death_each_half_second_never_waits_and_is_never_forgotten() {
    assert_replaced_at_once(200, 500 * MS, Pool::dies);
}

#[test]
fn a_whole_pool_that_is_killed_is_replaced_at_once() {
    let mut pool = Pool::serving(Wanted {
        workers: 30,
        ..WANTED
    });

    let ordered: usize = (1..=30)
        .map(|id| {
            pool.dies(id);
            pool.commands().len()
        })
        .sum();

    assert_eq!(ordered, 30);
}

#[test]
fn a_worker_that_gets_ready_makes_the_pauses_short_again() {
    let mut pool = Pool::serving(WITHOUT_TIMEOUT);
    pool.dies(1);
    for id in 3..6 {
        pool.refuses(id);
        pool.dies(id);
        pool.until_deadline();
    }
    pool.serves(6);
    pool.dies(6);

    pool.refuses(7);

    assert_eq!(pool.reports()[1], Report::RespawnDelayed(SECOND));
}

#[test]
fn code_that_was_broken_meanwhile_never_ends_a_service_that_serves() {
    let mut pool = Pool::with_an_ordered_worker();

    let mut pauses = Vec::new();
    for id in 3..9 {
        pool.refuses(id);
        pool.dies(id);
        assert_eq!(pool.commands(), []);
        pauses.push(pool.until_deadline().as_secs());
        assert_eq!(pool.commands(), [spawn(1, id + 1)]);
    }

    assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
    assert_eq!(pool.arbiter.summary().ready, 1);
}

#[test]
fn a_worker_that_loads_too_long_is_replaced() {
    let mut pool = Pool::with_an_ordered_worker();
    pool.on(Event::WorkerStarted(worker(3)));

    pool.after(60 * SECOND);
    assert_eq!(pool.commands(), [Action::Abort(worker(3))]);
    assert_eq!(
        pool.reports(),
        [
            Report::WorkerFailed(worker(3), Reason::Late(60 * SECOND)),
            Report::RespawnDelayed(SECOND),
        ]
    );
    pool.after(SECOND);

    assert_eq!(pool.commands(), [spawn(1, 4)]);
}

#[test]
fn a_fork_that_fails_is_tried_again() {
    let mut pool = Pool::serving(WANTED);
    pool.after(5 * SECOND);
    pool.dies(1);

    pool.on(Event::ForkFailed(worker(3), "no memory".to_owned()));

    let reason = Reason::Fork("no memory".to_owned());
    assert_eq!(
        pool.actions,
        [
            Action::Report(Report::WorkerFailed(worker(3), reason)),
            spawn(1, 4)
        ]
    );
}

#[test]
fn a_worker_that_could_not_load_and_does_not_exit_is_killed() {
    let mut pool = Pool::serving(WANTED);
    pool.after(5 * SECOND);
    pool.dies(1);
    pool.refuses(3);

    pool.after(SECOND);
    pool.after(SECOND);

    assert_eq!(pool.commands(), [Action::Kill(worker(3))]);
}

#[test]
fn events_about_processes_that_are_gone_are_ignored() {
    let mut pool = Pool::serving(WANTED);
    pool.dies(1);

    assert_eq!(pool.on(gone(1)), []);
    assert_eq!(pool.on(Event::WorkerReady(worker(1))), []);
    assert_eq!(pool.on(Event::WorkerStarted(worker(99))), []);
    assert_eq!(pool.on(Event::ForkServerReady(generation(99))), []);
    assert_eq!(pool.on(server_gone(99)), []);
    assert_eq!(pool.is_silent(1, 99 * SECOND), []);
}
